"""Third-party checkpoints (the authors' BSN, OpenMMLab and similar), converted to bundles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from actspan.config.stages import FeatureSpec, PemConfig, PipelineConfig, TemConfig
from actspan.core.errors import BundleError, CheckpointError, ShapeError
from actspan.core.types import Float32
from actspan.data.names import Ignored
from actspan.model.bsn.checkpoint_files import EXPECTED, is_safetensors, load_content
from actspan.model.bsn.state_dicts import Found, find_network
from actspan.model.bundle import Bundle
from actspan.model.manifest import MANIFEST, Source
from actspan.model.networks import add_networks
from actspan.model.weights import Net, check_weights

__all__ = ["ORIGINS", "Checkpoint", "Origin", "convert_checkpoints", "read_checkpoint"]

Origin = Literal["bsn", "openmmlab", "pytorch", "safetensors"]

# Texts that bundles record as the origin of their networks.
ORIGINS: dict[Origin, str] = {
    "bsn": "the authors' code",
    "openmmlab": "OpenMMLab",
    "pytorch": "a PyTorch trainer",
    "safetensors": "safetensors",
}


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """One network of a checkpoint.

    Attributes
    ----------
    path : Path
    kind : "tem" or "pem"
    origin : "bsn", "openmmlab", "pytorch" or "safetensors"
        The code that wrote it, inferred from its form.
    config : TemConfig or PemConfig
        Sizes inferred from the shapes; these do not give the temporal scale of a TEM.
    weights : dict of str to float32 array
        Under the bundle's names.
    notes : tuple of str
        Messages about other contents of the file.
    """

    path: Path
    kind: Net
    origin: Origin
    config: TemConfig | PemConfig
    weights: dict[str, Float32]
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(array.size for array in self.weights.values())


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint without executing it; identify the network by its weights.

    Raises
    ------
    CheckpointError
        The file is not a checkpoint, damaged, not safe to open, or not one of BSN's networks.
    MissingExtraError
        PyTorch is not installed.

    Examples
    --------
    >>> read_checkpoint("pem_best.pth.tar").kind  # doctest: +SKIP
    'pem'
    """
    path, ignored = Path(path), Ignored()
    content = load_content(path)
    found = find_network(content, path, ignored)
    _check_tensors(path, found.state)
    arrays = {name: _array(tensor) for name, tensor in found.state.items()}
    config = _config(found.net, arrays)
    try:
        weights = check_weights(arrays, config)
    except ShapeError as error:
        raise CheckpointError(
            f"{path}: not a whole {found.net.upper()}: {error}; {EXPECTED}"
        ) from error
    origin, notes = _origin(path, content, found), ignored.notes(path.name)
    if origin == "safetensors" and (path.parent / MANIFEST).is_file():
        notes += (
            f"{path.name}: settings are the published ones, not those of {MANIFEST} beside it",
        )
    return Checkpoint(path, found.net, origin, config, weights, notes)


def _origin(path: Path, content: Any, found: Found) -> Origin:
    if is_safetensors(path):
        return "safetensors"
    if "meta" in content:
        return "openmmlab"
    is_plain = found.levels in ((), ("state_dict",)) and found.prefix in ("", "module.")
    return "bsn" if is_plain else "pytorch"


def convert_checkpoints(
    paths: list[Path], out: Path, *, length: int = 100, overwrite: bool = False
) -> tuple[Bundle, list[Checkpoint]]:
    """Make a bundle of one TEM, one PEM or both, in any order, with the published settings.

    If the bundle exists, missing networks are added to it.

    Parameters
    ----------
    length : int
        T, the temporal scale of TEM, which cannot be inferred from weights.
    overwrite : bool
        Replace networks that the bundle already has. Others are kept.

    Raises
    ------
    CheckpointError
        A file cannot be used, or two hold the same network.
    BundleError
        `out` is taken or cannot be written, or the networks do not fit each other.
    """
    is_bundle = (out / MANIFEST).is_file()
    if not is_bundle:
        Bundle.check_target(out, overwrite=overwrite)
    found: dict[Net, Checkpoint] = {}
    for path in paths:
        checkpoint = read_checkpoint(path)
        if checkpoint.kind in found:
            raise CheckpointError(
                f"{path}: is a {checkpoint.kind.upper()}, and so is "
                f"{found[checkpoint.kind].path}; give at most one of each"
            )
        found[checkpoint.kind] = checkpoint
    source = Source.of(paths, note=_note(found.values()))
    bundle = Bundle.load(out) if is_bundle else None
    if bundle is not None:
        _require_room(bundle, found, overwrite=overwrite)
    if bundle is None or bundle.nets <= found.keys():
        made = _create(out, found, length, source, overwrite=overwrite)
    else:
        made = _add(bundle, found, length, source)
    return made, list(found.values())


