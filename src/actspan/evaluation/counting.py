"""Counting of matches with NumPy alone, as loading a compiler would take longer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from actspan.core.tiou import evaluated_tiou
from actspan.core.types import Float64

Int64 = NDArray[np.int64]

_PAIRS = 1 << 15  # pairs of instance and proposal per step, so that the arrays fit into the caches


def count_matches(
    truth: Float64,
    video_of: Int64,
    start: Float64,
    end: Float64,
    first: Int64,
    kept: Int64,
    share: Float64,
    thresholds: Float64,
) -> Int64:
    """Count the instances that a budget of proposals matches, per threshold and budget.

    For this, the first rank at which an instance reaches each threshold is enough, together with
    the smallest budget to which that rank contributes.

    Parameters
    ----------
    truth : (M, 2) float64
        Instances of all videos.
    video_of : (M,) int64
        The video of each, 0 <= v < V.
    start, end : (P,) float64
        Proposals.
    first, kept : (V,) int64
        Video v may use the proposals first[v] <= j < first[v] + kept[v], best first.
    share : (A,) float64
        Ascending; video v contributes its first min(int(kept[v] * share[k]), kept[v]).
    thresholds : (K,) float64
        tIoU.

    Returns
    -------
    (K, A) int64
    """
    matches = np.zeros((len(thresholds), len(share) + 1), np.int64)
    for size, instances in _alike(kept[video_of]):
        contributing = np.minimum((size * share).astype(np.int64), size)  # (A,)
        budget_of = np.searchsorted(contributing, np.arange(size), side="right")  # of each rank
        ranks = first[video_of[instances], None] + np.arange(size)  # (m, size)
        truth_start, truth_end = truth[instances].T[..., None]  # (m, 1)
        overlap = evaluated_tiou(truth_start, truth_end, start[ranks], end[ranks])  # (m, size)
        best = overlap.max(axis=1)
        for t, threshold in enumerate(thresholds):
            rank = (overlap[best >= threshold] >= threshold).argmax(axis=1)
            matches[t] += np.bincount(budget_of[rank], minlength=len(share) + 1)
    # An instance matched by a budget is also matched by larger ones.
    total: Int64 = np.cumsum(matches[:, :-1], axis=1)
    return total


def _alike(sizes: Int64) -> Iterator[tuple[int, Int64]]:
    """Yield each size except 0, with about `_PAIRS` / size of the positions that have it."""
    order = np.argsort(sizes, kind="stable")
    values, begins = np.unique(sizes[order], return_index=True)
    for size, alike in zip(values.tolist(), np.split(order, begins[1:]), strict=True):
        step = max(1, _PAIRS // max(1, size))
        for begin in range(0, len(alike) if size else 0, step):
            yield size, alike[begin : begin + step]
