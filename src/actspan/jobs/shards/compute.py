"""Computation of shards from a plan and a pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from actspan.core.errors import ResultError
from actspan.core.problems import Problem
from actspan.jobs.shards.plan import Plan
from actspan.jobs.shards.records import Result, encode_shard
from actspan.jobs.shards.store import ShardStore
from actspan.pipeline.core import BATCH, Pipeline
from actspan.pipeline.outcomes import Job, Lost, Outcome


class Work(Protocol):
    """Contract for opening videos, and for handling those that cannot be read."""

    def job(self, video: str) -> Job:
        """Return the job of one video of the plan."""
        ...

    def lose(self, lost: Lost) -> Problem:
        """Return the problem of a video that could not be read, or raise to stop the run."""
        ...


def compute_missing(
    store: ShardStore, missing: Iterable[int], pipeline: Pipeline, work: Work, *, batch: int = BATCH
) -> Iterator[int]:
    """Compute shards in order in this process, commit each, and yield its number.

    The videos of all shards pass through the pipeline in one stream, so that no worker waits where
    one shard ends and the next begins. A shard depends only on the plan and the model, so its bytes
    are the same wherever it is computed.

    Raises
    ------
    DataError
        A video could not be read, and `work` raises; the shards before it are committed.
    """
    plan, missing = store.plan, list(missing)
    videos = (video for number in missing for video in plan.ids(number))
    results = _results(videos, pipeline, work, batch)
    for number in missing:
        shard = _shard(plan.ids(number), results)
        store.commit(number, encode_shard(plan, number, shard))
        yield number


def in_order(plan: Plan, done: Iterable[int], finished: Iterator[int]) -> Iterator[int]:
    """Yield the shards of a plan in order, each once it and those before it are committed.

    Parameters
    ----------
    done : iterable of int
        Shards that are already committed.
    finished : iterator of int
        Numbers of the other shards, in the order in which they are committed.
    """
    there = set(done)
    for number in range(len(plan)):
        while number not in there:
            there.add(next(finished))
        there.discard(number)
        yield number


def _results(videos: Iterable[str], pipeline: Pipeline, work: Work, batch: int) -> Iterator[Result]:
    for result in pipeline.attempt(map(work.job, videos), batch=batch):
        yield work.lose(result) if isinstance(result, Lost) else result


def _shard(videos: tuple[str, ...], results: Iterator[Result]) -> Iterator[Result]:
    """Yield the results of these videos, and take no more from the stream."""
    expected = iter(videos)
    video = next(expected, None)
    while video is not None:
        result = next(results, None)
        if result is None or _video(result) != video:
            raise ResultError(f"video {video!r}: no result came of it")
        yield result
        if isinstance(result, Problem) or result.proposals is not None:
            video = next(expected, None)


def _video(result: Result) -> str:
    return result.id if isinstance(result, Outcome) else result.video
