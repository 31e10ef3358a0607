"""Preset and map of a BMN in a checkpoint (bmn.md section 10).

Weights of one published code run under another, and give wrong proposals. So the preset is taken
from what the file tells (its mask, its form) and never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from actspan.config.bmn import BmnConfig, BmnPreset, MapAxes
from actspan.config.bmn_presets import BMN_PIPELINES
from actspan.core.errors import CheckpointError
from actspan.core.types import Float32
from actspan.model.bmn.sampling import MARGIN, POINTS, sample_mask
from actspan.model.weights import infer_bmn

_AXES_TEXT: Mapping[MapAxes, str] = {
    "start-end": "(start, end)",
    "duration-start": "(duration, start)",
}
# Sampling of other trainings: margin beside a proposal, and positions per sample.
_OTHER_SAMPLING = ((0.25, 3), (0.25, 1), (0.5, 1), (0.5, 2), (0.5, 4), (0.0, 3))
_ROUNDING = 1e-6  # sums in another order differ by 6e-8


class _Map(NamedTuple):
    """Confidence map of a network, as far as a file tells it."""

    length: int | None  # T
    durations: int | None  # D; T if None
    axes: MapAxes | None


def identify_bmn(
    path: Path,
    arrays: Mapping[str, Float32],
    *,
    code: str,
    origin: str,
    stored: BmnConfig | None = None,
    preset: BmnPreset | None = None,
    length: int | None = None,
) -> tuple[BmnPreset, BmnConfig]:
    """Return the preset and the sizes of the BMN in a checkpoint.

    Parameters
    ----------
    arrays : mapping of str to array
        Weights under the bundle's names, and the masks, if the file has them.
    code : str
        Whose names the weights have: "jjboy" (OpenMMLab's too), "paddle" or "actspan".
    origin : str
        Who wrote the file: "jjboy", "openmmlab" or another.
    stored : BmnConfig, optional
        Settings in the file, as those of a bundle have them.
    preset, length
        Preset and T that the user names.

    Raises
    ------
    CheckpointError
        The file contradicts the preset or the length, its mask is not one of the published ones, or
        it does not tell the preset and none is given.
    """
    sizes = infer_bmn({name: array.shape for name, array in arrays.items()}, BmnConfig())
    if stored is None:
        found = _map(path, arrays, sizes)
    else:
        found = _Map(stored.length, stored.durations, stored.axes)
    if length is not None and found.length not in (None, length):
        what = f"its map is of temporal scale {found.length}, not of --length {length}"
        raise CheckpointError(f"{path}: {what}; leave out --length")
    chosen = _preset(path, code, origin, found.axes, preset)
    T = found.length or length or sizes.length
    return chosen, replace(sizes, axes=_axes(chosen), length=T, durations=found.durations)


def _map(path: Path, arrays: Mapping[str, Float32], sizes: BmnConfig) -> _Map:
    """Return what the masks of a file tell about the confidence map."""
    mask, valid = arrays.get("sample_mask"), arrays.get("bm_mask")
    if mask is None:
        if valid is None or valid.ndim != 2 or valid.size == 0:
            return _Map(None, None, None)
        D, T = valid.shape
        return _Map(T, None if D == T else D, "duration-start" if valid[-1, 0] else None)
    if mask.ndim != 2 or mask.size == 0 or mask.shape[1] % (len(mask) * sizes.samples):
        what = f"sample_mask has shape {mask.shape}; (T, {sizes.samples} * T * T) is needed"
        raise CheckpointError(f"{path}: {what}")
    T, D = len(mask), mask.shape[1] // (len(mask) * sizes.samples)
    # The longest proposal at the start of the video is in its map in one layout only.
    corner = mask.reshape(T, sizes.samples, D, T)[:, :, D - 1, 0]
    axes: MapAxes = "duration-start" if corner.any() else "start-end"
    config = replace(sizes, axes=axes, length=T, durations=None if D == T else D)
    if not _is_mask(mask, config, MARGIN, POINTS):
        raise CheckpointError(f"{path}: {_other_mask(mask, config)}")
    return _Map(T, config.durations, axes)


def _is_mask(mask: Float32, config: BmnConfig, margin: float, points: int) -> bool:
    own = sample_mask(config, margin=margin, points=points)
    if own.shape != mask.shape:
        return False
    return all(np.abs(a - b).max() <= _ROUNDING for a, b in zip(mask, own, strict=True))


def _other_mask(mask: Float32, config: BmnConfig) -> str:
    """Describe a mask that is not the published one."""
    for margin, points in _OTHER_SAMPLING:
        if _is_mask(mask, config, margin, points):
            return (
                f"its sample_mask has a margin of {margin} and {points} points per sample; only "
                f"the published {MARGIN} and {POINTS} are supported"
            )
    axes = " nor ".join(_AXES_TEXT.values())
    return (
        f"its sample_mask is that of neither {axes}: it is damaged, or made by a code that is not "
        "supported"
    )


def _preset(
    path: Path, code: str, origin: str, axes: MapAxes | None, preset: BmnPreset | None
) -> BmnPreset:
    """Return the named preset if the file allows it, or the one that the file tells."""
    possible: list[BmnPreset]
    if code == "paddle":
        possible, reason = ["paddle"], "its weights have PaddleVideo's names"
    else:
        known = axes or ("duration-start" if origin == "openmmlab" else None)
        possible = [name for name in BMN_PIPELINES if code != "jjboy" or name != "paddle"]
        reason = "its weights have the names of JJBOY's code"
        if known is not None:
            possible = [name for name in possible if _axes(name) == known]
            reason = f"its map has the axes {_AXES_TEXT[known]}"
    named = f"--preset {' or '.join(possible)}"
    if preset is not None:
        if preset not in possible:
            raise CheckpointError(f"{path}: is not of preset {preset}: {reason}; {named}")
        return preset
    if len(possible) == 1:
        return possible[0]
    if origin == "openmmlab":
        return "mmaction2"
    if origin == "jjboy" and axes is not None:
        return "jjboy2019"
    raise CheckpointError(
        f"{path}: does not tell which code its BMN belongs to, and another code's gives wrong "
        f"proposals; name it: {named}"
    )


def _axes(preset: BmnPreset) -> MapAxes:
    network = BMN_PIPELINES[preset].bmn
    assert network is not None
    return network.axes
