"""BSP features: the actionness in and around a proposal (paper section 3.3, bsn.md section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import BspConfig
from actspan.core.kernels import inlined, kernel
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals, require_unit
from actspan.core.types import BoundaryScores, Float32, Float64


def bsp_features(
    scores: BoundaryScores, proposals: Proposals, config: BspConfig | None = None
) -> Float32:
    """Sample the action scores inside a proposal, around its start and around its end.

    Action scores are padded with zeros on both sides and interpolated linearly between cell
    centres; every sample is the mean of four points, and neighbours share one.

    Parameters
    ----------
    scores : BoundaryScores
    proposals : Proposals
        N segments, fractions of the feature span.
    config : BspConfig, optional

    Returns
    -------
    (N, 32) float32
        16 samples over the action, 8 around the start, 8 around the end.

    Raises
    ------
    UnitError
        Proposals are in seconds.

    Examples
    --------
    >>> flat = BoundaryScores(np.ones(10), np.ones(10), np.ones(10))
    >>> bsp_features(flat, Proposals([0.35], [0.65], [1.0], unit="fraction")).min()
    np.float32(1.0)
    """
    require_unit(proposals, "fraction", "bsp_features")
    config = config or BspConfig()
    out = np.empty((len(proposals), config.size), dtype=np.float32)
    bsp_features_batch(out, [scores], RaggedProposals.of([proposals]), config)
    return out


def bsp_features_batch(
    out: Float32,
    scores: Sequence[BoundaryScores],
    proposals: RaggedProposals,
    config: BspConfig,
) -> None:
    """Write the features of `bsp_features` for many videos into `out`, one row per proposal.

    Parameters
    ----------
    out : (sum N, 32) float32
    scores : sequence of BoundaryScores
    proposals : RaggedProposals
        Proposals of the same videos.
    """
    begin = video = 0
    for cells, alike in groupby(scores, key=len):
        actions = np.stack([s.action for s in alike])
        padding = cells // 4 + 10
        padded = np.zeros((len(actions), cells + 2 * padding))
        padded[:, padding:-padding] = actions
        ends = proposals.ends[video : video + len(actions)]
        rows = slice(begin, int(ends[-1]))
        _sample_regions(
            padded,
            padding,
            proposals.together.start[rows],
            proposals.together.end[rows],
            ends - begin,
            *_interpolation_weights(cells, padding, config),
            config.action_samples,
            config.boundary_samples,
            config.boundary_ratio,
            out[rows],
        )
        begin, video = rows.stop, video + len(actions)


@lru_cache(maxsize=16)
def _interpolation_weights(
    cells: int, padding: int, config: BspConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64], Float64]:
    """Return the interpolation weights of BSP samples for every candidate duration.

    Samples are linear in the action scores. Relative to the candidate's first cell, the weights
    depend only on the duration.

    Returns
    -------
    begin : (D, S) int64
        For each duration in cells: the first cell with a weight for each sample, relative to
        the candidate's first cell. D is 0 if samples may lie beyond the padding.
    width : (D,) int64
        Number of cells with a weight per sample, rounded up to an even number.
    weights : (D, S, W) float64
        Weights of cells begin, begin + 1, ... in a sample; 0 beyond `width`.
    """
    duration = np.arange(cells, dtype=np.float64)
    around = config.boundary_ratio * duration
    regions = (
        _points(0 * duration, duration, config.action_samples),
        _points(-around, around, config.boundary_samples),
        _points(duration - around, duration + around, config.boundary_samples),
    )
    points = np.concatenate(regions, axis=1)  # (T, S, 4)
    lower = np.floor(points)
    share, begin = points - lower, lower[:, :, 0].astype(np.int64)
    cell = lower.astype(np.int64) - begin[:, :, None]  # index of the cell before each point
    width = (cell.max(axis=(1, 2)) + 3) // 2 * 2
    weights = np.zeros((*begin.shape, width.max()))
    duration_at, sample_at = np.indices(begin.shape)
    for point in range(4):
        at = duration_at, sample_at, cell[:, :, point]
        weights[at] += (1 - share[:, :, point]) / 4
        weights[*at[:2], at[2] + 1] += share[:, :, point] / 4
    beyond = (begin + width[:, None] - duration.astype(np.int64)[:, None]).max()
    durations = slice(cells if max(-begin.min(), beyond) < padding else 0)
    return begin[durations], width[durations], weights[durations]


def _points(low: Float64, high: Float64, samples: int) -> Float64:
    """Place four points per sample, neighbours sharing one: (N,) regions to (N, samples, 4)."""
    low, high = low[:, None], high[:, None]
    step = (high - low) / (samples - 1)
    points: Float64 = low - step / 2 + np.arange(3 * samples + 1) * step / 3
    return np.stack([points[:, j : points.shape[1] - 3 + j : 3] for j in range(4)], axis=2)


def bsp_features_plain(
    scores: BoundaryScores, proposals: Proposals, config: BspConfig | None = None
) -> Float32:
    """Compute `bsp_features` in plain NumPy."""
    config = config or BspConfig()
    padding = len(scores) // 4 + 10
    padded = np.pad(scores.action.astype(np.float64), padding)
    tgap = 1.0 / len(scores)
    centres = tgap / 2 + tgap * (np.arange(len(padded)) - padding)
    start, end = proposals.start, proposals.end
    around = config.boundary_ratio * (end - start)
    regions = [
        (start, end, config.action_samples),
        (start - around, start + around, config.boundary_samples),
        (end - around, end + around, config.boundary_samples),
    ]
    sampled = [
        np.interp(_points(low, high, samples), centres, padded).mean(axis=2)
        for low, high, samples in regions
    ]
    return np.concatenate(sampled, axis=1).astype(np.float32)


@kernel
def _sample_regions(
    padded: Float64,
    padding: int,
    start: Float64,
    end: Float64,
    ends: NDArray[np.int64],
    begin: NDArray[np.int64],
    width: NDArray[np.int64],
    weights: Float64,
    action_samples: int,
    boundary_samples: int,
    boundary_ratio: float,
    out: Float32,
) -> None:
    """Sample the candidates of many videos; those of video v end before row ends[v]."""
    cells = padded.shape[1] - 2 * padding
    middle = action_samples + boundary_samples
    video = 0
    for i in range(len(start)):
        while i >= ends[video]:
            video += 1
        # Positions are in padded cells: the centre of padded cell j is at j.
        low = start[i] * cells - 0.5 + padding
        high = end[i] * cells - 0.5 + padding
        first, last = round(low), round(high)
        duration = last - first
        on_centres = abs(low - first) < 1e-9 * cells and abs(high - last) < 1e-9 * cells
        inside = padding <= first and last < cells + padding
        if on_centres and inside and 0 <= duration < len(begin):
            _sum_cells(padded, video, first, begin, width, weights, duration, out, i)
        else:
            actions, around = padded[video], boundary_ratio * (high - low)
            _sample_region(actions, low, high, out[i, :action_samples])
            _sample_region(actions, low - around, low + around, out[i, action_samples:middle])
            _sample_region(actions, high - around, high + around, out[i, middle:])


@kernel
def _sum_cells(
    padded: Float64,
    video: int,
    first: int,
    begin: NDArray[np.int64],
    width: NDArray[np.int64],
    weights: Float64,
    duration: int,
    out: Float32,
    i: int,
) -> None:
    """Sum the weighted cells of candidate i. Indexing here avoids slices, which cost more."""
    one, two = np.uint64(1), np.uint64(2)  # unsigned indices skip the check for negative ones
    count = np.uint64(width[duration])
    for j in range(begin.shape[1]):
        cell, total = np.uint64(first + begin[duration, j]), 0.0
        for k in range(np.uint64(0), count, two):
            total += weights[duration, j, k] * padded[video, cell + k]
            total += weights[duration, j, k + one] * padded[video, cell + k + one]
        out[i, j] = total


@kernel
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


@inlined
def _interpolate(padded: Float64, position: float) -> float:
    if position <= 0.0 or position >= len(padded) - 1:
        return 0.0
    cell = int(position)
    share = position - cell
    value: float = padded[cell] + share * (padded[cell + 1] - padded[cell])
    return value
