"""Checkpoints that others wrote: the authors' BSN and OpenMMLab's, read without running them.

A PyTorch checkpoint is a pickle, and a pickle can carry any code. Files are read only by PyTorch's
restricted reader, which knows tensors and plain containers and refuses the rest.
"""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from actspan.bundle import Bundle, Net, Source, check_weights, weight_shapes
from actspan.config import FeatureSpec, PemConfig, PipelineConfig, TemConfig
from actspan.errors import CheckpointError, ShapeError, require
from actspan.files import similar_path
from actspan.nets.pickles import check_pickles
from actspan.types import Float32

__all__ = ["Checkpoint", "Origin", "convert_checkpoints", "read_checkpoint"]

Origin = Literal["bsn", "openmmlab"]

_EXPECTED = (
    "expected a PyTorch checkpoint of BSN's TEM (conv1, conv2, conv3) or PEM (fc1, fc2), "
    "from the authors' code or OpenMMLab"
)
_CLEAN = (
    "if you trust whoever made it, save its weights alone where it was made: "
    "torch.save({'state_dict': model.state_dict()}, FILE)"
)


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """One network of a checkpoint.

    Attributes
    ----------
    path : Path
    kind : "tem" or "pem"
    origin : "bsn" or "openmmlab"
        Whose code wrote it.
    config : TemConfig or PemConfig
        Sizes as the shapes tell them; the temporal scale of a TEM is not among them.
    weights : dict of str to float32 array
        Under the bundle's names.
    """

    path: Path
    kind: Net
    origin: Origin
    config: TemConfig | PemConfig
    weights: dict[str, Float32]

    @property
    def parameters(self) -> int:
        """How many numbers the network has."""
        return sum(array.size for array in self.weights.values())


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint, never running code from it; which network it is shows in its weights.

    Raises
    ------
    CheckpointError
        Not a checkpoint, damaged, not safe to open, or not one of BSN's networks.
    MissingExtraError
        PyTorch is not installed.

    Examples
    --------
    >>> read_checkpoint("pem_best.pth.tar").kind  # doctest: +SKIP
    'pem'
    """
    path = Path(path)
    state, origin = _state_dict(_load(path), path)
    kind = _recognise(state, path)
    _check_tensors(path, state)
    arrays = {name: _array(tensor) for name, tensor in state.items()}
    config = _config(kind, arrays)
    try:
        return Checkpoint(path, kind, origin, config, check_weights(arrays, config))
    except ShapeError as error:
        raise CheckpointError(
            f"{path}: not a whole {kind.upper()}: {error}; {_EXPECTED}"
        ) from error


def convert_checkpoints(
    paths: list[Path], out: Path, *, length: int = 100, overwrite: bool = False
) -> tuple[Bundle, list[Checkpoint]]:
    """Make a bundle of one TEM, one PEM or both, in any order, with the published settings.

    Parameters
    ----------
    length : int
        T, the temporal scale of TEM, which no weight tells.

    Raises
    ------
    CheckpointError
        A file cannot be used, or two hold the same network.
    BundleError
        `out` is taken or cannot be written.
    """
    Bundle.check_target(out, overwrite=overwrite)
    found: dict[str, Checkpoint] = {}
    for path in paths:
        checkpoint = read_checkpoint(path)
        if checkpoint.kind in found:
            raise CheckpointError(
                f"{path}: is a {checkpoint.kind.upper()}, and so is "
                f"{found[checkpoint.kind].path}; give at most one of each"
            )
        found[checkpoint.kind] = checkpoint
    tem, pem = found.get("tem"), found.get("pem")
    config = PipelineConfig()
    for checkpoint in found.values():
        if isinstance(checkpoint.config, TemConfig):
            sizes = msgspec.structs.replace(checkpoint.config, length=length)
            config = msgspec.structs.replace(config, tem=sizes)
        else:
            config = msgspec.structs.replace(config, pem=checkpoint.config)
    bundle = Bundle.create(
        out,
        config=config,
        features=FeatureSpec(channels=None if config.tem is None else config.tem.channels),
        source=Source.of(paths, note=_note(found.values())),
        tem=None if tem is None else tem.weights,
        pem=None if pem is None else pem.weights,
        overwrite=overwrite,
    )
    return bundle, list(found.values())


def _note(checkpoints: Iterable[Checkpoint]) -> str:
    who = {"bsn": "the authors' code", "openmmlab": "OpenMMLab"}
    return "; ".join(f"{c.kind.upper()}: {c.path.name}, from {who[c.origin]}" for c in checkpoints)


def _load(path: Path) -> Any:
    """Whatever tensors and plain containers the file holds."""
    torch = require("torch", extra="train", purpose="reading checkpoints")
    if not path.is_file():
        found = "is a folder" if path.is_dir() else f"does not exist{similar_path(path)}"
        raise CheckpointError(f"{path}: {found}; {_EXPECTED}")
    try:
        check_pickles(path, _CLEAN)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols and old storages
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise _refusal(path, error) from error


def _refusal(path: Path, error: Exception) -> CheckpointError:
    """PyTorch's refusal in our words; it advises to open the file unsafely, which we never do."""
    if isinstance(error, OSError) and error.errno != errno.EINVAL:  # that is a seek past its end
        return CheckpointError(f"{path}: cannot be read: {error.strerror or error}")
    name = re.search(r"GLOBAL ([\w.]+)", str(error))
    if name is not None:
        return CheckpointError(
            f"{path}: not opened: it names {name[1]}, and a checkpoint that carries anything but "
            f"tensors and plain containers could run code; {_CLEAN}"
        )
    if "TorchScript" in str(error):
        return CheckpointError(f"{path}: not opened: a TorchScript archive is code; {_CLEAN}")
    return CheckpointError(
        f"{path}: cannot be read: damaged, cut short, or another kind of file; {_EXPECTED}. "
        "Copy it again from where it came"
    )


