"""Engines that compute the shards of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from actspan.data.rescale import Edge
from actspan.jobs.proposing.request import Request
from actspan.jobs.proposing.work import DatasetWork
from actspan.jobs.shards.compute import compute_missing
from actspan.jobs.shards.store import ShardStore
from actspan.model.bundle import Bundle
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import StageClock


class Engine(Protocol):
    """An engine that computes and commits shards, whose bytes do not depend on the engine."""

    def run(self, store: ShardStore, missing: list[int], work: DatasetWork) -> Iterator[int]:
        """Compute `missing` shards; yield the number of each once it is committed, in any order.

        Raises
        ------
        DataError
            Raised by `work.lose`; shards that are committed stay.
        """
        ...

    @property
    def clock(self) -> StageClock:
        """Time of the stages, and number of videos with flat scores."""
        ...


# An engine is made before the dataset is checked, so that both can happen in parallel.
EngineMaker = Callable[[Request, Bundle, Edge], AbstractContextManager[Engine]]


class LocalEngine:
    """An engine of threads in this process.

    Raises
    ------
    BundleError, BackendError
        The same as `Pipeline.load`.
    """

    def __init__(self, request: Request, bundle: Bundle, edge: Edge) -> None:
        self._batch = request.batch
        self._pipeline = Pipeline.load(
            bundle,
            backend=request.backend,
            threads=request.threads,
            edge=edge,
            tem=request.scores is None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipeline.close()

    def run(self, store: ShardStore, missing: list[int], work: DatasetWork) -> Iterator[int]:
        """Compute shards one after the other, on all threads."""
        return compute_missing(store, missing, self._pipeline, work, batch=self._batch)

    @property
    def clock(self) -> StageClock:
        """Time of the stages, and number of videos with flat scores."""
        return self._pipeline.clock
