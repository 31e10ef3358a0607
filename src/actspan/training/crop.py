"""Random windows of training videos: augmentation with more starts and ends than annotated."""

from __future__ import annotations

import numpy as np
import torch

from actspan.config.training import TemTrainConfig
from actspan.core.types import Float32, Float64


def draw_windows(
    count: int, config: TemTrainConfig, draw: torch.Generator
) -> tuple[Float64, Float64]:
    """Draw a window for each of `count` videos: offsets and lengths, (count,) float64 each.

    Both are shares of the video's span. A window shorter than the span lies inside it, a longer
    one contains it; (0, 1), the span itself, has the probability `1 - config.crop`.
    """
    chance, size, place = torch.rand((3, count), generator=draw, dtype=torch.float64).numpy()
    length = config.crop_shortest + (config.crop_longest - config.crop_shortest) * size
    length[chance >= config.crop] = 1.0
    offset: Float64 = (1 - length) * place
    return offset, length


def interpolate(features: Float32, first: Float64, cells: Float64, length: int) -> Float32:
    """Resample features to windows, linearly interpolated between cell centres.

    Parameters
    ----------
    features : (B, C, n) float32
    first, cells : (B,) float64
        Start and length of each window, in cells of `features`.
    length : int
        T, the number of cells of the result.

    Returns
    -------
    (B, C, T) float32
        Outside `features` the outer cell is repeated.
    """
    B, C, n = features.shape
    steps = (np.arange(length) + 0.5) / length
    position = first[:, None] + cells[:, None] * steps - 0.5  # (B, T)
    position = np.clip(position, 0, n - 1)
    lower = np.minimum(position.astype(np.int64), max(n - 2, 0))
    share = torch.from_numpy((position - lower).astype(np.float32))[:, None]  # (B, 1, T)
    index = torch.from_numpy(lower)[:, None].expand(B, C, length)
    source = torch.from_numpy(features)
    upper = (index + 1).clamp(max=n - 1)
    seen: Float32 = torch.lerp(source.gather(2, index), source.gather(2, upper), share).numpy()
    return seen