def _state_dict(content: Any, path: Path) -> tuple[dict[str, Any], Origin]:
    """Named tensors without the prefix of data-parallel training, and whose form they have."""
    origin: Origin = "bsn"
    if isinstance(content, Mapping):
        origin = "openmmlab" if "meta" in content else "bsn"
        content = content.get("state_dict", content)
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise CheckpointError(f"{path}: holds no state_dict of named weights; {_EXPECTED}")
    state = dict(content)
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state, origin


def _recognise(state: Mapping[str, Any], path: Path) -> Net:
    defaults: dict[Net, TemConfig | PemConfig] = {"tem": TemConfig(), "pem": PemConfig()}
    kinds = [net for net, config in defaults.items() if state.keys() & weight_shapes(config).keys()]
    if len(kinds) == 1:
        return kinds[0]
    names = ", ".join(list(state)[:8]) or "nothing"
    found = "weights of a TEM and of a PEM" if kinds else "weights of neither TEM nor PEM"
    raise CheckpointError(f"{path}: holds {found} ({names}); {_EXPECTED}")


def _check_tensors(path: Path, state: Mapping[str, Any]) -> None:
    """Refuse what is no plain tensor of floats, and more numbers than the file holds."""
    for name, tensor in state.items():
        if not _is_plain(tensor):
            raise CheckpointError(f"{path}: {name} is not a plain tensor of floats; {_EXPECTED}")
    size = sum(tensor.nbytes for tensor in state.values())
    if size > path.stat().st_size:  # several that share their numbers
        raise CheckpointError(
            f"{path}: its weights would take {size:,} bytes, more than the file; {_EXPECTED}"
        )


def _is_plain(tensor: Any) -> bool:
    import torch

    return (
        isinstance(tensor, torch.Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.is_floating_point()
        # strides can make a huge tensor of a few bytes
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def _array(tensor: Any) -> Float32:
    import torch

    return np.array(tensor.detach().to(torch.float32).numpy())


def _config(kind: Net, arrays: Mapping[str, Float32]) -> TemConfig | PemConfig:
    """Sizes from the first layer; the default ones where its shape cannot be right."""
    if kind == "tem":
        shape = arrays["conv1.weight"].shape if "conv1.weight" in arrays else ()
        if len(shape) == 3 and min(shape) >= 1:
            return TemConfig(hidden=shape[0], channels=shape[1])
        return TemConfig()
    shape = arrays["fc1.weight"].shape if "fc1.weight" in arrays else ()
    if len(shape) == 2 and min(shape) >= 1:
        return PemConfig(hidden=shape[0], inputs=shape[1])
    return PemConfig()
