"""Features in, proposals out, at once."""

from __future__ import annotations

import asyncio
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import create_connection

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from actspan import Bundle, Features, Pipeline
from actspan.config.changes import with_changes
from actspan.server.requests import Metrics
from actspan.server.served_model import Batcher
from actspan.server.settings import Limits
from tests.examples import CHANNELS, STRIDE
from tests.server.live import serving
from tests.server.services import arrow, client_of, column_table, features, list_table, npy


def expected(pipeline: Pipeline, values: np.ndarray, stride: float = STRIDE) -> list[dict]:
    found = pipeline.propose(Features(values, stride, STRIDE))
    rows = zip(found.start.tolist(), found.end.tolist(), found.score.tolist(), strict=True)
    return [{"segment": [start, end], "score": score} for start, end, score in rows]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(npy(features()), id="npy"),
        pytest.param(npy(np.asfortranarray(features())), id="npy-fortran"),
        pytest.param(npy(features().astype(np.float64)), id="npy-float64"),
        pytest.param(arrow(list_table(features())), id="arrow-stream-of-lists"),
        pytest.param(arrow(list_table(features()), pa.ipc.new_file), id="arrow-file-of-lists"),
        pytest.param(arrow(column_table(features())), id="arrow-columns"),
    ],
)
def test_the_answer_is_the_pipelines(client: TestClient, pipeline: Pipeline, body: bytes) -> None:
    answer = client.post("/api/propose", content=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"seconds": 20.0, "proposals": expected(pipeline, features())}


def test_stride_and_selection(client: TestClient, pipeline: Pipeline) -> None:
    asked = {"stride": 2.0, "length": STRIDE, "top": 3}
    answer = client.post("/api/propose", params=asked, content=npy(features())).json()
    assert answer["seconds"] == 80.0
    assert answer["proposals"] == expected(pipeline, features(), 2.0)[:3]


def test_an_answer_in_arrow(client: TestClient, pipeline: Pipeline) -> None:
    accept = {"Accept": "application/vnd.apache.arrow.stream"}
    answer = client.post("/api/propose", content=npy(features()), headers=accept)
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.column_names == ["start", "end", "score"]
    found = expected(pipeline, features())
    assert table["score"].to_pylist() == [proposal["score"] for proposal in found]
    assert table.schema.metadata == {b"seconds": b"20.0"}


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([[print]], dtype=object), allow_pickle=True)
    return stream.getvalue()


def with_shape(shape: str) -> bytes:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (117 - len(head)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(96)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        pytest.param(b"", 415, "neither", id="empty"),
        pytest.param(b"#EXTM3U\nfile:///etc/passwd", 415, "neither", id="playlist"),
        pytest.param(pickle.dumps([1]), 415, "neither", id="pickle"),
        pytest.param(pickled(), 422, "object", id="npy-of-objects"),
        pytest.param(npy(features())[:-7], 422, "header says", id="npy-cut-off"),
        pytest.param(npy(features())[:40], 422, "damaged", id="npy-cut-off-in-header"),
        pytest.param(with_shape("(2000000000, 2000000000)"), 422, "header says", id="npy-bomb"),
        pytest.param(with_shape("(-1, -24)"), 422, "header says", id="npy-negative"),
        pytest.param(with_shape("-" * 90 + "1"), 422, "npy", id="npy-nested"),
        pytest.param(npy(features()[0]), 422, "(n, C)", id="npy-one-dimension"),
        pytest.param(npy(features(0)), 422, "needed", id="npy-no-snippets"),
        pytest.param(npy(features(channels=3)), 422, "expects 6", id="channels"),
        pytest.param(npy(features() * np.inf), 422, "NaN or infinity", id="not-finite"),
        pytest.param(arrow(list_table(features()))[:-300], 422, "Arrow", id="arrow-cut-off"),
        pytest.param(b"\xff" * 3000, 422, "Arrow", id="arrow-noise"),
        pytest.param(arrow(pa.table({"x": ["a"] * 6})), 422, "numeric", id="arrow-of-text"),
    ],
)
def test_bad_bodies_are_refused(client: TestClient, body: bytes, status: int, said: str) -> None:
    answer = client.post("/api/propose", content=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    "query",
    [{"stride": 0}, {"stride": "nan"}, {"top": 0}, {"min_score": "x"}, {"stride": -1}],
    ids=str,
)
def test_bad_queries_are_refused(client: TestClient, query: dict) -> None:
    answer = client.post("/api/propose", params=query, content=npy(features()))
    assert answer.status_code == 422
    assert next(iter(query)) in answer.json()["detail"]


