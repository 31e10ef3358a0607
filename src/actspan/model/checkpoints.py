"""Third-party checkpoints: BSN and BMN of their authors, OpenMMLab, PaddleVideo and similar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from actspan.config.bmn import BmnConfig, BmnPreset
from actspan.config.bmn_presets import BMN_PIPELINES
from actspan.config.stages import PemConfig, PipelineConfig, TemConfig
from actspan.core.errors import CheckpointError, ConfigError, ShapeError
from actspan.core.types import Float32
from actspan.core.wording import listed
from actspan.data.names import Ignored
from actspan.model.bmn.checkpoints import identify_bmn
from actspan.model.checkpoint_files import (
    EXPECTED,
    is_safetensors,
    load_content,
    safetensors_metadata,
)
from actspan.model.checkpoint_networks import FoundNetwork, find_network
from actspan.model.manifest import MANIFEST
from actspan.model.nets import Net
from actspan.model.weights import check_weights, infer_config, settings_of

Origin = Literal["bsn", "jjboy", "openmmlab", "paddle", "pytorch", "safetensors"]

# Texts that bundles record as the origin of their networks.
ORIGINS: dict[Origin, str] = {
    "bsn": "the authors' code",
    "jjboy": "JJBOY's code",
    "openmmlab": "OpenMMLab",
    "paddle": "PaddleVideo",
    "pytorch": "a PyTorch trainer",
    "safetensors": "safetensors",
}
# Names of the weights, keys that lead to them, their prefix, and whether there are OpenMMLab's
# `meta` or `bm_mask`.
_BMN_ORIGINS: dict[tuple[str, tuple[str, ...], str, bool, bool], Origin] = {
    ("jjboy", ("state_dict",), "module.", False, False): "jjboy",
    ("jjboy", ("state_dict",), "", True, False): "openmmlab",  # 0.x
    ("jjboy", ("state_dict",), "", True, True): "openmmlab",
}


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointNetwork:
    """One network of a checkpoint."""

    path: Path
    kind: Net  # "tem", "pem" or "bmn"
    origin: Origin  # the code that wrote it, inferred from its form
    config: TemConfig | PemConfig | BmnConfig  # sizes inferred from the shapes
    weights: dict[str, Float32]  # under the bundle's names
    notes: tuple[str, ...] = ()  # messages about other contents of the file
    preset: BmnPreset | None = None  # published code whose pipeline a BMN needs

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(array.size for array in self.weights.values())

    @property
    def pipeline(self) -> PipelineConfig:
        """Published settings of the stages around the network, without its sizes."""
        return PipelineConfig() if self.preset is None else BMN_PIPELINES[self.preset]


def read_checkpoint(
    path: str | Path, *, preset: BmnPreset | None = None, length: int | None = None
) -> CheckpointNetwork:
    """Read a checkpoint without executing it; identify the network by its weights.

    Parameters
    ----------
    preset : str, optional
        Published code of a BMN, needed if the file does not tell it.
    length : int, optional
        T, which a TEM's weights, and a BMN's without its mask, do not contain; 100 if None.

    Raises
    ------
    CheckpointError
        The file is not a checkpoint, damaged, not safe to open, of another preset or length, or not
        one of the networks of BSN and BMN.
    MissingExtraError
        PyTorch is not installed; every form but safetensors and PaddlePaddle's needs it.
    """
    path, ignored = Path(path), Ignored()
    content = load_content(path)
    network = find_network(content, path, ignored)
    if preset is not None and network.net != "bmn":
        what = f"is a {network.net.upper()}; --preset is only for a BMN: leave it out"
        raise CheckpointError(f"{path}: {what}")
    origin, notes = _origin(path, content, network), ignored.notes(path.name)
    arrays = _arrays(path, network)
    try:
        config: TemConfig | PemConfig | BmnConfig
        if network.net == "bmn":
            metadata = safetensors_metadata(path) if origin == "safetensors" else {}
            stored = settings_of({}, metadata)
            preset, config = identify_bmn(
                path,
                arrays,
                code=network.names.code,
                origin=origin,
                stored=stored if isinstance(stored, BmnConfig) else None,
                preset=preset,
                length=length,
            )
        else:
            shapes = {name: array.shape for name, array in arrays.items()}
            config = infer_config(network.net, shapes)
            if isinstance(config, TemConfig) and length is not None:
                config = msgspec.structs.replace(config, length=length)
        learnt = {n: array for n, array in arrays.items() if n not in network.names.others}
        weights = check_weights(learnt, config)
    except (ConfigError, ShapeError) as error:
        what = f"not a whole {network.net.upper()}: {error}; {EXPECTED}"
        raise CheckpointError(f"{path}: {what}") from error
    if origin == "safetensors" and (path.parent / MANIFEST).is_file():
        what = f"settings are the published ones, not those of the {MANIFEST} next to it"
        notes += (f"{path.name}: {what}",)
    return CheckpointNetwork(path, network.net, origin, config, weights, notes, preset)


def _origin(path: Path, content: Any, network: FoundNetwork) -> Origin:
    if is_safetensors(path):
        return "safetensors"
    if network.names.code == "paddle":
        return "paddle"
    if network.net == "bmn":
        signs = "meta" in content, "bm_mask" in network.state
        form = network.names.code, network.levels, network.prefix, *signs
        return _BMN_ORIGINS.get(form, "pytorch")
    if "meta" in content:
        return "openmmlab"
    is_plain = network.levels in ((), ("state_dict",)) and network.prefix in ("", "module.")
    return "bsn" if is_plain else "pytorch"


def _arrays(path: Path, network: FoundNetwork) -> dict[str, Float32]:
    """Return tensors as float32 under the bundle's names.

    Raise CheckpointError if one is not plain, if they exceed the file's size, or if one is missing.
    """
    names = network.names
    state = {  # without the table of names in PaddlePaddle's files
        name: value
        for name, value in network.state.items()
        if not (name in names.others and isinstance(value, Mapping))
    }
    for name, tensor in state.items():
        if not _is_plain(tensor):
            raise CheckpointError(f"{path}: {name} is not a plain tensor of floats; {EXPECTED}")
    size = sum(tensor.nbytes for tensor in state.values())
    if size > path.stat().st_size:  # several tensors share their memory
        what = f"its weights would take {size:,} bytes, more than the file"
        raise CheckpointError(f"{path}: {what}; {EXPECTED}")
    missing = sorted(names.weights.keys() - state.keys())
    if missing:
        what = f"not a whole {network.net.upper()}: missing weights: {listed(missing)}"
        raise CheckpointError(f"{path}: {what}; {EXPECTED}")
    return {names.weights.get(n, n): _float32(tensor) for n, tensor in state.items()}


def _float32(tensor: Any) -> Float32:
    """Return a copy of a tensor or array, without the axes of size 1 of a 3-D convolution."""
    values = tensor if isinstance(tensor, np.ndarray) else tensor.detach().float().numpy()
    array = np.array(values, np.float32)
    return array[..., 0, 0] if array.ndim == 5 and array.shape[3:] == (1, 1) else array


def _is_plain(tensor: Any) -> bool:
    if isinstance(tensor, np.ndarray):
        return bool(tensor.dtype.kind == "f")
    if not hasattr(tensor, "untyped_storage"):
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
