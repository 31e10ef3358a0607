"""Soft-NMS: lower the scores of proposals close to better ones (paper 3.4, bsn.md section 7)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import SoftNmsConfig
from actspan.core.errors import ShapeError, UnitError
from actspan.core.kernels import descending, inlined, kernel, tiou
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals
from actspan.core.tiou import tiou_matrix
from actspan.core.types import Float64
from actspan.core.wording import counted

HUGE = np.finfo(np.float64).max


def soft_nms(
    proposals: Proposals, config: SoftNmsConfig | None = None, *, span: float | None = None
) -> Proposals:
    """Pick the best proposal repeatedly, and lower the scores of its close neighbours.

    A neighbour is close if its tIoU with the pick exceeds a threshold that grows with the pick's
    width, from `threshold_short` to `threshold_long`; its score is multiplied by
    exp(-tIoU^2 / decay). Of equal scores the earlier wins. Returns at most `keep` proposals by
    their lowered score, descending. Raises ShapeError for a segment that ends before it starts, and
    for NaN or infinity; UnitError for seconds without `span`.

    Parameters
    ----------
    proposals : Proposals
    config : SoftNmsConfig, optional
    span : float, optional
        Length, in the unit of the positions, from which on the pick's width counts as 1 for the
        threshold: 1 for fractions of the feature span, which is the default; for seconds the
        seconds of the features, or of a window of a long recording.

    Examples
    --------
    >>> start, end, score = [0.1, 0.1, 0.7], [0.5, 0.49, 0.9], [0.9, 0.8, 0.3]
    >>> kept = soft_nms(Proposals(start, end, score, unit="fraction"))
    >>> kept.score.round(3)
    array([0.9  , 0.3  , 0.225])
    """
    _check_segments(proposals)
    span = _known_span(proposals, span)
    ragged = RaggedProposals.of([proposals])
    kept = soft_nms_batch(ragged, proposals.score, config or SoftNmsConfig(), span)
    return proposals[kept.chosen].with_score(kept.score)


class KeptProposals(NamedTuple):
    """Proposals that Soft-NMS keeps of several videos, video by video, best first."""

    chosen: NDArray[np.int64]  # (K,) rows of the proposals
    score: Float64  # (K,) lowered scores
    ends: NDArray[np.int64]  # (B,) rows of video b end before ends[b]


def soft_nms_batch(
    proposals: RaggedProposals, score: Float64, config: SoftNmsConfig, span: float = 1.0
) -> KeptProposals:
    """Run `soft_nms` on many videos at once, ranked by another `score`, (sum N,).

    Segments are not checked: the stages before guarantee valid ones.
    """
    return KeptProposals(
        *_suppress_each(
            proposals.together.start,
            proposals.together.end,
            score,
            proposals.ends,
            config.threshold_short,
            config.threshold_long,
            config.decay,
            config.picks,
            config.keep,
            config.union == "neighbour-first",
            config.leave_last,
            span,
        )
    )


def soft_nms_plain(
    proposals: Proposals, config: SoftNmsConfig | None = None, *, span: float | None = None
) -> Proposals:
    """Run `soft_nms` in plain NumPy."""
    _check_segments(proposals)
    span = _known_span(proposals, span)
    config = config or SoftNmsConfig()
    score, is_left = proposals.score.copy(), np.ones(len(proposals), dtype=bool)
    chosen: list[int] = []
    scores: list[float] = []
    left = int(config.leave_last and len(proposals) > 1)
    while is_left.sum() > left and len(chosen) < config.picks:
        best = int(np.argmax(np.where(is_left, score, -np.inf)))
        chosen.append(best)
        scores.append(float(score[best]))
        is_left[best] = False
        width = min((proposals.end[best] - proposals.start[best]) / span, 1.0)
        threshold = (
            config.threshold_short + (config.threshold_long - config.threshold_short) * width
        )
        pick = proposals.start[best : best + 1], proposals.end[best : best + 1]
        others = proposals.start, proposals.end
        if config.union == "pick-first":
            overlap = tiou_matrix(*pick, *others)[0]
        else:
            overlap = tiou_matrix(*others, *pick)[:, 0]
        close = is_left & (overlap > threshold)
        # The kernel's exp differs from np.exp in the last bit, which reorders near ties.
        squares = np.square(overlap[close]).tolist()
        score[close] *= [math.exp(-square / config.decay) for square in squares]
    order = np.argsort(-np.array(scores), kind="stable")[: config.keep]
    kept = np.array(chosen, dtype=np.int64)[order]
    return proposals[kept].with_score(np.array(scores)[order])


def _known_span(proposals: Proposals, span: float | None) -> float:
    if span is None and proposals.unit == "seconds":
        raise UnitError(
            "soft_nms needs fractions of the feature span, or the span, and the proposals are in "
            "seconds: give span, the seconds that the features cover (of a window in a long "
            "recording), or convert them: proposals.to_fraction(span)"
        )
    return 1.0 if span is None else span


def _check_segments(proposals: Proposals) -> None:
    columns = {"start": proposals.start, "end": proposals.end, "score": proposals.score}
    for name, column in columns.items():
        if not np.isfinite(column).all():
            raise ShapeError(f"proposals: {name} contains NaN or infinity")
    inverted = np.flatnonzero(proposals.end < proposals.start)
    if len(inverted):
        first = int(inverted[0])
        start, end = float(proposals.start[first]), float(proposals.end[first])
        raise ShapeError(
            f"{counted(len(inverted), 'proposal')} of {len(proposals):,} end before they start, "
            f"the first is [{start:g}, {end:g}] at {first}; leave them out"
        )


@inlined
def _number_of_picks(proposals: int, picks: int, leave_last: bool) -> int:
    """Return the number of picks among the proposals of a video."""
    return min(picks, proposals - 1 if leave_last and proposals > 1 else proposals)


@kernel
def _suppress_each(
    start: Float64,
    end: Float64,
    score: Float64,
    ends: NDArray[np.int64],
    threshold_short: float,
    threshold_long: float,
    decay: float,
    picks: int,
    keep: int,
    neighbour_first: bool,
    leave_last: bool,
    span: float,
) -> tuple[NDArray[np.int64], Float64, NDArray[np.int64]]:
    """Suppress the proposals of each video; return the columns of `KeptProposals`."""
    capacity = len(ends) * min(keep, picks)
    chosen, scores, kept = np.empty(capacity, np.int64), np.empty(capacity), np.empty_like(ends)
    first = count = 0
    for video, stop in enumerate(ends):
        rows = slice(first, stop)
        rank, lowered = _decay_and_pick(
            start[rows],
            end[rows],
            score[rows],
            threshold_short,
            threshold_long,
            decay,
            _number_of_picks(stop - first, picks, leave_last),
            neighbour_first,
            span,
        )
        for k in range(min(len(rank), keep)):
            chosen[count], scores[count] = first + rank[k], lowered[k]
            count += 1
        first, kept[video] = stop, count
    return chosen[:count], scores[:count], kept


@kernel
def _decay_and_pick(
    start: Float64,
    end: Float64,
    score: Float64,
    threshold_short: float,
    threshold_long: float,
    decay: float,
    picks: int,
    neighbour_first: bool,
    span: float,
) -> tuple[NDArray[np.int64], Float64]:
    """Pick proposals. They lie in buckets by end; each pick visits only the close buckets."""
    count = max(1, int(2 * math.sqrt(len(end))))
    low, high = (end.min(), end.max()) if len(end) else (0.0, 0.0)
    scale = count / (high - low) if high > low else 0.0  # buckets per unit
    rank, first = _bucket_by_end(end, low, scale, count)
    xmin, xmax = start[rank], end[rank]
    remaining = score[rank]  # current scores, -inf once picked
    best = np.full(count, -1)  # best proposal of each bucket; -1 if the bucket is empty
    top = np.full(count, -np.inf)  # score of that proposal
    _find_best(remaining, first, 0, count, best, top)
    near = np.empty(len(start), dtype=np.bool_)
    chosen, scores = np.empty(picks, dtype=np.int64), np.empty(picks)
    for k in range(picks):
        pick = _first_to_pick(best, top, rank)
        chosen[k], scores[k] = rank[pick], remaining[pick]
        remaining[pick] = -np.inf
        length = xmax[pick] - xmin[pick]
        threshold = threshold_short + (threshold_long - threshold_short) * min(length / span, 1.0)
        nearest, farthest = _ends_of_close(xmax[pick], length, threshold)
        low_bucket = _bucket_of(nearest, low, scale, count)
        high_bucket = _bucket_of(farthest, low, scale, count)
        within = slice(first[low_bucket], first[high_bucket + 1])
        _decay_close(
            xmin[pick],
            xmax[pick],
            xmin[within],
            xmax[within],
            remaining[within],
            near,
            threshold,
            decay,
            neighbour_first,
        )
        _find_best(remaining, first, low_bucket, high_bucket + 1, best, top)
    if not (scores[1:] > scores[:-1]).any():  # Scores are sorted unless negative scores have risen.
        return chosen, scores
    order = descending(scores)
    return chosen[order], scores[order]


@inlined
def _decay_close(
    xmin: float,
    xmax: float,
    start: Float64,
    end: Float64,
    remaining: Float64,
    near: NDArray[np.bool_],
    threshold: float,
    decay: float,
    neighbour_first: bool,
) -> None:
    """Lower the `remaining` scores of segments that are close to the pick (xmin, xmax)."""
    length = xmax - xmin
    share = threshold * (1 - 1e-9)  # The tolerance leaves the decision to the exact comparison.
    for i in range(len(remaining)):  # No branch and no division, so that the loop is vectorised.
        inter = min(xmax, end[i]) - max(xmin, start[i])
        near[i] = inter >= share * (length - inter + end[i] - start[i])
    for i in range(len(remaining)):
        if near[i]:
            if neighbour_first:
                overlap = tiou(start[i], end[i], xmin, xmax)
            else:
                overlap = tiou(xmin, xmax, start[i], end[i])
            if overlap > threshold:
                remaining[i] *= math.exp(-(overlap * overlap) / decay)


@inlined
def _bucket_of(end: float, low: float, scale: float, count: int) -> int:
    return int(min(max((end - low) * scale, 0.0), count - 1.0))


@kernel
def _bucket_by_end(
    end: Float64, low: float, scale: float, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort proposals by bucket, stably, (N,); return each bucket's first too, (B + 1,)."""
    first = np.zeros(count + 1, dtype=np.int64)
    for value in end:
        first[_bucket_of(value, low, scale, count) + 1] += 1
    first = np.cumsum(first)
    rank, filled = np.empty(len(end), dtype=np.int64), first[:-1].copy()
    for i, value in enumerate(end):
        bucket = _bucket_of(value, low, scale, count)
        rank[filled[bucket]] = i
        filled[bucket] += 1
    return rank, first


