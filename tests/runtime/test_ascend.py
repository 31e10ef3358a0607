"""Calls of the vendor's interface, tested with a fake, never on an NPU."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from actspan import Bundle
from actspan.core.errors import BackendError
from actspan.runtime.backends import BACKENDS
from actspan.runtime.opening import check_backend, choose_backend, open_net, open_session
from tests.examples import write_bundle
from tests.runtime.fakes import InferSession, double


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> type[InferSession]:
    class Session(InferSession):
        """A new class per test, whose attributes the test may change."""

    for name in ("ais_bench", "ais_bench.infer", "ais_bench.infer.interface"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["ais_bench.infer.interface"].InferSession = Session  # type: ignore[attr-defined]
    return Session


@pytest.fixture
def om(tmp_path: Path) -> Path:
    path = tmp_path / "tem.om"
    path.write_bytes(b"om")
    return path


def test_it_is_never_called_verified() -> None:
    assert not BACKENDS["ascend"].verified


def test_all_calls_run_in_one_thread(vendor: type[InferSession], om: Path) -> None:
    x = np.random.default_rng(0).random((4, 5, 20), dtype=np.float32)
    with open_session(om, backend="ascend") as session, ThreadPoolExecutor(3) as pool:
        assert session.input_shapes == {"video": (4, 5, 20)}
        for outputs in pool.map(session.run, [{"video": x}] * 9):
            np.testing.assert_array_equal(outputs["Sigmoid_6:0:output"], double(x))
    with pytest.raises(BackendError, match="is closed"):
        session.run({"video": x})


@pytest.mark.parametrize("count", [1, 4, 7])
def test_a_bundle_runs_with_any_batch(
    vendor: type[InferSession], tmp_path: Path, count: int
) -> None:
    bundle = write_bundle(tmp_path / "b").add_file("tem.bs4.om", lambda p: _write(p))
    x = np.random.default_rng(0).random((count, 5, 20), dtype=np.float32)
    with open_net(bundle, "tem", backend="ascend") as session:
        np.testing.assert_array_equal(session.run({"video": x})["output"], double(x))
    two = bundle.add_file("tem.bs1.om", lambda p: p.write_bytes(b"another shape"))
    with open_net(two, "tem", backend="ascend") as session:  # the larger batch
        np.testing.assert_array_equal(session.run({"video": x})["output"], double(x))
    more = two.add_file("tem.fp16.bs4.om", lambda p: _write(p))
    with pytest.raises(BackendError, match=r"tem\.bs4\.om, tem\.fp16\.bs4\.om; keep the one"):
        open_net(more, "tem", backend="ascend")


def test_auto_chooses_compiled_files(vendor: type[InferSession], tmp_path: Path) -> None:
    whole = write_bundle(tmp_path / "b")
    bundle: Bundle = whole.add_file("tem.om", _write).add_file("pem.om", _write)
    vendor.shape = (4, 5, 20)
    assert choose_backend(bundle).name == "ascend"
    assert "not verified" in choose_backend(bundle).reason
    vendor.devices = 0
    assert "ascend passed over" in choose_backend(bundle).reason


def _write(path: Path) -> None:
    path.write_bytes(b"om")


def test_a_wrong_device_and_a_foreign_file_are_named(vendor: type[InferSession], om: Path) -> None:
    with pytest.raises(BackendError, match=r"tem\.om: NPU 7 refuses it: open device 7 failed"):
        open_session(om, backend="ascend:7")
    om.write_bytes(b"something else")
    with pytest.raises(BackendError, match=r"NPU 0 refuses it: load model from file failed"):
        open_session(om, backend="ascend")


def test_free_sizes_are_refused(vendor: type[InferSession], om: Path) -> None:
    vendor.shape = (-1, 5, 20)
    with pytest.raises(BackendError, match=r"tem\.om: the size of video is free; compile it"):
        open_session(om, backend="ascend")


def test_a_failure_of_the_vendor_is_a_backend_error(
    vendor: type[InferSession], om: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: InferSession, feeds: list[np.ndarray], mode: str) -> None:
        raise RuntimeError("aclmdlExecute failed, ret:507011")

    monkeypatch.setattr(vendor, "infer", fail)
    with (
        open_session(om, backend="ascend") as session,
        pytest.raises(BackendError, match=r"tem\.om: the NPU failed: aclmdlExecute failed"),
    ):
        session.run({"video": np.zeros((4, 5, 20), np.float32)})


def test_an_absent_package_names_its_remedy(om: Path) -> None:
    if check_backend("ascend").installed:
        pytest.skip("the vendor's package is here")
    with pytest.raises(BackendError, match=r"cannot be imported.* install CANN"):
        open_session(om, backend="ascend")


def test_another_package_of_the_same_name_is_recognised(
    om: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PyPI's ais-bench-benchmark brings a package of the same name.
    monkeypatch.setitem(sys.modules, "ais_bench", ModuleType("ais_bench"))
    with pytest.raises(BackendError, match="the ais_bench that is installed is another program"):
        open_session(om, backend="ascend")
    assert not check_backend("ascend").installed
