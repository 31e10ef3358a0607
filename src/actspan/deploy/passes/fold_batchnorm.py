"""fold-batchnorm: fold batch normalisation into the weights of the layer before it."""

from __future__ import annotations

from collections.abc import Mapping
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
    is_standard,
    nodes_of,
    only_use,
    remove_unused,
)

LAYERS = ("Conv", "ConvTranspose", "Gemm")


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
        found = (node for node in nodes_of(model) if is_standard(node, "BatchNormalization"))
        return {node: _obstacle(node) for node in found}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold every normalisation that follows a suitable layer."""
        changed = False
        while found := [node for node, why in self.remaining(model).items() if not why]:
            for node in found:
                _fold(model.graph, node)
            remove_unused(model)
            changed = True
        return ir.passes.PassResult(model, changed)


def _obstacle(node: ir.Node) -> str:
    if len(node.outputs) > 1 or node.attributes.get_int("training_mode", 0):
        return "in training mode"
    if any(constant_of(value) is None for value in node.inputs[1:]):
        return "its parameters are no constants"
    layer = node.inputs[0].producer()
    if not is_standard(layer, *LAYERS):
        return f"not behind {', '.join(LAYERS[:-1])} or {LAYERS[-1]}"
    if any(value is not None and constant_of(value) is None for value in layer.inputs[1:]):
        return "weights of the layer before it are no plain constants"
    if only_use(node.inputs[0]) is not node:
        return "what the layer before it computes is read elsewhere too"
    return ""


def _fold(graph: ir.Graph, node: ir.Node) -> None:
    """Scale the weights of the layer, move its bias, and drop the normalisation."""
    layer = node.inputs[0].producer()
    scale, shift, mean, variance = (_double(value) for value in node.inputs[1:])
    factor = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    weight, bias = layer.inputs[1], layer.inputs[2] if len(layer.inputs) > 2 else None
    own = 0.0 if bias is None else _double(bias) * layer.attributes.get_float("beta", 1.0)
    layer.attributes.pop("beta", None)
    layer.resize_inputs(3)
    for index, name, array in (
        (1, f"{weight.name}_normalised", _double(weight) * _along(layer, factor)),
        (
            2,
            f"{bias.name}_normalised" if bias else f"{weight.name}_bias",
            (own - mean) * factor + shift,
        ),
    ):
        array = array.astype(weight.dtype.numpy())
        layer.replace_input_with(index, add_constant(graph, name, array))
    bypass(node, node.inputs[0])


def _double(value: ir.Value) -> NDArray[np.float64]:
    return np.asarray(constant_of(value), dtype=np.float64)


def _along(layer: ir.Node, factor: NDArray[Any]) -> NDArray[Any]:
    """Return one factor per output channel, in the shape that multiplies a layer's weights."""
    weight = np.asarray(constant_of(layer.inputs[1]))
    if layer.op_type == "Gemm":
        return factor.reshape(-1, 1) if layer.attributes.get_int("transB", 0) else factor
    ones = (1,) * (weight.ndim - 2)
    if layer.op_type == "Conv":
        return factor.reshape(-1, 1, *ones)
    groups = layer.attributes.get_int("group", 1)  # (inputs, outputs of a group, ...)
    repeated = np.repeat(factor.reshape(groups, -1), len(weight) // groups, axis=0)
    return repeated.reshape(*repeated.shape, *ones)