def test_concurrent_requests_are_batched_and_not_mixed_up(
    bundle: Bundle, pipeline: Pipeline, tmp_path: Path
) -> None:
    def ask(seed: int) -> tuple[int, dict]:
        return seed, client.post("/api/propose", content=npy(features(20 + seed, seed))).json()

    settings = {
        "model": bundle.path,
        "limits": Limits(batch_rows=8, batch_delay=0.05),
        "threads": 1,
    }
    with client_of(tmp_path, **settings) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(32)))
        metrics = client.get("/metrics").text
    for seed, answer in answers:
        assert answer["proposals"] == expected(pipeline, features(20 + seed, seed))
    batches = 'actspan_batch_rows_count{model="pipeline"} '
    count = float(next(x for x in metrics.splitlines() if x.startswith(batches)).split()[-1])
    assert count <= 16  # of 32 requests
    assert (
        'actspan_http_requests_total{method="POST",operation="/api/propose",status="200"} 32.0'
        in (metrics)
    )


def test_too_much_at_once_is_answered_429(bundle: Bundle, tmp_path: Path) -> None:
    def ask(seed: int) -> tuple[int, str | None]:
        answer = client.post("/api/propose", content=npy(features()))
        return answer.status_code, answer.headers.get("retry-after")

    settings = {
        "model": bundle.path,
        "limits": Limits(waiting_rows=2, batch_rows=64, batch_delay=0.3),
        "threads": 1,
    }
    with client_of(tmp_path, **settings) as client, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
        after = client.post("/api/propose", content=npy(features()))
        assert 'actspan_refused_total{reason="queue"}' in client.get("/metrics").text
    assert {status for status, _ in answers} == {200, 429}
    assert all((status == 429) == (retry is not None) for status, retry in answers)
    assert after.status_code == 200


def test_what_takes_too_long_is_answered_504(bundle: Bundle, tmp_path: Path) -> None:
    limits = Limits(answer_seconds=0.05, batch_delay=5)
    with client_of(tmp_path, model=bundle.path, limits=limits) as client:
        answer = client.post("/api/propose", content=npy(features()))
    assert answer.status_code == 504
    assert "/api/jobs" in answer.json()["detail"]


def test_limits_of_size_and_duration(bundle: Bundle, tmp_path: Path) -> None:
    limits = Limits(request_bytes=4000, recording_seconds=30)
    with client_of(tmp_path, model=bundle.path, limits=limits) as client:
        large = client.post("/api/propose", content=npy(features(1000)))
        chunked = client.post("/api/propose", content=iter([npy(features(1000))]))
        long = client.post("/api/propose", content=npy(features(61)))
        fits = client.post("/api/propose", content=npy(features(60)))
    assert [a.status_code for a in (large, chunked, long, fits)] == [413, 413, 413, 200]
    assert "4000 bytes" in large.json()["detail"]
    assert "4000 bytes" in chunked.json()["detail"]
    assert "30 s" in long.json()["detail"]


@pytest.mark.parametrize("path", ["/api/propose", "/api/jobs"])
def test_a_body_that_does_not_come_is_answered_408(
    path: str, bundle: Bundle, tmp_path: Path
) -> None:
    settings = {"backend": "onnxruntime", "limits": Limits(body_seconds=0.2)}
    with serving(tmp_path, model=bundle.path, **settings) as live:
        host, port = live.url.removeprefix("http://").split(":")
        with create_connection((host, int(port)), timeout=20) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\nabc"
            connection.sendall(head.encode())
            answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert not any(path.is_file() for path in (tmp_path / "uploads").iterdir())


def test_one_that_fails_does_not_spoil_the_others(bundle: Bundle, tmp_path: Path) -> None:
    def halve(groups: list[int]) -> list[float]:
        return [1 / group for group in groups]

    async def ask(batcher: Batcher) -> list[object]:
        wanted = (batcher.answer(group, 1) for group in (1, 0, 2))
        return await asyncio.gather(*wanted, return_exceptions=True)

    batcher = Batcher("test", halve, Limits(batch_rows=3, batch_delay=1), 1, Metrics())
    one, error, half = asyncio.run(ask(batcher))
    batcher.close()
    assert (one, half) == (1.0, 0.5)
    assert isinstance(error, ZeroDivisionError)


def test_without_a_model_only_results_are_shown(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        answer = client.post("/api/propose", content=npy(features()))
        assert answer.status_code == 404
        assert "need a model: actspan serve --model" in answer.json()["detail"]
        assert client.get("/api/service").json()["model"] is None
        assert client.get("/readyz").status_code == 200


def test_what_the_service_is(client: TestClient) -> None:
    model = client.get("/api/service").json()["model"]
    assert (model["channels"], model["stride"], model["mode"]) == (CHANNELS, STRIDE, "rescale")
    assert model["takes_videos"] is False


def test_the_service_takes_changed_settings(bundle: Bundle, tmp_path: Path) -> None:
    changes = {"soft_nms": {"keep": 3, "decay": 0.2}}
    with (
        client_of(tmp_path, model=bundle.path, changes=changes) as client,
        Pipeline.load(
            bundle,
            backend="onnxruntime",
            threads=1,
            config=with_changes(bundle.config, changes),
        ) as pipeline,
    ):
        answer = client.post("/api/propose", content=npy(features())).json()
        assert len(answer["proposals"]) == 3
        assert answer["proposals"] == expected(pipeline, features())
