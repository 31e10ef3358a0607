"""A disk that is full for a while, a database that others lock: refused, repeated, never lost."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fastapi.testclient import TestClient

from actspan import Bundle
from actspan.core.errors import DataError
from actspan.server import database as database_module
from actspan.server import job_runner
from actspan.server.database import FILE, Database
from actspan.server.job_runner import Check, JobRunner
from actspan.server.job_store import ClaimedJob, JobStore
from actspan.server.requests import Metrics
from actspan.server.storage_errors import StorageError, storage_error
from actspan.server.worker_process import WorkerProcess
from tests.server.services import client_of, features, npy
from tests.server.test_jobs import expected, finished, wait_for
from tests.small_disk import full_disk, small_disk

LONG = 60_000  # snippets, so that a job runs for seconds
FILMS = "/api/browse"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "_PATIENCE", 0.2)


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the write lock of a service's database, as another program might."""
    with closing(sqlite3.connect(data / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    try:
        with small_disk(tmp_path / "disk", 32) as folder:
            yield folder
    except PermissionError as error:
        pytest.skip(str(error))


def ready(client: TestClient) -> int:
    return client.get("/readyz").status_code


def submit(client: TestClient, snippets: int) -> str:
    answer = client.post("/api/jobs", content=npy(features(snippets)))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def check_done(client: TestClient, job: str, model: Bundle, snippets: int) -> None:
    assert finished(client, job)["state"] == "done"
    answer = client.get(f"/api/jobs/{job}/result").json()
    assert [p["score"] for p in answer["proposals"]] == expected(model, features(snippets))


def test_a_locked_database_ends_no_job(window_bundle: Bundle, tmp_path: Path) -> None:
    with client_of(tmp_path, model=window_bundle.path) as client:
        jobs = [submit(client, LONG), submit(client, 50)]
        wait_for(lambda: client.get(f"/api/jobs/{jobs[0]}").json()["progress"] > 0)
        with locked(tmp_path):
            wait_for(lambda: ready(client) == 503)
            refused = client.post("/api/jobs", content=npy(features()))
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
            assert "another program has locked" in refused.json()["detail"]
            assert client.delete(f"/api/jobs/{jobs[0]}").status_code == 503
            assert client.get(f"/api/jobs/{jobs[1]}").status_code == 200
            assert client.get("/healthz").status_code == 200
            direct = client.post("/api/propose", content=npy(features()))
            assert direct.status_code == 200
        wait_for(lambda: ready(client) == 200)
        check_done(client, jobs[0], window_bundle, LONG)
        check_done(client, jobs[1], window_bundle, 50)
        check_done(client, submit(client, 60), window_bundle, 60)


def test_a_full_disk_ends_no_job(window_bundle: Bundle, disk: Path) -> None:
    with client_of(disk / "data", model=window_bundle.path) as client:
        jobs = [submit(client, LONG), submit(client, 50)]
        with full_disk(disk):
            wait_for(lambda: ready(client) == 503)
            refused = client.post("/api/jobs", content=npy(features()))
            assert refused.status_code == 503
            assert "full" in refused.json()["detail"]
            assert client.get("/healthz").status_code == 200
        wait_for(lambda: ready(client) == 200)
        check_done(client, jobs[0], window_bundle, LONG)
        check_done(client, jobs[1], window_bundle, 50)
        assert list((disk / "data" / "uploads").iterdir()) == []


def test_an_upload_that_does_not_fit_is_507_and_others_go_on(bundle: Bundle, disk: Path) -> None:
    with client_of(disk / "data", model=bundle.path) as client:
        large = npy(features(2_000_000))
        for content in (large, iter([large])):  # with its length said before, and without
            answer = client.post("/api/jobs", content=content)
            assert answer.status_code == 507
            assert answer.headers["content-type"] == "application/problem+json"
        wait_for(lambda: ready(client) == 200)
        check_done(client, submit(client, 60), bundle, 60)


def test_a_row_that_does_not_fit_is_507(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.transaction() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
    insert = "INSERT INTO corrections VALUES (?, 1, ?, '')"
    with pytest.raises(StorageError, match="full") as first:
        database.execute(insert, "a", "x" * 100_000)
    assert first.value.status == 507
    with pytest.raises(StorageError, match="full") as second:  # at once, without an attempt
        database.execute(insert, "z", "")
    assert second.value.status == 503
    database.close()


def test_a_wrong_statement_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        database.execute("DELETE FROM no_table")
    assert database.fault is None
    database.close()


def test_a_database_that_is_locked_at_the_start_says_so(tmp_path: Path) -> None:
    Database(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DataError, match="end the program that has locked it"):
            Database(tmp_path)


def test_other_changes_are_refused_while_the_database_is_locked(tmp_path: Path) -> None:
    truth = {"taxonomy": [], "version": "1", "database": {}}
    truth["database"] = {
        "film": {"duration": 9.0, "subset": "validation", "annotations": [{"segment": [1, 2]}]}
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    with client_of(tmp_path / "data", ground_truth=tmp_path / "truth.json") as client:
        body = {"revision": 0, "segments": [{"start": 1, "end": 2}]}
        with locked(tmp_path / "data"):
            for _ in range(2):  # the second one without waiting for the lock
                answer = client.put(f"{FILMS}/corrections", params={"id": "film"}, json=body)
                assert answer.status_code == 503, answer.text
        wait_for(lambda: ready(client) == 200)
        answer = client.put(f"{FILMS}/corrections", params={"id": "film"}, json=body)
        assert answer.status_code == 200


class Scripted:
    """Work that raises errors, one per attempt, and then returns."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors, self.attempts, self.discarded = list(errors), 0, 0
        self.release = Event()

    def run(self, job: ClaimedJob, check: Check) -> bytes:
        check()
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return b"{}"

    def discard(self, job: str) -> None:
        self.discarded += 1

    def close(self) -> None:
        self.release.set()


@pytest.fixture
def running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Scripted], tuple[JobStore, JobRunner]]]:
    """Yield a function that starts a runner of some work."""
    monkeypatch.setattr(job_runner, "_LONGEST", 0.2)
    database = Database(tmp_path)
    started: list[JobRunner] = []

    def run(work: Scripted) -> tuple[JobStore, JobRunner]:
        store = JobStore(database, "upload", kept=10)
        store.add("a" * 32, "", "npy", {})
        started.append(JobRunner(store, work, Metrics()))
        started[0].start()
        return store, started[0]

    yield run
    for runner in started:
        runner.close()
    database.close()


def ended(store: JobStore) -> Any:
    found = store.find("a" * 32)
    return found if found.state in ("done", "failed") else None


def full() -> DataError:
    try:
        raise DataError("features: cannot be written") from OSError(errno.ENOSPC, "full")
    except DataError as error:
        return error


def test_work_that_finds_a_full_disk_is_repeated(running: Callable) -> None:
    work = Scripted(full(), OSError(errno.EMFILE, "too many open files"), full())
    store, runner = running(work)
    assert wait_for(lambda: ended(store)).state == "done"
    assert (work.attempts, work.discarded) == (4, 0)
    wait_for(lambda: runner.fault() == "")


def test_work_that_never_fits_fails_and_the_next_job_runs(running: Callable) -> None:
    work = Scripted(*(full() for _ in range(10)))
    store, runner = running(work)
    assert wait_for(lambda: ended(store)).error == "features: cannot be written"
    assert work.discarded == 1
    store.add("b" * 32, "", "npy", {})
    runner.wake()
    wait_for(lambda: store.find("b" * 32).state == "done")


def test_an_error_of_the_input_fails_at_once(running: Callable) -> None:
    work = Scripted(DataError("damaged"), RuntimeError("unexpected"))
    store, _ = running(work)
    assert wait_for(lambda: ended(store)).error == "damaged"
    assert work.attempts == 1


def test_a_result_is_kept_until_it_can_be_stored(running: Callable, tmp_path: Path) -> None:
    class Locking(Scripted):
        def run(self, job: ClaimedJob, check: Check) -> bytes:
            other.execute("BEGIN IMMEDIATE")
            return super().run(job, check)

    work = Locking()
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None, check_same_thread=False)
    with closing(other):
        store, runner = running(work)
        wait_for(lambda: "locked" in runner.fault())
        assert store.find("a" * 32).state == "running"
        other.execute("ROLLBACK")
        store._database.probe()
        assert wait_for(lambda: ended(store)).state == "done"
        assert work.attempts == 1


def test_a_runner_that_cannot_go_on_is_reported(
    running: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobStore, "claim", lambda store: 1 / 0)
    _, runner = running(Scripted())
    wait_for(lambda: "ZeroDivisionError" in runner.fault())
    monkeypatch.setattr(job_runner, "_STALLED", -1)
    assert "no progress" in runner.fault()
    runner.close()
    assert "not run" in runner.fault()


def test_a_process_passes_on_that_the_disk_is_full(tmp_path: Path) -> None:
    (tmp_path / "full_module.py").write_text(
        "from actspan.core.files import atomic_file\n"
        "from actspan.server.worker_process import answer_tasks\n"
        "def answer(task, send):\n"
        "    with atomic_file(__import__('pathlib').Path(task['path'])):\n"
        "        raise OSError(28, 'No space left on device')\n"
        "def main():\n"
        "    answer_tasks(answer)\n"
    )
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join((str(tmp_path), before))
    worker = WorkerProcess(["full_module"], "a video")
    try:
        with pytest.raises(DataError, match="No space left") as caught:
            worker.run({"path": str(tmp_path / "file")}, 60)
    finally:
        worker.close()
        os.environ["PYTHONPATH"] = before
    found = storage_error(caught.value)
    assert found is not None
    assert found.status == 507
