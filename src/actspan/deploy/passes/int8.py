"""int8: static quantisation, written as QuantizeLinear / DequantizeLinear pairs.

ONNX Runtime's quantiser does the work; every runtime and accelerator reads this form.
docs/passes.md explains the choices, with measurements.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from actspan.core.wording import listed
from actspan.deploy.passes.contract import (
    Contract,
    GraphPass,
    Inputs,
    PassSettings,
    Shapes,
    constant_of,
    is_standard,
    nodes_of,
    opset_of,
    remove_unused,
)
from actspan.deploy.passes.equalise import equalise

LAYERS = ("Conv", "Gemm", "MatMul")
_NO_LAYER = "there is no Conv, Gemm or MatMul"
# Operators that may lie between two quantised layers without leaving int8.
_BETWEEN = (
    *("Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "MaxPool", "Relu"),
    *("Reshape", "Squeeze", "Transpose", "Unsqueeze"),
)
# Stops the quantiser's advice about preparation.
_DONE = {"onnx.quant.pre_process": "onnxruntime.quant"}
_PROBES = 4  # number of calls in the numeric check


class Int8(GraphPass):
    """Static quantisation to 8 bits."""

    contract = Contract(
        name="int8",
        tag="int8",
        summary="Quantise weights (one scale per channel) and activations to 8 bits.",
        needs="a dataset to calibrate on, opset 13 or newer, float32 layers with constant weights "
        "before the last one",
        ensures="every such layer reads dequantised inputs and weights; the last layer stays in "
        "float32",
        tolerance=0.1,
        kind="layers before the last",
        complete=True,
    )

    def __init__(self, settings: PassSettings) -> None:
        super().__init__(settings)
        self._calibration, self._symmetric = settings.calibration, settings.symmetric

    @property
    def tag(self) -> str:
        """Tag `int8`, or `int8-sym`."""
        return "int8-sym" if self._symmetric else "int8"

    def missing(self, model: ir.Model) -> str | None:
        """Check that the model can be quantised; see `GraphPass.missing`."""
        if self._calibration is None:
            return "give a dataset to calibrate on: --calibrate DATASET"
        if opset_of(model) < 13:
            return f"opset {opset_of(model)} is too old; run the pass opset first: --opset 17"
        fault = self.broken(model) if _is_quantised(model.graph) else None
        return f"{fault}, but other nodes are; start from a float32 network" if fault else None

    def broken(self, model: ir.Model) -> str | None:
        """Check that a layer is quantised; see `GraphPass.broken`."""
        for node in _targets(model.graph):
            if not _is_dequantised(node):
                return f"{node.op_type} {node.name!r} is not quantised"
        return None

    def remaining(self, model: ir.Model) -> Mapping[ir.Node, str]:
        """Return the layers that were left; see `GraphPass.remaining`."""
        found = {}
        for node in nodes_of(model):
            if is_standard(node, *LAYERS) and not _is_dequantised(node):
                inner = node.graph is not model.graph
                if inner or _feeds(node):
                    found[node] = _reason(node, inner)
        return found

    def left(self, model: ir.Model, total: int) -> str | None:
        """Return a line about what remains, also if nothing is quantised; see `GraphPass.left`."""
        layers = [node for node in model.graph if is_standard(node, *LAYERS)]
        line = super().left(model, total)
        if line or any(map(_is_dequantised, layers)):
            return line
        names = listed(f"{node.op_type} {node.name!r}" for node in layers)
        why = f"the last layers stay in float32 ({names})" if layers else _NO_LAYER
        return f"nothing is quantised: {why}"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Quantise every layer but the last."""
        targets = _targets(model.graph)
        if self._calibration is None or not targets or _is_quantised(model.graph):
            return ir.passes.PassResult(model, False)
        sample = self._calibration.sample(shapes_of(model.graph))
        inputs, self.notes = sample.inputs, sample.notes
        # Random probes would lie outside the calibrated ranges.
        self.probes = inputs[:: max(1, len(inputs) // _PROBES)][:_PROBES]
        equalise_inputs(model, inputs)
        tail = [n for n in model.graph if n.op_type in (*LAYERS, *_BETWEEN) and not _feeds(n)]
        leave = [str(node.name) for node in tail]
        proto = _quantise(ir.to_proto(model), inputs, leave, symmetric=self._symmetric)
        model.graph = ir.from_proto(proto).graph
        return ir.passes.PassResult(model, True)


def equalise_inputs(model: ir.Model, inputs: Sequence[Inputs]) -> None:
    """Scale the channels of the first layers' inputs to one range, before the quantisation."""
    targets = _targets(model.graph)
    fed = set().union(*(_reached(node) for node in targets))
    equalise(model, [node for node in targets if node not in fed], inputs)
    remove_unused(model)


def shapes_of(graph: ir.Graph) -> Shapes:
    """Return the shapes of the inputs, for calibration."""
    return {
        value.name: tuple(size if isinstance(size, int) else None for size in value.shape)
        for value in graph.inputs
    }


def _is_dequantised(node: ir.Node) -> bool:
    """Return whether a layer reads 8-bit inputs and weights."""
    producers = [value.producer() for value in node.inputs[:2]]
    return all(p is not None and is_standard(p, "DequantizeLinear") for p in producers)


def _reason(node: ir.Node, inner: bool) -> str:
    if inner:
        return "ONNX Runtime quantises the main graph alone"
    kind = node.inputs[1].dtype
    return f"weights are {kind}" if kind != ir.DataType.FLOAT else "weights are no constants"


def _is_quantised(graph: ir.Graph) -> bool:
    return any(is_standard(node, "QuantizeLinear") for node in graph)


def _targets(graph: ir.Graph) -> list[ir.Node]:
    """Return the layers with weights that feed another layer."""
    return [node for node in graph if _is_layer(node) and _feeds(node)]


def _is_layer(node: ir.Node) -> bool:
    if not is_standard(node, *LAYERS):
        return False
    weight = node.inputs[1]
    if constant_of(weight) is not None:
        return bool(weight.dtype == ir.DataType.FLOAT)
    producer = weight.producer()
    return producer is not None and is_standard(producer, "DequantizeLinear")


def _feeds(node: ir.Node) -> bool:
    """Return whether another layer follows this node."""
    return any(_is_layer(other) for other in _reached(node))


def _reached(node: ir.Node) -> set[ir.Node]:
    """Return all nodes that follow this one."""
    reached: set[ir.Node] = set()
    stack = [node]
    while stack:
        for other in stack.pop().successors():
            if other not in reached:
                reached.add(other)
                stack.append(other)
    return reached


class _Reader:
    """Calibration inputs in the quantiser's interface."""

    def __init__(self, inputs: Sequence[Inputs]) -> None:
        self._inputs: Iterator[Inputs] = iter(inputs)

    def get_next(self) -> dict[str, Any] | None:
        inputs = next(self._inputs, None)
        return None if inputs is None else dict(inputs)


def _quantise(
    proto: onnx.ModelProto, inputs: Sequence[Inputs], leave: list[str], *, symmetric: bool
) -> Any:
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    onnx.helper.set_model_props(proto, _DONE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        with np.errstate(all="ignore"):
            quantize_static(
                proto,
                path,
                _Reader(inputs),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=[*LAYERS, *_BETWEEN],
                per_channel=True,
                reduce_range=True,  # 7 bits: processors without VNNI saturate in 16-bit sums
                activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=leave,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={"ActivationSymmetric": symmetric},
            )
        return onnx.load(str(path))
