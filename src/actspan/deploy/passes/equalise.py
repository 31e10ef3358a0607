"""Scale the input channels of a network's first layers, so that 8 bits suit all of them.

The range of features differs between channels (by orders of magnitude for principal components),
and a common scale has too few steps for the small ones: on such features nearly all of the error
of a quantised TEM came from its input. x / s and W * s give the same result as x and W; s reduces
the differences between the channels of x without making those of W too large (the idea of
SmoothQuant, arXiv 2211.10438, which uses the exponent 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from actspan.deploy.passes.contract import Inputs, add_constant, constant_of, unique_name
from actspan.deploy.passes.numeric import evaluate

EXPONENT = 0.85  # 1 makes the ranges of x equal, whatever the effect on W


def equalise(model: ir.Model, layers: Sequence[ir.Node], inputs: Sequence[Inputs]) -> None:
    """Insert a Mul before each of these layers, and fold its inverse into their weights.

    Parameters
    ----------
    layers : sequence of Node
        Conv, Gemm or MatMul with constant weights; a layer with groups of channels is unchanged.
    inputs : sequence of Inputs
        Inputs for measuring the ranges.
    """
    layers = [layer for layer in layers if _axes(layer) is not None]
    read = [layer.inputs[0] for layer in layers]
    for layer, largest in zip(layers, _largest(model, layers, read, inputs), strict=True):
        _scale(model.graph, layer, largest)


def _axes(layer: ir.Node) -> tuple[int, int] | None:
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


def _largest(
    model: ir.Model, layers: Sequence[ir.Node], read: Sequence[ir.Value], inputs: Sequence[Inputs]
) -> list[NDArray[Any]]:
    """Return the largest magnitude of each channel of each layer's input."""
    names = [str(value.name) for value in read]
    found: list[NDArray[Any]] = []
    for given, computed in zip(inputs, evaluate(model, names, inputs), strict=True):
        values = [given[name] if name in given else computed[name] for name in names]
        peaks = []
        for layer, value in zip(layers, values, strict=True):
            axis = (_axes(layer) or (0, 0))[0] % value.ndim
            others = tuple(i for i in range(value.ndim) if i != axis)
            peaks.append(np.abs(value).max(axis=others))
        found = [np.maximum(a, b) for a, b in zip(found or peaks, peaks, strict=True)]
    return found


def _scale(graph: ir.Graph, layer: ir.Node, largest: NDArray[Any]) -> None:
    value, (axis, weight_axis) = layer.inputs[0], _axes(layer) or (0, 0)
    weight = np.asarray(constant_of(layer.inputs[1]), dtype=np.float64)
    heaviest = np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != weight_axis))
    used = (largest > 0) & (heaviest > 0)
    scale = np.ones(len(largest))
    scale[used] = largest[used] ** EXPONENT / heaviest[used] ** (1 - EXPONENT)
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