@kernel
def _find_best(
    remaining: Float64,
    first: NDArray[np.int64],
    low: int,
    high: int,
    best: NDArray[np.int64],
    top: Float64,
) -> None:
    """Update the best proposal of the buckets low <= i < high where it may have changed.

    A positive score only decreases, so a best proposal with an unchanged score stays the best.
    """
    for bucket in range(low, high):
        if top[bucket] > 0.0 and remaining[best[bucket]] == top[bucket]:
            continue
        for i in range(first[bucket], first[bucket + 1]):
            if i == first[bucket] or remaining[i] > top[bucket]:  # of equal scores the earlier wins
                best[bucket], top[bucket] = i, remaining[i]


@kernel
def _first_to_pick(best: NDArray[np.int64], top: Float64, rank: NDArray[np.int64]) -> int:
    """Return the best proposal of all buckets; of equal scores the earlier one."""
    best_bucket = 0
    for bucket in range(1, len(top)):
        if top[bucket] > top[best_bucket] or (
            top[bucket] == top[best_bucket] and rank[best[bucket]] < rank[best[best_bucket]]
        ):
            best_bucket = bucket
    return int(best[best_bucket])


@inlined
def _ends_of_close(end: float, length: float, threshold: float) -> tuple[float, float]:
    """Return the range of ends in which a segment's tIoU with a pick can exceed the threshold.

    A segment that ends x before the pick overlaps it by at most length - x; one that ends x after
    it has a union of at least length + x. The range always contains the pick's own end.
    """
    if threshold <= 0.0:
        return -HUGE, HUGE
    tolerance = 1e-9 * (abs(end) + length)  # tolerance for rounding; the exact comparison decides
    before, after = max(1 - threshold, 0.0), max(1 / threshold - 1, 0.0)
    return end - before * length - tolerance, end + after * length + tolerance
