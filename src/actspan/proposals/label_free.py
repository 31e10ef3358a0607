"""Label-free proposals: pairs of change points of a stream, found and scored without a model.

The stream is cut where it changes: neighbouring segments are merged, the most similar ones first
(Ward's criterion), and the cost at which a boundary disappears is its height. Any two boundaries
make a candidate. Its score is high if it differs from its surroundings, is more active than they
are, moves steadily inside, has two boundaries of like height and none as high between them, and has
a length that is usual for the stream. The score says where the stream changes, not what happens.
docs/project/log.md has the measurements behind it.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import LabelFreeConfig
from actspan.core.errors import ShapeError
from actspan.core.kernels import descending, inlined, kernel
from actspan.core.segments import Proposals
from actspan.core.types import BoundaryScores, Float32, Float64
from actspan.proposals.components import principal_components

Int64 = NDArray[np.int64]


def propose_label_free(
    values: Float32, config: LabelFreeConfig | None = None
) -> tuple[BoundaryScores, Proposals]:
    """Find and score candidate segments of a stream from its features alone.

    Parameters
    ----------
    values : (n, C) float32
        Snippet features of any kind; finite.
    config : LabelFreeConfig, optional

    Returns
    -------
    scores : BoundaryScores
        Per snippet: activity (rank of its distance from the median snippet, in [0, 1]), and as
        start and end the height of the boundary before it, as a share of the largest.
    candidates : Proposals
        At most `config.keep` segments, best first: fractions of the n snippets; the best one's
        score is 1. None if the stream never changes. Start and end scores are 1, since the score
        covers both boundaries.

    Raises
    ------
    ShapeError
        `values` is not two-dimensional, or has no snippet.
    """
    if values.ndim != 2 or len(values) == 0:
        raise ShapeError(f"features have shape {values.shape}; (n, C) with n >= 1 is needed")
    config = config or LabelFreeConfig()
    n = len(values)
    points = principal_components(values, config.components)  # (n, K)
    heights = boundary_heights(points)  # (n + 1,)
    activity = _ranks(np.linalg.norm(points - np.median(points, axis=0), axis=1))
    motion = _ranks(np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=1))
    # Where nothing changes there are no boundaries, and nothing is found.
    chosen = _highest(heights, config.boundaries) if heights.any() else np.empty(0, np.int64)
    start, end, score = _score_pairs(
        chosen,
        heights,
        _sums(points),
        _sums(activity[:, None])[:, 0],
        _sums(motion[:, None])[:, 0],
        usual_length(heights),
        config.contrast,
        config.length,
        config.length_weight,
        config.activity,
        config.asymmetry,
        config.persistence,
        config.longest,
    )
    best = descending(score)[: config.keep]
    fused = np.exp(score[best] - score[best[:1]])
    ones = np.ones(len(best))
    curve = (heights[:n] / max(heights.max(), 1e-300)).astype(np.float32)
    return (
        BoundaryScores(activity.astype(np.float32), curve, curve),
        Proposals(start[best] / n, end[best] / n, fused, ones, ones, unit="fraction"),
    )


def boundary_heights(points: Float64) -> Float64:
    """Return the height of every boundary between snippets: (n + 1,) float64, 0 if all are equal.

    Segments start as single snippets. Repeatedly the two neighbours whose merging adds least to the
    sum of squares within segments are merged; this cost, n1 n2 / (n1 + n2) |mean1 - mean2|^2
    (Ward 1963), never falling, is the height of the boundary between them. The two ends of the
    stream are as high as the highest.
    """
    return _merge_neighbours(_sums(points))


def boundary_heights_plain(points: Float64) -> Float64:
    """Compute `boundary_heights` in plain NumPy."""
    sums, cuts = _sums(points), list(range(len(points) + 1))
    heights, reached = np.zeros(len(cuts)), 0.0
    while len(cuts) > 2:
        at = np.array(cuts)
        sizes = np.diff(at)[:, None]
        means = np.diff(sums[at], axis=0) / sizes
        weight = sizes[:-1] * sizes[1:] / (sizes[:-1] + sizes[1:])
        costs = (weight * np.square(np.diff(means, axis=0))).sum(axis=1)
        least = int(np.argmin(costs))
        reached = max(reached, float(costs[least]))
        heights[cuts.pop(least + 1)] = reached
    heights[[0, -1]] = reached
    return heights


def usual_length(heights: Float64) -> float:
    """Return the mean length of segments, in snippets, that explain 70 % of all heights.

    It is the time scale of the stream: a longer one merges what clearly differs, a shorter one
    splits what is alike.
    """
    inner = np.sort(heights[1:-1])[::-1]
    if not inner.sum() > 0:
        return float(len(heights) - 1)
    cuts = int(np.searchsorted(np.cumsum(inner) / inner.sum(), 0.7)) + 1
    return (len(heights) - 1) / (cuts + 1)


def _highest(heights: Float64, count: int) -> Int64:
    """Return the positions of the highest boundaries, in order, and of both ends."""
    inner = np.argsort(-heights[1:-1], kind="stable")[:count] + 1
    return np.unique(np.concatenate([[0], inner, [len(heights) - 1]]))


def _sums(values: Float64) -> Float64:
    """Return cumulative sums over the snippets: (n + 1, K)."""
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])


def _ranks(values: Float64) -> Float64:
    """Return the rank of every value, averaged over three snippets before, in (0, 1)."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    ranks = np.empty(len(values))
    ranks[np.argsort(smooth, kind="stable")] = np.arange(len(values)) + 0.5
    return ranks / len(values)


