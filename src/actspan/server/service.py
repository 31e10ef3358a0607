"""Service with a model: the process that decodes uploads, and the thread that runs jobs."""

from __future__ import annotations

import json
import logging
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Condition, Event, Lock, Thread
from time import monotonic

from actspan.core.errors import ActSpanError, DataError
from actspan.data.dataset import Recording
from actspan.data.features import Entry, read_array
from actspan.data.timebase import SnippetGrid
from actspan.model.bundle import Bundle
from actspan.server.database import ClaimedJob, Database, JobStore
from actspan.server.proposal_answers import as_json
from actspan.server.requests import Bodies, Metrics
from actspan.server.served_model import ServedModel
from actspan.server.settings import Limits, ServeSettings
from actspan.server.uploads import Task

_POLL = 0.1  # longest time between reports of progress, seconds
_UPDATE = 0.5  # seconds between two updates of progress
_DECODING = {"npy": 0.1, "arrow": 0.1, "video": 0.95}  # share of decoding in a job's progress
log = logging.getLogger("actspan.server")


class StoppedError(Exception):
    """Error that ends a job that was cancelled, or interrupted by the end of the service."""


class Decoder:
    """Process that decodes uploads one after another, with limits.

    It is started at the first use, and again after it was killed. A job's decoder has limited
    processor time and ends after one upload; the other one has a limited time per upload.
    """

    def __init__(self, limits: Limits, *, for_job: bool) -> None:
        self._limits, self._for_job = limits, for_job
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def decode(
        self, task: Task, progress: Callable[[float], None] = lambda fraction: None
    ) -> float:
        """Decode an upload and return the seconds from snippet to snippet.

        `progress` is called several times per second, with the done share; it may raise to stop.
        Raises DataError if the upload cannot be decoded, or not within the limits.
        """
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps(asdict(task)).encode() + b"\n")
                return self._follow(process, progress)
            except BrokenPipeError:
                raise _process_error(process) from None
            finally:
                if self._for_job or process.poll() is not None:
                    self._kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            words = [sys.executable, "-m", "actspan.server.uploads", str(self._limits.decode_bytes)]
            if self._for_job:
                words.append(str(round(self._limits.decode_seconds)))
            self._process = subprocess.Popen(  # noqa: S603  our own module and numbers
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,  # so that `select` sees all unread output
                start_new_session=True,  # Ctrl-C must reach only the service
            )
        return self._process

    def _follow(self, process: subprocess.Popen[bytes], progress: Callable[[float], None]) -> float:
        assert process.stdout is not None
        seconds = self._limits.decode_seconds if self._for_job else self._limits.answer_seconds
        end, done = monotonic() + seconds, 0.0
        while True:
            progress(done)
            if monotonic() > end:
                self._kill()
                raise DataError(f"the upload could not be decoded within {seconds:g} s")
            if not select.select([process.stdout], [], [], _POLL)[0]:
                continue
            line = process.stdout.readline()
            if not line:
                raise _process_error(process)
            reply = json.loads(line)
            if "error" in reply:
                raise DataError(reply["error"])
            if "done" in reply:
                return float(reply["stride"])
            done = reply["progress"]

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with process:  # closes the pipes, and waits for the end
                pass

    def close(self) -> None:
        """Kill the process."""
        with self._lock:
            self._kill()


def _process_error(process: subprocess.Popen[bytes]) -> DataError:
    status = process.wait()
    return DataError(
        f"the process that decodes ended (status {status}): the upload is damaged, or needs more "
        "time or memory than is allowed here"
    )


class JobRunner:
    """Runner of the jobs of a store."""

    def __init__(
        self, store: JobStore, model: ServedModel, settings: ServeSettings, metrics: Metrics
    ) -> None:
        self._store, self._model = store, model
        self._settings, self._metrics = settings, metrics
        self._decoder = Decoder(settings.limits, for_job=True)
        self._thread = Thread(target=self._run_all, name="jobs", daemon=True)
        self._changed = Condition()
        self._closed = False
        self._running = ""
        self._stop = Event()  # stops the running job

    def start(self) -> None:
        """Start with the waiting and interrupted jobs."""
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

    def _run_all(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                self._running = ""
                self._stop.clear()
                job = self._store.claim()
                if job is None:
                    self._changed.wait()
                    continue
                self._running = job.id
            self._run(job)

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
        share, updated = _DECODING[job.kind], monotonic()

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
            stride=job.options.stride or 0.0,
            longest=self._settings.limits.recording_seconds,
            model=str(self._model.bundle.path),
            backend=self._settings.backend,
            backbone=self._settings.backbone,
        )
        stride = self._decoder.decode(task, lambda fraction: progress(share * fraction))
        length = stride if job.kind == "video" else job.options.length or stride
        grid = SnippetGrid(stride, length)
        values = read_array(Entry(features), mapped=True)
        recording = Recording(Entry(Path("upload")), values, grid)
        proposals = self._model.propose_recording(
            recording, lambda fraction: progress(share + (1 - share) * fraction)
        )
        selected, detections = job.options.select(proposals), None
        if job.options.detections:
            detections = self._model.detect(recording, selected, job.options.top_labels)
        return as_json(selected, recording.seconds, detections)


class ProposalService:
    """Model, decoder, jobs and limits of a service, for its operations."""

    def __init__(self, database: Database, settings: ServeSettings, metrics: Metrics) -> None:
        assert settings.model is not None
        self.limits, self.metrics = settings.limits, metrics
        self.bodies = Bodies(settings.limits, metrics)
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

    def close(self) -> None:
        """Queue the running job again, answer the waiting requests, and free everything."""
        self._opened.close()
