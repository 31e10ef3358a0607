"""TensorRT: command lines by version, and both ways to build, with fakes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from actspan import Bundle
from actspan.core.errors import CompileError
from actspan.deploy.compilation import (
    CompileJob,
    CompilePlan,
    compile_plan,
    find_compiler,
    prepare_plan,
    read_records,
    write_script,
)
from actspan.deploy.deploy_requests import CompileRequest
from actspan.deploy.engine_builder import trtexec_words
from actspan.runtime.opening import find_backend, net_file
from tests.deploy.compilers import only, published_sizes, trtexec_on_path
from tests.examples import write_bundle, write_dataset

REQUEST = CompileRequest("tensorrt")
JOB = CompileJob("tem", "tem.onnx", ("tem.engine",), "video", (1, 400, 100), (16, 400, 100))
SHAPES = "--minShapes=video:1x400x100 --optShapes=video:16x400x100 --maxShapes=video:16x400x100"


@pytest.fixture(autouse=True)
def _no_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> CompilePlan:
    return prepare_plan(published_sizes(tmp_path_factory.mktemp("trt") / "b"), REQUEST)


@pytest.fixture
def bundle(plan: CompilePlan, tmp_path: Path) -> Bundle:
    shutil.copytree(plan.bundle.path, tmp_path / "b")
    return Bundle.load(tmp_path / "b")


@pytest.mark.parametrize(
    ("version", "precision", "last"),
    [
        pytest.param((11, 0, 0), "fp16", "--stronglyTyped --skipInference", id="11"),
        pytest.param((10, 9, 0), "fp16", "--stronglyTyped --skipInference", id="10"),
        pytest.param((10, 9, 0), "int8", "--stronglyTyped --skipInference", id="10-int8"),
        pytest.param((10, 9, 0), "fp32", "--stronglyTyped --noTF32 --skipInference", id="10-fp32"),
        pytest.param((8, 6, 3), "fp16", "--fp16 --skipInference", id="8.6"),
        pytest.param((8, 6, 3), "int8", "--int8 --fp16 --skipInference", id="8.6-int8"),
        pytest.param((7, 2, 3), "fp16", "--fp16 --buildOnly", id="7.2"),
        pytest.param((7, 2, 3), "fp32", "--noTF32 --buildOnly", id="7.2-fp32"),
    ],
)
def test_command_lines(version: tuple[int, int, int], precision: str, last: str) -> None:
    request = CompileRequest("tensorrt", precision=precision, calibrate=Path("videos"))
    line = " ".join(trtexec_words(JOB, request, version))
    assert line == f"trtexec --onnx=tem.onnx --saveEngine=tem.engine {SHAPES} {last}"


def test_one_engine_for_a_range_of_batches(plan: CompilePlan) -> None:
    tem, pem = plan.jobs
    assert (tem.least, tem.most) == ((1, 400, 100), (16, 400, 100))
    assert (pem.least, pem.most) == ((1, 32), (16_000, 32))
    assert (tem.source, pem.source) == ("tem.scale.fp16.onnx", "pem.scale.fp16.onnx")
    assert tem.shapes == "1x400x100 to 16x400x100"


@pytest.mark.parametrize(
    ("banner", "key"),
    [
        pytest.param("100901", "tesla-t4.trt10.9.1", id="10"),
        pytest.param("8603", "tesla-t4.trt8.6.3", id="8"),
    ],
)
def test_trtexec_builds_engines_for_this_gpu(
    bundle: Bundle, banner: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trtexec_on_path(monkeypatch, tmp_path / "bin", version=banner)
    compiler = find_compiler(REQUEST)
    compiled, done = compile_plan(prepare_plan(bundle, REQUEST, compiler), compiler)
    assert [one.job.output for one in done] == [f"tem.{key}.fp16.engine", f"pem.{key}.fp16.engine"]
    words = compiled.file(f"tem.{key}.fp16.engine").read_text().splitlines()
    assert "--maxShapes=video:16x400x100" in words
    assert read_records(compiled)[f"tem.{key}.fp16.engine"].compiler.startswith("trtexec ")


def test_a_failure_names_the_error(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trtexec_on_path(monkeypatch, tmp_path / "bin", version="100901")
    compiler = find_compiler(REQUEST)
    monkeypatch.setenv("SAYS", "[01/01/2026-00:00:00] [E] Could not parse the graph")
    monkeypatch.setenv("CODE", "1")
    with pytest.raises(CompileError, match="trtexec ended with 1: Could not parse the graph; its"):
        compile_plan(prepare_plan(bundle, REQUEST, compiler), compiler)


def test_the_error_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    with pytest.raises(CompileError, match="TensorRT is not installed: on the machine with"):
        find_compiler(REQUEST)
    trtexec_on_path(monkeypatch, tmp_path / "bin", version="x", gpu="Tesla T4")
    with pytest.raises(CompileError, match="prints no version"):
        find_compiler(REQUEST)
    monkeypatch.setenv("GPU", "")
    with pytest.raises(CompileError, match="nvidia-smi shows no GPU here"):
        find_compiler(REQUEST)


def test_the_script_has_both_commands(bundle: Bundle) -> None:
    _, path = write_script(prepare_plan(bundle, REQUEST))
    lines = path.read_text().splitlines()
    assert lines[-2] == (
        f"trtexec --onnx=tem.scale.fp16.onnx --saveEngine=tem.fp16.engine {SHAPES} "
        "--stronglyTyped --skipInference"
    )


def test_int8_is_symmetric(tmp_path: Path) -> None:
    request = CompileRequest(
        "tensorrt", precision="int8", calibrate=write_dataset(tmp_path / "d", videos=4)
    )
    done = prepare_plan(write_bundle(tmp_path / "b"), request)
    assert done.jobs[0].source == "tem.scale.int8-sym.onnx"
    model = onnx.load(str(done.bundle.file(done.jobs[0].source)))
    points = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    used = [n.input[2] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert used
    for name in used:
        assert points[name].dtype == np.int8
        assert not points[name].any()


def test_videos_that_int8_skips_are_noted(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", videos=6)
    (dataset / "features" / "video2.npy").write_bytes(b"")
    request = CompileRequest("tensorrt", precision="int8", calibrate=dataset)
    notes = [job.notes for job in prepare_plan(write_bundle(tmp_path / "b"), request).jobs]
    line = f"{dataset}: skipped: 1 video (video2): the file is empty"
    assert notes == [(line,), (line,)]


@pytest.mark.parametrize("gpu", ["Tesla T4", "NVIDIA GeForce RTX 4090"])
def test_the_runtime_opens_the_engine_of_its_gpu(
    gpu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["tesla-t4.trt10.9.0", "geforce-rtx-4090.trt10.9.0"]
    bundle = write_bundle(tmp_path / "b")
    for key in keys:
        bundle = bundle.add_file(f"tem.{key}.fp16.engine", lambda p: p.write_bytes(b"engine"))
    properties = SimpleNamespace(name=gpu.encode())
    modules = (
        SimpleNamespace(__version__="10.9.0.34"),
        SimpleNamespace(cudaGetDeviceProperties=lambda device: (0, properties)),
    )
    monkeypatch.setattr("actspan.runtime.tensorrt._modules", lambda backend: modules)
    expected = keys["4090" in gpu]
    found = net_file(bundle, "tem", find_backend("tensorrt")[0])
    assert found == f"tem.{expected}.fp16.engine"


class Trt:
    """A fake of `tensorrt`'s builder, which records its settings."""

    def __init__(self, version: str) -> None:
        self.__version__ = version
        self.told: dict[str, Any] = {"flags": set(), "cleared": set()}
        self.Logger = SimpleNamespace(WARNING=1)
        self.NetworkDefinitionCreationFlag = SimpleNamespace(EXPLICIT_BATCH=0, STRONGLY_TYPED=1)
        self.BuilderFlag = SimpleNamespace(TF32="TF32", FP16="FP16", INT8="INT8")

    def make(self) -> Any:
        told = self.told

        class Logger:
            WARNING = 1

            def __init__(self, level: int) -> None:
                pass

        config = SimpleNamespace(
            set_flag=told["flags"].add,
            clear_flag=told["cleared"].add,
            add_optimization_profile=lambda profile: told.update(profile=profile.shapes),
        )

        class Profile:
            shapes: tuple[Any, ...] = ()

            def set_shape(self, *shapes: Any) -> None:
                self.shapes = shapes

        class Builder:
            def __init__(self, logger: Logger) -> None:
                pass

            def create_network(self, flags: int) -> str:
                told["network"] = flags
                return "network"

            create_builder_config = staticmethod(lambda: config)
            create_optimization_profile = Profile

            def build_serialized_network(self, network: str, given: Any) -> bytes | None:
                return told.get("engine", b"engine")

        class OnnxParser:
            num_errors = 1

            def __init__(self, network: str, logger: Logger) -> None:
                pass

            def parse(self, data: bytes) -> bool:
                onnx.load_from_string(data)
                return "unread" not in told

            def get_error(self, number: int) -> str:
                return "no such operator"

        names = {"Logger": Logger, "Builder": Builder, "OnnxParser": OnnxParser}
        for name, value in names.items():
            setattr(self, name, value)
        return self


