"""Thread that runs jobs, one after another. Interrupted jobs are repeated after a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Event, Thread
from time import monotonic

from actspan.core.errors import ActSpanError
from actspan.core.types import Proposals
from actspan.data.readers import Entry, read_array
from actspan.data.recording import Recording, plan_windows
from actspan.data.timebase import SnippetGrid
from actspan.pipeline.core import BATCH
from actspan.pipeline.outcomes import Job
from actspan.pipeline.steps import cells, pieces_of
from actspan.server.answers import as_json
from actspan.server.decode_worker import Task
from actspan.server.decoding import Decoder, StoppedError
from actspan.server.job_store import Claimed, JobStore
from actspan.server.metrics import Metrics
from actspan.server.model import ServedModel
from actspan.server.settings import ServeSettings

log = logging.getLogger("actspan.server")
_TELL = 0.5  # seconds between two updates of progress
_DECODING = {"npy": 0.1, "arrow": 0.1, "video": 0.95}  # share of decoding in a job's progress


class JobRunner:
    """Runner of the jobs of a store."""

    def __init__(
        self, store: JobStore, model: ServedModel, settings: ServeSettings, metrics: Metrics
    ) -> None:
        self._store, self._model = store, model
        self._settings, self._metrics = settings, metrics
        self._decoder = Decoder(settings.limits, for_job=True)
        self._thread = Thread(target=self._work, name="jobs", daemon=True)
        self._news = Condition()
        self._closed = False
        self._running = ""
        self._stop = Event()  # stops the running job

    def start(self) -> None:
        """Start with the waiting jobs."""
        self._store.recover()
        self._thread.start()

    def wake(self) -> None:
        """Notify the runner of a new job."""
        with self._news:
            self._news.notify()

    def cancel(self, job: str) -> None:
        """Stop a job if it runs; it must have been removed from the store before."""
        with self._news:
            if self._running == job:
                self._stop.set()

    def close(self) -> None:
        """Stop; the running job is queued again, for the next start."""
        with self._news:
            self._closed = True
            self._stop.set()
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._decoder.close()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._do(job)

    def _next(self) -> Claimed | None:
        with self._news:
            while not self._closed:
                self._running = ""
                self._stop.clear()
                job = self._store.claim()
                if job is not None:
                    self._running = job.id
                    return job
                self._news.wait()
        return None

    def _do(self, job: Claimed) -> None:
        began = monotonic()
        try:
            result = self._result(job, _Progress(self._store, job.id, self._stop))
        except StoppedError:
            if self._closed:
                self._store.put_back(job.id)
            else:
                self._store.drop_files(job.id)  # the job was cancelled
        except ActSpanError as error:
            self._store.finish(job.id, error=str(error))
        except Exception:
            log.exception("job %s failed", job.id)
            self._store.finish(job.id, error="the service failed; its log says why")
        else:
            self._metrics.job_seconds.observe(monotonic() - began)
            self._store.finish(job.id, result=result)

    def _result(self, job: Claimed, progress: _Progress) -> bytes:
        share = _DECODING[job.kind]
        features = self._store.features(job.id)
        stride, length = job.wish.stride, job.wish.length
        task = self._task(job, features)
        found = self._decoder.decode(
            task, stop=self._stop, report=lambda done: progress.tell(share * done)
        )
        if job.kind == "video":
            stride = length = found
        values = read_array(Entry(features), mapped=True)
        recording = Recording(Entry(Path("upload")), values, SnippetGrid(stride, length))
        proposals = self._propose(recording, lambda done: progress.tell(share + (1 - share) * done))
        return as_json(job.wish.chosen(proposals), recording.seconds)

    def _task(self, job: Claimed, features: Path) -> Task:
        return Task(
            kind=job.kind,
            source=str(self._store.upload(job.id)),
            target=str(features),
            channels=self._model.channels,
            stride=job.wish.stride,
            longest=self._settings.limits.recording_seconds,
            model=str(self._model.bundle.path),
            backend=self._settings.backend,
            backbone=self._settings.backbone,
        )

    def _propose(self, recording: Recording, report: Callable[[float], None]) -> Proposals:
        config = self._model.config
        parts = 1
        if config.mode == "window":
            parts = sum(1 for _ in plan_windows(len(recording), cells(config)))
        work = pieces_of([Job("", lambda: recording)], config)
        # Few chunks are submitted ahead, so that new requests do not wait for the whole recording.
        outcomes = self._model.pipeline.run_pieces(work, batch=BATCH, ahead=1)
        found = None
        for number, outcome in enumerate(outcomes, start=1):
            report(number / parts)
            found = outcome.proposals  # set by the last window
        assert found is not None
        return found


class _Progress:
    """Recorder of a job's progress, which also stops the job on request."""

    def __init__(self, store: JobStore, job: str, stop: Event) -> None:
        self._store, self._job, self._stop = store, job, stop
        self._told = monotonic()

    def tell(self, progress: float) -> None:
        """Record the progress now and then.

        Raises
        ------
        StoppedError
            The job must stop.
        """
        if self._stop.is_set():
            raise StoppedError
        if monotonic() - self._told >= _TELL:
            self._told = monotonic()
            self._store.note_progress(self._job, progress)
