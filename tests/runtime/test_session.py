from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actspan.core.errors import BackendError, ConfigError, ShapeError
from actspan.runtime.backends import BACKENDS
from actspan.runtime.opening import find_backend, open_session
from actspan.runtime.session import SessionOptions, check_inputs


@pytest.mark.parametrize("name", ["cuda", "", ":", "onnxruntime:", "openvino:tpu", "torch:1:1"])
def test_unknown_backends_are_listed(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        BackendError, match=r"is not known.*; choose one of: auto, tensorrt, ascend"
    ):
        open_session(tmp_path / "x.onnx", backend=name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("openvino", ("openvino", 0), id="plain"),
        pytest.param("ascend:3", ("ascend", 3), id="device"),
        pytest.param("onnxruntime:cuda:1", ("onnxruntime:cuda", 1), id="provider-and-device"),
        pytest.param("onnxruntime:Dml", ("onnxruntime:Dml", 0), id="any-provider"),
    ],
)
def test_names_of_backends(name: str, expected: tuple[str, int]) -> None:
    backend, device = find_backend(name)
    assert (backend.name, device) == expected


def test_backends_outside_the_table_are_not_verified() -> None:
    assert not find_backend("onnxruntime:xnnpack")[0].verified


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(BackendError, match=r"knows no such .*:directml, onnxruntime:dml"):
        find_backend("onnxruntime:cudda")


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
def test_a_missing_file_is_named(tmp_path: Path, backend: str) -> None:
    with pytest.raises(BackendError, match=r"x\.onnx: no such file; .*actspan export"):
        open_session(tmp_path / "x.onnx", backend=backend)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if not name.startswith("onnx")])
def test_files_of_another_kind_are_refused(tmp_path: Path, backend: str) -> None:
    file = tmp_path / "x.txt"
    file.touch()
    with pytest.raises(BackendError, match=rf"x\.txt: backend {backend} opens "):
        open_session(file, backend=backend)
    with pytest.raises(BackendError, match=r"x\.txt: no backend opens such a file; they open: "):
        open_session(file)


def test_zero_threads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="threads must be at least 1, not 0"):
        open_session(tmp_path / "x.onnx", threads=0)
    with pytest.raises(ConfigError, match="streams must be at least 1, not 0"):
        SessionOptions(streams=0)


def test_inputs_become_contiguous_float32() -> None:
    x = np.arange(6.0).reshape(2, 3).T
    checked = check_inputs({"x": x}, {"x": (None, 2)})["x"]
    assert checked.dtype == np.float32
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, x)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        pytest.param({}, "inputs are none; the network expects x", id="missing"),
        pytest.param({"y": np.zeros((1, 2))}, "inputs are y; the network expects x", id="unknown"),
        pytest.param(
            {"x": np.zeros((1, 3))}, r"\(1, 3\); the network expects \(any, 2\)", id="size"
        ),
        pytest.param({"x": np.zeros(2)}, r"\(2,\); the network expects \(any, 2\)", id="rank"),
    ],
)
def test_wrong_inputs_are_named(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        check_inputs(inputs, {"x": (None, 2)})
