"""Thread that runs jobs, one after another. Interrupted jobs are repeated after a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Event, Thread
from time import monotonic

from actspan.core.errors import ActSpanError
from actspan.core.types import Proposals
from actspan.data.feature_readers import Entry, read_array
from actspan.data.recording import Recording, plan_windows
from actspan.data.timebase import SnippetGrid
from actspan.pipeline.core import BATCH
from actspan.pipeline.outcomes import VideoInput
from actspan.pipeline.steps import cells, pieces_of
from actspan.server.decoding import Decoder, StoppedError, Task
from actspan.server.job_store import ClaimedJob, JobStore
from actspan.server.model import ServedModel
from actspan.server.operations import Metrics
from actspan.server.proposals import as_json
from actspan.server.settings import ServeSettings

log = logging.getLogger("actspan.server")
_UPDATE = 0.5  # seconds between two updates of progress
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
        proposals = self._propose(recording, lambda done: progress(share + (1 - share) * done))
        return as_json(job.options.select(proposals), recording.seconds)

    def _propose(self, recording: Recording, progress: Callable[[float], None]) -> Proposals:
        config = self._model.config
        windows = 1
        if config.mode == "window":
            windows = sum(1 for _ in plan_windows(len(recording), cells(config)))
        work = pieces_of([VideoInput("", lambda: recording)], config)
        # Few chunks are submitted ahead, so that new requests do not wait for the whole recording.
        outcomes = self._model.pipeline.run_pieces(work, batch=BATCH, ahead=1)
        proposals = None
        for number, outcome in enumerate(outcomes, start=1):
            progress(number / windows)
            proposals = outcome.proposals  # set by the last window
        assert proposals is not None
        return proposals
