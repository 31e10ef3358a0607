"""int8: static quantisation, written as QuantizeLinear / DequantizeLinear pairs.

ONNX Runtime's quantiser does the work; every runtime and accelerator reads this form.
docs/deploy/passes.md explains the choices, with measurements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from actspan.core.temporary import temporary_folder
from actspan.core.wording import listed
from actspan.deploy.passes.contract import (
    Contract,
    GraphPass,
    Inputs,
    PassSettings,
    Shapes,
    add_constant,
    constant_of,
    is_standard,
    nodes_of,
    opset_of,
    remove_unused,
    unique_name,
)
from actspan.deploy.passes.numeric import evaluate

LAYERS = ("Conv", "Gemm", "MatMul")
_NO_LAYER = "there is no Conv, Gemm or MatMul"
# Operators that may lie between two quantised layers without leaving int8.
_BETWEEN = (
    *("Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "MaxPool", "Relu"),
    *("Reshape", "Squeeze", "Transpose", "Unsqueeze"),
)
# Stops the quantiser's advice about preparation.
_PREPROCESSED = {"onnx.quant.pre_process": "onnxruntime.quant"}
_PROBES = 4  # number of calls in the numeric check
_EXPONENT = 0.85  # of the equalisation; 1 makes the ranges of x equal, without regard to W


class Int8(GraphPass):
    """Static quantisation to 8 bits."""

    contract = Contract(
        name="int8",
        tag="int8",
        summary="Quantise weights (one scale per channel) and activations to 8 bits.",
        needs="a dataset to calibrate on, opset 13 or newer, float32 layers with constant weights "
        "before the last one",
        ensures="each of these layers reads dequantised inputs and weights; the last layer stays "
        "in float32",
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
            return "a dataset is needed for calibration: --calibrate DATASET"
        if opset_of(model) < 13:
            return f"opset {opset_of(model)} is too old; run the pass opset first: --opset 17"
        fault = self.broken(model) if _is_quantised(model.graph) else None
        return f"{fault}, but other nodes are; start from a float32 network" if fault else None

    def broken(self, model: ir.Model) -> str | None:
        """Check that a layer is quantised; see `GraphPass.broken`."""
        for node in _layers_to_quantise(model.graph):
            if not _is_dequantised(node):
                return f"{node.op_type} {node.name!r} is not quantised"
        return None

    def remaining(self, model: ir.Model) -> Mapping[ir.Node, str]:
        """Return the layers that were left; see `GraphPass.remaining`."""
        reasons = {}
        for node in nodes_of(model):
            if is_standard(node, *LAYERS) and not _is_dequantised(node):
                inner = node.graph is not model.graph
                if inner or _feeds_layer(node):
                    reasons[node] = _reason(node, inner)
        return reasons

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
        targets = _layers_to_quantise(model.graph)
        if self._calibration is None or not targets or _is_quantised(model.graph):
            return ir.passes.PassResult(model, False)
        sample = self._calibration.sample(shapes_of(model.graph))
        inputs, self.notes = sample.inputs, sample.notes
        # Random probes would lie outside the calibrated ranges.
        self.probes = inputs[:: max(1, len(inputs) // _PROBES)][:_PROBES]
        equalise_inputs(model, inputs)
        tail = [n for n in model.graph if n.op_type in (*LAYERS, *_BETWEEN) and not _feeds_layer(n)]
        leave = [str(node.name) for node in tail]
        proto = _quantise(ir.to_proto(model), inputs, leave, symmetric=self._symmetric)
        model.graph = ir.from_proto(proto).graph
        return ir.passes.PassResult(model, True)


def equalise_inputs(model: ir.Model, inputs: Sequence[Inputs]) -> None:
    """Scale the channels of the first layers' inputs to one range, before the quantisation.

    The range of features differs between channels (by orders of magnitude for principal
    components), and a common scale has too few steps for the small ones: on such features nearly
    all of the error of a quantised TEM came from its input. x / s and W * s give the same result as
    x and W; s reduces the differences between the channels of x without making those of W too large
    (the idea of SmoothQuant, arXiv 2211.10438, which uses the exponent 0.5).
    """
    targets = _layers_to_quantise(model.graph)
    fed = set().union(*(_followers(node) for node in targets))
    layers = [node for node in targets if node not in fed and _channel_axes(node) is not None]
    peaks = _channel_peaks(model, layers, inputs)
    for layer, largest in zip(layers, peaks, strict=True):
        _equalise_layer(model.graph, layer, largest)
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


def _layers_to_quantise(graph: ir.Graph) -> list[ir.Node]:
    """Return the layers with weights that feed another layer."""
    return [node for node in graph if _is_layer(node) and _feeds_layer(node)]


def _is_layer(node: ir.Node) -> bool:
    if not is_standard(node, *LAYERS):
        return False
    weight = node.inputs[1]
    if constant_of(weight) is not None:
        return bool(weight.dtype == ir.DataType.FLOAT)
    producer = weight.producer()
    return producer is not None and is_standard(producer, "DequantizeLinear")


def _feeds_layer(node: ir.Node) -> bool:
    """Return whether another layer follows this node."""
    return any(_is_layer(other) for other in _followers(node))


def _followers(node: ir.Node) -> set[ir.Node]:
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

    onnx.helper.set_model_props(proto, _PREPROCESSED)
    with temporary_folder() as folder:
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


def _channel_axes(layer: ir.Node) -> tuple[int, int] | None:
    """Return the channel axes of a layer's input and of its weights."""
    weight = constant_of(layer.inputs[1])
    if weight is None:
        return None
    if layer.op_type == "Conv":
        return (1, 1) if layer.attributes.get_int("group", 1) == 1 else None
    if layer.op_type == "Gemm":
        if layer.attributes.get_int("transA", 0):
            return None
        return -1, 1 if layer.attributes.get_int("transB", 0) else 0
    return (-1, 0) if weight.ndim == 2 else None


