"""BSP features: the actionness in and around a proposal (paper section 3.3, bsn.md section 5)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from actspan.config import BspConfig
from actspan.types import BoundaryScores, Float32, Float64, Proposals


def bsp_features(
    scores: BoundaryScores, proposals: Proposals, config: BspConfig | None = None
) -> Float32:
    """Sample the action scores inside a proposal, around its start and around its end.

    Action scores are padded with zeros on both sides and interpolated linearly between cell
    centres; every sample is the mean of four points, and neighbours share one.

    Parameters
    ----------
    scores : BoundaryScores
        T cells.
    proposals : Proposals
        N segments, fractions of the feature span.
    config : BspConfig, optional

    Returns
    -------
    (N, 32) float32
        16 samples over the action, 8 around the start, 8 around the end.

    Examples
    --------
    >>> flat = BoundaryScores(np.ones(10), np.ones(10), np.ones(10))
    >>> bsp_features(flat, Proposals([0.35], [0.65], [1.0])).min()
    np.float32(1.0)
    """
    config = config or BspConfig()
    out = np.empty((len(proposals), config.size), dtype=np.float32)
    _sample_regions(
        pad_actionness(scores.action),
        _padding(len(scores)),
        proposals.start,
        proposals.end,
        *_points_of_durations(len(scores), config),
        config.action_samples,
        config.boundary_samples,
        config.boundary_ratio,
        out,
    )
    return out


@lru_cache(maxsize=16)
def _points_of_durations(cells: int, config: BspConfig) -> tuple[NDArray[np.int64], Float64]:
    """Where the points of a candidate lie that runs from one cell's centre to another's.

    Seen from its first cell this depends on its duration alone.

    Returns
    -------
    offset : (T, P) int64
        For each duration in cells: how many cells beyond the first each point is, rounded down.
    share : (T, P) float64
        How far it is on from there to the next cell's centre. Both are empty where points may
        lie beyond the padding.
    """
    duration = np.arange(cells, dtype=np.float64)[:, None]
    around = config.boundary_ratio * duration
    position = np.concatenate(
        [
            _points(0 * duration, duration, config.action_samples),
            _points(-around, around, config.boundary_samples),
            _points(duration - around, duration + around, config.boundary_samples),
        ],
        axis=1,
    )
    reach = max(-position.min(), (position - duration).max()) + 1
    position = position[: cells if reach < _padding(cells) else 0]
    offset = np.floor(position)
    return offset.astype(np.int64), position - offset


def _points(low: Float64, high: Float64, samples: int) -> Float64:
    """Four points a sample, neighbours sharing one: (N, 1) bounds to (N, 3 * samples + 1)."""
    step = (high - low) / (samples - 1)
    points: Float64 = low - step / 2 + np.arange(3 * samples + 1) * step / 3
    return points


def bsp_features_plain(
    scores: BoundaryScores, proposals: Proposals, config: BspConfig | None = None
) -> Float32:
    """Twin of `bsp_features` in plain NumPy."""
    config = config or BspConfig()
    padded = pad_actionness(scores.action)
    tgap = 1.0 / len(scores)
    centres = tgap / 2 + tgap * (np.arange(len(padded)) - _padding(len(scores)))
    start, end = proposals.start, proposals.end
    around = config.boundary_ratio * (end - start)
    regions = [
        (start, end, config.action_samples),
        (start - around, start + around, config.boundary_samples),
        (end - around, end + around, config.boundary_samples),
    ]
    sampled = []
    for low, high, samples in regions:
        points = _points(low[:, None], high[:, None], samples)
        values = np.interp(points, centres, padded)  # (N, 3k + 1)
        four = [values[:, j : j + 3 * samples : 3] for j in range(4)]
        sampled.append(np.mean(four, axis=0))
    return np.concatenate(sampled, axis=1).astype(np.float32)


def pad_actionness(action: Float32) -> Float64:
    """Action scores with T // 4 + 10 cells of zeros on either side."""
    return np.pad(action.astype(np.float64), _padding(len(action)))


def _padding(cells: int) -> int:
    return cells // 4 + 10


@njit(cache=True, nogil=True)
def _sample_regions(
    padded: Float64,
    padding: int,
    start: Float64,
    end: Float64,
    offset: NDArray[np.int64],
    share: Float64,
    action_samples: int,
    boundary_samples: int,
    boundary_ratio: float,
    out: Float32,
) -> None:
    cells = len(padded) - 2 * padding
    middle = action_samples + boundary_samples
    value = np.empty(share.shape[1])
    for i in range(len(start)):
        # positions in padded cells: the centre of padded cell j is at j
        low = start[i] * cells - 0.5 + padding
        high = end[i] * cells - 0.5 + padding
        first, last = round(low), round(high)
        duration = last - first
        on_centres = abs(low - first) < 1e-9 * cells and abs(high - last) < 1e-9 * cells
        inside = padding <= first and last < cells + padding
        if on_centres and inside and 0 <= duration < len(offset):
            for k in range(len(value)):
                cell = first + offset[duration, k]
                value[k] = padded[cell] + share[duration, k] * (padded[cell + 1] - padded[cell])
            for j in range(out.shape[1]):
                k = 3 * j + (j >= action_samples) + (j >= middle)  # a region has a point more
                out[i, j] = (value[k] + value[k + 1] + value[k + 2] + value[k + 3]) / 4
        else:
            around = boundary_ratio * (high - low)
            _sample_region(padded, low, high, out[i, :action_samples])
            _sample_region(padded, low - around, low + around, out[i, action_samples:middle])
            _sample_region(padded, high - around, high + around, out[i, middle:])


@njit(cache=True, nogil=True)
def _sample_region(padded: Float64, low: float, high: float, out: Float32) -> None:
    samples = len(out)
    step = (high - low) / (samples - 1)
    first, third = low - step / 2, step / 3
    shared = _interpolate(padded, first)
    for i in range(samples):
        total = shared
        total += _interpolate(padded, first + (3 * i + 1) * third)
        total += _interpolate(padded, first + (3 * i + 2) * third)
        shared = _interpolate(padded, first + (3 * i + 3) * third)
        out[i] = (total + shared) / 4


@njit(cache=True, nogil=True, inline="always")
def _interpolate(padded: Float64, position: float) -> float:
    if position <= 0.0 or position >= len(padded) - 1:
        return 0.0
    cell = int(position)
    share = position - cell
    value: float = padded[cell] + share * (padded[cell + 1] - padded[cell])
    return value
