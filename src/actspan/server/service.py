"""Service with a model: its parts, the bodies of requests, and the thread that runs jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from threading import Condition, Event, Thread
from time import monotonic

from fastapi import Request
from starlette.requests import ClientDisconnect

from actspan.core.errors import ActSpanError
from actspan.core.files import sync
from actspan.data.dataset import Recording
from actspan.data.features import Entry, read_array
from actspan.data.timebase import SnippetGrid
from actspan.model.bundle import Bundle
from actspan.server.database import ClaimedJob, Database, JobStore
from actspan.server.decoding import Decoder, StoppedError, Task
from actspan.server.error_responses import ProblemError
from actspan.server.operations import Metrics
from actspan.server.proposals import as_json
from actspan.server.served_model import ServedModel
from actspan.server.settings import ServeSettings

_BODIES_AT_ONCE = 8  # number of largest bodies that fit in memory together
_BLOCK = 1 << 20  # bytes to collect before a write
_UPDATE = 0.5  # seconds between two updates of progress
_DECODING = {"npy": 0.1, "arrow": 0.1, "video": 0.95}  # share of decoding in a job's progress
_CLOSED = "the connection closed before the end of the body"
log = logging.getLogger("actspan.server")


class JobRunner:
    """Runner of the jobs of a store."""

    def __init__(
        self, store: JobStore, model: ServedModel, settings: ServeSettings, metrics: Metrics
    ) -> None:
        self._store, self._model = store, model
        self._settings, self._metrics = settings, metrics
        self._decoder = Decoder(settings.limits, for_job=True)
        self._thread = Thread(target=self._work, name="jobs", daemon=True)
        self._changed = Condition()
        self._closed = False
        self._running = ""
        self._stop = Event()  # stops the running job

    def start(self) -> None:
        """Start with the waiting jobs."""
        self._store.recover()
        self._thread.start()

    def wake(self) -> None:
        """Notify the runner of a new job."""
        with self._changed:
            self._changed.notify()

    def cancel(self, job: str) -> None:
        """Stop a job if it runs; it must have been removed from the store before."""
        with self._changed:
            if self._running == job:
                self._stop.set()

    def close(self) -> None:
        """Stop; the running job is queued again, for the next start."""
        with self._changed:
            self._closed = True
            self._stop.set()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._decoder.close()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._run(job)

    def _next(self) -> ClaimedJob | None:
        with self._changed:
            while not self._closed:
                self._running = ""
                self._stop.clear()
                job = self._store.claim()
                if job is not None:
                    self._running = job.id
                    return job
                self._changed.wait()
        return None

    def _run(self, job: ClaimedJob) -> None:
        started = monotonic()
        try:
            result = self._result(job)
        except StoppedError:
            if self._closed:
                self._store.requeue(job.id)
            else:
                self._store.remove_files(job.id)  # the job was cancelled
        except ActSpanError as error:
            self._store.finish(job.id, error=str(error))
        except Exception:
            log.exception("job %s failed", job.id)
            self._store.finish(job.id, error="the service failed; its log says why")
        else:
            self._metrics.job_seconds.observe(monotonic() - started)
            self._store.finish(job.id, result=result)

    def _result(self, job: ClaimedJob) -> bytes:
        share = _DECODING[job.kind]
        updated = monotonic()

        def progress(fraction: float) -> None:
            nonlocal updated
            if self._stop.is_set():
                raise StoppedError
            if monotonic() - updated >= _UPDATE:
                updated = monotonic()
                self._store.set_progress(job.id, fraction)

        features = self._store.features(job.id)
        task = Task(
            kind=job.kind,
            source=str(self._store.upload(job.id)),
            target=str(features),
            channels=self._model.channels,
            stride=job.options.stride,
            longest=self._settings.limits.recording_seconds,
            model=str(self._model.bundle.path),
            backend=self._settings.backend,
            backbone=self._settings.backbone,
        )
        stride = self._decoder.decode(
            task, stop=self._stop, progress=lambda fraction: progress(share * fraction)
        )
        grid = SnippetGrid(stride, stride if job.kind == "video" else job.options.length)
        values = read_array(Entry(features), mapped=True)
        recording = Recording(Entry(Path("upload")), values, grid)
        proposals = self._model.propose_recording(
            recording, lambda fraction: progress(share + (1 - share) * fraction)
        )
        return as_json(job.options.select(proposals), recording.seconds)


class ProposalService:
    """Model, decoder, jobs and limits of a service, for its operations."""

    def __init__(self, database: Database, settings: ServeSettings, metrics: Metrics) -> None:
        assert settings.model is not None
        self.limits, self._metrics = settings.limits, metrics
        self._free = _BODIES_AT_ONCE * self.limits.request_bytes  # bytes of memory for bodies
        bundle = Bundle.load(settings.model)
        self.store = JobStore(database, settings.data, self.limits.kept_jobs)
        with ExitStack() as opened:
            self.model = opened.enter_context(closing(ServedModel(bundle, settings, metrics)))
            self.decoder = opened.enter_context(closing(Decoder(self.limits, for_job=False)))
            runner = JobRunner(self.store, self.model, settings, metrics)
            self.runner = opened.enter_context(closing(runner))
            self._opened = opened.pop_all()  # setup succeeded, so everything stays open
        for state in self.store.counts():
            metrics.jobs.labels(state).set_function(partial(self._count, state))

    def _count(self, state: str) -> int:
        return self.store.counts()[state]

    def start(self) -> None:
        """Start to answer requests and to run waiting and interrupted jobs."""
        self.model.start()
        self.runner.start()

    def close(self) -> None:
        """Queue the running job again, answer the waiting requests, and free everything."""
        self._opened.close()

    def refuse(self, reason: str, detail: str, retry_after: int) -> ProblemError:
        """Count a refusal because of a limit, and return its error (429)."""
        self._metrics.refused.labels(reason).inc()
        return ProblemError(429, detail, {"Retry-After": str(retry_after)})

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytearray]:
        """Yield a body in memory; its memory counts as used until the block ends.

        Raises ProblemError if the body breaks off (400), arrives too slowly (408), or others take
        up the memory (429).
        """
        body, reserved = bytearray(), 0
        try:
            async with _time_limit(self.limits.body_seconds):
                async for chunk in request.stream():
                    if len(chunk) > self._free:
                        raise self.refuse("memory", "too many large requests at once; ask again", 1)
                    self._free -= len(chunk)
                    reserved += len(chunk)
                    body += chunk
            yield body
        except ClientDisconnect:
            raise ProblemError(400, _CLOSED) from None
        finally:
            self._free += reserved

    async def store_body(self, request: Request, path: Path) -> int:
        """Write a body durably to a new file and return its size. Remove the file on failure.

        Raises ProblemError if the body breaks off (400), arrives too slowly (408), or the disk is
        full (507).
        """
        try:
            return await _write(request, path, self.limits.body_seconds)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, ClientDisconnect):
                raise ProblemError(400, _CLOSED) from None
            if isinstance(error, OSError):
                raise ProblemError(507, f"the upload cannot be stored: {error.strerror}") from error
            raise


async def _write(request: Request, path: Path, seconds: float) -> int:
    size, block = 0, bytearray()
    with path.open("xb") as stream:
        chunks = aiter(request.stream())
        while True:
            async with _time_limit(seconds):  # per chunk: uploads may take long
                chunk = await anext(chunks, None)
            block += chunk or b""
            if chunk is None or len(block) >= _BLOCK:
                size += await asyncio.to_thread(stream.write, bytes(block))
                block.clear()
            if chunk is None:
                break
    await asyncio.to_thread(sync, path)
    await asyncio.to_thread(sync, path.parent)
    return size


@asynccontextmanager
async def _time_limit(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ProblemError(408, f"the body did not arrive within {seconds:g} s") from None
