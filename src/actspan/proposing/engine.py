"""Who computes the shards of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from actspan.bundle import Bundle
from actspan.data.rescale import Edge
from actspan.pipeline import Pipeline, StageClock
from actspan.proposing.request import Request
from actspan.proposing.work import DatasetWork
from actspan.shards import ShardStore, compute_missing


class Engine(Protocol):
    """Computes shards and commits them; whichever it is, their bytes are the same."""

    def run(self, store: ShardStore, missing: list[int], work: DatasetWork) -> Iterator[int]:
        """Compute `missing` shards; yields the number of each once it is committed, in any order.

        Raises
        ------
        DataError
            `work.lose` did: what was committed before stays.
        """
        ...

    @property
    def clock(self) -> StageClock:
        """Time of the stages, and how many videos have flat scores."""
        ...


# how an engine is made: before the dataset is checked, so that it may get ready meanwhile
EngineMaker = Callable[[Request, Bundle, Edge], AbstractContextManager[Engine]]


class LocalEngine:
    """Threads of this process.

    Raises
    ------
    BundleError, BackendError
        As `Pipeline.load`.
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
        """Compute shards one after the other, each on all threads."""
        return compute_missing(store, missing, self._pipeline, work, batch=self._batch)

    @property
    def clock(self) -> StageClock:
        """Time of the stages, and how many videos have flat scores."""
        return self._pipeline.clock
