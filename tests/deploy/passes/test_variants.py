from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actspan import Bundle
from actspan.core.errors import ExportError, ParityError
from actspan.deploy.passes.contract import PassSettings
from actspan.deploy.variants import export_variants, variant_name
from actspan.model.conversion import convert_checkpoints
from actspan.runtime.export import export_bundle
from actspan.runtime.opening import open_session
from tests.examples import CHANNELS, write_bmn_bundle, write_bundle, write_dataset


@pytest.fixture(params=[0, 2], ids=["published", "dilated"])
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "b", dilated=request.param)


def test_variants_are_named_after_their_passes(bundle: Bundle) -> None:
    done = export_variants(bundle, ["fold-scale", "conv1d-to-conv2d"])
    checks = done.checks
    assert [(c.net, c.file) for c in checks] == [
        ("tem", "tem.scale.conv2d.onnx"),
        ("pem", "pem.scale.conv2d.onnx"),
    ]
    assert checks[0].passes == ("fold-scale", "conv1d-to-conv2d")
    assert checks[1].passes == ("fold-scale",)
    for check in checks:
        assert done.bundle.file(check.file).stat().st_size == check.size
        assert check.numpy_difference < 1e-5
    assert Bundle.load(bundle.path) == done.bundle
    assert variant_name("pem", []) == "pem.onnx"


def test_a_network_that_nothing_changes_has_none(bundle: Bundle) -> None:
    done = export_variants(bundle, ["conv1d-to-conv2d"])
    assert [c.file for c in done.checks] == ["tem.conv2d.onnx"]
    assert [done.file(net) for net in done.rewritten] == ["tem.conv2d.onnx", "pem.onnx"]
    assert len(done.bundle.files) == len(bundle.files) + 1


def test_sizes_are_fixed_where_that_is_asked_for(bundle: Bundle) -> None:
    settings = PassSettings(batch=4, length=20)
    exported = export_variants(bundle, ["fix-dims", "conv1d-to-conv2d"], settings).bundle
    with open_session(exported.file("tem.b4-t20.conv2d.onnx")) as session:
        assert session.input_shapes == {"video": (4, CHANNELS, 20)}
    checks = export_variants(bundle, ["conv1d-to-conv2d"], settings).checks
    assert [c.file for c in checks] == ["tem.conv2d.onnx"]


@pytest.mark.parametrize("net", ["tem", "bmn"])
def test_graphs_that_were_exported_for_a_batch_have_variants(tmp_path: Path, net: str) -> None:
    made = write_bundle(tmp_path / "b") if net == "tem" else write_bmn_bundle(tmp_path / "b")
    fixed, _ = export_bundle(made, batch=2, check_torch=False)
    done = export_variants(fixed, ["conv1d-to-conv2d"])
    with open_session(done.bundle.file(f"{net}.conv2d.onnx")) as session:
        assert session.input_shapes["video"][0] == 2


def test_half_precision_of_inputs_and_outputs(bundle: Bundle) -> None:
    checks = export_variants(bundle, ["fp16"], PassSettings(io="fp16")).checks
    assert [c.file for c in checks] == ["tem.fp16-io.onnx", "pem.fp16-io.onnx"]
    assert all(0 < c.numpy_difference < 1e-2 for c in checks)


def test_int8_from_a_dataset(bundle: Bundle, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", videos=6)
    done = export_variants(bundle, ["fold-scale", "int8"], calibrate=dataset)
    assert [c.file for c in done.checks] == ["tem.scale.int8.onnx", "pem.scale.int8.onnx"]
    with pytest.raises(ExportError, match=r"tem\.onnx: pass int8: a dataset is needed"):
        export_variants(done.bundle, ["int8"])


def test_a_variant_that_is_off_is_not_written(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "actspan.deploy.variants.network_outputs",
        lambda config, weights, x: [(np.ones((len(x), 3, x.shape[-1])),) * 2],
    )
    with pytest.raises(ParityError, match=r"tem\.scale\.onnx: not written: it differs from"):
        export_variants(bundle, ["fold-scale"])
    assert Bundle.load(bundle.path) == bundle


def test_published_weights(golden: Path, tmp_path: Path) -> None:
    from actspan.runtime.export import export_bundle

    checkpoints = [golden / "tem_made_up.pth.tar", golden.parent / "weights" / "pem_best.pth.tar"]
    bundle, _ = convert_checkpoints(checkpoints, tmp_path / "b")
    bundle, _ = export_bundle(bundle, check_torch=False)
    float32 = export_variants(bundle, ["fold-scale", "conv1d-to-conv2d"])
    half = export_variants(float32.bundle, ["fold-scale", "fp16"])
    bundle = half.bundle
    assert max(check.numpy_difference for check in float32.checks) < 1e-6
    assert max(check.numpy_difference for check in half.checks) < 2e-3
    with np.load(golden / "stages.npz") as stages:
        features = [name for name in stages if name.endswith("/feature")]
        x = np.stack([stages[name].T for name in features])  # (8, C, T)
        expected = np.stack([stages[name.replace("feature", "tem")] for name in features])
    for name, allowed in (("tem.scale.conv2d.onnx", 1e-5), ("tem.scale.fp16.onnx", 1e-3)):
        with open_session(bundle.file(name), backend="onnxruntime") as session:
            found = session.run({"video": x})["output"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=allowed)
