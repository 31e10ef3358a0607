"""Third-party checkpoints (the authors' BSN, OpenMMLab and similar), converted to bundles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from actspan.config.stages import FeatureSpec, PemConfig, PipelineConfig, TemConfig
from actspan.core.errors import BundleError, CheckpointError, ShapeError
from actspan.core.locks import lock_target
from actspan.core.types import Float32
from actspan.data.names import Ignored
from actspan.model.bsn.checkpoint_files import (
    EXPECTED,
    FoundNetwork,
    find_network,
    is_safetensors,
    load_content,
)
from actspan.model.bundle import Bundle
from actspan.model.manifest import MANIFEST, Source, check_new_bundle
from actspan.model.nets import Net
from actspan.model.weights import check_weights, infer_config

Origin = Literal["bsn", "openmmlab", "pytorch", "safetensors"]

# Texts that bundles record as the origin of their networks.
ORIGINS: dict[Origin, str] = {
    "bsn": "the authors' code",
    "openmmlab": "OpenMMLab",
    "pytorch": "a PyTorch trainer",
    "safetensors": "safetensors",
}


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointNetwork:
    """One network of a checkpoint."""

    path: Path
    kind: Net  # "tem" or "pem"
    origin: Origin  # the code that wrote it, inferred from its form
    config: TemConfig | PemConfig  # sizes inferred from the shapes, which do not give TEM's T
    weights: dict[str, Float32]  # under the bundle's names
    notes: tuple[str, ...] = ()  # messages about other contents of the file

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(array.size for array in self.weights.values())


def read_checkpoint(path: str | Path) -> CheckpointNetwork:
    """Read a checkpoint without executing it; identify the network by its weights.

    Raises
    ------
    CheckpointError
        The file is not a checkpoint, damaged, not safe to open, or not one of BSN's networks.
    MissingExtraError
        PyTorch is not installed; every form but safetensors needs it.
    """
    path, ignored = Path(path), Ignored()
    content = load_content(path)
    network = find_network(content, path, ignored)
    arrays = _arrays(path, network.state)
    config = infer_config(network.net, {name: array.shape for name, array in arrays.items()})
    try:
        weights = check_weights(arrays, config)
    except ShapeError as error:
        what = f"not a whole {network.net.upper()}: {error}; {EXPECTED}"
        raise CheckpointError(f"{path}: {what}") from error
    origin, notes = _origin(path, content, network), ignored.notes(path.name)
    if origin == "safetensors" and (path.parent / MANIFEST).is_file():
        what = f"settings are the published ones, not those of the {MANIFEST} next to it"
        notes += (f"{path.name}: {what}",)
    return CheckpointNetwork(path, network.net, origin, config, weights, notes)


def _origin(path: Path, content: Any, network: FoundNetwork) -> Origin:
    if is_safetensors(path):
        return "safetensors"
    if "meta" in content:
        return "openmmlab"
    is_plain = network.levels in ((), ("state_dict",)) and network.prefix in ("", "module.")
    return "bsn" if is_plain else "pytorch"


def _arrays(path: Path, state: Mapping[str, Any]) -> dict[str, Float32]:
    """Return tensors as float32; raise if one is not plain, or if they exceed the file's size."""
    for name, tensor in state.items():
        if not isinstance(tensor, np.ndarray) and not _is_plain(tensor):
            raise CheckpointError(f"{path}: {name} is not a plain tensor of floats; {EXPECTED}")
    size = sum(tensor.nbytes for tensor in state.values())
    if size > path.stat().st_size:  # several tensors share their memory
        what = f"its weights would take {size:,} bytes, more than the file"
        raise CheckpointError(f"{path}: {what}; {EXPECTED}")
    return {
        name: np.array(t if isinstance(t, np.ndarray) else t.detach().float().numpy(), np.float32)
        for name, t in state.items()
    }


def _is_plain(tensor: Any) -> bool:
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


def convert_checkpoints(
    paths: list[Path], out: Path, *, length: int = 100, overwrite: bool = False
) -> tuple[Bundle, list[CheckpointNetwork]]:
    """Make a bundle of one TEM, one PEM or both, in any order, with the published settings.

    If the bundle exists, missing networks are added to it; with `overwrite`, also replaced.
    `length` is T, the temporal scale of TEM, which cannot be inferred from weights.

    Raises
    ------
    CheckpointError
        A file cannot be used, or two contain the same network.
    BundleError
        `out` is taken or cannot be written, or the networks do not fit each other.
    DataError
        Another process writes to `out`.
    """
    with lock_target(out):
        return _convert(paths, out, length, overwrite)


def _convert(
    paths: list[Path], out: Path, length: int, overwrite: bool
) -> tuple[Bundle, list[CheckpointNetwork]]:
    is_bundle = (out / MANIFEST).is_file()
    if not is_bundle:
        check_new_bundle(out, overwrite=overwrite)
    networks: dict[Net, CheckpointNetwork] = {}
    for path in paths:
        checkpoint = read_checkpoint(path)
        if checkpoint.kind in networks:
            other = networks[checkpoint.kind].path
            what = f"is a {checkpoint.kind.upper()}, and so is {other}; give at most one of each"
            raise CheckpointError(f"{path}: {what}")
        networks[checkpoint.kind] = checkpoint
    notes = (
        f"{c.kind.upper()}: {c.path.name}, from {ORIGINS[c.origin]}" for c in networks.values()
    )
    source = Source.of(paths, note="; ".join(notes))
    bundle = Bundle.load(out) if is_bundle else None
    existing = [net.upper() for net in networks if bundle is not None and net in bundle.nets]
    if existing and not overwrite:
        raise BundleError(
            f"{out}: a bundle already exists, with a {' and a '.join(existing)}; choose another "
            "folder, or ask to replace it: --force"
        )
    if bundle is not None and not bundle.nets <= networks.keys():
        return _add(bundle, networks, length, source), list(networks.values())
    config = _settings(PipelineConfig(), networks, length)
    created = Bundle.create(
        out,
        config=config,
        features=FeatureSpec(channels=None if config.tem is None else config.tem.channels),
        source=source,
        weights={net: checkpoint.weights for net, checkpoint in networks.items()},
        overwrite=overwrite,
    )
    return created, list(networks.values())


def _add(
    bundle: Bundle, networks: Mapping[Net, CheckpointNetwork], length: int, source: Source
) -> Bundle:
    """Add networks to a bundle; keep its other network and its settings."""
    old_source, config = bundle.source, _settings(bundle.config, networks, length)
    features = bundle.features
    if features.channels is None and config.tem is not None:
        features = msgspec.structs.replace(features, channels=config.tem.channels)
    combined = Source(
        tool=source.tool,
        note="; ".join(filter(None, (old_source.note, source.note))),
        files=(*old_source.files, *source.files),
    )
    fitted = replace(bundle, config=config, features=features, source=combined)
    return fitted.add_networks({net: checkpoint.weights for net, checkpoint in networks.items()})


def _settings(
    config: PipelineConfig, networks: Mapping[Net, CheckpointNetwork], length: int
) -> PipelineConfig:
    """Return the settings with the sizes of the given networks."""
    for net, checkpoint in networks.items():
        sizes = checkpoint.config
        if isinstance(sizes, TemConfig):
            sizes = msgspec.structs.replace(sizes, length=length)
        config = msgspec.structs.replace(config, **{net: sizes})
    return config
