"""Seeing training videos through random windows: more beginnings and ends than were annotated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from actspan.config import TemTrainConfig
from actspan.nets.targets import tem_targets
from actspan.types import Float64


def draw_windows(count: int, config: TemTrainConfig, draw: torch.Generator) -> Float64:
    """Draw a window for each of `count` videos: (count, 2) float64, offset and length.

    Both are shares of the video's span. A window shorter than the span lies inside it, a longer
    one holds all of it; (0, 1), the span itself, has the chance `1 - config.crop`.
    """
    chance, size, place = torch.rand((3, count), generator=draw, dtype=torch.float64).numpy()
    length = config.crop_shortest + (config.crop_longest - config.crop_shortest) * size
    length[chance >= config.crop] = 1.0
    windows: Float64 = np.stack([(1 - length) * place, length], axis=1)
    return windows


def crop(
    features: Tensor, targets: Tensor, instances: Sequence[Float64], windows: Float64
) -> tuple[Tensor, Tensor]:
    """Features and TEM targets of videos as seen through windows.

    Parameters
    ----------
    features : (B, C, T) tensor
    targets : (B, 3, T) tensor
        Of the whole videos; kept where the window is (0, 1).
    instances : B arrays (M, 2) float64
        Fractions of each video's span.
    windows : (B, 2) float64
        Offset and length, fractions of the span.

    Returns
    -------
    features, targets : tensors of the same shapes
        Features are interpolated between cell centres; cells outside the span repeat the outer
        one.
    """
    B, C, T = features.shape
    offset, length = windows[:, :1], windows[:, 1:]
    position = (offset + length * (np.arange(T) + 0.5) / T) * T - 0.5  # (B, T), in cells
    position = np.clip(position, 0, T - 1)
    lower = np.minimum(position.astype(np.int64), T - 2)
    share = torch.from_numpy((position - lower).astype(np.float32))[:, None]  # (B, 1, T)
    index = torch.from_numpy(lower)[:, None].expand(B, C, T)
    seen = torch.lerp(features.gather(2, index), features.gather(2, index + 1), share)
    whole = (windows == (0.0, 1.0)).all(axis=1)
    aims = targets.clone()
    for i in np.flatnonzero(~whole).tolist():
        start, size = windows[i]
        aims[i] = torch.from_numpy(tem_targets((instances[i] - start) / size, T, clip=False))
    return seen, aims
