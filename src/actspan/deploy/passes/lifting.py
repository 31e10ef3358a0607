"""Conversion of operators on (B, C, T) to (B, C, 1, T): the table behind conv1d-to-conv2d."""

from __future__ import annotations

import onnx_ir as ir

from actspan.deploy.passes.contract import constant_of, is_standard, reads_more

AXIS = 2  # position of the new axis of size 1

# Only the first input is a sequence, and nothing else depends on its rank.
ELEMENTWISE = {
    *("Abs", "BatchNormalization", "Cast", "Ceil", "Celu", "Clip", "Cos", "Dropout", "Elu", "Erf"),
    *("Exp", "Floor", "Gelu", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish"),
    *("Identity", "InstanceNormalization", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal"),
    *("Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Swish"),
    *("Tanh", "ThresholdedRelu"),
}
# Every input is broadcast against the others.
BROADCAST = {"Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum"}
# Convolutions: the inputs with the sequence and the weights.
CONVOLUTIONS = dict.fromkeys(("Conv", "ConvInteger", "ConvTranspose"), (0, 1))
CONVOLUTIONS["QLinearConv"] = (0, 3)
# Windows over time.
WINDOW = {"AveragePool", "LpPool", "MaxPool", *CONVOLUTIONS}
# Scales and zero points are scalars, have one axis, or have the sequence's axes.
QUANTIZE = {"DequantizeLinear", "QuantizeLinear"}
# An attribute names an axis. All inputs of Concat are sequences; of Softmax only the first.
AXIAL = {"Concat", "Hardmax", "LogSoftmax", "Softmax", *QUANTIZE}
# Operators that read a sequence without broadcasting.
SEQUENTIAL = {"Pad", *ELEMENTWISE, *WINDOW, *AXIAL}

# Attributes of windows, with the value for the new axis.
_WINDOW_NEUTRAL = dict.fromkeys(("kernel_shape", "strides", "dilations", "output_shape"), 1)
_WINDOW_NEUTRAL["output_padding"] = 0


def lifted_inputs(node: ir.Node, rank: dict[ir.Value, int]) -> list[int] | None:
    """Return the inputs of a node that get the new axis, from known ranks; None if none may."""
    if not is_standard(node) or reads_more(node) or rank.get(node.outputs[0]) != 3:
        return None
    if node.op_type in BROADCAST:
        return _broadcast_inputs(node, rank)
    if node.op_type not in SEQUENTIAL:  # some have no inputs: Constant, RandomNormal
        return None
    indices = _sequences(node, rank)
    if any(rank.get(node.inputs[index]) != 3 for index in indices):
        return None
    if node.op_type == "Pad" and (
        len(node.inputs) not in (2, 3) or constant_of(node.inputs[1]) is None
    ):
        return None
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
        axis = node.attributes["axis"].as_int()  # of (B, C, T)
        axis += 1 if axis >= AXIS else -1 if axis < -1 else 0
        node.attributes["axis"] = ir.AttrInt64("axis", axis)
