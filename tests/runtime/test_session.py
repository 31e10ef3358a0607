from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actspan.errors import BackendError, ShapeError
from actspan.runtime import BACKENDS, open_session
from actspan.runtime.session import check_inputs


def test_unknown_backends_are_listed(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="'cuda' is not known; choose one of: auto, onnxruntime"):
        open_session(tmp_path / "x.onnx", backend="cuda")


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
def test_a_missing_file_is_named(tmp_path: Path, backend: str) -> None:
    with pytest.raises(BackendError, match=r"x\.onnx: there is no such file; .*actspan export"):
        open_session(tmp_path / "x.onnx", backend=backend)


def test_no_threads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="at least 1, not 0"):
        open_session(tmp_path / "x.onnx", threads=0)


def test_inputs_become_contiguous_float32() -> None:
    x = np.arange(6.0).reshape(2, 3).T
    checked = check_inputs({"x": x}, {"x": (None, 2)})["x"]
    assert checked.dtype == np.float32
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, x)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        pytest.param({}, "inputs are none; the network takes x", id="missing"),
        pytest.param({"y": np.zeros((1, 2))}, "inputs are y; the network takes x", id="unknown"),
        pytest.param({"x": np.zeros((1, 3))}, r"\(1, 3\); the network takes \(any, 2\)", id="size"),
        pytest.param({"x": np.zeros(2)}, r"\(2,\); the network takes \(any, 2\)", id="rank"),
    ],
)
def test_wrong_inputs_are_named(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        check_inputs(inputs, {"x": (None, 2)})
