"""AR@AN, the ActivityNet proposal task: how many instances do N proposals per video find?

The protocol is that of bsn.md section 9, with equal counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from actspan.config.base import OnError
from actspan.core.errors import ConfigError, ResultError
from actspan.core.segments import Proposals
from actspan.core.storage import is_url, open_storage
from actspan.core.types import Float64, Video
from actspan.core.wording import counted
from actspan.data.result_files import ResultTable
from actspan.data.videos import Videos
from actspan.evaluation.counting import REPORTED, Budgets, Int64, best_first, count_matches
from actspan.evaluation.input_checks import no_match_error, other_unit, useless_results
from actspan.evaluation.inputs import (
    EvaluatedData,
    EvaluatedVideos,
    known_id,
    load_blocked,
    load_proposals,
    load_videos,
)
from actspan.evaluation.protocols import check_thresholds
from actspan.jobs.run import PLAN_FILE


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RecallResult(EvaluatedData):
    """Recall of ground truth by proposals; arrays are fractions, `at` and `summary` percent.

    See also `EvaluatedData`; only videos with instances are evaluated.

    Attributes
    ----------
    recall : (K, A) float64
        Share of instances matched at tIoU threshold `tiou[k]` by budget a + 1; in [0, 1].
    average_recall : (A,) float64
        Mean of `recall` over the thresholds.
    proposals_per_video : (A,) float64
        Average number of proposals per video at each budget.
    instances, proposals : int
        Numbers of instances and proposals of the evaluated videos.
    """

    recall: Float64
    average_recall: Float64
    proposals_per_video: Float64
    tiou: Float64
    instances: int
    proposals: int

    @property
    def auc(self) -> float:
        """Area under average recall over proposals per video, as a share of the axis; in [0, 1]."""
        area = np.trapezoid(self.average_recall, self.proposals_per_video)
        return float(area / self.proposals_per_video[-1])

    @property
    def auc_percent(self) -> float:
        """Return the `auc` in percent, as in papers."""
        return 100.0 * self.auc

    @property
    def max_proposals(self) -> int:
        """Return the largest budget, A."""
        return len(self.average_recall)

    def at(self, proposals: int) -> float:
        """Return AR@AN in percent; a budget that is not in 1 ... A is a `ConfigError`."""
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
        A result file, a run folder, or proposals in seconds; or an unfinished run, `RUN.partial`
        or the URL of its shards, which are read one after the other.
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
    >>> found = {"a": Proposals([10, 0], [19, 9], [0.9, 0.2], unit="seconds")}
    >>> round(evaluate_recall([video], found).at(100), 1)  # 9 of 10 s of one of the two
    45.0
    """
    thresholds = check_thresholds(tiou)
    if max_proposals < 1:
        raise ConfigError(f"max_proposals is {max_proposals}; it must be at least 1")
    left_out = load_blocked(blocked)
    truth = load_videos(ground_truth, subset, left_out, on_error)
    results = (_load_shards if is_unfinished(proposals) else _load_results)(proposals, truth)
    rows = {video: row for row, video in enumerate(truth.segments)}
    ids, counts = _count_proposals(results, rows)
    if rows.keys().isdisjoint(ids):
        raise no_match_error("proposals", truth.source, subset, rows, ids)
    budgets = Budgets.of(counts, max_proposals)  # depend on the number of all proposals
    matches = np.zeros((len(thresholds), max_proposals), np.int64)
    for table in results.tables():
        indices = [index for index, video in enumerate(table.ids) if video in rows]
        if indices:
            names = [table.ids[index] for index in indices]
            segments = [truth.segments[name] for name in names]
            kept = budgets.kept[[rows[name] for name in names]]
            matches += count_matches(
                segments, table, table.first[indices], kept, budgets.share, thresholds
            )
    instances = sum(map(len, truth.segments.values()))
    recall = matches / instances
    return RecallResult(
        recall=recall,
        average_recall=recall.mean(axis=0),
        proposals_per_video=budgets.per_video,
        tiou=thresholds,
        videos=len(counts),
        instances=instances,
        proposals=budgets.offered,
        missing=tuple(video for video, row in rows.items() if not counts[row]),
        extra=tuple(video for video in ids if video not in rows and video not in left_out),
        problems=truth.problems,
        notes=(*truth.notes, *_empty_videos_note(truth), *results.notes(budgets)),
    )


