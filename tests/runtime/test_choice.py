from __future__ import annotations

import dataclasses
from pathlib import Path
from types import MappingProxyType

import pytest

from actspan import Bundle
from actspan.core.errors import BackendError
from actspan.runtime.backends import BACKENDS, Support
from actspan.runtime.opening import choose_backend, open_nets
from tests.examples import write_bundle

THERE = Support("1.0")
ABSENT = Support("", "not here")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("choice") / "b")


def pretend(monkeypatch: pytest.MonkeyPatch, *usable: str) -> None:
    monkeypatch.setattr(
        "actspan.runtime.backends.Backend.check",
        lambda backend, device=0: THERE if backend.name in usable else ABSENT,
    )


@pytest.mark.parametrize(
    ("usable", "expected"),
    [
        pytest.param(("onnxruntime",), "onnxruntime", id="core"),
        pytest.param(("onnxruntime", "openvino", "torch"), "openvino", id="fastest"),
        pytest.param(("onnxruntime", "torch"), "onnxruntime", id="no-openvino"),
        pytest.param(("torch",), "torch", id="torch-alone"),
        pytest.param(("openvino:bf16", "torch"), "torch", id="never-less-precise"),
        pytest.param(("tensorrt", "onnxruntime"), "onnxruntime", id="no-engine-in-the-bundle"),
    ],
)
def test_auto_chooses_the_first_usable_backend(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, usable: tuple[str, ...], expected: str
) -> None:
    pretend(monkeypatch, *usable)
    choice = choose_backend(bundle)
    assert choice.name == expected
    assert "installed and fits this bundle" in choice.reason


def test_an_unverified_backend_must_open_the_bundle(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Opening fails, since the provider is absent; auto continues, and reports it.
    pretend(monkeypatch, "onnxruntime:cuda", "onnxruntime")
    choice = choose_backend(bundle)
    assert choice.name == "onnxruntime"
    assert "onnxruntime:cuda passed over: backend onnxruntime:cuda: this ONNX" in choice.reason


def test_without_a_usable_backend_all_reasons_are_given(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch)
    with pytest.raises(BackendError, match=r"tensorrt: the bundle has no \.engine of tem, pem; "):
        choose_backend(bundle)


def test_a_requested_backend_is_chosen(bundle: Bundle) -> None:
    assert choose_backend(bundle, "openvino:gpu").name == "openvino:gpu"
    with pytest.raises(BackendError, match="'fast' is not known"):
        choose_backend(bundle, "fast")


def test_missing_graphs_are_no_obstacle_where_they_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_bundle(tmp_path / "b")
    bare = dataclasses.replace(
        whole, files={k: v for k, v in whole.files.items() if not k.endswith(".onnx")}
    )
    pretend(monkeypatch, "onnxruntime", "torch")
    assert choose_backend(bare).name == "onnxruntime"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert choose_backend(bare).name == "torch"


def test_the_pipeline_uses_the_chosen_backend(bundle: Bundle) -> None:
    for name in ("onnxruntime", "torch"):
        if name == "torch":
            pytest.importorskip("torch")
        with open_nets(bundle, ["tem"], name, 1)["tem"] as tem:
            assert tem.backend == name


def test_the_table_of_backends() -> None:
    assert isinstance(BACKENDS, MappingProxyType)
    for name, row in BACKENDS.items():
        assert row.name == name
        assert row.install
        assert row.suffix.startswith(".")
        assert not (row.auto and row.precision != "float32")
