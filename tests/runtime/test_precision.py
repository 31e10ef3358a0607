"""Fast modes are chosen by name, and refused with a reason where the processor lacks them."""

from __future__ import annotations

import pytest

from actspan.core.errors import ActSpanError, BackendError, ConfigError
from actspan.runtime import openvino, precision
from actspan.runtime.backends import BACKENDS
from actspan.runtime.precision import NetworkPrecision, backend_for

pytest.importorskip("openvino")


def test_full_precision_leaves_the_backend_as_it_is() -> None:
    assert backend_for("fp32") == "auto"
    assert backend_for("fp32", "onnxruntime") == "onnxruntime"


def test_a_fast_mode_has_its_own_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: ("avx2", "avx_vnni"))
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: True)
    assert backend_for("int8") == backend_for("int8", "openvino:int8") == "openvino:int8"
    assert backend_for("bf16") == "openvino:bf16"
    with pytest.raises(ConfigError, match="of the backend openvino:int8, not of torch"):
        backend_for("int8", "torch")


def test_auto_takes_none_of_them() -> None:
    fast = [backend for backend in BACKENDS.values() if backend.precision != "float32"]
    assert {"openvino:bf16", "openvino:int8"} <= {backend.name for backend in fast}
    assert not any(backend.auto for backend in fast)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("int8", "precision int8: this processor has no int8 arithmetic"),
        ("bf16", "precision bf16: this processor has no bfloat16 arithmetic"),
    ],
)
def test_a_processor_without_the_arithmetic_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, wanted: NetworkPrecision, message: str
) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: ("avx", "avx2", "fma"))
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: False)
    with pytest.raises(BackendError, match=message) as caught:
        backend_for(wanted)
    assert "\n" not in str(caught.value)


def test_an_absent_runtime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(ActSpanError, match=r"precision bf16: .*pip install"):
        backend_for("bf16")
