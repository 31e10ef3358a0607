"""AR@AN of an unfinished run in shards, local or in an object store, one in memory at a time."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from actspan.core.errors import ResultError
from actspan.core.storage import is_url, open_storage
from actspan.core.types import Float64, Proposals, Video
from actspan.data.results import ResultTable
from actspan.evaluation.counting import Int64, count_matches
from actspan.evaluation.inputs import OnError, known_id, load_blocked, load_truth
from actspan.evaluation.protocols import check_thresholds
from actspan.evaluation.recall import RecallResult, best_first, budgets, equal, unused
from actspan.evaluation.unmatched import unmatched
from actspan.jobs.checkpoint import PLAN_FILE, Checkpoint


def is_sharded(where: Path | str) -> bool:
    """Return whether a place is an unfinished run: a folder with a plan, or a URL."""
    return is_url(where) or (Path(where) / PLAN_FILE).is_file()


def evaluate_shards(
    ground_truth: Path | str | Iterable[Video],
    where: Path | str,
    *,
    subset: str | None = "validation",
    max_proposals: int = 100,
    tiou: ArrayLike | None = None,
    blocked: Path | str | Iterable[str] | None = None,
    on_error: OnError = "fail",
) -> RecallResult:
    """Evaluate the committed shards, with exactly the result of `evaluate_recall`.

    Shards are read twice, because the budget of a video depends on the number of all proposals.
    Memory does not grow with the number of proposals.

    Parameters
    ----------
    where : Path or str
        `RUN.partial`, or the URL of its shards; the other parameters are those of
        `evaluate_recall`.

    Raises
    ------
    ResultError
        There is no such run, or a shard is damaged; or an error of `evaluate_recall`.
    """
    thresholds, left_out = check_thresholds(tiou), load_blocked(blocked)
    checkpoint = Checkpoint.find(open_storage(where))
    if checkpoint is None:
        raise ResultError(f"{where}: no unfinished run is there (no {PLAN_FILE})")
    truth = load_truth(ground_truth, subset, left_out, on_error)
    rows = {video: row for row, video in enumerate(truth.segments)}
    counts, extra = np.zeros(len(rows), np.int64), []
    for table in _tables(checkpoint, rows):
        for video, count in zip(table.ids, table.counts.tolist(), strict=True):
            if video in rows:
                counts[rows[video]] = count
            elif video not in left_out:
                extra.append(video)
    if extra and not counts.any():
        raise unmatched("proposals", ground_truth, subset, rows, extra)
    kept, share, total = budgets(counts, max_proposals)
    instances = sum(map(len, truth.segments.values()))
    matches = np.zeros((len(thresholds), len(share)), np.int64)
    for table in _tables(checkpoint, rows):
        matches += _matches(table, truth.segments, kept, rows, share, thresholds)
    recall = matches / instances
    return RecallResult(
        recall=recall,
        average_recall=recall.mean(axis=0),
        proposals_per_video=share * (float(total) / len(rows)),
        tiou=thresholds,
        videos=len(rows),
        instances=instances,
        proposals=int(counts.sum()),
        missing=tuple(v for v, n in zip(rows, counts.tolist(), strict=True) if not n),
        extra=tuple(extra),
        problems=truth.problems,
        notes=(
            *truth.notes,
            *_unfinished(checkpoint),
            *unused(counts, max_proposals),
            *equal(counts, max_proposals),
        ),
    )


def _unfinished(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return a line about shards that are not computed yet, if there are any."""
    done, planned = len(checkpoint.committed()), len(checkpoint.plan)
    if done == planned:
        return ()
    return (f"unfinished: {done:,} of {planned:,} shards; complete it with propose --resume",)


def _tables(checkpoint: Checkpoint, known: Container[str]) -> Iterator[ResultTable]:
    """Yield the proposals of each shard, without videos that could not be read."""
    for number in sorted(checkpoint.committed()):
        found: dict[str, Proposals] = {}
        for result in checkpoint.read(number):
            proposals = getattr(result, "proposals", None)
            if proposals is not None:
                found[known_id(result.id, known)] = proposals  # type: ignore[union-attr]
        yield ResultTable.of(found)


def _matches(
    table: ResultTable,
    segments: dict[str, Float64],
    kept: Int64,
    rows: dict[str, int],
    share: Float64,
    thresholds: Float64,
) -> Int64:
    """Count the matches of a shard's proposals, (K, A)."""
    chosen = [at for at, video in enumerate(table.ids) if video in rows]
    if not chosen:
        return np.zeros((len(thresholds), len(share)), np.int64)
    truth = [segments[table.ids[at]] for at in chosen]
    video_of = np.repeat(np.arange(len(chosen)), [len(instances) for instances in truth])
    allowed = kept[[rows[table.ids[at]] for at in chosen]]
    first = table.first[chosen]
    return count_matches(
        np.concatenate(truth), video_of, *best_first(table), first, allowed, share, thresholds
    )
