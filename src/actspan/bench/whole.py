"""The whole pipeline with overlapping stages, and its halves around each network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from itertools import chain
from pathlib import Path

from actspan.core.parallel import chunked, map_ordered
from actspan.data.answer_tables import answer_writer
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import Job, Outcome, Piece
from actspan.pipeline.recordings import Recordings
from actspan.pipeline.stages import Batch, Steps

__all__ = ["pem_half", "run_all", "tem_half"]


def run_all(pipeline: Pipeline, jobs: Iterable[Job], batch: int, path: Path) -> None:
    """Run from features on disk to a result file, like `actspan propose`."""
    _write(pipeline.run(jobs, batch=batch), path)


def tem_half(
    pool: Executor, streams: int, steps: Steps, pieces: Sequence[Piece], batch: int
) -> None:
    """Run from features on disk to candidates with BSP features, and discard them."""

    def work(chunk: Sequence[Piece]) -> None:
        features = steps.load(chunk)
        steps.candidates(chunk, features, steps.tem(steps.rescale(features)))

    for _ in map_ordered(pool, work, chunked(pieces, batch), ahead=2 * streams):
        pass


def pem_half(
    pool: Executor, streams: int, steps: Steps, batches: Sequence[Batch], rounds: int, path: Path
) -> None:
    """Run from BSP features in memory to a result file, `rounds` times over the same batches."""

    def work(task: tuple[int, Batch]) -> list[Outcome]:
        number, batch = task
        confidence = steps.pem(batch.rows)
        windows = steps.config.mode == "window"
        answers = None if windows else steps.suppress(batch, confidence)
        outcomes = batch.outcomes(confidence, answers)
        return [replace(outcome, id=f"{number}-{outcome.id}") for outcome in outcomes]

    tasks = ((number, batch) for number in range(rounds) for batch in batches)
    done = chain.from_iterable(map_ordered(pool, work, tasks, ahead=2 * streams))
    _write(_finished(done, steps), path)


def _write(outcomes: Iterable[Outcome], path: Path) -> None:
    with answer_writer(path) as writer:
        for outcome in outcomes:
            if outcome.proposals is not None:
                writer.add_entries(outcome.id, outcome.proposals)


def _finished(outcomes: Iterator[Outcome], steps: Steps) -> Iterator[Outcome]:
    """Add the answers of recordings in window mode, each at its last window."""
    if steps.config.mode == "window":
        return map(Recordings(steps.config).add, outcomes)
    return outcomes
