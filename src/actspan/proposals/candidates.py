"""PGM: boundary peaks to candidate segments (paper section 3.3, bsn.md section 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actspan.config import PgmConfig
from actspan.errors import ShapeError
from actspan.jit import kernel
from actspan.segments import ioa_matrix, tiou_matrix
from actspan.types import BoundaryScores, Float32, Float64, Proposals


def generate_proposals(scores: BoundaryScores, config: PgmConfig | None = None) -> Proposals:
    """Pair every start peak with every later end peak.

    A cell is a peak if it is the first or the last, higher than both neighbours, or above
    `config.peak_ratio` times the maximum. A candidate runs from the centre of its start cell to
    the centre of its end cell; its score is start score x end score, in float64.

    Parameters
    ----------
    scores : BoundaryScores
        T cells.
    config : PgmConfig, optional

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
    ratio = (config or PgmConfig()).peak_ratio
    return Proposals(*_pair_peaks(scores.start, scores.end, ratio))


def generate_proposals_plain(scores: BoundaryScores, config: PgmConfig | None = None) -> Proposals:
    """Twin of `generate_proposals` in plain NumPy."""
    ratio = (config or PgmConfig()).peak_ratio
    starts, ends = (_peaks_plain(x.astype(np.float64), ratio) for x in (scores.start, scores.end))
    pairs = [(s, e) for e in ends for s in starts if s < e]
    first, last = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    tgap = 1.0 / len(scores)
    centre: Float64 = tgap / 2 + tgap * np.arange(len(scores), dtype=np.float64)
    start_score = scores.start[first].astype(np.float64)
    end_score = scores.end[last].astype(np.float64)
    found = Proposals(centre[first], centre[last], start_score * end_score, start_score, end_score)
    return found[np.argsort(-found.score, kind="stable")]


def _peaks_plain(values: Float64, ratio: float) -> NDArray[np.int64]:
    peak = values > ratio * values.max()
    peak[1:-1] |= (values[1:-1] > values[:-2]) & (values[1:-1] > values[2:])
    peak[[0, -1]] = True
    return np.flatnonzero(peak)


@kernel
def _peaks(values: Float32, ratio: float) -> NDArray[np.int64]:
    n = len(values)
    threshold = ratio * np.float64(values.max())
    found = np.empty(n, dtype=np.int64)
    count = 0
    for t in range(n):
        if (
            t == 0
            or t == n - 1
            or values[t] > threshold
            or (values[t] > values[t - 1] and values[t] > values[t + 1])
        ):
            found[count] = t
            count += 1
    return found[:count]


@kernel
def _pair_peaks(
    start: Float32, end: Float32, ratio: float
) -> tuple[Float64, Float64, Float64, Float64, Float64]:
    starts, ends = _peaks(start, ratio), _peaks(end, ratio)
    count = 0
    for e in ends:
        count += np.searchsorted(starts, e)
    first = np.empty(count, dtype=np.int64)
    last = np.empty(count, dtype=np.int64)
    negated = np.empty(count)  # ascending order of this is descending order of the score
    k = 0
    for e in ends:
        for s in starts:
            if s >= e:
                break
            first[k], last[k] = s, e
            negated[k] = -(np.float64(start[s]) * np.float64(end[e]))
            k += 1
    order = np.argsort(negated, kind="mergesort")
    tgap = 1.0 / len(start)
    xmin, xmax = np.empty(count), np.empty(count)
    xmin_score, xmax_score, score = np.empty(count), np.empty(count), np.empty(count)
    for k in range(count):
        s, e = first[order[k]], last[order[k]]
        xmin[k], xmax[k] = tgap / 2 + tgap * s, tgap / 2 + tgap * e
        xmin_score[k], xmax_score[k] = start[s], end[e]
        score[k] = -negated[order[k]]
    return xmin, xmax, score, xmin_score, xmax_score


def match_instances(proposals: Proposals, instances: Float64) -> tuple[Float64, Float64]:
    """Match every proposal with the instances of its video.

    Parameters
    ----------
    proposals : Proposals
        N proposals.
    instances : (M, 2) float64
        Start and end, in the coordinates of the proposals; not clipped.

    Returns
    -------
    match_iou, match_ioa : (N,) float64
        Largest tIoU, and largest intersection over the proposal's length; NaN where M = 0.
    """
    if len(instances) == 0:
        nothing = np.full(len(proposals), np.nan)
        return nothing, nothing.copy()
    sides = (proposals.start, proposals.end, instances[:, 0], instances[:, 1])
    return tiou_matrix(*sides).max(axis=1), ioa_matrix(*sides).max(axis=1)


def fuse(candidates: Proposals, confidence: Float32) -> Float64:
    """Final score of candidates: confidence x start score x end score (bsn.md section 7).

    Parameters
    ----------
    candidates : Proposals
        N candidates with boundary scores.
    confidence : (N,) float32
        PEM's scores.

    Returns
    -------
    (N,) float64

    Raises
    ------
    ShapeError
        The candidates carry no boundary scores.
    """
    if candidates.start_score is None or candidates.end_score is None:
        raise ShapeError("candidates without start and end scores cannot be ranked")
    fused: Float64 = confidence.astype(np.float64) * candidates.start_score * candidates.end_score
    return fused
