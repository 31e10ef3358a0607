"""OpenVINO: compiled networks run, and agree with the checkpoint."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from actspan import Bundle
from actspan.core.errors import BundleError, CompileError
from actspan.deploy.compilation import (
    compile_plan,
    find_compiler,
    prepare_plan,
    read_records,
    write_script,
)
from actspan.deploy.deploy_requests import CompileRequest
from actspan.deploy.variants import find_variants
from actspan.deploy.verification import verify_bundle
from actspan.model.bsn.forward import tem_forward
from actspan.runtime.opening import find_backend, net_file, open_net, open_session
from tests.examples import CHANNELS, write_annotations, write_bundle, write_dataset

pytest.importorskip("openvino")

X = np.random.default_rng(0).standard_normal((3, CHANNELS, 20), dtype=np.float32)


def compiled(bundle: Bundle, precision: str, calibrate: Path | None = None) -> Bundle:
    request = CompileRequest("openvino", precision=precision, calibrate=calibrate)
    compiler = find_compiler(request)
    return compile_plan(prepare_plan(bundle, request, compiler), compiler)[0]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "b")


@pytest.mark.parametrize(
    ("precision", "backend", "tolerance"),
    [("fp32", "openvino", 1e-5), ("fp16", "openvino:fp16", 0.05)],
)
def test_runs_what_was_compiled(
    bundle: Bundle, precision: str, backend: str, tolerance: float
) -> None:
    done = compiled(bundle, precision)
    name = net_file(done, "tem", find_backend(backend)[0])
    assert name == {"fp32": "tem.xml", "fp16": "tem.fp16.xml"}[precision]
    with open_net(done, "tem", backend=backend) as session:
        output = session.run({"video": X})["output"]
    expected = tem_forward(bundle.weights("tem"), X)
    np.testing.assert_allclose(output, expected, rtol=0, atol=tolerance)
    record = read_records(done)[name]
    assert (record.target, record.precision, record.shapes) == ("openvino", precision, "?x6x?")


def test_half_precision_halves_the_weights(tmp_path: Path) -> None:
    done = compiled(compiled(write_bundle(tmp_path / "b", hidden=64), "fp32"), "fp16")
    assert done.files["tem.fp16.bin"].size < 0.6 * done.files["tem.bin"].size


def test_int8_learns_from_a_dataset(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    bundle = write_bundle(tmp_path / "b", hidden=64)
    dataset = write_dataset(tmp_path / "d", videos=8)
    unannotated = {"subset": "training", "annotations": []}  # so nothing asks for another layer
    write_annotations(dataset, {f"video{i}": unannotated for i in range(8)})
    done = compiled(bundle, "int8", dataset)
    assert "FakeQuantize" in done.file("tem.int8.xml").read_text()
    found = verify_bundle(done, backends=["openvino:int8"])
    (result,) = found.results
    assert result.variant.precision == "mixed"
    assert 0 < result.outputs["tem"].mean < 0.1
    assert done.files["tem.int8.bin"].size < 0.5 * done.files["tem.safetensors"].size


def test_videos_that_int8_skips_are_noted(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    dataset = write_dataset(tmp_path / "d", videos=6)
    (dataset / "features" / "video2.npy").write_bytes(b"")
    request = CompileRequest("openvino", precision="int8", calibrate=dataset)
    compiler = find_compiler(request)
    plan = prepare_plan(write_bundle(tmp_path / "b"), request, compiler)
    _, done = compile_plan(plan, compiler)
    line = f"{dataset}: skipped: 1 video (video2): the file is empty"
    assert [one.notes[:1] for one in done] == [(line,), ()]  # PEM stays in floating point


def test_without_it_the_backend_opens_onnx_or_says_what_to_do(bundle: Bundle) -> None:
    assert net_file(bundle, "tem", find_backend("openvino")[0]) == "tem.onnx"
    with pytest.raises(BundleError, match=r"has no tem\.fp16\.xml; write it: actspan compile"):
        open_net(bundle, "tem", backend="openvino:fp16")
    with pytest.raises(CompileError, match="--calibrate DATASET"):
        CompileRequest("openvino", precision="int8")


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_damage_is_detected(bundle: Bundle, suffix: str) -> None:
    done = compiled(bundle, "fp32")
    (done.path / f"tem{suffix}").write_bytes(b"cut off")
    with pytest.raises(BundleError, match=rf"tem\{suffix}: damaged.*actspan compile"):
        open_net(done, "tem", backend="openvino")


def test_a_file_can_be_opened_alone(bundle: Bundle) -> None:
    done = compiled(bundle, "fp32")
    with open_session(done.path / "tem.xml") as session:
        assert session.backend == "openvino"
        assert session.input_shapes == {"video": (None, CHANNELS, None)}


def test_verify_takes_each_compiled_file(bundle: Bundle) -> None:
    done = compiled(compiled(bundle, "fp32"), "fp16")
    done = done.add_file("tem.fp16.bs1.om", lambda path: path.write_bytes(b"om"))
    names = [variant.name for variant in find_variants(done)]
    assert "openvino (.xml)" in names
    assert "openvino:fp16" in names
    found = verify_bundle(done)
    ran = {result.variant.name: result.status for result in found.results}
    assert ran["openvino (.xml)"] == "ok"
    assert any(n.startswith("ascend, fp16.bs1 left out: ") for n in found.notes)


def test_the_script_runs(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if shutil.which("ovc") is None:
        pytest.skip("needs OpenVINO's command ovc")
    _, script = write_script(prepare_plan(bundle, CompileRequest("openvino")))
    subprocess.run([str(script)], check=True, capture_output=True)
    assert (bundle.path / "tem.xml").is_file()


def test_no_script_quantises(bundle: Bundle, tmp_path: Path) -> None:
    request = CompileRequest("openvino", precision="int8", calibrate=tmp_path)
    with pytest.raises(CompileError, match="no command that quantises"):
        write_script(prepare_plan(bundle, request))
