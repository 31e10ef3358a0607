"""Features of proposals from learnt curves, instead of BSP features (bsn.md section 13).

A TEM with learnt curves gives S values per cell. They are sampled over a proposal and around its
two boundaries; so PEM sees what the network found out about each cell, not its scores alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import BspConfig
from actspan.core.kernels import inlined, kernel
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals
from actspan.core.types import Float32, Float64

Int64 = NDArray[np.int64]

_SHORTEST = 0.5  # cells; candidates are not shorter, and the logarithm of 0 is no number


def curve_features(
    curves: Float32, proposals: Proposals, config: BspConfig | None = None
) -> Float32:
    """Sample learnt curves over a proposal, around its start and around its end.

    Curves are interpolated linearly between cell centres; cells outside the video are 0.

    Parameters
    ----------
    curves : (S, n) float32
        Learnt curves of the n cells of a video.
    proposals : Proposals
        N segments, fractions of the feature span.
    config : BspConfig, optional

    Returns
    -------
    (N, S * P + 1) float32
        The S curves at each of P positions, and the logarithm of the duration in cells. Positions
        are 8 over the proposal, 4 around its start, 4 around its end.
    """
    config = config or BspConfig()
    out = np.empty((len(proposals), config.curve_size(len(curves))), dtype=np.float32)
    curve_features_batch(out, [curves], RaggedProposals.of([proposals]), config)
    return out


def curve_features_batch(
    out: Float32, curves: Sequence[Float32], proposals: RaggedProposals, config: BspConfig
) -> None:
    """Write the features of `curve_features` for many videos into `out`, one row per proposal.

    `curves` are (S, n) per video, `out` is (sum N, S * P + 1).
    """
    cell_ends = np.cumsum([part.shape[1] for part in curves])
    cells = np.empty((int(cell_ends[-1]), len(curves[0])), dtype=np.float32)
    np.concatenate([part.T for part in curves], out=cells)
    together = proposals.together
    over, around = _offsets(config)
    _sample_curves(
        cells,
        cell_ends,
        together.start,
        together.end,
        proposals.ends,
        over,
        around,
        config.curve_boundary_ratio,
        out,
    )


def curve_features_plain(
    curves: Float32, proposals: Proposals, config: BspConfig | None = None
) -> Float32:
    """Compute `curve_features` in plain NumPy."""
    config, cells = config or BspConfig(), curves.shape[1]
    lower, share = sampled_cells(proposals.start, proposals.end, cells, config)  # (N, P)
    padded = np.pad(curves.T, ((1, 1), (0, 0)))  # (n + 2, S)
    before = padded[(lower + 1).clip(0, cells + 1)]  # (N, P, S)
    after = padded[(lower + 2).clip(0, cells + 1)]
    weight = [part[..., None].astype(np.float32) for part in (1 - share, share)]
    sampled = weight[0] * before + weight[1] * after
    out = np.empty((len(proposals), config.curve_size(len(curves))), dtype=np.float32)
    out[:, :-1] = sampled.reshape(len(out), out.shape[1] - 1)
    out[:, -1] = log_duration(proposals.start, proposals.end, cells)
    return out


def sampled_cells(
    start: Float64, end: Float64, cells: int, config: BspConfig
) -> tuple[Int64, Float64]:
    """Return where curves are sampled for segments, fractions of a span of some cells.

    Returns
    -------
    lower : (..., P) int64
        The cell whose centre lies before each position, or at it; -1 or less, or `cells` - 1 or
        more, at the edges.
    share : (..., P) float64
        Weight of the cell after it, in [0, 1).
    """
    low, high = (x[..., None] * cells - 0.5 for x in (start, end))  # the centre of cell j is at j
    length = high - low
    over, around = _offsets(config)
    width = np.maximum(config.curve_boundary_ratio * length, 1.0)
    parts = [low + length * over, low + width * around, high + width * around]
    position = np.concatenate(parts, axis=-1)
    lower = np.floor(position)
    return lower.astype(np.int64), position - lower


def log_duration(start: Float64, end: Float64, cells: int) -> Float64:
    """Return the logarithm of durations in cells, which are at least half a cell."""
    low, high = start * cells - 0.5, end * cells - 0.5
    duration: Float64 = np.log(np.maximum(high - low, _SHORTEST))
    return duration


def _offsets(config: BspConfig) -> tuple[Float64, Float64]:
    """Return positions over a proposal, in [0, 1], and around a boundary, in [-1, 1]."""
    over = (np.arange(config.curve_samples) + 0.5) / config.curve_samples
    return over, np.linspace(-1.0, 1.0, config.curve_boundary_samples)


@kernel
def _sample_curves(
    curves: Float32,
    cell_ends: Int64,
    start: Float64,
    end: Float64,
    ends: Int64,
    over: Float64,
    around: Float64,
    ratio: float,
    out: Float32,
) -> None:
    """Sample the proposals of many videos; those of video v end before row ends[v]."""
    begin = row = 0
    for video, stop in enumerate(cell_ends):
        cells = curves[begin:stop]
        n, size = cells.shape
        for i in range(row, ends[video]):
            # The centre of cell j is at position j.
            low, high = start[i] * n - 0.5, end[i] * n - 0.5
            length, column = high - low, 0
            width = max(ratio * length, 1.0)
            for offset in over:
                _interpolate(cells, low + length * offset, out[i, column : column + size])
                column += size
            for offset in around:
                _interpolate(cells, low + width * offset, out[i, column : column + size])
                column += size
            for offset in around:
                _interpolate(cells, high + width * offset, out[i, column : column + size])
                column += size
            out[i, column] = np.log(max(length, _SHORTEST))
        begin, row = stop, ends[video]


@inlined
def _interpolate(cells: Float32, position: float, out: Float32) -> None:
    n, lower = len(cells), np.floor(position)
    share = position - lower
    before, after = np.float32(1 - share), np.float32(share)
    cell = int(lower)
    if 0 <= cell < n - 1:
        left, right = cells[cell], cells[cell + 1]
        for c in range(len(out)):
            out[c] = before * left[c] + after * right[c]
    elif cell == -1:
        for c in range(len(out)):
            out[c] = after * cells[0, c]
    elif cell == n - 1:
        for c in range(len(out)):
            out[c] = before * cells[n - 1, c]
    else:
        out[:] = 0
