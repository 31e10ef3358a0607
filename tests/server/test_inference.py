"""Test the inference protocol v2 with its own client and a live server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from actspan import Bundle, Features, Pipeline
from actspan.runtime.opening import open_nets
from actspan.server.settings import Limits
from tests.examples import CHANNELS, STRIDE, write_bmn_bundle, write_bundle
from tests.server.conftest import GRID
from tests.server.live import serving
from tests.server.services import client_of, features, npy

triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")


@pytest.fixture(scope="module")
def service(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    data = tmp_path_factory.mktemp("v2")
    settings = {"model": bundle.path, "backend": "onnxruntime", "threads": 2}
    with serving(data, **settings) as live, triton.InferenceServerClient(live.url[7:]) as client:
        yield client


def tensor(name: str, array: np.ndarray, binary: bool) -> Any:
    types = {"float32": "FP32", "float64": "FP64", "int64": "INT64"}
    made = triton.InferInput(name, list(array.shape), types[array.dtype.name])
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def run(client: Any, model: str, binary: bool, wanted: list[str], **arrays: np.ndarray) -> Any:
    return client.infer(
        model,
        [tensor(name, array, binary) for name, array in arrays.items()],
        outputs=[triton.InferRequestedOutput(name, binary_data=binary) for name in wanted],
        request_id="7",
    )


def test_health_and_metadata(service: Any) -> None:
    assert service.is_server_live()
    assert service.is_server_ready()
    assert service.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for model in ("tem", "pem", "pipeline"):
        assert service.is_model_ready(model)
        assert service.is_model_ready(model, "1")
        assert service.get_model_metadata(model, "1")["name"] == model
    assert not service.is_model_ready("other")
    assert service.get_model_metadata("tem")["inputs"] == [
        {"name": "video", "datatype": "FP32", "shape": [-1, CHANNELS, 20]}
    ]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize(
    ("model", "name", "shape"),
    [("tem", "video", (3, CHANNELS, 20)), ("pem", "video_feature", (5, 32))],
)
def test_networks(
    service: Any, bundle: Bundle, model: str, name: str, shape: tuple, binary: bool
) -> None:
    rows = np.random.default_rng(1).random(shape, np.float32)
    answer = run(service, model, binary, ["output"], **{name: rows})
    with open_nets(bundle, [model], "onnxruntime", 1)[model] as session:
        np.testing.assert_array_equal(
            answer.as_numpy("output"), session.run({name: rows})["output"]
        )
    assert answer.get_response()["id"] == "7"


def test_networks_with_learnt_curves(tmp_path: Path) -> None:
    curved = write_bundle(tmp_path / "bundle", curves=3, features=GRID)
    rows = np.random.default_rng(1).random((2, CHANNELS, 20), np.float32)
    body = {"name": "video", "datatype": "FP32", "shape": rows.shape, "data": rows.tolist()}
    with client_of(tmp_path / "data", model=curved.path) as client:
        shapes = [
            [put["shape"] for side in ("inputs", "outputs") for put in about[side]]
            for about in (client.get(f"/v2/models/{net}").json() for net in ("tem", "pem"))
        ]
        (output,) = client.post("/v2/models/tem/infer", json={"inputs": [body]}).json()["outputs"]
        proposed = client.post("/api/propose", content=npy(features(30)))
    assert shapes == [[[-1, CHANNELS, 20], [-1, 8, 20]], [[-1, 49], [-1, 1]]]
    assert output["shape"] == [2, 8, 20]
    assert proposed.status_code == 200, proposed.text


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_the_pipeline_on_videos_of_different_lengths(
    service: Any, pipeline: Pipeline, binary: bool
) -> None:
    videos = [features(n, seed=n) for n in (30, 7, 55)]
    strides = np.array([0.5, 1.0, 2.0])
    answer = run(
        service,
        "pipeline",
        binary,
        ["segments", "score", "count"],
        features=np.concatenate(videos),
        lengths=np.array([30, 7, 55]),
        stride=strides,
    )
    pairs = zip(videos, strides.tolist(), strict=True)
    found = [pipeline.propose(Features(video, stride, STRIDE)) for video, stride in pairs]
    assert answer.as_numpy("count").tolist() == [len(proposals) for proposals in found]
    starts_and_ends = [np.stack([p.start, p.end], axis=1) for p in found]
    np.testing.assert_array_equal(answer.as_numpy("segments"), np.concatenate(starts_and_ends))
    np.testing.assert_array_equal(
        answer.as_numpy("score"), np.concatenate([p.score for p in found])
    )


@pytest.fixture(scope="module")
def bmn_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("bmn")
    bundle = write_bmn_bundle(folder / "bundle", features=GRID, durations=9)
    settings = {"model": bundle.path, "backend": "onnxruntime", "threads": 2}
    with serving(folder, **settings) as live, triton.InferenceServerClient(live.url[7:]) as client:
        yield client, bundle


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_bmn_has_three_outputs(bmn_service: Any, binary: bool) -> None:
    client, bundle = bmn_service
    assert not client.is_model_ready("tem")
    about = client.get_model_metadata("bmn")
    assert {output["name"]: output["shape"] for output in about["outputs"]} == {
        "confidence_map": [-1, 2, 9, 20],
        "start": [-1, 20],
        "end": [-1, 20],
    }
    rows = np.random.default_rng(1).random((3, CHANNELS, 20), np.float32)
    answer = run(client, "bmn", binary, ["confidence_map", "start", "end"], video=rows)
    with open_nets(bundle, ["bmn"], "onnxruntime", 1)["bmn"] as session:
        expected = session.run({"video": rows})
    for name, values in expected.items():
        np.testing.assert_array_equal(answer.as_numpy(name), values)
    only = run(client, "bmn", binary, ["end"], video=rows)
    assert only.as_numpy("start") is None
    with pytest.raises(triton.InferenceServerException, match="the model expects FP32"):
        run(client, "bmn", binary, ["end"], video=rows[:, :, :-1].copy())


def test_the_pipeline_of_bmn(bmn_service: Any) -> None:
    client, bundle = bmn_service
    answer = run(client, "pipeline", True, ["segments", "score"], features=features())
    with Pipeline.load(bundle, backend="onnxruntime", threads=1) as pipeline:
        found = pipeline.propose(Features(features(), STRIDE, STRIDE))
    assert len(found) > 10
    np.testing.assert_array_equal(answer.as_numpy("score"), found.score)
    np.testing.assert_array_equal(answer.as_numpy("segments")[:, 0], found.start)


def test_the_pipeline_on_one_video_with_all_defaults(service: Any, pipeline: Pipeline) -> None:
    inputs = [tensor("features", features(), True)]
    answer = service.infer("pipeline", inputs, model_version="1", parameters={"top": 4})
    found = pipeline.propose(Features(features(), STRIDE, STRIDE))[:4]
    assert answer.as_numpy("score").tolist() == found.score.tolist()
    assert answer.as_numpy("count").tolist() == [4]
    none = service.infer("pipeline", inputs, parameters={"min_score": 2.0})
    assert none.as_numpy("segments").shape == (0, 2)


def test_errors_reach_the_client(service: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="the model expects FP32"):
        run(service, "tem", True, ["output"], video=np.zeros((1, 2, 3), np.float32))
    with pytest.raises(triton.InferenceServerException, match="no model 'other'"):
        run(service, "other", True, ["output"], video=np.zeros((1, 2, 3), np.float32))


def request(**changes: Any) -> dict[str, Any]:
    one = {"name": "video_feature", "datatype": "FP32", "shape": [1, 32], "data": [0.5] * 32}
    return {"inputs": [one | changes]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"", "not a request", id="empty"),
        pytest.param(b"[]", "not a request", id="list"),
        pytest.param({"inputs": []}, "missing", id="no-inputs"),
        pytest.param({"inputs": request()["inputs"] * 2}, "each once", id="input-twice"),
        pytest.param(request(name="other"), "expected are video_feature", id="unknown-input"),
        pytest.param(request(datatype="FP64"), "expects FP32", id="datatype"),
        pytest.param(request(datatype="BYTES"), "not a request", id="bytes"),
        pytest.param(request(shape=[-1, 32]), "expects FP32", id="negative"),
        pytest.param(request(shape=[0, 32], data=[]), "no rows", id="no-rows"),
        pytest.param(request(shape=[10**30, 32]), "is stated", id="huge-shape"),
        pytest.param(request(data=[0.5] * 31), "is stated", id="too-few"),
        pytest.param(request(data=[[0.5], [1.0, 2.0]]), "inhomogeneous", id="ragged"),
        pytest.param(request(data=["0.5"] * 32), "data", id="text"),
        pytest.param(request(data=[1e300] * 32), "infinity", id="overflow"),
        pytest.param(request(data=None), "data", id="null"),
        pytest.param(
            {"inputs": [{k: v for k, v in request()["inputs"][0].items() if k != "data"}]},
            "neither data",
            id="no-data",
        ),
        pytest.param(
            request(parameters={"binary_data_size": 128}), "does not fit", id="no-binary-tail"
        ),
        pytest.param(
            request() | {"outputs": [{"name": "x"}]}, "model gives output", id="unknown-output"
        ),
        pytest.param(
            request() | {"ouputs": []},
            "unknown field 'ouputs' (did you mean 'outputs'?)",
            id="unknown-field",
        ),
        pytest.param(
            request() | {"parameters": {"top": 3}},
            "unknown field 'top'; available: none",
            id="parameter-of-the-pipeline",
        ),
    ],
)
def test_malformed_requests_are_refused(client: TestClient, body: Any, said: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post("/v2/models/pem/infer", content=content)
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["error"]


@pytest.mark.parametrize(
    ("header", "tail", "said"),
    [
        pytest.param(10**9, b"", "the body has", id="header-beyond-the-body"),
        pytest.param(None, b"\0" * 100, "does not fit", id="tail-too-short"),
        pytest.param(None, b"\0" * 129, "belong to no input", id="tail-too-long"),
        pytest.param(None, b"\xff" * 128, "NaN", id="nan"),
    ],
)
def test_malformed_binary_requests_are_refused(
    client: TestClient, header: int | None, tail: bytes, said: str
) -> None:
    asked = request(parameters={"binary_data_size": 128})
    del asked["inputs"][0]["data"]
    head = json.dumps(asked).encode()
    headers = {"Inference-Header-Content-Length": str(header or len(head))}
    answer = client.post("/v2/models/pem/infer", content=head + tail, headers=headers)
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["error"]


@pytest.mark.parametrize(
    ("lengths", "stride", "said"),
    [
        pytest.param([3, 3], [1.0], "sum to 5", id="sum"),
        pytest.param([6, -1], [1.0], "sum to 5", id="negative"),
        pytest.param([2**62, 2**62, 2**62, 2**62 + 5], [1.0], "sum to 5", id="overflow"),
        pytest.param([5], [0.0], "positive", id="stride"),
        pytest.param([2, 3], [1.0, 1.0, 1.0], "1 or 2", id="strides"),
        pytest.param([5], [30.0], "lasts longer", id="too-long"),
    ],
)
def test_videos_that_do_not_fit_are_refused(
    bundle: Bundle, tmp_path: Path, lengths: list[int], stride: list[float], said: str
) -> None:
    body = {
        "inputs": [
            {
                "name": "features",
                "datatype": "FP32",
                "shape": [5, CHANNELS],
                "data": features(5).tolist(),
            },
            {"name": "lengths", "datatype": "INT64", "shape": [len(lengths)], "data": lengths},
            {"name": "stride", "datatype": "FP64", "shape": [len(stride)], "data": stride},
        ]
    }
    limits = Limits(recording_seconds=100)
    with client_of(tmp_path, model=bundle.path, limits=limits) as client:
        answer = client.post("/v2/models/pipeline/infer", json=body)
    assert answer.status_code in (400, 413)
    assert said in answer.json()["error"]


def test_compressed_bodies_are_refused(client: TestClient) -> None:
    headers = {"Content-Encoding": "gzip"}
    answer = client.post("/v2/models/pem/infer", content=b"\x1f\x8b", headers=headers)
    assert answer.status_code == 415
