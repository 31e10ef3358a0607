"""Jobs: accepted at once, answered later, whatever happens in between."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from fastapi.testclient import TestClient

from actspan import Bundle, Features, Pipeline
from actspan.core.errors import DataError
from actspan.server.database import FILE, MIGRATIONS, Database
from actspan.server.job_store import UploadStore
from actspan.server.settings import Limits
from tests.examples import STRIDE
from tests.server.live import Live
from tests.server.services import arrow, client_of, features, list_table, npy, process_of

LONG = 2000  # snippets


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def finished(client: TestClient, job: str) -> dict[str, Any]:
    def state() -> dict[str, Any] | None:
        found = client.get(f"/api/jobs/{job}").json()
        return found if found["state"] in ("done", "failed") else None

    return wait_for(state)


def expected(model: Bundle, values: np.ndarray) -> list[float]:
    with Pipeline.load(model, backend="onnxruntime", threads=1) as pipeline:
        return pipeline.propose(Features(values, STRIDE, STRIDE)).score.tolist()


@pytest.mark.parametrize("mode", ["rescale", "window"])
@pytest.mark.parametrize("form", [npy, lambda x: arrow(list_table(x))], ids=["npy", "arrow"])
def test_a_job_from_upload_to_result(
    mode: str, form: Callable, bundle: Bundle, window_bundle: Bundle, tmp_path: Path
) -> None:
    model, values = bundle if mode == "rescale" else window_bundle, features(300)
    with client_of(tmp_path, model=model.path) as client:
        asked = {"name": "../../etc/passwd", "top": 50}
        answer = client.post("/api/jobs", content=form(values), params=asked)
        assert answer.status_code == 202
        job = answer.json()
        assert (job["state"], job["name"]) == ("queued", "../../etc/passwd")
        assert answer.headers["location"] == f"/api/jobs/{job['id']}"
        done = finished(client, job["id"])
        assert (done["state"], done["progress"], done["error"]) == ("done", 1.0, None)
        result = client.get(f"/api/jobs/{job['id']}/result").json()
        assert client.get("/api/jobs").json() == {"jobs": [done], "total": 1}
        assert client.get("/api/jobs", params={"state": "failed"}).json()["total"] == 0
    assert result["seconds"] == 150.0
    assert [p["score"] for p in result["proposals"]] == expected(model, values)[:50]
    assert list((tmp_path / "uploads").iterdir()) == []
    assert not list(tmp_path.rglob("*passwd*"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(npy(features())[:-9], "header says", id="cut-off"),
        pytest.param(npy(features(channels=3)), "expects 6", id="channels"),
        pytest.param(npy(features() * np.nan), "NaN", id="not-finite"),
        pytest.param(b"\xff" * 4000, "Arrow", id="noise"),
        pytest.param(npy(features(300)), "100 s allowed", id="too-long"),
    ],
)
def test_a_bad_upload_is_a_failed_job(
    body: bytes, said: str, bundle: Bundle, tmp_path: Path
) -> None:
    limits = Limits(recording_seconds=100)
    with client_of(tmp_path, model=bundle.path, limits=limits) as client:
        job = client.post("/api/jobs", content=body).json()["id"]
        done = finished(client, job)
        result = client.get(f"/api/jobs/{job}/result")
    assert done["state"] == "failed"
    assert said in done["error"]
    assert str(tmp_path) not in done["error"]
    assert result.status_code == 409
    assert said in result.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 415, id="empty"),
        pytest.param(b"#EXTM3U\nfile:///etc/passwd\n", 415, id="playlist"),
        pytest.param(b"ffconcat version 1.0\nfile /etc/passwd\n", 415, id="concat"),
        pytest.param(b"\0\0\0\x18ftypmp42" + bytes(100), 415, id="video-for-a-model-of-features"),
        pytest.param(npy(features(2000)), 413, id="too-large"),
    ],
)
def test_what_is_no_recording_is_not_accepted(
    body: bytes, status: int, bundle: Bundle, tmp_path: Path
) -> None:
    with client_of(tmp_path, model=bundle.path, limits=Limits(upload_bytes=20_000)) as client:
        for content in (body, iter([body])):  # with its length said before, and without
            answer = client.post("/api/jobs", content=content)
            assert answer.status_code == status, answer.text
        assert client.get("/api/jobs").json()["total"] == 0
    assert list((tmp_path / "uploads").iterdir()) == []


def test_jobs_are_cancelled_and_forgotten(window_bundle: Bundle, tmp_path: Path) -> None:
    with client_of(tmp_path, model=window_bundle.path, threads=1) as client:
        jobs = [
            client.post("/api/jobs", content=npy(features(60_000))).json()["id"] for _ in range(3)
        ]
        running = f"/api/jobs/{jobs[0]}"
        wait_for(lambda: client.get(running).json()["state"] == "running")
        assert client.get(f"{running}/result").status_code == 409
        assert [client.delete(f"/api/jobs/{job}").status_code for job in jobs] == [204] * 3
        assert client.get(running).status_code == 404
        assert client.delete(running).status_code == 404
        after = client.post("/api/jobs", content=npy(features())).json()["id"]
        assert finished(client, after)["state"] == "done"
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize("path", ["jobs/7", "jobs/7/result"])
def test_what_is_no_id_of_a_job_is_one_line(
    path: str, window_bundle: Bundle, tmp_path: Path
) -> None:
    with client_of(tmp_path, model=window_bundle.path, threads=1) as client:
        answer = client.get(f"/api/{path}")
    assert answer.status_code == 422
    line = "'7' is not a job id: 32 hexadecimal digits, as POST /api/jobs returns"
    assert answer.json()["detail"] == f"job_id: {line}"


def test_too_many_jobs_are_answered_429(window_bundle: Bundle, tmp_path: Path) -> None:
    limits = Limits(waiting_jobs=2)
    with client_of(tmp_path, model=window_bundle.path, limits=limits) as client:
        body = npy(features(60_000))
        answers = [client.post("/api/jobs", content=body) for _ in range(3)]
        assert [a.status_code for a in answers] == [202, 202, 429]
        assert answers[2].headers["retry-after"]


def post(live: Live, path: str, body: bytes) -> HTTPResponse:
    with urlopen(Request(live.url + path, body, method="POST"), timeout=30) as answer:
        answer.read()
    return answer


def metrics(live: Live) -> str:
    return live.ask("/metrics").body.decode()


def submit(live: Live, snippets: int, seed: int) -> str:
    answer = post(live, "/api/jobs", npy(features(snippets, seed)))
    assert answer.status == 202
    return answer.headers["Location"]


def results_of(live: Live, jobs: list[str]) -> list[list[float]]:
    def all_done() -> bool:
        states = [live.ask(job).json["state"] for job in jobs]
        assert "failed" not in states
        return set(states) == {"done"}

    wait_for(all_done, 180)
    answers = [live.ask(f"{job}/result").json for job in jobs]
    return [[p["score"] for p in answer["proposals"]] for answer in answers]


def kept_states(data: Path) -> list[str]:
    with closing(sqlite3.connect(data / FILE)) as database:
        return [state for (state,) in database.execute("SELECT state FROM jobs")]


def test_accepted_jobs_survive_kill_9_and_sigterm(window_bundle: Bundle, tmp_path: Path) -> None:
    data, sizes, jobs = tmp_path / "data", (LONG, 50, 5 * LONG), []
    words = ("--model", window_bundle.path, "--data", data, "--threads", 1)
    for number, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
        with process_of(*words) as service:
            jobs += [submit(service.live, size, seed) for seed, size in enumerate(sizes[:2])]
            wait_for(lambda: service.live.ask(jobs[-2]).json["state"] != "queued")  # noqa: B023
            # Accepted just before the end, so that it is not done even on a busy machine.
            jobs.append(submit(service.live, sizes[2], 2))
            assert service.end(number) == status
        states = kept_states(data)
        assert len(states) == len(jobs)
        assert states.count("done") < len(jobs)  # some of it was left to do
    with process_of(*words, "--delay", 1000) as service, ThreadPoolExecutor(1) as pool:
        found = results_of(service.live, jobs)
        under_way = pool.submit(post, service.live, "/api/propose", npy(features()))
        wait_for(lambda: 'actspan_waiting_rows{model="pipeline"} 1.0' in metrics(service.live))
        assert service.end() == 0
        assert under_way.result().status == 200
    wanted = [expected(window_bundle, features(size, seed)) for seed, size in enumerate(sizes)]
    assert found == wanted * 2


def test_a_job_that_brings_the_service_down_is_given_up(tmp_path: Path) -> None:
    database = Database(tmp_path)
    store = UploadStore(database, tmp_path, kept=10)
    job = store.new_id()
    store.upload(job).write_bytes(b"x")
    store.add(job, "", "npy", {"stride": 1.0, "length": 1.0}, 1)
    for _ in range(3):
        store.recover()
        claimed = store.claim()
        assert claimed is not None  # ... and the service dies
    store.recover()
    found = store.find(job)
    assert found.state == "failed"
    assert "3 times" in str(found.error)
    assert store.claim() is None
    assert not store.upload(job).exists()
    database.close()


def test_only_so_many_finished_jobs_are_kept_and_unaccepted_uploads_removed(tmp_path: Path) -> None:
    database = Database(tmp_path)
    store = UploadStore(database, tmp_path, kept=2)
    jobs = [store.new_id() for _ in range(4)]
    for job in jobs:
        store.upload(job).write_bytes(b"x")
        store.add(job, "", "npy", {"stride": 1.0, "length": 1.0}, 1)
    for _ in range(3):
        claimed = store.claim()
        assert claimed is not None
        store.finish(claimed.id, result=b"{}")
    store.upload("half").write_bytes(b"x")
    store.recover()
    assert store.counts() == {"queued": 1, "running": 0, "done": 2, "failed": 0}
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [jobs[3]]
    database.close()


def test_a_folder_is_for_one_service_and_files_are_checked(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with pytest.raises(DataError, match=r"process \d+ on .+ uses it; stop that one"):
        Database(tmp_path)
    database.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(DataError, match="newer version"):
        Database(tmp_path)
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match="move it away"):
        Database(tmp_path)
