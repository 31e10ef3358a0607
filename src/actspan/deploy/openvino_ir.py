"""CPUs: OpenVINO's intermediate representation, an `.xml` with its weights in a `.bin`.

One file takes any batch. fp16 halves the size of the weights; a processor without half
precision computes in float32. int8 is NNCF's quantisation of layers with equalised inputs, with
ranges from real features. The last layer is never quantised, and of a TEM as many of the first ones
are left as its proposals need (`mixing`); these, and PEM, compute in bfloat16 if the processor has
it (docs/project/decisions.md).
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from functools import partial
from pathlib import Path
from typing import Any

from actspan.core.errors import CompileError, require
from actspan.deploy.compilation import (
    CompileJob,
    CompilePlan,
    Compiler,
    CompilerReport,
    Log,
)
from actspan.deploy.deploy_requests import CompileRequest
from actspan.deploy.optimize import read_model, rewrite_model
from actspan.deploy.variants import export_variants
from actspan.model.bundle import Bundle
from actspan.model.nets import FORMS, NETS

_LAYERS = ("Convolution", "GroupConvolution", "MatMul")


def prepare(bundle: Bundle, request: CompileRequest, key: str) -> tuple[Bundle, list[CompileJob]]:
    """Write the graphs for OpenVINO; see `compilation`."""
    sources = {net: f"{net}.onnx" for net in NETS if f"{net}.onnx" in bundle.files}
    tag = ""
    if request.precision != "fp32":  # half precision cannot represent 0.01
        tag = f".{request.precision}"
        done = export_variants(bundle, ["fold-scale"])
        bundle, sources = done.bundle, {net: done.file(net) for net in sources}
    jobs = []
    for net, source in sources.items():
        sizes = read_model(bundle.file(source)).graph.input[0].type.tensor_type.shape.dim
        shape = tuple(size.dim_value or None for size in sizes)
        outputs = (f"{net}{tag}.bin", f"{net}{tag}.xml")
        jobs.append(CompileJob(net, source, outputs, FORMS[net].input, shape, shape))
    return bundle, jobs


def _convert(
    version: str, nncf: Any, job: CompileJob, plan: CompilePlan, folder: Path, log: Log
) -> CompilerReport:
    """Compile a job by OpenVINO's converter; `nncf` is None unless the result is int8."""
    import openvino

    source = folder / job.source
    notes: tuple[str, ...] = ()
    try:
        if nncf is not None and job.net != "pem":  # PEM is faster in bfloat16, and more exact
            model, notes = _quantise(nncf, job, plan, source)
        else:
            model = openvino.Core().read_model(str(source))
        half = plan.request.precision == "fp16"
        openvino.save_model(model, str(folder / job.output), compress_to_fp16=half)
    except RuntimeError as error:
        raise CompileError(f"{version} refuses {job.source}: {error}") from error
    return CompilerReport(notes=notes)


def _quantise(
    nncf: Any, job: CompileJob, plan: CompilePlan, source: Path
) -> tuple[Any, tuple[str, ...]]:
    """Return the quantised model, with lines about what calibration skipped."""
    import onnx_ir as ir
    import openvino

    from actspan.deploy.mixing import mix_layers
    from actspan.deploy.passes.calibration import DatasetCalibration
    from actspan.deploy.passes.int8 import equalise_inputs, shapes_of

    assert plan.request.calibrate is not None
    calibration = DatasetCalibration(plan.request.calibrate, job.net, plan.bundle)
    prepared = rewrite_model(read_model(source), ["constant-fold"], where=job.source).model
    graph = ir.from_proto(prepared)
    sample = calibration.sample(shapes_of(graph.graph))
    equalise_inputs(graph, sample.inputs)
    model = openvino.Core().read_model(ir.to_proto(graph).SerializeToString())
    layers = [op.get_friendly_name() for op in _layers(model)]

    def without(count: int) -> Any:
        if count + 1 == len(layers):
            return model.clone()
        with contextlib.redirect_stdout(io.StringIO()):  # hides its progress bars
            return nncf.quantize(
                model,
                nncf.Dataset(sample.inputs),
                subset_size=len(sample.inputs),
                preset=nncf.QuantizationPreset.MIXED,
                ignored_scope=_ignored(nncf, [*layers[:count], layers[-1]]),
                advanced_parameters=_whole_ranges(nncf),
            )

    if job.net != "tem":
        return without(0), sample.notes
    mixed, note = mix_layers(without, len(layers) - 1, plan.bundle, plan.request.calibrate)
    return mixed, (*sample.notes, note)


def _ignored(nncf: Any, layers: list[str]) -> Any:
    """Return what is not quantised: these layers, and sums, so that residual paths stay exact."""
    return nncf.IgnoredScope(names=layers, types=["Add"], validate=False)


def _whole_ranges(nncf: Any) -> Any:
    """Return settings that clip no input; by default NNCF averages the extremes of the samples."""
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    ranges = RangeEstimatorParametersSet.MINMAX
    return nncf.AdvancedQuantizationParameters(activations_range_estimator_params=ranges)


def _layers(model: Any) -> list[Any]:
    """Return the operations with weights, in the order of computation."""
    return [op for op in model.get_ordered_ops() if op.get_type_name() in _LAYERS]


def find_compiler(request: CompileRequest) -> Compiler:
    """Find OpenVINO."""
    openvino = require("openvino", extra="openvino", purpose="target openvino")
    version, nncf = f"OpenVINO {str(openvino.__version__).partition('-')[0]}", None
    if request.precision == "int8":
        os.environ.setdefault("NNCF_CI", "1")  # disables NNCF's usage statistics
        nncf = require("nncf", extra="openvino", purpose="target openvino in int8")
        nncf.set_log_level(40)  # only errors
        version = f"{version}, NNCF {nncf.__version__}"
    return Compiler(version, partial(_convert, version, nncf))


def script_lines(plan: CompilePlan) -> list[str]:
    """Return the lines of the script."""
    if plan.request.precision == "int8":
        raise CompileError(
            "OpenVINO's converter has no command that quantises: compile here, without --print"
        )
    half = plan.request.precision == "fp16"
    return [
        shlex.join(["ovc", j.source, f"--output_model={j.output}", f"--compress_to_fp16={half}"])
        for j in plan.jobs
    ]
