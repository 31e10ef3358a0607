"""Engines compute the shards of a job; the one here uses threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, Self

from actspan.core.errors import DataError, ResultError
from actspan.core.problems import Problem
from actspan.core.progress import Progress
from actspan.jobs.checkpoint import Checkpoint
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.shard_format import Result
from actspan.jobs.source import Source
from actspan.model.bundle import Bundle
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import Failure, Outcome, StageClock


class Engine(Protocol):
    """Computation of shards, whose bytes do not depend on the engine."""

    @property
    def clock(self) -> StageClock:
        """Time of the stages, and number of videos with flat scores."""
        ...

    def run(
        self, checkpoint: Checkpoint, missing: Sequence[int], progress: Progress
    ) -> Iterator[tuple[int, Iterable[Result] | None]]:
        """Compute missing shards; yield the number and results of each, in any order.

        Results are computed while they are consumed, which must end before the next shard. They
        are None if a worker has committed the shard already. Raises DataError if a video cannot be
        read and none may be skipped.
        """
        ...


# An engine is made before the source is checked, so that both can happen in parallel.
EngineMaker = Callable[[ProposeRequest, Bundle, Source], AbstractContextManager[Engine]]


class LocalEngine:
    """Engine that computes shards one after the other, on all threads.

    The videos of all shards pass through the pipeline in one stream, so that no thread waits where
    one shard ends and the next begins. A shard depends only on the plan and the model, so its bytes
    are the same wherever it is computed.
    """

    def __init__(self, request: ProposeRequest, bundle: Bundle, source: Source) -> None:
        self._source = source
        # A decoder takes most of the time, so batching the networks would save nothing.
        decoded = source.is_decoded
        self._pipeline = Pipeline.load(
            bundle,
            backend=request.backend,
            threads=1 if decoded else request.threads,
            edge=source.edge,
            tem=request.scores is None,
        )
        self._batch = 1 if decoded else request.batch
        self._ahead = 0 if decoded else 2 * self._pipeline.threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._pipeline.close()

    @property
    def clock(self) -> StageClock:
        """Time of the stages, and number of videos with flat scores."""
        return self._pipeline.clock

    def run(
        self, checkpoint: Checkpoint, missing: Sequence[int], progress: Progress
    ) -> Iterator[tuple[int, Iterable[Result]]]:
        """Compute shards in order; see `Engine.run`."""
        plan = checkpoint.plan
        videos = (video for number in missing for video in plan.ids(number))
        pieces = self._source.pieces(videos, progress)
        results = self._pipeline.attempt(pieces, batch=self._batch, ahead=self._ahead)
        for number in missing:
            yield number, self._shard(plan.ids(number), results)

    def _shard(
        self, videos: Iterable[str], results: Iterator[Outcome | Failure]
    ) -> Iterator[Result]:
        """Yield the results of these videos, and take no more from the stream."""
        for video in videos:
            done = False
            while not done:
                result = next(results, None)
                if result is None or result.id != video:
                    raise ResultError(f"video {video!r}: no result was computed")
                done = isinstance(result, Failure) or result.proposals is not None
                if done and (note := self._source.ending_note(video)) is not None:
                    yield note
                if isinstance(result, Failure):
                    yield _skip_or_raise(self._source, result)
                else:
                    yield result


def _skip_or_raise(source: Source, failure: Failure) -> Problem:
    """Return the problem of a video that could not be read, or raise if none may be skipped."""
    folder = source.folder
    if folder is not None and not folder.is_dir():
        raise DataError(
            f"{folder}: the dataset is gone; is its disk still there?"
        ) from failure.error
    file = source.file(failure.id)
    what = str(failure.error).removeprefix(f"{file}: ")
    if source.request.on_error == "fail":
        raise DataError(
            f"{file}: {what}; fix it, or leave this video out: --on-error skip"
        ) from failure.error
    return Problem(failure.id, file, what, "compute it again, or leave it out")
