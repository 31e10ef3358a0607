"""Conversion of operators on (B, C, T) to (B, C, 1, T): the table behind conv1d-to-conv2d."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from actspan.deploy.passes.tools import constant_of, is_standard

__all__ = [
    "CONVOLUTIONS",
    "axis_to_2d",
    "lift_attributes",
    "lift_constant",
    "lifted_inputs",
    "shape_to_2d",
]

AXIS = 2  # position of the new axis of size 1

# Only the first input is a sequence, and nothing else depends on its rank.
ELEMENTWISE = frozenset(
    [
        "Abs",
        "BatchNormalization",
        "Cast",
        "Ceil",
        "Celu",
        "Clip",
        "Cos",
        "Dropout",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "InstanceNormalization",
        "LeakyRelu",
        "Log",
        "Mish",
        "Neg",
        "Not",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Swish",
        "Tanh",
        "ThresholdedRelu",
    ]
)
# Every input is broadcast against the others.
BROADCAST = frozenset(["Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum"])
# Convolutions: the inputs with the sequence and the weights.
CONVOLUTIONS = {
    "Conv": (0, 1),
    "ConvInteger": (0, 1),
    "ConvTranspose": (0, 1),
    "QLinearConv": (0, 3),
}
# Windows over time.
WINDOW = frozenset({"AveragePool", "LpPool", "MaxPool", *CONVOLUTIONS})
# Scales and zero points are scalars, have one axis, or have the sequence's axes.
QUANTIZE = frozenset({"DequantizeLinear", "QuantizeLinear"})
# An attribute names an axis. All inputs of Concat are sequences; of Softmax only the first.
AXIAL = frozenset({"Concat", "Hardmax", "LogSoftmax", "Softmax", *QUANTIZE})
# Operators that read a sequence without broadcasting.
SEQUENTIAL = frozenset({"Pad", *ELEMENTWISE, *WINDOW, *AXIAL})

_WINDOW_NEUTRAL = {
    "kernel_shape": 1,
    "strides": 1,
    "dilations": 1,
    "output_padding": 0,
    "output_shape": 1,
}


def lifted_inputs(node: ir.Node, rank: dict[ir.Value, int]) -> list[int] | None:
    """Return the inputs of a node that get the new axis; None if it has no 2-D form.

    Parameters
    ----------
    rank : dict of value to rank
        Known ranks.
    """
    if not is_standard(node) or any(output.uses() for output in node.outputs[1:]):
        return None
    if any(output.is_graph_output() for output in node.outputs[1:]):
        return None
    if rank.get(node.outputs[0]) != 3:
        return None
    if node.op_type in BROADCAST:
        return _broadcast_inputs(node, rank)
    if node.op_type not in SEQUENTIAL:  # some have no inputs: Constant, RandomNormal
        return None
    indices = _sequences(node, rank)
    if any(rank.get(node.inputs[index]) != 3 for index in indices):
        return None
    if node.op_type == "Pad":
        constant = constant_of(node.inputs[1]) if len(node.inputs) in (2, 3) else None
        return indices if constant is not None else None
    return indices


def _sequences(node: ir.Node, rank: dict[ir.Value, int]) -> list[int]:
    """Return the inputs of a node that must have three axes, and get a fourth."""
    if node.op_type in CONVOLUTIONS:
        return list(CONVOLUTIONS[node.op_type])
    if node.op_type == "Concat":
        return list(range(len(node.inputs)))
    if node.op_type in QUANTIZE:  # block quantisation: scales have the sequence's axes
        return [i for i, value in enumerate(node.inputs) if i == 0 or rank.get(value, 3) == 3]
    return [0]


def _broadcast_inputs(node: ir.Node, rank: dict[ir.Value, int]) -> list[int] | None:
    """Return the inputs with two or more axes; others are aligned at the last axis anyway."""
    indices = []
    for index, value in enumerate(node.inputs):
        known = rank.get(value)
        if known is None or (known == 2 and constant_of(value) is None):
            return None
        if known >= 2:
            indices.append(index)
    return indices


def lift_constant(array: NDArray[Any]) -> NDArray[Any]:
    """Add the new axis to a constant: (B, C, T) or (C, T) to (B, C, 1, T) or (C, 1, T)."""
    return np.expand_dims(array, -2)


def axis_to_2d(axis: int) -> int:
    """Return the position of an axis of (B, C, T) in (B, C, 1, T)."""
    if axis < 0:
        return axis if axis == -1 else axis - 1
    return axis if axis < AXIS else axis + 1


def shape_to_2d(shape: ir.Shape | None) -> ir.Shape | None:
    """Add the new axis to a shape: (B, C, T) to (B, C, 1, T); free sizes are kept."""
    if shape is None:
        return None
    return ir.Shape([*shape.dims[:AXIS], 1, *shape.dims[AXIS:]])


def lift_attributes(node: ir.Node) -> None:
    """Change a node's attributes to those for the four-dimensional sequence."""
    if node.op_type in WINDOW:
        for name, neutral in _WINDOW_NEUTRAL.items():
            if name in node.attributes:
                values = node.attributes[name].as_ints()
                node.attributes[name] = ir.AttrInt64s(name, [neutral, *values])
        if "pads" in node.attributes:
            begin, end = node.attributes["pads"].as_ints()
            node.attributes["pads"] = ir.AttrInt64s("pads", [0, begin, 0, end])
    elif node.op_type in AXIAL and "axis" in node.attributes:
        axis = node.attributes["axis"].as_int()
        node.attributes["axis"] = ir.AttrInt64("axis", axis_to_2d(axis))
