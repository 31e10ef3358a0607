"""Calls of TensorRT and the CUDA runtime, tested with fakes, never on a GPU."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from actspan.core.errors import BackendError, ShapeError
from actspan.runtime.backends import BACKENDS
from actspan.runtime.opening import check_backend, open_net, open_session
from tests.examples import write_bundle
from tests.runtime.fakes import Cuda, TensorRt, TensorRtEngine, double


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    cuda = Cuda()
    for name in ("cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "tensorrt", TensorRt)  # type: ignore[arg-type]
    return cuda


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "tem.engine"
    path.write_bytes(b"engine")
    return path


def rows(count: int) -> np.ndarray:
    values = np.random.default_rng(count).integers(0, 100, (count, 5, 20))
    return values.astype(np.float32)


def test_it_is_never_called_verified() -> None:
    assert not BACKENDS["tensorrt"].verified


def test_runs_and_frees_everything(cuda: Cuda, engine: Path) -> None:
    with open_session(engine, backend="tensorrt") as session, ThreadPoolExecutor(3) as pool:
        assert session.input_shapes == {"video": (None, 5, 20)}
        assert session.batch_range == (2, 8)
        inputs = [rows(count) for count in (2, 8, 3, 8, 5, 2)]
        outputs = pool.map(session.run, [{"video": x} for x in inputs])
        for x, output in zip(inputs, outputs, strict=True):
            assert output["output"].dtype == np.float32
            np.testing.assert_array_equal(output["output"], double(x))
        assert len(cuda.held) == 2
    assert not cuda.held
    assert cuda.streams == 0


@pytest.mark.parametrize("count", [1, 2, 8, 9, 20])
def test_a_bundle_runs_with_any_batch(cuda: Cuda, tmp_path: Path, count: int) -> None:
    bundle = write_bundle(tmp_path / "b").add_file("tem.engine", lambda p: _write(p))
    with open_net(bundle, "tem", backend="tensorrt") as session:
        output = session.run({"video": rows(count)})["output"]
    np.testing.assert_array_equal(output, double(rows(count)))


def _write(path: Path) -> None:
    path.write_bytes(b"engine")


def test_another_machines_engine_is_refused(cuda: Cuda, engine: Path) -> None:
    engine.write_bytes(b"of TensorRT 8")
    with pytest.raises(BackendError, match=r"tem\.engine: TensorRT 10\.9\.0 refuses it; .*again"):
        open_session(engine, backend="tensorrt")


def test_a_wrong_device_is_named(cuda: Cuda, engine: Path) -> None:
    with pytest.raises(BackendError, match=r"cudaSetDevice failed: .*101"):
        open_session(engine, backend="tensorrt:1")
    assert check_backend("tensorrt").usable
    assert "no NVIDIA GPU with number 1" in check_backend("tensorrt:1").problem


def test_failures_are_backend_errors(
    cuda: Cuda, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_session(engine, backend="tensorrt") as session:
        with pytest.raises(BackendError, match="the engine's profile does not allow video of"):
            session.run({"video": rows(1)})
        with pytest.raises(ShapeError, match="video has shape"):
            session.run({"video": np.zeros((2, 6, 20), np.float32)})
        monkeypatch.setattr(TensorRtEngine, "execute_async_v3", lambda self, stream: False)
        with pytest.raises(BackendError, match="TensorRT failed: execute_async_v3 reports"):
            session.run({"video": rows(2)})


def test_an_absent_package_names_its_remedy(engine: Path) -> None:
    if check_backend("tensorrt").installed:
        pytest.skip("TensorRT is here")
    with pytest.raises(BackendError, match="pip install tensorrt cuda-python"):
        open_session(engine, backend="tensorrt")
