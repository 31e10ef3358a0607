"""The thread that checks whether the service can work: its disk, its database and its jobs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from threading import Event, Thread

from actspan.server.database import Database
from actspan.server.job_runner import JobRunner
from actspan.server.storage_errors import StorageError

_PAUSE = 1.0  # seconds between two checks
log = logging.getLogger("actspan.server")


class Watch:
    """Thread that probes the database, so that a fault is known before requests meet it.

    It also ends a fault of the database, as soon as a probe succeeds.
    """

    def __init__(self, database: Database, runners: Sequence[JobRunner]) -> None:
        self._database, self._runners = database, runners
        self._stop = Event()
        self._thread = Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Probe once, then start the thread."""
        self._database.probe()
        self._thread.start()

    def check(self) -> None:
        """Raise StorageError (503) if the service cannot work now."""
        fault = self._database.fault
        reasons = [] if fault is None else [fault.detail]
        for reason in [*reasons, *(runner.fault() for runner in self._runners)]:
            if reason:
                raise StorageError(503, reason)

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE):
            before = self._database.fault
            self._database.probe()
            now = self._database.fault
            if before is None and now is not None:
                log.error("nothing is accepted: %s", now.detail)
            elif before is not None and now is None:
                log.error("the disk and the database can be written again")
                for runner in self._runners:
                    runner.wake()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
