"""Model of a service, and batches of concurrent requests for it."""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from importlib.util import find_spec
from threading import Condition, Thread
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from actspan.config.changes import with_changes
from actspan.core.errors import BundleError
from actspan.core.segments import Proposals
from actspan.core.types import Features, Float32
from actspan.data.cells import plan_windows
from actspan.data.dataset import Recording
from actspan.data.detections import Detections
from actspan.model.bundle import Bundle
from actspan.model.nets import BSN, NETS
from actspan.pipeline.classifier import ProposalClassifier
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import VideoInput
from actspan.runtime.opening import choose_backend, open_nets
from actspan.runtime.session import Session
from actspan.server.error_responses import ProblemError
from actspan.server.requests import Metrics
from actspan.server.settings import Limits, ServeSettings

Group = TypeVar("Group")
Answer = TypeVar("Answer")


class _WaitingRequest(NamedTuple):
    """Request of one caller, and the future of its answer."""

    group: Any
    rows: int
    since: float
    answer: Future[Any]


class Batcher(Generic[Group, Answer]):
    """Bounded queue, and workers that take requests from it in batches.

    A request is never split. The first one of a batch waits briefly for others, unless the batch
    is full or the time has passed. `run` maps the groups of a batch to their answers, in order;
    `workers` threads call it. `name` is the label of the metrics.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Group]], Sequence[Answer]],
        limits: Limits,
        workers: int,
        metrics: Metrics,
    ) -> None:
        self._name, self._run, self._limits, self._metrics = name, run, limits, metrics
        self._queue: deque[_WaitingRequest] = deque()
        self._rows = 0  # rows in the queue
        self._pace = 0.0  # recent seconds per row
        self._ready = Condition()
        self._closed = False
        metrics.waiting.labels(name).set_function(lambda: self._rows)
        self._threads = [
            Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    async def answer(self, group: Group, rows: int) -> Answer:
        """Return the answer to a group of `rows` rows.

        Raises ProblemError if too many rows wait (429), the answer takes too long (504), or the
        service stops (503).
        """
        answer, seconds = self._enqueue(group, rows), self._limits.answer_seconds
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(answer)
        except TimeoutError:
            self._metrics.refused.labels("timeout").inc()
            hint = "send less at once, or use /api/jobs for long recordings"
            raise ProblemError(504, f"no answer within {seconds:g} s; {hint}") from None

    def _enqueue(self, group: Group, rows: int) -> Future[Answer]:
        answer: Future[Answer] = Future()
        with self._ready:
            if self._closed:
                raise ProblemError(503, "the service is stopping; try again when it is back")
            # A single request may exceed the limit: the size of its body has its own limit.
            if self._queue and self._rows + rows > self._limits.waiting_rows:
                seconds = math.ceil(self._rows * self._pace / len(self._threads))
                line = f"{self._rows} rows are waiting already; try again in a moment"
                raise self._metrics.refuse("queue", line, min(max(seconds, 1), 60))
            self._queue.append(_WaitingRequest(group, rows, monotonic(), answer))
            self._rows += rows
            self._ready.notify()
        return answer

    def _work(self) -> None:
        while batch := self._take():
            self._answer_all([w for w in batch if w.answer.set_running_or_notify_cancel()])

    def _take(self) -> list[_WaitingRequest]:
        """Return the next batch, or an empty list once the service stops and nothing waits."""
        with self._ready:
            while self._queue or not self._closed:
                left = None
                if self._queue:
                    left = self._queue[0].since + self._limits.batch_delay - monotonic()
                    if self._rows >= self._limits.batch_rows or left <= 0 or self._closed:
                        return self._next_batch()
                self._ready.wait(left)
            return []

    def _next_batch(self) -> list[_WaitingRequest]:
        batch = [self._queue.popleft()]
        rows = batch[0].rows
        while self._queue and rows + self._queue[0].rows <= self._limits.batch_rows:
            batch.append(self._queue.popleft())
            rows += batch[-1].rows
        self._rows -= rows
        if self._queue:
            self._ready.notify()
        return batch

    def _answer_all(self, batch: Sequence[_WaitingRequest]) -> None:
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
            thread.join()


class ServedModel:
    """Bundle that is open for requests; raises BundleError or BackendError if it cannot be opened.

    `videos` batches lists of Features through the pipeline; `rows` batches arrays per network
    through its session.
    """

    def __init__(self, bundle: Bundle, settings: ServeSettings, metrics: Metrics) -> None:
        if bundle.missing_nets or not bundle.nets:
            lacking = " and no ".join(
                net.upper() for net in NETS if net in (bundle.missing_nets or BSN)
            )
            raise BundleError(f"{bundle.path}: contains no {lacking}, which a service needs")
        self.bundle, self.config = bundle, with_changes(bundle.config, settings.changes)
        self.backend = choose_backend(bundle, settings.backend).name
        threads = settings.threads or os.cpu_count() or 1
        nets = [net for net in NETS if net in bundle.nets]
        self.sessions = open_nets(bundle, nets, self.backend, threads)
        self.pipeline = Pipeline(self.sessions, self.config, threads=threads)
        common = (settings.limits, self.pipeline.threads, metrics)
        self.videos = Batcher("pipeline", self._propose, *common)
        self.rows = {n: Batcher(n, _rows_of(net), *common) for n, net in self.sessions.items()}
        self._classifier = ProposalClassifier.open(bundle) if bundle.has_classifier else None
        self._batchers: list[Batcher[Any, Any]] = [self.videos, *self.rows.values()]

    @property
    def channels(self) -> int:
        """Channels of the model's input features."""
        assert self.config.video_network is not None
        return self.config.video_network.channels

    @property
    def takes_videos(self) -> bool:
        """Return True if video files are accepted: the bundle allows it, and PyAV is installed."""
        made = self.bundle.features.extraction
        return made is not None and made.kind == "video" and find_spec("av") is not None

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the model's classifier; none if it has no classifier."""
        return () if self._classifier is None else self._classifier.config.labels

    def detect(self, recording: Recording, proposals: Proposals, top: int) -> Detections:
        """Label the proposals of a recording; raise BundleError without a classifier."""
        if self._classifier is None:
            raise BundleError("the service's model has no classifier, so it gives no detections")
        return self._classifier.detect(recording, proposals, top=top)

    def _propose(self, groups: Sequence[Sequence[Features]]) -> list[list[Proposals]]:
        """Run the pipeline over the videos of several requests."""
        jobs = [VideoInput("", lambda f=f: f) for group in groups for f in group]  # type: ignore[misc]
        outcomes = self.pipeline.run(jobs)
        answers = iter([o.proposals for o in outcomes if o.proposals is not None])
        return [[next(answers) for _ in group] for group in groups]

    def propose_recording(
        self, recording: Recording, progress: Callable[[float], None]
    ) -> Proposals:
        """Return the proposals of a recording; `progress` is called with the done share of it."""
        windows = 1
        if self.config.mode == "window":
            windows = sum(1 for _ in plan_windows(len(recording), self.config.cells))
        # Few chunks are submitted ahead, so that new requests do not wait for the whole recording.
        outcomes = self.pipeline.run([VideoInput("", lambda: recording)], ahead=1)
        proposals = None
        for number, outcome in enumerate(outcomes, start=1):
            progress(number / windows)
            proposals = outcome.proposals  # set by the last window
        assert proposals is not None
        return proposals

    def close(self) -> None:
        """Answer the waiting requests, then free the networks."""
        for batcher in self._batchers:
            batcher.close()
        self.pipeline.close()
        if self._classifier is not None:
            self._classifier.close()


def _rows_of(session: Session) -> Callable[[Sequence[Float32]], list[dict[str, Float32]]]:
    """Return a function that runs a network over the rows of several requests."""
    (name,) = session.input_shapes

    def run(groups: Sequence[Float32]) -> list[dict[str, Float32]]:
        rows = groups[0] if len(groups) == 1 else np.concatenate(groups)
        ends = np.cumsum([len(group) for group in groups])
        outputs = session.run({name: rows})
        parts = zip(*(np.split(output, ends[:-1]) for output in outputs.values()), strict=True)
        return [dict(zip(outputs, part, strict=True)) for part in parts]

    return run
