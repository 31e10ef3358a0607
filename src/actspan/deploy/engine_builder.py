"""NVIDIA GPUs: TensorRT's Python builder, or `trtexec`, builds an engine for several batches.

UNVERIFIED: follows the vendor's documentation; tests run fake compilers.

The graph defines the precision: for TensorRT 10 networks are strongly typed, and version 11
supports nothing else. Before 10 the flags for half precision and int8 are set as well. An engine
runs only on the kind of GPU and the version that built it, so both are in its name.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from actspan.core.errors import CompileError
from actspan.deploy.compilation import (
    CompileJob,
    CompilePlan,
    Compiler,
    CompilerReport,
    Log,
    run_program,
)
from actspan.deploy.deploy_requests import CompileRequest
from actspan.deploy.variants import export_variants
from actspan.model.bundle import Bundle
from actspan.model.nets import FORMS, NETS, Net, input_shape
from actspan.runtime.tensorrt import gpu_key

Version = tuple[int, int, int]

_STRONG: Version = (10, 0, 0)  # networks are strongly typed from this version on
_SKIPS: Version = (8, 6, 0)  # before this version --skipInference was called --buildOnly
_GET = (
    "on the machine with the GPU, pip install tensorrt cuda-python, or put trtexec of NVIDIA's "
    "package on PATH (docs/deploy/tensorrt.md); or write a script for it: actspan compile BUNDLE "
    "--target tensorrt --print"
)
_BANNER = re.compile(r"\[TensorRT v(\d+)\]")


def prepare(bundle: Bundle, request: CompileRequest, key: str) -> tuple[Bundle, list[CompileJob]]:
    """Write the graphs for TensorRT; see `compilation`."""
    from actspan.deploy.passes.contract import PassSettings

    nets = [net for net in NETS if f"{net}.onnx" in bundle.files]
    sources = {net: f"{net}.onnx" for net in nets}
    notes: dict[Net, tuple[str, ...]] = {}
    if request.precision != "fp32":
        settings = PassSettings(symmetric=True)  # TensorRT supports only symmetric int8
        passes = ["fold-scale", request.precision]
        done = export_variants(bundle, passes, settings, calibrate=request.calibrate)
        bundle, sources = done.bundle, {net: done.file(net) for net in nets}
        notes = {net: model.notes for net, model in done.rewritten.items()}
    precision = "" if request.precision == "fp32" else request.precision
    jobs = []
    for net in nets:
        output = ".".join(filter(None, (net, key, precision, "engine")))
        least, most = _profile(bundle, net, request.batches)
        job = CompileJob(
            net, sources[net], (output,), FORMS[net].input, least, most, notes.get(net, ())
        )
        jobs.append(job)
    return bundle, jobs


def _profile(
    bundle: Bundle, net: Net, batches: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the smallest and largest input: videos, or rows of their proposals for PEM."""
    least, most = min(batches), max(batches)
    if net == "pem":
        (inputs,) = input_shape(bundle.config, net)
        return (1, inputs), (most * bundle.config.pgm.keep, inputs)
    shape = input_shape(bundle.config, net)
    return (least, *shape), (most, *shape)


def trtexec_words(job: CompileJob, request: CompileRequest, version: Version) -> list[str]:
    """Return the command for a version of trtexec, as a list of words."""
    least, most = ("x".join(map(str, sizes)) for sizes in (job.least, job.most))
    words = ["trtexec", f"--onnx={job.source}", f"--saveEngine={job.output}"]
    shapes = (("minShapes", least), ("optShapes", most), ("maxShapes", most))
    words += [f"--{name}={job.input}:{sizes}" for name, sizes in shapes]
    if version >= _STRONG:
        words += ["--stronglyTyped"]
    else:
        words += {"fp32": [], "fp16": ["--fp16"], "int8": ["--int8", "--fp16"]}[request.precision]
    if request.precision == "fp32":
        words += ["--noTF32"]
    return [*words, "--skipInference" if version >= _SKIPS else "--buildOnly"]


