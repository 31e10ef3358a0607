from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from actspan.config.stages import TemConfig
from actspan.core.errors import BackendError, MissingExtraError
from actspan.model.bsn.forward import tem_forward
from actspan.model.bsn.graph import build_tem
from actspan.model.weights import weight_shapes
from actspan.runtime.opening import check_backend, find_backend, open_session
from actspan.runtime.session import SessionOptions

openvino = pytest.importorskip("openvino")

from actspan.runtime.openvino import OpenVinoSession  # noqa: E402

RNG = np.random.default_rng(0)
WEIGHTS = {
    name: RNG.standard_normal(shape, dtype=np.float32)
    for name, shape in weight_shapes(TemConfig(channels=16, hidden=32)).items()
}
VIDEO = RNG.standard_normal((4, 16, 20), dtype=np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tem.onnx"
    onnx.save(build_tem(WEIGHTS), path)
    return path


def opened(
    model: Path, backend: str = "openvino", *, threads: int = 1, streams: int = 1
) -> OpenVinoSession:
    return OpenVinoSession(
        model, find_backend(backend)[0], SessionOptions(threads=threads, streams=streams)
    )


@pytest.mark.parametrize(("threads", "streams"), [(1, 1), (1, 2), (2, 2)])
def test_a_call_has_a_model_of_one_stream_and_precision_is_pinned(
    model: Path, threads: int, streams: int
) -> None:
    with opened(model, threads=threads, streams=streams) as session:
        settings = session._idle.queue[-1].get_compiled_model()
        precision = settings.get_property("INFERENCE_PRECISION_HINT")
        assert precision.to_dtype() == np.float32
        assert settings.get_property("NUM_STREAMS") == 1
        assert settings.get_property("INFERENCE_NUM_THREADS") == threads
        assert "LATENCY" in str(settings.get_property("PERFORMANCE_HINT"))
        alone = threads >= (os.cpu_count() or 1)  # others would be pinned to the same cores
        assert settings.get_property("ENABLE_CPU_PINNING") == alone


def test_calls_at_the_same_time_compute_in_the_threads_that_call(model: Path) -> None:
    batch = {"video": np.repeat(VIDEO, 128, axis=0)}
    together = threading.Barrier(3)

    def work(_: int) -> tuple[Any, float]:
        together.wait()
        began = time.thread_time()
        outputs = [session.run(batch)["output"] for _ in range(20)]
        return outputs[-1], time.thread_time() - began

    with opened(model, streams=3) as session, ThreadPoolExecutor(3) as pool:
        expected = session.run(batch)["output"]
        began = time.process_time()
        done = list(pool.map(work, range(3)))
        used = time.process_time() - began
    for output, _ in done:
        np.testing.assert_array_equal(output, expected)
    assert sum(seconds for _, seconds in done) > 0.6 * used


def test_bfloat16_only_on_request(model: Path) -> None:
    support = check_backend("openvino:bf16")
    if not support.usable:
        pytest.skip(support.problem)
    expected = tem_forward(WEIGHTS, VIDEO)
    with opened(model) as exact, opened(model, "openvino:bf16") as rough:
        near = np.abs(exact.run({"video": VIDEO})["output"] - expected).max()
        far = np.abs(rough.run({"video": VIDEO})["output"] - expected).max()
    assert near < 1e-6 < far < 0.1


@pytest.mark.parametrize("backend", ["openvino:gpu", "openvino:npu", "openvino:1"])
def test_an_absent_device_is_named(model: Path, backend: str) -> None:
    if check_backend(backend).usable:
        pytest.skip(f"{backend} is here")
    with pytest.raises(BackendError, match=r"OpenVINO sees no .*: is its driver installed"):
        open_session(model, backend=backend)


def test_an_absent_package_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install '.*\[openvino\]'"):
        open_session(model, backend="openvino")
    assert not check_backend("openvino").installed


def test_an_idle_request_comes_back_after_a_failure(model: Path) -> None:
    with opened(model) as session:
        request = session._idle.get()
        session._idle.put(_Failing())
        for _ in range(2):
            with pytest.raises(BackendError, match=r"tem\.onnx: OpenVINO failed: out of order"):
                session.run({"video": VIDEO})
        session._idle.get()
        session._idle.put(request)


class _Failing:
    def infer(self, *args: object, **kwargs: object) -> None:
        raise RuntimeError("Exception from src/x.cpp:1:\nout of order")