def _count_proposals(results: _Results, rows: Mapping[str, int]) -> tuple[list[str], Int64]:
    """Return the ids of all results, and the number of proposals of each evaluated video, (V,)."""
    counts = np.zeros(len(rows), np.int64)
    ids: list[str] = []
    for table in results.tables():
        ids += table.ids
        for video, count in zip(table.ids, table.counts.tolist(), strict=True):
            if video in rows:
                counts[rows[video]] = count
    return ids, counts


def _empty_videos_note(truth: EvaluatedVideos) -> Iterator[str]:
    """Yield a note about videos without instances, if there are any."""
    if empty := len(truth.videos) - len(truth.segments):
        of = f"{empty:,} of {counted(len(truth.videos), 'video')}"
        yield f"{of} without instances, not evaluated"


class _Results(NamedTuple):
    """Results in one or several tables, best first within each video, and notes about them."""

    tables: Callable[[], Iterable[ResultTable]]
    notes: Callable[[Budgets], Iterator[str]]


def _load_results(source: Path | str | Mapping[str, Proposals], truth: EvaluatedVideos) -> _Results:
    """Return the results of a file or from memory."""
    table = best_first(load_proposals(source, truth.segments))

    def notes(budgets: Budgets) -> Iterator[str]:
        yield from table.notes
        yield from other_unit(truth.segments, table)
        yield from budgets.notes()
        beyond = _count_beyond(table, truth.videos)
        yield from useless_results("proposal", table.start, table.end, table.first, beyond)

    return _Results(lambda: [table], notes)


def is_unfinished(source: object) -> bool:
    """Return whether results are those of an unfinished run: a folder with a plan, or a URL."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    return is_url(str(source)) or (Path(source) / PLAN_FILE).is_file()


def _load_shards(source: Any, truth: EvaluatedVideos) -> _Results:
    """Return the results of an unfinished run, of which one shard at a time is in memory."""
    from actspan.jobs.checkpoint import Checkpoint  # loads a compiler

    checkpoint = Checkpoint.find(open_storage(source))
    if checkpoint is None:
        raise ResultError(f"{source}: contains no unfinished run (no {PLAN_FILE})")
    committed = sorted(checkpoint.committed())

    def tables() -> Iterator[ResultTable]:
        for number in committed:
            proposals_by_id: dict[str, Proposals] = {}
            for result in checkpoint.read(number):
                proposals = getattr(result, "proposals", None)
                if proposals is not None:  # the video could be read
                    proposals_by_id[known_id(result.id, truth.segments)] = proposals  # type: ignore[union-attr]
            yield best_first(ResultTable.of(proposals_by_id))

    def notes(budgets: Budgets) -> Iterator[str]:
        if len(committed) < len(checkpoint.plan.shards):
            done = f"{len(committed):,} of {len(checkpoint.plan.shards):,} shards"
            yield f"unfinished: {done}; complete it with propose --resume"
        yield from budgets.notes()

    return _Results(tables, notes)


def _count_beyond(table: ResultTable, videos: Videos) -> int:
    """Count the proposals that start after the end of their video, if that is known."""
    filled, durations = table.counts > 0, dict(zip(videos.ids, videos.durations, strict=True))
    limit = np.array([durations.get(video, np.nan) for video in table.ids])
    latest = np.maximum.reduceat(table.start, table.first[filled])  # per video
    if not (latest >= limit[filled]).any():
        return 0
    return int(np.count_nonzero(table.start >= np.repeat(limit, table.counts)))


def evaluate_video(
    video: Video,
    proposals: Proposals | None,
    *,
    max_proposals: int = 100,
    tiou: ArrayLike | None = None,
) -> tuple[float, int]:
    """Return the AUC of a video alone, percent, and the number of instances that are missed.

    An instance is missed if no proposal (seconds; None if there are none) reaches the lowest
    threshold. The video has instances; options are those of `evaluate_recall`.
    """
    instances = len(video.segments)
    if proposals is None or not len(proposals):
        return 0.0, instances
    result = evaluate_recall(
        [video], {video.id: proposals}, subset=None, max_proposals=max_proposals, tiou=tiou
    )
    return result.auc_percent, round(instances * (1.0 - result.recall[0, -1]))
