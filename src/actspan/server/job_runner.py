"""The thread that runs jobs, whatever they compute."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Condition, Event, Thread
from time import monotonic
from typing import Protocol

from actspan.core.errors import ActSpanError
from actspan.server.job_store import ClaimedJob, JobStore
from actspan.server.requests import Metrics
from actspan.server.worker_process import failure_text

log = logging.getLogger("actspan.server")

Check = Callable[[], None]  # raises StoppedError if the job must stop; to be called often


class StoppedError(Exception):
    """Error that ends a job that was cancelled, or interrupted by the end of the service."""


class Work(Protocol):
    """Computation of one kind of jobs."""

    def run(self, job: ClaimedJob, check: Check) -> bytes:
        """Return the result of a job, JSON; raise ActSpanError if it fails."""

    def discard(self, job: str) -> None:
        """Remove the files of a job that was cancelled or failed."""

    def close(self) -> None:
        """End the processes of the computation."""


class JobRunner:
    """Thread that runs the jobs of a store, one after the other."""

    def __init__(self, store: JobStore, work: Work, metrics: Metrics) -> None:
        self._store, self._work, self._metrics = store, work, metrics
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
        self._work.close()

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
            result = self._work.run(job, self._check)
        except StoppedError:
            if self._closed:
                self._store.requeue(job.id)
            else:
                self._work.discard(job.id)  # the job was cancelled
        except ActSpanError as error:
            self._work.discard(job.id)
            self._store.finish(job.id, error=str(error))
        except Exception as error:
            log.exception("job %s failed", job.id)
            self._work.discard(job.id)
            self._store.finish(job.id, error=failure_text(error))
        else:
            self._metrics.job_seconds.observe(monotonic() - started)
            self._store.finish(job.id, result=result)

    def _check(self) -> None:
        if self._stop.is_set():
            raise StoppedError
