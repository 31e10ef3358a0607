"""Batches of concurrent requests, which the networks process together."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from time import monotonic
from typing import Generic, TypeVar

from actspan.server.operations import Metrics
from actspan.server.problems import ProblemError
from actspan.server.settings import Batching, Limits

Group = TypeVar("Group")
Answer = TypeVar("Answer")

_LONGEST_RETRY = 60  # seconds


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[Group, Answer]):
    """Request of one caller, and the future of its answer."""

    group: Group
    rows: int
    since: float
    answer: Future[Answer] = field(default_factory=Future)


class Batcher(Generic[Group, Answer]):
    """Bounded queue, and workers that take requests from it in batches.

    A request is never split. The first request of a batch waits briefly for others, unless the
    batch is full or the request has already waited that long.

    Parameters
    ----------
    name : str
        Label of the metrics.
    run : function
        Maps the groups of a batch to their answers, in order; called by several threads.
    batching, limits : Batching, Limits
    workers : int
        Number of batches that are processed at a time.
    metrics : Metrics
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Group]], Sequence[Answer]],
        batching: Batching,
        limits: Limits,
        workers: int,
        metrics: Metrics,
    ) -> None:
        self._name, self._run, self._metrics = name, run, metrics
        self._batching, self._limits = batching, limits
        self._queue: deque[_Waiting[Group, Answer]] = deque()
        self._rows = 0  # rows in the queue
        self._pace = 0.0  # recent seconds per row
        self._ready = Condition()
        self._closed = False
        self._threads = [
            Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(workers)
        ]
        metrics.waiting.labels(name).set_function(lambda: self._rows)

    def start(self) -> None:
        """Start to process requests."""
        for thread in self._threads:
            thread.start()

    async def answer(self, group: Group, rows: int) -> Answer:
        """Return the answer to a group of `rows` rows.

        Raises
        ------
        ProblemError
            Too many rows wait (429), the answer takes too long (504), or the service stops (503).
        """
        waiting = self._enqueue(group, rows)
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                return await asyncio.wrap_future(waiting.answer)
        except TimeoutError:
            self._metrics.refused.labels("timeout").inc()
            raise ProblemError(
                504,
                f"no answer within {self._limits.answer_seconds:g} s; send less at once, or use "
                "/api/jobs for long recordings",
            ) from None

    def _enqueue(self, group: Group, rows: int) -> _Waiting[Group, Answer]:
        waiting: _Waiting[Group, Answer] = _Waiting(group, rows, monotonic())
        with self._ready:
            if self._closed:
                raise ProblemError(503, "the service stops; ask again when it is back")
            # A single request may exceed the limit: the size of its body has its own limit.
            if self._queue and self._rows + rows > self._limits.waiting_rows:
                self._metrics.refused.labels("queue").inc()
                seconds = math.ceil(self._rows * self._pace / len(self._threads))
                raise ProblemError(
                    429,
                    f"{self._rows} rows wait already; ask again in a moment",
                    {"Retry-After": str(min(max(seconds, 1), _LONGEST_RETRY))},
                )
            self._queue.append(waiting)
            self._rows += rows
            self._ready.notify()
        return waiting

    def _work(self) -> None:
        while batch := self._take():
            self._answer_all([w for w in batch if w.answer.set_running_or_notify_cancel()])

    def _take(self) -> list[_Waiting[Group, Answer]]:
        """Return the next batch, or an empty list once the service stops and nothing waits."""
        with self._ready:
            while True:
                while not self._queue:
                    if self._closed:
                        return []
                    self._ready.wait()
                left = self._queue[0].since + self._batching.delay - monotonic()
                if self._rows >= self._batching.rows or left <= 0 or self._closed:
                    return self._next_batch()
                self._ready.wait(left)

    def _next_batch(self) -> list[_Waiting[Group, Answer]]:
        batch = [self._queue.popleft()]
        rows = batch[0].rows
        while self._queue and rows + self._queue[0].rows <= self._batching.rows:
            rows += self._queue[0].rows
            batch.append(self._queue.popleft())
        self._rows -= rows
        if self._queue:
            self._ready.notify()
        return batch

    def _answer_all(self, batch: Sequence[_Waiting[Group, Answer]]) -> None:
        if not batch:
            return
        started, rows = monotonic(), sum(waiting.rows for waiting in batch)
        try:
            answers = self._run([waiting.group for waiting in batch])
        except Exception as error:  # noqa: BLE001  the callers receive the error
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for waiting in batch:  # one bad request must not fail the others
                self._answer_all([waiting])
            return
        self._pace += 0.2 * ((monotonic() - started) / max(rows, 1) - self._pace)
        self._metrics.batch_rows.labels(self._name).observe(rows)
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.answer.set_result(answer)

    def close(self) -> None:
        """Answer the waiting requests, and accept no more."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
