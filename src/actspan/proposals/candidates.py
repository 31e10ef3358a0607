"""PGM: boundary peaks to candidate segments (paper section 3.3, bsn.md section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import FusionConfig, PgmConfig, PipelineConfig
from actspan.core.errors import ShapeError
from actspan.core.kernels import descending, kernel
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals
from actspan.core.tiou import ioa_matrix, tiou_matrix
from actspan.core.types import BoundaryScores, Float32, Float64


def generate_proposals(
    scores: BoundaryScores,
    config: PgmConfig | None = None,
    *,
    inner_edges: tuple[bool, bool] = (False, False),
    positions: Float32 | None = None,
) -> Proposals:
    """Create a candidate from every start peak and every later end peak.

    A cell is a peak if it is the first or the last, higher than both neighbours, or above
    `config.peak_ratio` times the maximum. A candidate runs from the centre of its start cell to
    the centre of its end cell, or from and to the given positions within them, unless they are
    less than half a cell apart. Its score is start score x end score, in float64.

    Parameters
    ----------
    scores : BoundaryScores
        T cells.
    config : PgmConfig, optional
    inner_edges : (bool, bool)
        True if the recording continues before the first, or after the last cell of this window.
        Nothing starts or ends in such a cell, because it is an inner cell of another window.
    positions : (2, T) float32, optional
        Position of a start, and of an end, within each cell: 0 is its left edge, 1 its right one.

    Returns
    -------
    Proposals
        All candidates, uncut, by score, descending; equal scores in the order of their end cell,
        then their start cell. Positions are fractions of the feature span.

    Examples
    --------
    >>> p = generate_proposals(BoundaryScores([0.5] * 4, [0.9, 0, 0, 0], [0, 0, 0.1, 0.8]))
    >>> p.start[0], p.end[0], round(p.score[0], 2)
    (np.float64(0.125), np.float64(0.875), np.float64(0.72))
    """
    within = None if positions is None else [positions]
    config = config or PgmConfig()
    return generate_proposals_batch([scores], config, [inner_edges], positions=within).together


def generate_proposals_batch(
    scores: Sequence[BoundaryScores],
    config: PgmConfig,
    inner_edges: Sequence[tuple[bool, bool]],
    keep: int | None = None,
    *,
    positions: Sequence[Float32] | None = None,
) -> RaggedProposals:
    """Find the best `keep` candidates of each of many videos, as `generate_proposals` does."""
    within = np.empty((2, 0), np.float32) if positions is None else np.hstack(positions)
    columns, ends = _pair_peaks(
        np.concatenate([s.start for s in scores]),
        np.concatenate([s.end for s in scores]),
        within,
        np.cumsum([len(s) for s in scores]),
        np.array(inner_edges, dtype=np.bool_),
        config.peak_ratio,
        np.iinfo(np.int64).max if keep is None else keep,
    )
    return RaggedProposals(Proposals(*columns, unit="fraction"), ends)


def generate_proposals_plain(
    scores: BoundaryScores, config: PgmConfig | None = None, *, positions: Float32 | None = None
) -> Proposals:
    """Find the candidates of `generate_proposals` in plain NumPy."""
    ratio = (config or PgmConfig()).peak_ratio
    starts, ends = (_peaks_plain(x.astype(np.float64), ratio) for x in (scores.start, scores.end))
    pairs = [(s, e) for e in ends for s in starts if s < e]
    first, last = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    tgap = 1.0 / len(scores)
    centre: Float64 = tgap / 2 + tgap * np.arange(len(scores), dtype=np.float64)
    start_score = scores.start[first].astype(np.float64)
    end_score = scores.end[last].astype(np.float64)
    start, end = centre[first], centre[last]
    if positions is not None:
        inner, n = positions.astype(np.float64), len(scores)
        finer = (first + inner[0, first]) / n, (last + inner[1, last]) / n
        is_long = finer[1] - finer[0] >= 0.5 / n
        start, end = np.where(is_long, finer[0], start), np.where(is_long, finer[1], end)
    candidates = Proposals(
        start,
        end,
        start_score * end_score,
        start_score,
        end_score,
        unit="fraction",
    )
    return candidates[np.argsort(-candidates.score, kind="stable")]


def _peaks_plain(values: Float64, ratio: float) -> NDArray[np.int64]:
    peak = values > ratio * values.max()
    peak[1:-1] |= (values[1:-1] > values[:-2]) & (values[1:-1] > values[2:])
    peak[[0, -1]] = True
    return np.flatnonzero(peak)


@kernel
def _mark_peaks(values: Float32, ratio: float, peak: NDArray[np.bool_]) -> None:
    n = len(values)
    threshold = ratio * np.float64(values.max())
    for t in range(n):
        peak[t] = (
            t == 0
            or t == n - 1
            or values[t] > threshold
            or (values[t] > values[t - 1] and values[t] > values[t + 1])
        )


@kernel
def _pair_peaks(
    start: Float32,
    end: Float32,
    within: Float32,
    cell_ends: NDArray[np.int64],
    inner_edges: NDArray[np.bool_],
    ratio: float,
    keep: int,
) -> tuple[Float64, NDArray[np.int64]]:
    """Return the columns of `Proposals`, (5, sum N), and the end row of each video, (B,).

    `within` are the positions of boundaries in all cells, (2, sum T), or (2, 0) for their centres.
    """
    starts, ends = np.empty(len(start), dtype=np.bool_), np.empty(len(end), dtype=np.bool_)
    pairs = np.empty_like(cell_ends)
    begin = 0
    for video, stop in enumerate(cell_ends):
        cells = slice(begin, stop)
        _mark_peaks(start[cells], ratio, starts[cells])
        _mark_peaks(end[cells], ratio, ends[cells])
        starts[begin] &= not inner_edges[video, 0]
        ends[stop - 1] &= not inner_edges[video, 1]
        pairs[video] = _count_pairs(starts[cells], ends[cells])
        begin = stop
    row_ends = np.cumsum(np.minimum(pairs, keep))
    columns = np.empty((5, row_ends[-1]))
    begin = row = 0
    for video, stop in enumerate(cell_ends):
        cells, rows = slice(begin, stop), slice(row, row_ends[video])
        first, last = np.flatnonzero(starts[cells]), np.flatnonzero(ends[cells])
        _rank_pairs(
            start[cells],
            end[cells],
            within[:, cells],
            first,
            last,
            pairs[video],
            columns[:, rows],
        )
        begin, row = stop, row_ends[video]
    return columns, row_ends


@kernel
def _count_pairs(starts: NDArray[np.bool_], ends: NDArray[np.bool_]) -> int:
    count = before = 0
    for t in range(len(starts)):
        count += before * ends[t]
        before += starts[t]
    return count


@kernel
def _rank_pairs(
    start: Float32,
    end: Float32,
    within: Float32,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    count: int,
    columns: Float64,
) -> None:
    """Write the best pairs, as many as there are columns, best first."""
    first = np.empty(count, dtype=np.int32)
    last = np.empty(count, dtype=np.int32)
    score = np.empty(count)
    k = 0
    for e in ends:
        for s in starts:
            if s >= e:
                break
            first[k], last[k] = s, e
            score[k] = np.float64(start[s]) * np.float64(end[e])
            k += 1
    order = descending(score)
    tgap = 1.0 / len(start)
    for k in range(columns.shape[1]):
        s, e = first[order[k]], last[order[k]]
        columns[0, k], columns[1, k] = tgap / 2 + tgap * s, tgap / 2 + tgap * e
        if within.shape[1]:
            low = (s + np.float64(within[0, s])) / len(start)
            high = (e + np.float64(within[1, e])) / len(start)
            if high - low >= 0.5 / len(start):
                columns[0, k], columns[1, k] = low, high
        columns[2, k] = score[order[k]]
        columns[3, k], columns[4, k] = start[s], end[e]


def match_instances(proposals: Proposals, instances: Float64) -> tuple[Float64, Float64]:
    """Compute the overlap of every proposal with its best instance in the video.

    `instances`, (M, 2), are in the coordinates of the proposals; not clipped.

    Returns
    -------
    match_iou, match_ioa : (N,) float64
        Largest tIoU, and largest intersection over the proposal's length; NaN where M = 0.
    """
    if len(instances) == 0:
        nothing = np.full(len(proposals), np.nan)
        return nothing, nothing.copy()
    ends = (proposals.start, proposals.end, instances[:, 0], instances[:, 1])
    return tiou_matrix(*ends).max(axis=1), ioa_matrix(*ends).max(axis=1)


def fuse(candidates: Proposals, confidence: Float32, config: FusionConfig) -> Float64:
    """Compute final scores: confidence x start score x end score (bsn.md section 7), (N,) float64.

    `confidence`, (N,), are PEM's scores. `config` has the exponents of the three factors. Raises
    ShapeError if candidates have no boundary scores.
    """
    if candidates.start_score is None or candidates.end_score is None:
        raise ShapeError("candidates without start and end scores cannot be ranked")
    factors = (
        (confidence.astype(np.float64), config.confidence),
        (candidates.start_score, config.start),
        (candidates.end_score, config.end),
    )
    first, second, third = (x if exponent == 1 else x**exponent for x, exponent in factors)
    fused: Float64 = first * second * third
    return fused


def rank(candidates: Proposals, confidence: Float32, config: PipelineConfig) -> Float64:
    """Compute the final scores before Soft-NMS, (N,) float64: those of `fuse`.

    BMN's candidates have theirs already, a product in another order (bmn.md section 6), which
    counts unless `config.fusion` changes the factors.
    """
    if config.bmn is not None and config.fusion == FusionConfig():
        return candidates.score
    return fuse(candidates, confidence, config.fusion)
