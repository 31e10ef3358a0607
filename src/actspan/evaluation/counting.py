"""Budgets of proposals and matches within them, with NumPy alone: a compiler loads too slowly.

The protocol is that of bsn.md section 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import ConfigError, ResultError
from actspan.core.tiou import evaluated_tiou
from actspan.core.types import Float64
from actspan.core.wording import counted, listed, rounded
from actspan.data.result_files import ResultTable

Int64 = NDArray[np.int64]

REPORTED = (1, 5, 10, 50, 100, 200, 500, 1000)  # values of AN in published tables
_USUAL_BUDGET = 100  # ActivityNet's largest AN; runs with fewer proposals per video are common
_PAIRS = 1 << 15  # pairs of instance and proposal per step, so that the arrays fit into the caches


class Budgets(NamedTuple):
    """Numbers of proposals that V videos may use at A budgets.

    At budget k, video v contributes its first min(int(kept[v] * share[k]), kept[v]).
    """

    kept: Int64  # (V,)
    share: Float64  # (A,), ascending
    total: int  # of kept
    offered: int  # proposals of all videos

    @classmethod
    def of(cls, counts: Int64, max_proposals: int) -> Budgets:
        """Return the budgets of videos with `counts` (V,) proposals.

        Raises
        ------
        ResultError, ConfigError
            There are no proposals, or the largest budget leaves none.
        """
        videos = len(counts)
        offered = int(counts.sum())
        if offered == 0:
            raise ResultError(
                f"no proposals for any of the {videos} evaluated videos: the results name them, "
                "and list none"
            )
        # The order of these float operations, and their truncation, is part of the published
        # number.
        ratio = max_proposals * float(videos) / offered
        kept = np.minimum((counts * ratio).astype(np.int64), counts)
        total = int(kept.sum())
        if total == 0:
            raise ConfigError(f"max_proposals {max_proposals} leaves no proposal to any video")
        share = np.arange(1, max_proposals + 1) / float(max_proposals)
        return cls(kept, share * (max_proposals * float(videos) / total), total, offered)

    @property
    def per_video(self) -> Float64:
        """Average number of proposals per video at each budget, (A,)."""
        average: Float64 = self.share * (float(self.total) / len(self.kept))
        return average

    def contributed(self, budget: int = -1) -> Int64:
        """Return how many proposals each video contributes at a budget, the largest by default."""
        counts: Int64 = np.minimum((self.kept * self.share[budget]).astype(np.int64), self.kept)
        return counts

    def notes(self) -> Iterator[str]:
        """Yield notes about unused proposals, and about reported budgets beyond all proposals."""
        largest = len(self.share)
        if over := self.offered - int(self.contributed().sum()):
            yield (
                f"{over:,} of {counted(self.offered, 'proposal')} not used: at most {largest} per "
                "video on average are (--max-proposals)"
            )
        if largest <= _USUAL_BUDGET:
            return
        reported = [n for n in REPORTED if n <= largest]
        spent = [f"AR@{n}" for n in reported if (self.contributed(n - 1) >= self.kept).all()]
        if len(spent) > 1:
            first, *others = spent
            equal = "equals" if len(others) == 1 else "equal"
            each = rounded(self.total / len(self.kept))
            yield (
                f"{each} proposals per video on average: "
                f"{listed(others, len(others))} {equal} {first}"
            )


def best_first(table: ResultTable) -> ResultTable:
    """Return the proposals by falling score within each video; ties keep their order."""
    video = np.repeat(np.arange(len(table.ids)), table.counts)
    rising = table.score[1:] > table.score[:-1]
    if not (rising & (video[1:] == video[:-1])).any():  # most files are sorted
        return table
    order = np.lexsort((-table.score, video))
    start, end, score = table.start[order], table.end[order], table.score[order]
    return replace(table, start=start, end=end, score=score)


def count_matches(
    segments: Sequence[Float64],
    table: ResultTable,
    first: Int64,
    kept: Int64,
    share: Float64,
    thresholds: Float64,
) -> Int64:
    """Count the instances that a budget of proposals matches, per threshold and budget.

    Returns (K, A) int64; parameters are those of `matched_budgets`.
    """
    matches = np.zeros((len(thresholds), len(share) + 1), np.int64)
    for t, _, budget in matched_budgets(segments, table, first, kept, share, thresholds):
        matches[t] += np.bincount(budget, minlength=len(share) + 1)
    # An instance matched by a budget is also matched by larger ones.
    total: Int64 = np.cumsum(matches[:, :-1], axis=1)
    return total


def matched_budgets(
    segments: Sequence[Float64],
    table: ResultTable,
    first: Int64,
    kept: Int64,
    share: Float64,
    thresholds: Float64,
) -> Iterator[tuple[int, Int64, Int64]]:
    """Find the smallest budget at which each instance is matched, per threshold.

    For this, the first rank at which an instance reaches each threshold is enough, together with
    the smallest budget to which that rank contributes.

    Parameters
    ----------
    segments : sequence of (M, 2) float64
        Instances of each of the V videos.
    table : ResultTable
        P proposals.
    first, kept : (V,) int64
        Video v may use the proposals first[v] <= j < first[v] + kept[v], best first.
    share : (A,) float64
        Like `Budgets.share`.
    thresholds : (K,) float64
        tIoU.

    Yields
    ------
    int, (m,) int64, (m,) int64
        Position of the threshold, then the video and the position of the budget of each of m
        instances, A if no budget contributes the rank. Instances that do not reach the threshold
        are left out.
    """
    truth = np.concatenate(segments)
    instances_of = np.fromiter(map(len, segments), np.int64, len(segments))
    video_of = np.repeat(np.arange(len(segments)), instances_of)
    for size, instances in _by_size(kept[video_of]):
        contributing = np.minimum((size * share).astype(np.int64), size)  # (A,)
        budget_of = np.searchsorted(contributing, np.arange(size), side="right")  # of each rank
        ranks = first[video_of[instances], None] + np.arange(size)  # (m, size)
        truth_start, truth_end = truth[instances].T[..., None]  # (m, 1)
        start, end = table.start[ranks], table.end[ranks]  # (m, size)
        overlap = evaluated_tiou(truth_start, truth_end, start, end)
        best = overlap.max(axis=1)
        for t, threshold in enumerate(thresholds):
            reached = best >= threshold
            rank = (overlap[reached] >= threshold).argmax(axis=1)
            yield t, video_of[instances[reached]], budget_of[rank]


def _by_size(sizes: Int64) -> Iterator[tuple[int, Int64]]:
    """Yield each size except 0, with about `_PAIRS` / size of the positions that have it."""
    order = np.argsort(sizes, kind="stable")
    values, firsts = np.unique(sizes[order], return_index=True)
    for size, positions in zip(values.tolist(), np.split(order, firsts[1:]), strict=True):
        step = max(1, _PAIRS // max(1, size))
        for first in range(0, len(positions) if size else 0, step):
            yield size, positions[first : first + step]