def _channel_peaks(
    model: ir.Model, layers: Sequence[ir.Node], inputs: Sequence[Inputs]
) -> list[NDArray[Any]]:
    """Return the largest magnitude of each channel of each layer's input."""
    names = [str(layer.inputs[0].name) for layer in layers]
    largest: list[NDArray[Any]] = []
    for feed, computed in zip(inputs, evaluate(model, names, inputs), strict=True):
        values = [feed[name] if name in feed else computed[name] for name in names]
        peaks = []
        for layer, value in zip(layers, values, strict=True):
            axis = (_channel_axes(layer) or (0, 0))[0] % value.ndim
            others = tuple(i for i in range(value.ndim) if i != axis)
            peaks.append(np.abs(value).max(axis=others))
        largest = [np.maximum(a, b) for a, b in zip(largest or peaks, peaks, strict=True)]
    return largest


def _equalise_layer(graph: ir.Graph, layer: ir.Node, largest: NDArray[Any]) -> None:
    value, (axis, weight_axis) = layer.inputs[0], _channel_axes(layer) or (0, 0)
    weight = np.asarray(constant_of(layer.inputs[1]), dtype=np.float64)
    heaviest = np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != weight_axis))
    used = (largest > 0) & (heaviest > 0)
    scale = np.ones(len(largest))
    scale[used] = largest[used] ** _EXPONENT / heaviest[used] ** (1 - _EXPONENT)
    if used.any():
        scale[used] /= np.exp(np.log(scale[used]).mean())  # a common factor has no effect
    along = [1] * weight.ndim
    along[weight_axis] = -1
    scaled = (weight * scale.reshape(along)).astype(np.float32)
    layer.replace_input_with(1, add_constant(graph, f"{layer.inputs[1].name}_equal", scaled))
    shape = (1, -1, *(1,) * (weight.ndim - 2)) if axis == 1 else (-1,)
    factor = add_constant(
        graph, f"{value.name}_equal", (1 / scale).astype(np.float32).reshape(shape)
    )
    output = ir.Value(
        name=unique_name(graph, f"{value.name}_equalised"), type=value.type, shape=value.shape
    )
    name = f"Mul_{output.name}"
    mul = ir.Node("", "Mul", [value, factor], outputs=[output], name=name)
    graph.insert_before(layer, mul)
    layer.replace_input_with(0, output)
