"""Bodies that are large, or would become so: refused, or read without blocking other requests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from actspan import Bundle
from actspan.server.inference_tensors import LARGE
from actspan.server.settings import MIB, Limits
from tests.examples import CHANNELS
from tests.server.live import Live, serving
from tests.server.services import arrow, client_of, column_table, features, list_table, npy

INFER = "/v2/models/tem/infer"


def request(rows: np.ndarray, **more: Any) -> bytes:
    """Return a request to TEM whose numbers are JSON."""
    video = {"name": "video", "datatype": "FP32", "shape": rows.shape, "data": rows.tolist()}
    return json.dumps({"inputs": [video], **more}).encode()


def zeros(rows: int) -> bytes:
    """Return an Arrow stream of zeros, compressed to next to nothing."""
    content = column_table(np.zeros((rows, CHANNELS), np.float32))
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, content.schema, options=options) as writer:
        writer.write_table(content)
    return bytes(sink.getvalue())


def test_json_is_read_by_another_process_with_the_same_answer(client: TestClient) -> None:
    rows = np.random.default_rng(0).normal(size=(200, CHANNELS, 20)).astype(np.float32)
    text = request(rows)
    assert len(text) > LARGE
    whole = client.post(INFER, content=text)
    assert whole.status_code == 200, whole.text
    parts = [client.post(INFER, content=request(rows[i : i + 10])).json() for i in (0, 190)]
    (output,) = whole.json()["outputs"]
    values = np.reshape(output["data"], output["shape"])
    for part, place in zip(parts, (slice(0, 10), slice(190, 200)), strict=True):
        (found,) = part["outputs"]
        np.testing.assert_array_equal(np.reshape(found["data"], found["shape"]), values[place])


@pytest.mark.parametrize(
    ("more", "said"),
    [({"id": "a" * 10**6}, "at most 262144"), ({"inputs": []}, "'video' is missing"),
     ({"extra": 1}, "unknown field 'extra'")],
    ids=["id", "nothing", "field"],
)  # fmt: skip
def test_what_is_wrong_with_large_json_is_said(
    client: TestClient, more: dict[str, Any], said: str
) -> None:
    text = request(np.zeros((200, CHANNELS, 20)), **more)
    answer = client.post(INFER, content=text + b" " * LARGE)
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["detail"]


def test_json_has_limits(bundle: Bundle, tmp_path: Path) -> None:
    limits = Limits(tensor_json_bytes=2 * LARGE, json_bytes=1000)
    with client_of(tmp_path, model=bundle.path, limits=limits) as client:
        many = client.post(INFER, content=request(np.zeros((2000, CHANNELS, 20))))
        assert many.status_code == 413
        assert "binary_data_size" in many.json()["detail"]
        segments = [{"start": i, "end": i + 1} for i in range(100)]
        body = {"revision": 0, "segments": segments}
        corrected = client.put("/api/browse/corrections", params={"id": "a"}, json=body)
        assert corrected.status_code == 413


@pytest.mark.parametrize("kind", ["propose", "jobs"])
def test_an_arrow_bomb_is_refused(client: TestClient, kind: str) -> None:
    body = zeros(8 * MIB)
    assert len(body) < 100_000
    answer = client.post(f"/api/{kind}", params={"stride": 0.001}, content=body)
    if kind == "jobs":
        place = answer.headers["location"]
        while (job := client.get(place).json())["state"] in ("queued", "running"):
            time.sleep(0.05)
        assert job["state"] == "failed"
        assert "would expand" in job["error"]
    else:
        assert answer.status_code == 422
        assert "would expand" in answer.json()["detail"]


def test_a_compressed_table_is_accepted(client: TestClient) -> None:
    array = features()
    sink = pa.BufferOutputStream()
    content = list_table(array)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(sink, content.schema, options=options) as writer:
        writer.write_table(content, max_chunksize=7)
    found = client.post("/api/propose", content=bytes(sink.getvalue()))
    assert found.status_code == 200, found.text
    assert found.json() == client.post("/api/propose", content=npy(array)).json()


@pytest.mark.parametrize("write", [npy, lambda array: arrow(list_table(array))])
def test_narrow_numbers_are_counted_as_the_networks_take_them(
    bundle: Bundle, tmp_path: Path, write: Any
) -> None:
    body = write(np.zeros((1000, CHANNELS), np.int8))
    limits = Limits(request_bytes=2 * len(body))
    with client_of(tmp_path, model=bundle.path, limits=limits) as client:
        answer = client.post("/api/propose", content=body)
        assert answer.status_code == 422
        assert "send more as a job" in answer.json()["detail"]


@pytest.fixture
def live(bundle: Bundle, tmp_path: Path) -> Iterator[Live]:
    with serving(tmp_path, model=bundle.path, backend="onnxruntime", threads=1) as service:
        yield service


def test_other_requests_are_answered_meanwhile(live: Live) -> None:
    """A body of many empty lists takes seconds to read; a probe must not wait for it."""
    body = b'{"inputs":[{"name":"video","datatype":"FP32","shape":[1,6,20],"data":['
    lists = b",".join([b"[]"] * (4 * MIB))

    def send() -> int:
        try:
            with urlopen(Request(live.url + INFER, body + lists + b"]}]}"), timeout=120) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code

    waited = []
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        while not sent.done():
            begin = time.perf_counter()
            assert live.ask("/healthz").status == 200
            waited.append(time.perf_counter() - begin)
            time.sleep(0.01)
    assert sent.result() == 400
    assert max(waited) < 2.0
