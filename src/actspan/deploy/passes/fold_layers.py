"""fold-scale and fold-batchnorm: fold factors, and normalisations, into the layer before them.

BSN multiplies the outputs of layers by 0.01 and 0.1. Scaling the weights and the bias instead
gives the same result with one operator less per layer. So does batch normalisation, whose factor
and shift are constants at inference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from actspan.deploy.passes.contract import (
    Contract,
    GraphPass,
    add_constant,
    bypass,
    constant_of,
    input_of,
    is_standard,
    nodes_of,
    only_use,
    remove_unused,
)

_SCALED = ("Conv", "Gemm", "MatMul", "BatchNormalization")
_NORMALISED = ("Conv", "ConvTranspose", "Gemm")
# f(s * x) = s * f(x): for every s, and for s >= 0.
_LINEAR = ("AveragePool", "GlobalAveragePool", "Identity")
_RELU_LIKE = ("GlobalMaxPool", "LeakyRelu", "MaxPool", "PRelu", "Relu")
# These operators move entries, so the scale must be a scalar.
_MOVING = ("Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")

Parameter = tuple[ir.Node, int]  # a node, and the index of its constant input


class FoldScale(GraphPass):
    """Folding of constant factors into weights."""

    contract = Contract(
        name="fold-scale",
        tag="scale",
        summary="Fold Mul or Div by a constant, or one per channel, into the weights before it.",
        needs="nothing",
        ensures="no Mul or Div of this kind follows a layer with constant weights, directly or "
        "behind operators that a positive scale passes through (Relu, MaxPool, Squeeze, ...)",
        tolerance=1e-5,
        kind="scales behind a layer",
    )

    def remaining(self, model: ir.Model) -> Mapping[ir.Node, str]:
        """Return the scales behind layers with weights; see `GraphPass.remaining`."""
        folds = ((node, _find_fold(node)) for node in nodes_of(model))
        return {n: f if isinstance(f, str) else "" for n, f in folds if f is not None}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold scales one by one, until none can be folded."""
        changed = False
        while fold := next(
            (f for f in map(_find_fold, nodes_of(model)) if isinstance(f, _Fold)), None
        ):
            fold.apply(model.graph)
            remove_unused(model)
            changed = True
        return ir.passes.PassResult(model, changed)


