"""AR@AN of an unfinished run in shards, local or in an object store, one in memory at a time."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from actspan.config.base import OnError
from actspan.core.errors import ResultError
from actspan.core.storage import is_url, open_storage
from actspan.core.types import Proposals, Video
from actspan.data.result_files import ResultTable
from actspan.evaluation.counting import Budgets, best_first, count_matches
from actspan.evaluation.input_checks import no_match_error
from actspan.evaluation.inputs import known_id, load_blocked, load_truth
from actspan.evaluation.protocols import check_thresholds
from actspan.evaluation.recall import RecallResult
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
    Memory does not grow with the number of proposals. `where` is `RUN.partial` or the URL of its
    shards; if there is no such run or a shard is damaged, a `ResultError` is raised. The other
    parameters and errors are those of `evaluate_recall`.
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
        raise no_match_error("proposals", ground_truth, subset, rows, extra)
    budgets = Budgets.of(counts, max_proposals)
    matches = np.zeros((len(thresholds), max_proposals), np.int64)
    for table in _tables(checkpoint, rows):
        chosen = [at for at, video in enumerate(table.ids) if video in rows]
        if chosen:
            matches += count_matches(
                [truth.segments[table.ids[at]] for at in chosen],
                *best_first(table),
                table.first[chosen],
                budgets.kept[[rows[table.ids[at]] for at in chosen]],
                budgets.share,
                thresholds,
            )
    notes = list(budgets.notes(counts))
    done, planned = len(checkpoint.committed()), len(checkpoint.plan.shards)
    if done < planned:
        notes.insert(
            0, f"unfinished: {done:,} of {planned:,} shards; complete it with propose --resume"
        )
    return RecallResult.of(truth, matches, counts, budgets, thresholds, extra, notes)


def _tables(checkpoint: Checkpoint, known: Container[str]) -> Iterator[ResultTable]:
    """Yield the proposals of each shard, without videos that could not be read."""
    for number in sorted(checkpoint.committed()):
        found: dict[str, Proposals] = {}
        for result in checkpoint.read(number):
            proposals = getattr(result, "proposals", None)
            if proposals is not None:
                found[known_id(result.id, known)] = proposals  # type: ignore[union-attr]
        yield ResultTable.of(found)
