"""Faults put into a running service: what it accepted must be done, and it must answer again."""

from __future__ import annotations

import resource
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from actspan.server.database import FILE
from benchmarks.fault_kinds import usual
from benchmarks.fault_world import Case, require
from tests.server.live import Live
from tests.server.services import Process, features, npy, process_of
from tests.server.test_connections import HALF, connected
from tests.small_disk import full_disk, small_disk

_DONE = "every job done"
_LONG = 20_000  # snippets of a job that takes a while


def _words(case: Case, data: Path) -> tuple[object, ...]:
    return ("--model", case.bundle, "--data", data, "--threads", 1)


def _submit(live: Live, number: int) -> list[str]:
    """Submit jobs and return their addresses."""
    addresses = []
    for seed in range(number):
        body = npy(features(_LONG if seed % 2 else 50, seed))
        answer = live.ask("/api/jobs", method="POST", body=body, stride=0.5)
        require(answer.status == 202, f"submit: {answer.status} {answer.body!r}")
        addresses.append(answer.headers["location"])
    return addresses


def _wait(what: str, condition: Callable[[], Any], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        require(time.monotonic() < end, f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


def _finish(service: Process, jobs: list[str]) -> str:
    """Require that a service becomes ready, ends every job and stops in order."""
    live = service.live
    _wait("ready", lambda: live.ask("/readyz").status == 200)
    for job in jobs:
        _wait(job, lambda: live.ask(job).json["state"] in ("done", "failed"))  # noqa: B023
        found = live.ask(job).json
        require(found["state"] == "done", f"{job}: {found['error']}")
    require(service.end() == 0, "the service did not stop in order")
    return _DONE


@usual(6)
def full_disk_of_a_service(case: Case) -> str:
    """Fill the disk of a service for 1 to 5 s while it runs jobs"""
    with (
        small_disk(case.folder / "disk", 32) as disk,
        process_of(*_words(case, disk / "data")) as service,
    ):
        jobs = _submit(service.live, 4)
        time.sleep(case.random.uniform(0, 1))
        with full_disk(disk) as fill:
            end = time.monotonic() + case.random.uniform(1, 5)
            while time.monotonic() < end:
                fill()
                time.sleep(0.05)
            status = service.live.ask("/healthz").status
            require(status == 200, f"/healthz: {status}")
        return _finish(service, jobs)


@usual(6)
def locked_database_of_a_service(case: Case) -> str:
    """Lock the database of a service for 1 to 13 s while it runs jobs"""
    data = case.folder / "data"
    with process_of(*_words(case, data)) as service:
        jobs = _submit(service.live, 4)
        with closing(sqlite3.connect(data / FILE, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(case.random.uniform(1, 13))
            other.execute("ROLLBACK")
        return _finish(service, jobs)


@usual(10)
def kill_a_service(case: Case) -> str:
    """Kill a service (SIGKILL) at random times while it runs jobs"""
    words = _words(case, case.folder / "data")
    with process_of(*words) as service:
        jobs = _submit(service.live, 4)
        time.sleep(case.random.uniform(0, 2))
        service.process.send_signal(signal.SIGKILL)
        service.process.communicate()
    with process_of(*words) as service:
        return _finish(service, jobs)


@usual(2)
def half_open_requests(case: Case) -> str:
    """Open 1,500 half requests to a service that may open 1,024 files"""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    with process_of(*_words(case, case.folder / "data")) as service, ExitStack() as opened:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
        jobs = _submit(service.live, 2)
        for number in range(1500):
            opened.enter_context(connected(service.live)).sendall(HALF)
            if number % 250 == 0:
                status = service.live.ask("/healthz").status
                require(status == 200, f"/healthz: {status}")
        return _finish(service, jobs)