class FoldBatchNorm(GraphPass):
    """Folding of batch normalisation into weights."""

    contract = Contract(
        name="fold-batchnorm",
        tag="bn",
        summary="Fold batch normalisation into the Conv, ConvTranspose or Gemm before it.",
        needs="nothing",
        ensures="no BatchNormalization is the only reader of a layer with constant weights",
        tolerance=1e-5,
        kind="batch normalisations",
    )

    def remaining(self, model: ir.Model) -> Mapping[ir.Node, str]:
        """Return all batch normalisations; see `GraphPass.remaining`."""
        nodes = (node for node in nodes_of(model) if is_standard(node, "BatchNormalization"))
        return {node: _normalisation_obstacle(node) for node in nodes}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold every normalisation that follows a suitable layer."""
        changed = False
        while foldable := [node for node, why in self.remaining(model).items() if not why]:
            for node in foldable:
                _fold_normalisation(model.graph, node)
            remove_unused(model)
            changed = True
        return ir.passes.PassResult(model, changed)


@dataclass(frozen=True, slots=True)
class _Fold:
    """A scale, and the layer that it is folded into."""

    node: ir.Node
    source: ir.Value
    scale: NDArray[Any]  # (), or (channels,)
    layer: ir.Node
    biases: list[Parameter]  # constants that are added between the layer and the scale

    def apply(self, graph: ir.Graph) -> None:
        """Scale weights and biases, and bypass the node."""
        layer, index = self.layer, _weight_index(self.layer)
        layer_bias = [] if input_of(layer, 2) is None else [(layer, 2)]
        for node, place in [(layer, index), *layer_bias, *self.biases]:
            value, scale = node.inputs[place], self.scale
            if scale.ndim and (node, place) == (layer, index):
                scale = _factor_for_weights(layer, scale)
            scaled = (_double(value) * scale).astype(value.dtype.numpy())
            node.replace_input_with(place, add_constant(graph, f"{value.name}_scaled", scaled))
        bypass(self.node, self.source)


def _find_fold(node: ir.Node) -> _Fold | str | None:
    """Return the fold that starts at a Mul or Div behind a layer, or why there is none.

    Return None if the node is not a scale, or not behind a layer with weights.
    """
    index = _constant_input(node) if is_standard(node, "Mul", "Div") else None
    if index is None or (node.op_type == "Div" and index == 0):
        return None
    source, factor = node.inputs[1 - index], _double(node.inputs[index])
    if node.op_type == "Div":
        with np.errstate(all="ignore"):
            factor = np.asarray(1 / factor)
    path = _find_layer(node, source, factor)
    if path is None:
        return None
    if not np.isfinite(factor).all():
        return "a factor is infinite, or divides by zero"
    if isinstance(path, str):
        return path
    layer, biases, alone = path
    if not alone:
        return "what it scales is read elsewhere too"
    scale = _scale_of(layer, factor, node)
    if scale is None:
        return "it is not one factor, or one per channel"
    if not _is_scalable(layer, biases, scale):
        return f"weights or bias of {layer.op_type} {layer.name!r} cannot be scaled"
    return _Fold(node, source, scale, layer, biases)


def _constant_input(node: ir.Node) -> int | None:
    """Return the index of the operand that is a constant of floats, if exactly one is."""
    arrays = [constant_of(value) for value in node.inputs]
    indices = [i for i, array in enumerate(arrays) if array is not None and array.dtype.kind == "f"]
    return indices[0] if len(indices) == 1 else None


def _find_layer(
    node: ir.Node, value: ir.Value, factor: NDArray[Any]
) -> tuple[ir.Node, list[Parameter], bool] | str | None:
    """Return the layer before a scale, the biases between, and whether nothing else reads them.

    Return a text that names the operator that a negative scale cannot pass. Return None if there
    is no layer, or an operator that no scale can pass.
    """
    biases: list[Parameter] = []
    reader, alone, obstacle = node, True, ""
    while (layer := value.producer()) is not None:
        alone &= only_use(value) is reader
        if is_standard(layer, *_SCALED):
            if not _has_weights(layer):
                return None
            return obstacle or (layer, biases, alone)
        bias = _constant_input(layer) if is_standard(layer, "Add") else None
        if bias is not None:
            biases.append((layer, bias))
            value = layer.inputs[1 - bias]
        elif _commutes(layer, np.abs(factor)):
            if not _commutes(layer, factor):
                obstacle = f"it is negative, and behind {layer.op_type} {layer.name!r}"
            value = layer.inputs[0]
        else:
            return None
        reader = layer
    return None


def _commutes(node: ir.Node, factor: NDArray[Any]) -> bool:
    """Return whether a scale can move from behind this node to before it."""
    if len(node.outputs) > 1:
        return False
    if is_standard(node, *_RELU_LIKE):
        return bool((factor >= 0).all())
    return is_standard(node, *_LINEAR) or (factor.size == 1 and is_standard(node, *_MOVING))


def _has_weights(layer: ir.Node) -> bool:
    """Return whether a layer has its own weights, as plain numbers or in another form."""
    if any(constant_of(value) is not None for value in layer.inputs[:2]):
        return True
    stored = ("Cast", "DequantizeLinear", "Identity")
    return any(v is not None and is_standard(v.producer(), *stored) for v in layer.inputs[1:2])


def _weight_index(layer: ir.Node) -> int:
    """Return the index of the input with the weights; a MatMul may have them on either side."""
    return 0 if layer.op_type == "MatMul" and constant_of(layer.inputs[1]) is None else 1


def _scale_of(layer: ir.Node, factor: NDArray[Any], node: ir.Node) -> NDArray[Any] | None:
    """Return `factor` as (), or as (channels,) if it differs between output channels."""
    output = node.outputs[0]
    rank = 0 if output.shape is None else output.shape.rank()
    if factor.ndim > rank:
        return None  # the scale may add an axis
    if factor.size == 1:
        return factor.reshape(())
    weight, channels = constant_of(layer.inputs[1]), _channel_axis(layer)
    if weight is None or channels is None:
        return None
    axis = rank - 1 if layer.op_type == "MatMul" else 1
    shape = (1,) * (rank - factor.ndim) + factor.shape
    is_per_channel = shape[axis] == factor.size == weight.shape[channels]
    return factor.reshape(-1) if is_per_channel else None


def _channel_axis(layer: ir.Node) -> int | None:
    """Return the axis of the output channels in the weights, if there is one."""
    if layer.op_type in ("Conv", "BatchNormalization"):
        return 0
    if layer.op_type == "Gemm":
        return 0 if layer.attributes.get_int("transB", 0) else 1
    weight = constant_of(layer.inputs[1])
    return 1 if weight is not None and weight.ndim == 2 else None


def _factor_for_weights(layer: ir.Node, factor: NDArray[Any]) -> NDArray[Any]:
    """Return one factor per output channel, in the shape that multiplies a layer's weights."""
    weight = np.asarray(constant_of(layer.inputs[1]))
    if layer.op_type == "ConvTranspose":  # (inputs, outputs of a group, ...)
        groups = layer.attributes.get_int("group", 1)
        repeated = np.repeat(factor.reshape(groups, -1), len(weight) // groups, axis=0)
        return repeated.reshape(*repeated.shape, *(1,) * (weight.ndim - 2))
    shape = [1] * weight.ndim
    shape[_channel_axis(layer) or 0] = -1
    return factor.reshape(shape)


def _is_scalable(layer: ir.Node, biases: list[Parameter], scale: NDArray[Any]) -> bool:
    """Return whether weights and biases are constants that the scale can multiply."""
    if constant_of(layer.inputs[_weight_index(layer)]) is None or len(layer.outputs) > 1:
        return False
    bias = input_of(layer, 2)
    if bias is not None and constant_of(bias) is None:
        return False
    return scale.ndim == 0 or not biases or layer.op_type in ("Gemm", "MatMul")


def _normalisation_obstacle(node: ir.Node) -> str:
    """Return why a batch normalisation cannot be folded; "" if it can."""
    if len(node.outputs) > 1 or node.attributes.get_int("training_mode", 0):
        return "in training mode"
    if any(constant_of(value) is None for value in node.inputs[1:]):
        return "its parameters are no constants"
    layer = node.inputs[0].producer()
    if not is_standard(layer, *_NORMALISED):
        return f"not behind {', '.join(_NORMALISED[:-1])} or {_NORMALISED[-1]}"
    if any(value is not None and constant_of(value) is None for value in layer.inputs[1:]):
        return "weights of the layer before it are no plain constants"
    if only_use(node.inputs[0]) is not node:
        return "what the layer before it computes is read elsewhere too"
    return ""


def _fold_normalisation(graph: ir.Graph, node: ir.Node) -> None:
    """Scale the weights of the layer, move its bias, and drop the normalisation."""
    layer = node.inputs[0].producer()
    scale, shift, mean, variance = (_double(value) for value in node.inputs[1:])
    factor = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    weight, bias = layer.inputs[1], input_of(layer, 2)
    old_bias = 0.0 if bias is None else _double(bias) * layer.attributes.get_float("beta", 1.0)
    layer.attributes.pop("beta", None)
    layer.resize_inputs(3)
    name = f"{weight.name}_bias" if bias is None else f"{bias.name}_normalised"
    for index, constant_name, array in (
        (1, f"{weight.name}_normalised", _double(weight) * _factor_for_weights(layer, factor)),
        (2, name, (old_bias - mean) * factor + shift),
    ):
        constant = add_constant(graph, constant_name, array.astype(weight.dtype.numpy()))
        layer.replace_input_with(index, constant)
    bypass(node, node.inputs[0])


def _double(value: ir.Value) -> NDArray[np.float64]:
    return np.asarray(constant_of(value), dtype=np.float64)
