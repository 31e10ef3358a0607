"""Counting matches, compiled: each instance meets each proposal once."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from actspan.segments import evaluated_tiou
from actspan.types import Float64

Int64 = NDArray[np.int64]


@njit(cache=True, nogil=True)
def first_budget(contributing: Int64, rank: int) -> int:
    """First position of the ascending `contributing` at which more than `rank` contribute."""
    low, high = 0, len(contributing)
    while low < high:
        middle = (low + high) // 2
        if contributing[middle] > rank:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True, nogil=True)
def count_matches(
    truth_start: Float64,
    truth_end: Float64,
    truth_of: Int64,
    start: Float64,
    end: Float64,
    proposals_of: Int64,
    kept: Int64,
    share: Float64,
    thresholds: Float64,
) -> Int64:
    """Count the instances that a budget of proposals matches, for every threshold and budget.

    The tIoU at which an instance is matched only grows with rank, so it is enough to note at
    which rank it first reaches each threshold, and from which budget on that rank contributes.

    Parameters
    ----------
    truth_start, truth_end : (M,) float64
        Instances of all videos.
    truth_of, proposals_of : (V + 1,) int64
        Video v has the instances, and the proposals, from entry v up to entry v + 1 of these.
    start, end : (P,) float64
        Proposals of all videos, best first within each.
    kept : (V,) int64
        How many of its proposals a video may use.
    share : (A,) float64
        Ascending; video v contributes its first min(int(kept[v] * share[k]), kept[v]).
    thresholds : (K,) float64
        tIoU, ascending.

    Returns
    -------
    (K, A) int64
    """
    matches = np.zeros((len(thresholds), len(share)), np.int64)
    contributing = np.empty(len(share), np.int64)
    for video in range(len(kept)):
        for k in range(len(share)):
            contributing[k] = min(int(kept[video] * share[k]), kept[video])
        first = proposals_of[video]
        for i in range(truth_of[video], truth_of[video + 1]):
            reached = 0
            for rank in range(kept[video]):
                j = first + rank
                overlap = evaluated_tiou(truth_start[i], truth_end[i], start[j], end[j])
                while reached < len(thresholds) and overlap >= thresholds[reached]:
                    budget = first_budget(contributing, rank)
                    if budget < len(share):
                        matches[reached, budget] += 1
                    reached += 1
                if reached == len(thresholds):
                    break
    for t in range(len(thresholds)):  # an instance matched by a budget is matched by larger ones
        for k in range(1, len(share)):
            matches[t, k] += matches[t, k - 1]
    return matches