def _require_room(bundle: Bundle, found: Mapping[Net, Checkpoint], *, overwrite: bool) -> None:
    taken = [net.upper() for net in found if net in bundle.nets]
    if taken and not overwrite:
        raise BundleError(
            f"{bundle.path}: there is a bundle already, with a {' and a '.join(taken)}; choose "
            "another folder, or ask to replace it: --force"
        )


def _create(
    out: Path, found: Mapping[Net, Checkpoint], length: int, source: Source, *, overwrite: bool
) -> Bundle:
    config = _settings(PipelineConfig(), found, length)
    return Bundle.create(
        out,
        config=config,
        features=FeatureSpec(channels=None if config.tem is None else config.tem.channels),
        source=source,
        tem=found["tem"].weights if "tem" in found else None,
        pem=found["pem"].weights if "pem" in found else None,
        overwrite=overwrite,
    )


def _add(bundle: Bundle, found: Mapping[Net, Checkpoint], length: int, source: Source) -> Bundle:
    """Add networks to a bundle; keep its other network and its settings."""
    before, config = bundle.source, _settings(bundle.config, found, length)
    features = bundle.features
    if features.channels is None and config.tem is not None:
        features = msgspec.structs.replace(features, channels=config.tem.channels)
    both = Source(
        tool=source.tool,
        note="; ".join(filter(None, (before.note, source.note))),
        files=(*before.files, *source.files),
    )
    fitted = replace(bundle, config=config, features=features, source=both)
    return add_networks(fitted, {net: checkpoint.weights for net, checkpoint in found.items()})


def _settings(
    config: PipelineConfig, found: Mapping[Net, Checkpoint], length: int
) -> PipelineConfig:
    """Return the settings with the sizes of the given networks."""
    for net, checkpoint in found.items():
        sizes = checkpoint.config
        if isinstance(sizes, TemConfig):
            sizes = msgspec.structs.replace(sizes, length=length)
        config = msgspec.structs.replace(config, **{net: sizes})
    return config


def _note(checkpoints: Iterable[Checkpoint]) -> str:
    return "; ".join(
        f"{c.kind.upper()}: {c.path.name}, from {ORIGINS[c.origin]}" for c in checkpoints
    )


def _check_tensors(path: Path, state: Mapping[str, Any]) -> None:
    """Raise if a tensor is not a plain tensor of floats, or if they exceed the file's size."""
    for name, tensor in state.items():
        if not _is_plain(tensor):
            raise CheckpointError(f"{path}: {name} is not a plain tensor of floats; {EXPECTED}")
    size = sum(tensor.nbytes for tensor in state.values())
    if size > path.stat().st_size:  # several tensors share their memory
        raise CheckpointError(
            f"{path}: its weights would take {size:,} bytes, more than the file; {EXPECTED}"
        )


def _is_plain(tensor: Any) -> bool:
    if isinstance(tensor, np.ndarray):
        return True  # it was read as floats
    if isinstance(tensor, str):
        return False
    import torch

    return (
        isinstance(tensor, torch.Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.is_floating_point()
        # Strides can make a huge tensor from a few bytes.
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def _array(tensor: Any) -> Float32:
    if isinstance(tensor, np.ndarray):
        return tensor.astype(np.float32)
    import torch

    return np.array(tensor.detach().to(torch.float32).numpy())


def _config(kind: Net, arrays: Mapping[str, Float32]) -> TemConfig | PemConfig:
    """Infer the sizes from the first layer; return the defaults if its shape is invalid."""
    if kind == "tem":
        shape = arrays["conv1.weight"].shape if "conv1.weight" in arrays else ()
        if len(shape) == 3 and min(shape) >= 1:
            return TemConfig(hidden=shape[0], channels=shape[1], members=_members(shape[0], arrays))
        return TemConfig()
    shape = arrays["fc1.weight"].shape if "fc1.weight" in arrays else ()
    if len(shape) == 2 and min(shape) >= 1:
        return PemConfig(hidden=shape[0], inputs=shape[1])
    return PemConfig()


def _members(hidden: int, arrays: Mapping[str, Float32]) -> int:
    """Return the number of an ensemble's members in the weights; 1 if the shapes do not fit."""
    shape = arrays["conv2.weight"].shape if "conv2.weight" in arrays else ()
    inputs = shape[1] if len(shape) == 3 else 0
    return hidden // inputs if inputs and hidden % inputs == 0 else 1
