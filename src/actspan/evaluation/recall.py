"""AR@AN, the ActivityNet proposal task: how many instances do N proposals per video find?

The protocol is that of bsn.md section 9, with equal counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from actspan.core.errors import ConfigError, ResultError
from actspan.core.problems import Problem
from actspan.core.types import Float64, Proposals, Video
from actspan.core.wording import counted, listed, rounded
from actspan.data.results import ResultTable
from actspan.evaluation.counting import Int64, count_matches
from actspan.evaluation.doubts import doubtful, other_unit, repeated
from actspan.evaluation.inputs import (
    OnError,
    load_blocked,
    load_proposals,
    load_truth,
)
from actspan.evaluation.protocols import check_thresholds
from actspan.evaluation.unmatched import unmatched

REPORTED = (1, 5, 10, 50, 100, 200, 500, 1000)  # values of AN in published tables
_USUAL = 100  # ActivityNet's largest AN; runs with fewer proposals per video are common


@dataclass(frozen=True, slots=True, eq=False)
class RecallResult:
    """Recall of ground truth by proposals; arrays are fractions, `at` and `summary` percent.

    Attributes
    ----------
    recall : (K, A) float64
        Share of instances matched at tIoU `tiou[k]` by budget a + 1; in [0, 1].
    average_recall : (A,) float64
        Mean of `recall` over the thresholds.
    proposals_per_video : (A,) float64
        Average number of proposals per video at each budget.
    tiou : (K,) float64
        Thresholds.
    videos, instances : int
        Number of evaluated videos and instances.
    proposals : int
        Number of proposals of those videos, of which the best were used.
    missing : tuple of str
        Evaluated videos without proposals; their instances count as missed.
    extra : tuple of str
        Videos with results that were not evaluated: in another subset, or without instances.
    problems : tuple of Problem
        Entries of the ground truth that were skipped (`on_error="skip"`).
    notes : tuple of str
        Counts of other unused data, for people to read.
    """

    recall: Float64
    average_recall: Float64
    proposals_per_video: Float64
    tiou: Float64
    videos: int
    instances: int
    proposals: int
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def auc(self) -> float:
        """Area under average recall over proposals per video, as a share of the axis; in [0, 1]."""
        area = np.trapezoid(self.average_recall, self.proposals_per_video)
        return float(area / self.proposals_per_video[-1])

    @property
    def auc_percent(self) -> float:
        """The `auc` in percent, as in papers."""
        return 100.0 * self.auc

    @property
    def max_proposals(self) -> int:
        """The largest budget, A."""
        return len(self.average_recall)

    def at(self, proposals: int) -> float:
        """Return AR@AN in percent.

        Raises
        ------
        ConfigError
            The budget is not in 1 ... A.
        """
        if not 1 <= proposals <= self.max_proposals:
            raise ConfigError(
                f"AR@{proposals}: evaluated for 1 to {self.max_proposals} proposals; "
                "raise max_proposals"
            )
        return 100.0 * float(self.average_recall[proposals - 1])

    def summary(self) -> dict[str, float]:
        """Return `AR@1` ... `AR@100` (and 200, 500, 1000 if evaluated) and `AUC`, in percent."""
        budgets = [n for n in REPORTED if n <= self.max_proposals]
        return {**{f"AR@{n}": self.at(n) for n in budgets}, "AUC": self.auc_percent}


def evaluate_recall(
    ground_truth: Path | str | Iterable[Video],
    proposals: Path | str | Mapping[str, Proposals],
    *,
    subset: str | None = "validation",
    max_proposals: int = 100,
    tiou: ArrayLike | None = None,
    blocked: Path | str | Iterable[str] | None = None,
    on_error: OnError = "fail",
) -> RecallResult:
    """Compute average recall over budgets of proposals (AR@AN) and the area under it (AUC).

    Parameters
    ----------
    ground_truth : Path, str, Dataset or iterable of Video
        Annotations in any format of `read_annotations`, a folder with annotations, or
        loaded videos. Those of `subset` with instances are evaluated.
    proposals : Path, str or mapping of video id to Proposals
        A result file, a run folder, or proposals in seconds.
    subset : str, optional
        None takes the videos of all subsets.
    max_proposals : int
        A, the largest mean number of proposals per video: 100 for ActivityNet, 1000 for THUMOS14.
    tiou : (K,) array_like, optional
        Thresholds in (0, 1], ascending; 0.5, 0.55, ... 0.95 by default.
    blocked : Path, str or iterable of str, optional
        Videos to leave out: ids, or a file of them (a JSON list, or one id per line).
    on_error : "fail" or "skip"
        Raise if ground truth entries cannot be read, or skip them.

    Returns
    -------
    RecallResult
        With the videos that lack proposals (counted as missed) and those with proposals that
        were not evaluated.

    Raises
    ------
    AnnotationError, DatasetError
        Ground truth cannot be read, or has no instances in the subset.
    ResultError
        Proposals cannot be read, have a NaN score, or none is for an evaluated video.
    ConfigError
        `max_proposals` or `tiou` is out of range.

    Examples
    --------
    >>> video = Video("a", 60.0, "validation", [[10, 20], [30, 50]], ("run", "jump"))
    >>> found = {"a": Proposals([10, 0], [19, 9], [0.9, 0.2])}
    >>> round(evaluate_recall([video], found).at(100), 1)  # 9 of 10 s of one of the two
    45.0
    """
    thresholds = check_thresholds(tiou)
    if max_proposals < 1:
        raise ConfigError(f"max_proposals is {max_proposals}; it must be at least 1")
    left_out = load_blocked(blocked)
    truth = load_truth(ground_truth, subset, left_out, on_error)
    found = load_proposals(proposals, truth.segments)
    segments = list(truth.segments.values())
    first, counts = _where(found, truth.segments)
    if truth.segments.keys().isdisjoint(found.ids):
        raise unmatched("proposals", ground_truth, subset, truth.segments, found.ids)
    mismatch = other_unit(segments, found, first, counts)
    ranked = best_first(found)
    recall, proposals_per_video = _recall(
        segments, ranked, first, counts, max_proposals, thresholds
    )
    return RecallResult(
        recall=recall,
        average_recall=recall.mean(axis=0),
        proposals_per_video=proposals_per_video,
        tiou=thresholds,
        videos=len(segments),
        instances=sum(map(len, segments)),
        proposals=int(counts.sum()),
        missing=tuple(v for v, n in zip(truth.segments, counts.tolist(), strict=True) if not n),
        extra=tuple(v for v in found.ids if v not in truth.segments and v not in left_out),
        problems=truth.problems,
        notes=(
            *truth.notes,
            *found.notes,
            *mismatch,
            *unused(counts, max_proposals),
            *equal(counts, max_proposals),
            *repeated("proposal", *ranked, found.first),
            *doubtful(found.start, found.end, _beyond(found, truth.durations)),
        ),
    )


def _beyond(found: ResultTable, durations: Mapping[str, float]) -> int:
    """Count the proposals that start after the end of their video, if that is known."""
    filled = found.counts > 0
    limit = np.array([durations.get(video, np.nan) for video in found.ids])
    latest = np.maximum.reduceat(found.start, found.first[filled])  # per video
    if not (latest >= limit[filled]).any():
        return 0
    return int(np.count_nonzero(found.start >= np.repeat(limit, found.counts)))


def _where(found: ResultTable, videos: Iterable[str]) -> tuple[Int64, Int64]:
    """Return the index of each video's first proposal, and the number of its proposals."""
    rows = {video: row for row, video in enumerate(found.ids)}
    none = len(rows)
    row = np.array([rows.get(video, none) for video in videos], np.int64)
    return np.append(found.first, 0)[row], np.append(found.counts, 0)[row]