def _run_trtexec(
    path: Path, version: Version, job: CompileJob, plan: CompilePlan, folder: Path, log: Log
) -> CompilerReport:
    words = trtexec_words(job, plan.request, version)
    code, printed = run_program([str(path), *words[1:]], job, folder, log)
    if code != 0 or not (folder / job.output).is_file():
        errors = [line for line in printed.splitlines() if "[E]" in line]
        reason = errors[0].partition("[E]")[2].strip() if errors else "no error in its output"
        raise CompileError(f"trtexec ended with {code}: {reason}")
    return CompilerReport(words)


def _build(trt: Any, job: CompileJob, plan: CompilePlan, folder: Path, log: Log) -> CompilerReport:
    """Compile a job by the Python builder."""
    name, precision = f"TensorRT {trt.__version__}", plan.request.precision
    strong = tuple(map(int, re.findall(r"\d+", name))) >= _STRONG
    builder = trt.Builder(trt.Logger(trt.Logger.WARNING))
    kinds = trt.NetworkDefinitionCreationFlag
    kind = kinds.STRONGLY_TYPED if strong else kinds.EXPLICIT_BATCH
    network = builder.create_network(1 << int(kind))
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.WARNING))
    if not parser.parse((folder / job.source).read_bytes()):
        reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise CompileError(f"{name} does not read {job.source}: {reasons}")
    config = builder.create_builder_config()
    if precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)
    elif not strong:
        config.set_flag(trt.BuilderFlag.FP16)
        if precision == "int8":
            config.set_flag(trt.BuilderFlag.INT8)
    profile = builder.create_optimization_profile()
    profile.set_shape(job.input, job.least, job.most, job.most)
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise CompileError(f"{name} builds no engine of {job.source}; see its messages")
    (folder / job.output).write_bytes(bytes(engine))
    return CompilerReport()


def find_compiler(request: CompileRequest) -> Compiler:
    """Find the builder or trtexec."""
    try:
        trt = importlib.import_module("tensorrt")
    except ImportError:
        trt = None
    path = shutil.which("trtexec")
    if trt is None and path is None:
        raise CompileError(f"target tensorrt: TensorRT is not installed: {_GET}")
    gpu = _gpu_name()
    if trt is not None:
        version = str(trt.__version__)
        return Compiler(f"TensorRT {version}", partial(_build, trt), gpu_key(gpu, version))
    number = _trtexec_version(Path(str(path)))
    version = ".".join(map(str, number))
    run = partial(_run_trtexec, Path(str(path)), number)
    return Compiler(f"trtexec {version}", run, gpu_key(gpu, version))


def _gpu_name() -> str:
    """Return the first GPU's name, from nvidia-smi."""
    path = shutil.which("nvidia-smi")
    command = [path or "", "--query-gpu=name", "--format=csv,noheader"]
    lines = _answer(command).splitlines() if path else []
    if not lines or not lines[0].strip():
        raise CompileError(
            "target tensorrt: nvidia-smi shows no GPU here, and an engine is built on the GPU that "
            f"runs it: is the driver installed? {_GET}"
        )
    return lines[0].strip()


def _trtexec_version(path: Path) -> Version:
    """Read the version from the banner: v100901 is 10.9.1, v8603 is 8.6.3."""
    match = _BANNER.search(_answer([str(path), "--help"]))
    if match is None:
        raise CompileError(f"{path}: prints no version; is it TensorRT's trtexec?")
    number = int(match[1])
    if number >= 100_000:
        return number // 10_000, number // 100 % 100, number % 100
    return number // 1000, number // 100 % 10, number % 100


def _answer(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603  no shell
            command, capture_output=True, text=True, errors="replace", timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompileError(f"{command[0]} does not answer: {error}") from error
    return done.stdout + done.stderr if done.returncode == 0 else ""


def script_lines(plan: CompilePlan) -> list[str]:
    """Return the lines of the script."""
    lines = (trtexec_words(job, plan.request, _STRONG) for job in plan.jobs)
    return [
        "# TensorRT 10 or newer; an engine runs on the GPU and the version that built it alone",
        *(" ".join(words) for words in lines),
    ]