@inlined
def _merging_cost(sums: Float64, before: int, cut: int, after: int) -> float:
    left, right, square = cut - before, after - cut, 0.0
    for k in range(sums.shape[1]):
        low, high = (sums[cut, k] - sums[before, k]) / left, (sums[after, k] - sums[cut, k]) / right
        square += (low - high) ** 2
    return left * right / (left + right) * square


@kernel
def _merge_neighbours(sums: Float64) -> Float64:
    n = len(sums) - 1
    heights, reached = np.zeros(n + 1), 0.0
    before, after = np.arange(-1, n), np.arange(1, n + 2)
    version = np.zeros(n + 1, dtype=np.int64)
    waiting = [(_merging_cost(sums, cut - 1, cut, cut + 1), cut, 0) for cut in range(1, n)]
    heapq.heapify(waiting)
    while len(waiting) > 0:
        cost, cut, when = heapq.heappop(waiting)
        if version[cut] != when:
            continue  # a neighbour has been merged since
        reached = max(reached, cost)
        heights[cut] = reached
        version[cut] = -1
        left, right = before[cut], after[cut]
        after[left], before[right] = right, left
        for changed in (left, right):
            if 0 < changed < n:
                version[changed] += 1
                new = _merging_cost(sums, before[changed], changed, after[changed])
                heapq.heappush(waiting, (new, changed, version[changed]))
    heights[0] = heights[n] = reached
    return heights


@kernel
def _score_pairs(
    chosen: Int64,
    heights: Float64,
    sums: Float64,
    activity: Float64,
    motion: Float64,
    usual: float,
    contrast: float,
    length: float,
    length_weight: float,
    activity_weight: float,
    asymmetry: float,
    persistence: float,
    longest: float,
) -> tuple[Int64, Int64, Float64]:
    """Return start, end and logarithmic score of all pairs of boundaries that are long enough."""
    n, count = len(heights) - 1, len(chosen)
    room = count * (count - 1) // 2
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    scores, found = np.empty(room), 0
    floor = 0.5 * np.median(heights) + 1e-12
    most = max(longest * n, 3.0)
    for i in range(count):
        between = 0.0  # largest height between the two boundaries
        for j in range(i + 1, count):
            if j > i + 1:
                between = max(between, heights[chosen[j - 1]])
            start, end = chosen[i], chosen[j]
            size = end - start
            if size < 2 or size > most:
                continue
            around = max(size // 2, 1)
            first, last = max(start - around, 0), min(end + around, n)
            left = _distance(sums, first, start, start, end)
            right = _distance(sums, start, end, end, last)
            if start == first:
                left = right
            if end == last:
                right = left
            inside = (activity[end] - activity[start]) / size
            outside = (activity[start] - activity[first] + activity[last] - activity[end]) / max(
                start - first + last - end, 1
            )
            moving = (motion[end] - motion[start]) / size
            unlike = abs(np.log((heights[start] + floor) / (heights[end] + floor)))
            lower = min(heights[start], heights[end])
            off = np.log(size / usual) - length
            starts[found], ends[found] = start, end
            scores[found] = (
                contrast * np.log(min(left, right) + 0.05)
                - length_weight * off * off
                + activity_weight * (inside - outside - moving)
                - asymmetry * unlike
                + persistence * np.log((lower + floor) / (between + floor))
            )
            found += 1
    return starts[:found], ends[:found], scores[:found]


@inlined
def _distance(sums: Float64, first: int, end: int, start: int, last: int) -> float:
    """Return the distance of the means of [first, end) and [start, last); 0 if one is empty."""
    if end <= first or last <= start:
        return 0.0
    square = 0.0
    for k in range(sums.shape[1]):
        low = (sums[end, k] - sums[first, k]) / (end - first)
        high = (sums[last, k] - sums[start, k]) / (last - start)
        square += (low - high) ** 2
    return float(np.sqrt(square))
