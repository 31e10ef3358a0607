"""The thread that runs jobs, whatever they compute."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Condition, Event, Thread
from time import monotonic
from typing import Protocol

from actspan.core.errors import ActSpanError
from actspan.server.job_store import ClaimedJob, JobStore
from actspan.server.requests import Metrics
from actspan.server.storage_errors import StorageError, storage_error
from actspan.server.worker_process import failure_text

_SHORTEST, _LONGEST = 0.1, 3.0  # seconds between two attempts; each pause is twice the last one
_ATTEMPTS = 10  # at a job that finds too little space where others find enough
_IDLE = 5.0  # seconds between two looks for jobs without a notice
_STALLED = 600.0  # seconds without progress after which a job counts as stalled
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
    """Thread that runs the jobs of a store, one after the other.

    While the disk is full or the database cannot be written, it tries again, with pauses: to take
    a job, to run it, and to store its result.
    """

    def __init__(self, store: JobStore, work: Work, metrics: Metrics) -> None:
        self._store, self._work, self._metrics = store, work, metrics
        self._thread = Thread(target=self._run_all, name="jobs", daemon=True)
        self._changed = Condition()
        self._closed = False
        self._recovered = False
        self._job: ClaimedJob | None = None
        self._end: Callable[[], None] | None = None  # stores how the job ended
        self._attempts = 0  # that failed because of the disk, though it has space
        self._stop = Event()  # stops the running job
        self._fault = ""
        self._sign = monotonic()  # time of the last sign of work

    def start(self) -> None:
        """Start with the waiting and interrupted jobs."""
        with suppress(StorageError):  # the thread tries again
            self._recover()
        self._thread.start()

    def fault(self) -> str:
        """Return why no jobs are run now, or "" if they are."""
        if not self._thread.is_alive():
            return "jobs are not run; restart the service"
        if (silent := monotonic() - self._sign) > _STALLED:
            return f"a job has made no progress for {silent:.0f} s"
        return self._fault

    def wake(self) -> None:
        """Notify the runner of a new job."""
        with self._changed:
            self._changed.notify()

    def cancel(self, job: str) -> None:
        """Stop a job if it runs; it must have been removed from the store before."""
        with self._changed:
            if self._job is not None and self._job.id == job:
                self._stop.set()
                self._changed.notify()

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
        pause = _SHORTEST
        while not self._closed:
            self._sign = monotonic()
            try:
                self._run_next()
            except Exception as error:  # noqa: BLE001  this thread must not end
                self._note(error)
                self._wait(pause)
                pause = min(2 * pause, _LONGEST)
            else:
                self._fault, pause = "", _SHORTEST
        if self._job is not None:  # interrupted
            with suppress(Exception):  # the next start queues it again
                (self._end or partial(self._store.requeue, self._job.id))()

    def _run_next(self) -> None:
        """Run a job and store how it ended; continue where an exception ended the last call."""
        if not self._recovered:
            self._recover()
        with self._changed:
            if self._job is None and not self._take():
                self._wait(_IDLE)
                return
        assert self._job is not None
        if self._end is None:
            self._end = self._run(self._job)
        self._end()
        self._job = self._end = None
        self._attempts = 0

    def _recover(self) -> None:
        self._store.recover()
        self._recovered = True

    def _take(self) -> bool:
        """Take the next job from the store; return whether there is one."""
        if not self._closed:
            self._stop.clear()
            self._job = self._store.claim()
        return self._job is not None

    def _run(self, job: ClaimedJob) -> Callable[[], None]:
        """Run a job and return the function that stores how it ended.

        Raises StoppedError if the service stops; any other exception if it must be run again.
        """
        started = monotonic()
        try:
            self._check()
            result = self._work.run(job, self._check)
        except StoppedError:
            if self._closed:
                raise
            return partial(self._work.discard, job.id)  # the job was cancelled
        except Exception as error:
            if storage_error(error) is not None and self._may_try_again():
                raise
            if isinstance(error, ActSpanError):
                return partial(self._fail, job.id, str(error))
            log.exception("job %s failed", job.id)
            return partial(self._fail, job.id, failure_text(error))
        self._metrics.job_seconds.observe(monotonic() - started)
        return partial(self._store.finish, job.id, result=result)

    def _may_try_again(self) -> bool:
        """Return whether to repeat a job; attempts do not count while nothing can be stored."""
        self._attempts += self._store.can_write
        return self._attempts < _ATTEMPTS

    def _fail(self, job: str, error: str) -> None:
        self._work.discard(job)
        self._store.finish(job, error=error)

    def _note(self, error: Exception) -> None:
        """Record and log why no jobs are run, once per reason."""
        if isinstance(error, StoppedError):
            return
        known = storage_error(error)
        fault = failure_text(error) if known is None else known.detail
        if fault != self._fault:
            self._fault = fault
            log.error("jobs wait: %s", fault, exc_info=None if known else error)

    def _wait(self, seconds: float) -> None:
        with self._changed:
            if not self._closed:
                self._changed.wait(seconds)

    def _check(self) -> None:
        self._sign = monotonic()
        if self._stop.is_set():
            raise StoppedError
