"""Recall of each video; AUC of a run and the difference of two runs, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from actspan.core.segments import Proposals
from actspan.core.types import Float64, Video
from actspan.data.result_files import ResultTable
from actspan.evaluation.counting import REPORTED, Budgets, Int64, best_first, matched_budgets
from actspan.evaluation.protocols import check_thresholds

RESAMPLES = 2000
FEWEST_VIDEOS = 10  # whose resampling gives an interval that can be relied on
_BLOCK = 250  # resamples whose weights are in memory together


@dataclass(frozen=True, slots=True, eq=False)
class VideoRecall:
    """Recall of each of V videos with instances, at every budget of the whole set.

    Attributes
    ----------
    found : (V, A) float64
        Number of matched instances of each video, the mean over the thresholds.
    instances : (V,) int64
    missed : (V,) int64
        Instances that no proposal reaches at the lowest threshold.
    proposals_per_video : (A,) float64
        As in `RecallResult`.
    """

    found: Float64
    instances: Int64
    missed: Int64
    proposals_per_video: Float64

    @property
    def auc(self) -> Float64:
        """Area under average recall of each video, percent, (V,)."""
        return self._area(self.found / self.instances[:, None])

    def figures(self) -> dict[str, float]:
        """Return AR@AN and AUC over all videos, percent, as `evaluate_recall` computes them."""
        recall = self.found.sum(axis=0) / self.instances.sum()
        budgets = [n for n in REPORTED if n <= len(recall)]
        area = self._area(recall[None])[0]
        return {**{f"AR@{n}": 100 * float(recall[n - 1]) for n in budgets}, "AUC": float(area)}

    def resampled_auc(self, weights: Float64) -> Float64:
        """Return the AUC of R sets in which video v is present weights[r, v] times, (R,)."""
        return self._area((weights @ self.found) / (weights @ self.instances)[:, None])

    def _area(self, recall: Float64) -> Float64:
        budgets = self.proposals_per_video
        area: Float64 = 100 * np.trapezoid(recall, budgets, axis=1) / budgets[-1]
        return area

    def select(self, chosen: Sequence[int]) -> VideoRecall:
        """Return the recall of some videos, at the budgets of the whole set."""
        index = np.array(chosen, np.int64)
        return VideoRecall(
            self.found[index], self.instances[index], self.missed[index], self.proposals_per_video
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """AUC, percent, or a difference of two in points, and its bootstrap interval of 95 %."""

    auc: float
    low: float
    high: float


def recall_by_video(
    videos: Sequence[Video],
    proposals: Mapping[str, Proposals],
    *,
    max_proposals: int = 100,
    tiou: ArrayLike | None = None,
) -> VideoRecall:
    """Compute the recall of each video; options are those of `evaluate_recall`.

    Parameters
    ----------
    videos : sequence of Video
        V videos, each with instances.
    proposals : mapping of video id to Proposals
        Seconds, in any order. A video without an entry has none.

    Raises
    ------
    ResultError
        There are no proposals for any of the videos.
    ConfigError
        `max_proposals` or `tiou` is out of range.
    """
    thresholds = check_thresholds(tiou)
    none = Proposals.empty("seconds")
    table = best_first(ResultTable.of({v.id: proposals.get(v.id, none) for v in videos}))
    budgets = Budgets.of(table.counts, max_proposals)
    segments = [video.segments for video in videos]
    counts = np.zeros((len(videos), max_proposals + 1))
    instances = np.array([len(video.segments) for video in videos], np.int64)
    missed = instances.copy()
    for t, video, budget in matched_budgets(
        segments, table, table.first, budgets.kept, budgets.share, thresholds
    ):
        np.add.at(counts, (video, budget), 1 / len(thresholds))
        if t == 0:
            missed -= np.bincount(video[budget < max_proposals], minlength=len(videos))
    found = np.cumsum(counts[:, :-1], axis=1)
    return VideoRecall(found, instances, missed, budgets.per_video)


def evaluate_each(
    videos: Sequence[Video],
    proposals: Mapping[str, Proposals],
    *,
    max_proposals: int = 100,
    tiou: ArrayLike | None = None,
) -> dict[str, tuple[float, int]]:
    """Return the AUC of each video alone, percent, and the number of its missed instances, by id.

    Equals `evaluate_video` of each. Videos with equally many proposals have the same budgets alone
    as together, so they are evaluated together.
    """
    by_count: dict[int, list[Video]] = {}
    for video in videos:
        by_count.setdefault(len(proposals.get(video.id, ())), []).append(video)
    found = {video.id: (0.0, len(video.segments)) for video in by_count.pop(0, ())}
    for alike in by_count.values():
        recall = recall_by_video(alike, proposals, max_proposals=max_proposals, tiou=tiou)
        rows = zip(alike, recall.auc.tolist(), recall.missed.tolist(), strict=True)
        found |= {video.id: (auc, missed) for video, auc, missed in rows}
    return found


def estimate_auc(recall: VideoRecall, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Compute the AUC of a run and its interval, as `compare_recall` does for a difference."""
    interval = _interval(len(recall.instances), recall.resampled_auc, seed, resamples)
    return Estimate(recall.figures()["AUC"], *interval)


def compare_recall(
    a: VideoRecall, b: VideoRecall, *, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Compute the difference of AUC, B - A, and its interval, of two runs on the same videos.

    Videos are drawn with replacement, the same for both runs, and the budgets of the whole set are
    kept. The interval goes from the 2.5th to the 97.5th percentile of the differences. It says how
    much depends on the choice of videos, not on the seed of a training.
    """

    def difference(weights: Float64) -> Float64:
        return b.resampled_auc(weights) - a.resampled_auc(weights)

    interval = _interval(len(a.instances), difference, seed, resamples)
    return Estimate(b.figures()["AUC"] - a.figures()["AUC"], *interval)


def _interval(
    count: int, value_of: Callable[[Float64], Float64], seed: int, resamples: int
) -> tuple[float, float]:
    """Return the interval of a value of resampled videos, (R,), from their weights, (R, V)."""
    rng = np.random.default_rng([seed, 0xB007])
    values = []
    for first in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - first)
        drawn = rng.integers(0, count, (size, count)) + np.arange(size)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count)
        values.append(value_of(times.reshape(size, count).astype(np.float64)))
    low, high = np.percentile(np.concatenate(values), [2.5, 97.5]).tolist()
    return low, high
