"""Test the answers to wrong addresses, methods, names and parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from actspan import Bundle
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import write_bundle, write_dataset
from tests.server.services import client_of, features, npy

NO_MODEL = "proposals and jobs need a model: actspan serve --model BUNDLE"
LISTED = "/openapi.json lists what is served"
JOB = "0" * 32


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("addresses")
    write_bundle(folder / "bundle")
    write_dataset(folder / "set", videos=2)
    propose(ProposeRequest(folder / "bundle", folder / "set", folder / "run"))
    return folder / "run"


@pytest.fixture(scope="module")
def both(
    bundle: Bundle, run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    data = tmp_path_factory.mktemp("data")
    with client_of(data, model=bundle.path, results=(run,)) as client:
        yield client


@pytest.fixture(scope="module")
def viewer(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client_of(tmp_path_factory.mktemp("data"), results=(run,)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "close"),
    [
        ("/api/proposals", "/api/propose"),
        ("/propose", "/api/propose"),
        ("/api/job", "/api/jobs"),
        (f"/api/jobs/{JOB}/results", f"/api/jobs/{JOB}/result"),
        ("/api/browse/vidoes", "/api/browse/videos"),
        ("/v2/models/tem/redy", "/v2/models/tem/ready"),
        ("/health", "/healthz"),
        ("/nothing-of-the-kind", None),
    ],
)
def test_unknown_addresses_name_the_nearest(path: str, close: str | None, both: TestClient) -> None:
    answer = both.get(path)
    suggested = "" if close is None else f" (did you mean {close!r}?)"
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"nothing is at {path}{suggested}; {LISTED}"


@pytest.mark.parametrize(
    ("path", "needs_model"),
    [
        ("/api/propose", True),
        ("/api/jobs", True),
        (f"/api/jobs/{JOB}", True),
        ("/v2/models/tem", True),
        ("/nothing", False),
        ("/api/browse/vidoes", False),
    ],
)
def test_a_model_is_asked_for_where_it_would_help(
    path: str, needs_model: bool, viewer: TestClient
) -> None:
    answer = viewer.get(path)
    assert answer.status_code == 404
    assert (NO_MODEL in answer.json()["detail"]) == needs_model


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/propose", "POST"),
        ("DELETE", "/api/jobs", "GET, POST"),
        ("PUT", f"/api/jobs/{JOB}", "DELETE, GET"),
        ("POST", "/v2/models/tem", "GET"),
        ("GET", "/v2/models/tem/infer", "POST"),
        ("POST", "/api/browse/corrections", "DELETE, GET, PUT"),
        ("POST", "/metrics", "GET"),
        ("POST", "/", "GET"),
    ],
)
def test_wrong_methods_name_the_right_ones(
    method: str, path: str, allowed: str, both: TestClient
) -> None:
    answer = both.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.json()["detail"] == f"{path} does not support {method}, only {allowed}"


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v2/models/tme", "no model 'tme' (did you mean 'tem'?); available: tem, pem, pipeline"),
        ("/v2/models/tem/versions/2", "model 'tem' has no version '2'; its only version is 1"),
        (
            f"/api/jobs/{JOB}",
            f"there is no job {JOB}; it was removed, or never accepted",
        ),
        ("/api/browse/video?id=nobody", "no video 'nobody' is served"),
        ("/api/browse/media?id=nobody", "no video 'nobody' is served"),
        ("/api/browse/media?id=video0", "no video file of 'video0' is served"),
        ("/api/browse/proposals?id=video0&run=3", "no run 3: 1 run, counted from 0"),
        (
            "/api/browse/curves?id=video0&tile=9",
            "no tile 9: 1 tile, counted from 0",
        ),
        ("/api/browse/curves?id=video0&level=9", "no level 9: 1 level, counted from 0"),
    ],
)  # fmt: skip
def test_wrong_names(path: str, detail: str, both: TestClient) -> None:
    answer = both.get(path)
    assert (answer.status_code, answer.json()["detail"]) == (404, detail)


def test_unknown_parameters_are_refused(both: TestClient) -> None:
    answer = both.post("/api/propose?tops=3&x=1", content=npy(features()))
    assert answer.status_code == 400
    assert answer.json()["detail"] == (
        "unknown parameter 'tops' (did you mean 'top'?), 'x'; available: "
        "stride, length, top, min_score"
    )
    assert both.post("/api/propose?top=3", content=npy(features())).status_code == 200
    assert both.get("/healthz?x=1").json()["detail"] == "unknown parameter 'x'; available: none"
    assert both.get("/?x=1").status_code == 200  # a page, whose address others may extend


def test_every_operation_knows_the_parameters_that_it_documents(both: TestClient) -> None:
    paths = both.get("/openapi.json").json()["paths"]
    operations = [(path, method) for path, methods in paths.items() for method in methods]
    assert len(operations) > 40
    for path, method in operations:
        described = paths[path][method].get("parameters", ())
        known = [one["name"] for one in described if one["in"] == "query"]
        address = re.sub(r"\{.*?\}", JOB, path)
        detail = both.request(method, f"{address}?other-name=1").json()["detail"]
        assert detail.endswith(f"; available: {', '.join(known) or 'none'}"), (method, path)


def test_a_service_without_videos_does_not_send_videos_to_jobs(both: TestClient) -> None:
    detail = both.post("/api/propose", content=b"hello").json()["detail"]
    assert "this service accepts no videos" in detail
    assert "/api/jobs" not in detail