def _recall(
    segments: list[Float64],
    ranked: tuple[Float64, Float64],
    first: Int64,
    counts: Int64,
    max_proposals: int,
    thresholds: Float64,
) -> tuple[Float64, Float64]:
    """Return recall (K, A) and proposals per video (A,), of V videos."""
    kept, share, total = budgets(counts, max_proposals)
    truth = np.concatenate(segments)
    instances = np.fromiter(map(len, segments), np.int64, len(segments))
    video_of = np.repeat(np.arange(len(segments)), instances)
    matches = count_matches(truth, video_of, *ranked, first, kept, share, thresholds)
    return matches / len(truth), share * (float(total) / len(segments))


def contributing(counts: Int64, max_proposals: int) -> Int64:
    """Return how many of its `counts` proposals each video contributes at the largest budget.

    Raises
    ------
    ResultError, ConfigError
        The same as for `evaluate_recall`.
    """
    kept, share, _ = budgets(counts, max_proposals)
    taken: Int64 = np.minimum((kept * share[-1]).astype(np.int64), kept)
    return taken


def unused(counts: Int64, max_proposals: int) -> tuple[str, ...]:
    """Return a note about proposals that no budget reaches, if there are any."""
    offered = int(counts.sum())
    over = offered - int(contributing(counts, max_proposals).sum())
    if not over:
        return ()
    return (
        f"{over:,} of {counted(offered, 'proposal')} not used: at most {max_proposals} per video "
        "on average are (--max-proposals)",
    )


def equal(counts: Int64, max_proposals: int) -> tuple[str, ...]:
    """Return a line about reported budgets beyond all proposals, where more than usual is asked."""
    if max_proposals <= _USUAL:
        return ()
    kept, share, total = budgets(counts, max_proposals)
    asked = [n for n in REPORTED if n <= max_proposals]
    spent = [f"AR@{n}" for n in asked if ((kept * share[n - 1]).astype(np.int64) >= kept).all()]
    if len(spent) < 2:
        return ()
    first, *others = spent
    equal = "equals" if len(others) == 1 else "equal"
    each = rounded(total / len(counts))
    return (
        f"{each} proposals per video on average: {listed(others, len(others))} {equal} {first}",
    )


def budgets(counts: Int64, max_proposals: int) -> tuple[Int64, Float64, int]:
    """Return how many proposals each video may use, their share at each budget, and the total."""
    videos = len(counts)
    offered = int(counts.sum())
    if offered == 0:
        raise ResultError(
            f"no proposals for any of the {videos} evaluated videos: the results name them, and "
            "list none"
        )
    # The order of these float operations, and their truncation, is part of the published number.
    ratio = max_proposals * float(videos) / offered
    kept = np.minimum((counts * ratio).astype(np.int64), counts)
    total = int(kept.sum())
    if total == 0:
        raise ConfigError(f"max_proposals {max_proposals} leaves no proposal to any video")
    share = np.arange(1, max_proposals + 1) / float(max_proposals)
    return kept, share * (max_proposals * float(videos) / total), total


def best_first(found: ResultTable) -> tuple[Float64, Float64]:
    """Return starts and ends by falling score within each video; ties keep their order."""
    video = np.repeat(np.arange(len(found.ids)), found.counts)
    rising = found.score[1:] > found.score[:-1]
    if not (rising & (video[1:] == video[:-1])).any():  # most files are sorted
        return found.start, found.end
    order = np.lexsort((-found.score, video))
    return found.start[order], found.end[order]
