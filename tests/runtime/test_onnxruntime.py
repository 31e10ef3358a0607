from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from actspan import PemConfig
from actspan.core.errors import BackendError, ShapeError
from actspan.core.types import Float32
from actspan.model.bsn.forward import pem_forward
from actspan.model.bsn.graph import build_pem
from actspan.model.weights import weight_shapes
from actspan.runtime.opening import check_backend, open_session

RNG = np.random.default_rng(0)
WEIGHTS = {
    name: RNG.standard_normal(shape, dtype=np.float32)
    for name, shape in weight_shapes(PemConfig()).items()
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "pem.onnx"
    onnx.save(build_pem(WEIGHTS), path)
    return path


def rows(count: int) -> Float32:
    return np.random.default_rng(count).random((count, 32), dtype=np.float32)


def test_names_and_shapes_of_inputs_and_outputs(model: Path) -> None:
    with open_session(model, backend="onnxruntime") as session:
        assert session.backend == "onnxruntime"
        assert session.input_shapes == {"video_feature": (None, 32)}
        assert [*session.output_names] == ["output"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_computes_the_network(model: Path, threads: int, count: int) -> None:
    with open_session(str(model), backend="onnxruntime", threads=threads) as session:
        output = session.run({"video_feature": rows(count)})["output"]
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, pem_forward(WEIGHTS, rows(count)), rtol=0, atol=1e-6)


def test_one_session_serves_many_threads(model: Path) -> None:
    counts = list(range(1, 200, 7)) * 4
    with open_session(model, backend="onnxruntime") as session, ThreadPoolExecutor(4) as pool:
        inputs = [{"video_feature": rows(count)} for count in counts]
        outputs = list(pool.map(session.run, inputs))
    for count, output in zip(counts, outputs, strict=True):
        expected = pem_forward(WEIGHTS, rows(count))
        np.testing.assert_allclose(output["output"], expected, rtol=0, atol=1e-6)


def test_one_thread_means_no_pool(model: Path) -> None:
    task = Path("/proc/self/task")
    if not task.is_dir():
        pytest.skip("needs /proc to count threads")
    before, python = len(list(task.iterdir())), threading.active_count()
    with open_session(model, backend="onnxruntime", threads=1) as session:
        session.run({"video_feature": rows(2000)})
        assert len(list(task.iterdir())) == before
    assert threading.active_count() == python


def test_a_closed_session_raises(model: Path) -> None:
    session = open_session(model, backend="onnxruntime")
    session.close()
    session.close()
    with pytest.raises(BackendError, match=r"pem\.onnx: the session is closed"):
        session.run({"video_feature": rows(1)})


def test_wrong_inputs_are_named(model: Path) -> None:
    with (
        open_session(model, backend="onnxruntime") as session,
        pytest.raises(ShapeError, match="video_feature has shape"),
    ):
        session.run({"video_feature": np.zeros((3, 31), np.float32)})


@pytest.mark.parametrize("keep", [0, 10, 1000])
def test_a_damaged_file_is_named(model: Path, keep: int, capfd: pytest.CaptureFixture[str]) -> None:
    model.write_bytes(model.read_bytes()[:keep])
    with pytest.raises(BackendError, match=r"pem\.onnx: ONNX Runtime .* refuses it: .*export"):
        open_session(model, backend="onnxruntime")
    assert capfd.readouterr() == ("", "")


def test_a_failure_of_the_vendor_is_a_backend_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # A graph that is valid, but fails when it runs.
    helper, path = onnx.helper, tmp_path / "x.onnx"
    node = helper.make_node("Reshape", ["x", "shape"], ["output"])
    graph = helper.make_graph(
        [node],
        "broken",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, [7, 3])],
        [onnx.numpy_helper.from_array(np.array([7, 3]), "shape")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    with (
        open_session(path, backend="onnxruntime") as session,
        pytest.raises(BackendError, match=r"x\.onnx: ONNX Runtime"),
    ):
        session.run({"x": np.zeros(5, np.float32)})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("backend", "package"),
    [
        ("onnxruntime:cuda", "pip install onnxruntime-gpu"),
        ("onnxruntime:cann:1", "pip install onnxruntime-cann"),
        ("onnxruntime:directml", "pip install onnxruntime-directml"),
        ("onnxruntime:Rknpu", "built with the Rknpu execution provider"),
    ],
)
def test_an_absent_provider_names_its_package(model: Path, backend: str, package: str) -> None:
    if check_backend(backend).usable:
        pytest.skip(f"{backend} is here")
    with pytest.raises(BackendError, match=f"has no .*ExecutionProvider: .*{package}"):
        open_session(model, backend=backend)


class _Elsewhere:
    """An ONNX Runtime session whose provider did not start, so that it uses the CPU."""

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def test_a_provider_that_does_not_start_is_an_error(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    asked = []

    def start(*args: Any, **kwargs: Any) -> _Elsewhere:
        asked.append(kwargs["providers"][0])
        return _Elsewhere()

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: there)
    monkeypatch.setattr("onnxruntime.InferenceSession", start)
    with pytest.raises(BackendError, match="CUDAExecutionProvider, but it does not start"):
        open_session(model, backend="onnxruntime:cuda:1")
    assert asked == [("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"})]
    assert "does not start" in check_backend("onnxruntime:cuda").problem


def test_the_probe_of_providers_is_a_model() -> None:
    from actspan.runtime.onnxruntime import _probe

    onnx.checker.check_model(onnx.load_from_string(_probe()), full_check=True)