@pytest.mark.parametrize(
    ("version", "precision", "network", "flags", "cleared"),
    [
        pytest.param("10.9.0.34", "fp16", 2, set(), set(), id="10"),
        pytest.param("10.9.0.34", "fp32", 2, set(), {"TF32"}, id="10-fp32"),
        pytest.param("8.6.1", "fp16", 1, {"FP16"}, set(), id="8"),
    ],
)
def test_the_python_builder(
    bundle: Bundle,
    version: str,
    precision: str,
    network: int,
    flags: set[str],
    cleared: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trtexec_on_path(monkeypatch, tmp_path / "bin", version="1", gpu="NVIDIA A10")
    trt = Trt(version).make()
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    request = CompileRequest("tensorrt", precision=precision)
    compiler = find_compiler(request)
    compiled, done = compile_plan(prepare_plan(bundle, request, compiler), compiler)
    assert trt.told["network"] == network
    assert (trt.told["flags"], trt.told["cleared"]) == (flags, cleared)
    assert trt.told["profile"] == ("video_feature", (1, 32), (16_000, 32), (16_000, 32))
    assert done[0].job.output.startswith(f"tem.a10.trt{'.'.join(version.split('.')[:3])}.")
    assert compiled.file(done[0].job.output).read_bytes() == b"engine"


def test_what_the_builder_refuses(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trtexec_on_path(monkeypatch, tmp_path / "bin", version="1")
    trt = Trt("10.9.0").make()
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    compiler = find_compiler(REQUEST)
    plan = prepare_plan(bundle, REQUEST, compiler)
    trt.told["engine"] = None
    with pytest.raises(CompileError, match=r"builds no engine of tem\.scale\.fp16\.onnx"):
        compile_plan(plan, compiler)
    trt.told["unread"] = True
    with pytest.raises(CompileError, match=r"does not read tem.*: no such operator"):
        compile_plan(plan, compiler)
