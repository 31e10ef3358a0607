"""Write a node as in an older version of the standard.

A newer attribute is dropped if it has its default value, which matches the older behaviour. The
table at the end lists the exceptions, and operators whose inputs were attributes in older versions.
It covers all changes between opsets 11 and 28.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from actspan.core.errors import ExportError
from actspan.core.wording import counted
from actspan.deploy.passes.contract import (
    add_constant,
    constant_of,
    input_of,
    reads_more,
    unique_name,
)

# An adapter rewrites a node for the older version, or returns why it cannot.
Adapter = Callable[[ir.Node], str | None]

_END = 2**62  # greater than any axis


def write_older(node: ir.Node, current: int, target: int) -> None:
    """Rewrite a standard node of opset `current` for opset `target`.

    Raise ExportError if the older version has no equivalent.
    """
    where = f"{node.op_type} {node.name!r}"
    for (operator, version), adapt in _ADAPTERS.items():
        if operator == node.op_type and target < version <= current:
            reason = adapt(node)
            if reason:
                raise ExportError(f"{where} cannot be written in opset {target}: {reason}")
    try:
        schema = onnx.defs.get_schema(node.op_type, target, "")
    except onnx.defs.SchemaError:
        raise ExportError(f"{where}: opset {target} has no such operator") from None
    _drop_defaults(node, schema, current)
    unknown = [f"{n}={a.value}" for n, a in node.attributes.items() if n not in schema.attributes]
    if unknown:
        raise ExportError(f"{where}: opset {target} does not know {', '.join(unknown)}")
    if len(node.inputs) > schema.max_input:
        raise ExportError(f"{where}: opset {target} takes {counted(schema.max_input, 'input')}")


def _drop_defaults(node: ir.Node, schema: Any, current: int) -> None:
    """Drop newer attributes whose values match the older version's behaviour."""
    newer = onnx.defs.get_schema(node.op_type, current, "").attributes
    for name, attribute in list(node.attributes.items()):
        if name in schema.attributes:
            continue
        default = newer[name].default_value if name in newer else onnx.AttributeProto()
        has_default = default.type != onnx.AttributeProto.UNDEFINED
        is_default = has_default and attribute.value == ir.from_proto(default).value
        # Older pooling has no dilations, which have no default.
        if is_default or (name == "dilations" and set(attribute.as_ints()) == {1}):
            node.attributes.pop(name)


def _not_constant(name: str, value: ir.Value) -> str:
    if value.is_graph_input():
        return f"its input {name} is an input of the graph"
    return (
        f"its input {name} is computed in the graph; fix all sizes and fold first: "
        "--passes fix-dims,constant-fold,opset"
    )


def _input_to_attribute(name: str) -> Adapter:
    """Return an adapter that turns an input (axes or sizes) into an attribute."""

    def adapt(node: ir.Node) -> str | None:
        value = input_of(node, 1)
        if value is None:
            return None
        array = constant_of(value)
        if array is None:
            return _not_constant(name, value)
        if array.size:
            node.attributes[name] = ir.AttrInt64s(name, [int(i) for i in array.reshape(-1)])
        elif node.attributes.get_int("noop_with_empty_axes", 0):
            return "it has no axes, and leaves its input as it is"
        node.attributes.pop("noop_with_empty_axes", None)
        node.resize_inputs(1)
        return None

    return adapt


def _not_with(name: str, *values: str) -> Adapter:
    """Return an adapter that refuses values which an older attribute does not have."""

    def adapt(node: ir.Node) -> str | None:
        value = node.attributes.get_string(name, "")
        return f"its {name} is {value}" if value in values else None

    return adapt


def _roi_align(node: ir.Node) -> str | None:
    """Drop the mode for versions that have only one."""
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    node.attributes.pop("coordinate_transformation_mode", None)
    return None if mode == "output_half_pixel" else f"its mode is {mode}, not output_half_pixel"


def _softmax(node: ir.Node) -> str | None:
    """Rewrite Softmax for opset < 13, which normalises over all axes from `axis` on."""
    shape = node.inputs[0].shape
    axis = node.attributes.get_int("axis", -1)
    if shape is None or axis not in (-1, shape.rank() - 1):
        return "its axis is not known to be the last"
    node.attributes["axis"] = ir.AttrInt64("axis", shape.rank() - 1)
    return None


def _equal_parts(node: ir.Node) -> str | None:
    """Rewrite Split for versions that infer only equal parts: unequal sizes become an input."""
    shape, axis = node.inputs[0].shape, node.attributes.get_int("axis", 0)
    parts = node.attributes.get_int("num_outputs", 0)
    size = None if shape is None else shape[axis]
    node.attributes.pop("num_outputs", None)
    if parts and node.graph is not None and isinstance(size, int) and size % parts:
        part = -(-size // parts)
        sizes = np.array([part] * (parts - 1) + [size - part * (parts - 1)])
        node.resize_inputs(2)
        node.replace_input_with(1, add_constant(node.graph, f"{node.name}_sizes", sizes))
    return None


def _reshape(node: ir.Node) -> str | None:
    """Rewrite Reshape for versions in which 0 always means the size of the input."""
    if node.attributes.get_int("allowzero", 0):
        shape = constant_of(node.inputs[1])
        if shape is None:
            return f"allowzero is 1, and {_not_constant('shape', node.inputs[1])}"
        if 0 in shape:
            return "allowzero is 1, and its shape has a 0"
    node.attributes.pop("allowzero", None)
    return None


def _shape(node: ir.Node) -> str | None:
    """Rewrite Shape of a part as Shape and Slice."""
    bounds = node.attributes.get_int("start", 0), node.attributes.get_int("end", _END)
    node.attributes.pop("start", None)
    node.attributes.pop("end", None)
    graph, output = node.graph, node.outputs[0]
    if graph is None or bounds == (0, _END):
        return None
    whole = ir.Node("", "Shape", [node.inputs[0]], name=f"{node.name}_whole")
    whole.outputs[0].name = unique_name(graph, f"{output.name}_whole")
    whole.outputs[0].type = output.type
    graph.insert_before(node, whole)
    node.op_type = "Slice"
    node.resize_inputs(3)
    ends = [add_constant(graph, f"{output.name}_bound", np.array([bound])) for bound in bounds]
    for index, value in enumerate([whole.outputs[0], *ends]):
        node.replace_input_with(index, value)
    return None


def dropout_effect(node: ir.Node) -> str | None:
    """Return what keeps a Dropout from being an Identity; None if nothing does."""
    training = input_of(node, 2)
    flag = None if training is None else constant_of(training)
    if training is not None and (flag is None or flag.any()):
        return "it is in training mode"
    return "its mask is read" if reads_more(node) else None


def _dropout(node: ir.Node) -> str | None:
    """Rewrite Dropout for versions with the ratio as an attribute, unused at inference."""
    effect = dropout_effect(node)
    if effect is None:
        node.resize_inputs(1)
        node.attributes.pop("seed", None)
    return effect


def _resize(node: ir.Node) -> str | None:
    """Rewrite Resize for versions that require the region and the scales, if only as empty ones."""
    if node.graph is None:
        return None
    node.resize_inputs(max(3, len(node.inputs)))
    for index, name in ((1, "roi"), (2, "scales")):
        if node.inputs[index] is None:
            empty = add_constant(node.graph, f"{node.name}_{name}", np.empty(0, np.float32))
            node.replace_input_with(index, empty)
    return None


def _one_scale(node: ir.Node) -> str | None:
    """Drop the axis for versions with one scale for the whole tensor."""
    shape = node.inputs[1].shape
    node.attributes.pop("axis", None)
    return None if shape is not None and shape.rank() == 0 else "it has a scale per channel"


def _grid_sample(node: ir.Node) -> str | None:
    """Rename the modes of GridSample."""
    mode = {"linear": "bilinear", "cubic": "bicubic"}
    name = node.attributes.get_string("mode", "linear")
    node.attributes["mode"] = ir.AttrString("mode", mode.get(name, name))
    return None


def _dft(node: ir.Node) -> str | None:
    """Rewrite DFT for versions with the axis as an attribute, with another default."""
    shape, length = node.inputs[0].shape, input_of(node, 2)
    if length is None and shape is None:
        return "the rank of its input is not known"
    axis = shape.rank() - 2 if length is None else constant_of(length)
    if axis is None:
        return _not_constant("axis", length)
    node.attributes["axis"] = ir.AttrInt64("axis", int(axis))
    node.resize_inputs(min(2, len(node.inputs)))
    return None


def _cast_like(node: ir.Node) -> str | None:
    """Rewrite CastLike as Cast to a fixed type."""
    if node.inputs[1].dtype is None:
        return "the type that it casts to is not known"
    node.op_type = "Cast"
    node.attributes["to"] = ir.AttrInt64("to", int(node.inputs[1].dtype))
    node.resize_inputs(1)
    return None


_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")

# (Operator, version that changed it), the newest first.
_ADAPTERS: dict[tuple[str, int], Adapter] = {
    ("GroupNormalization", 21): lambda _: "it had one scale per group, not one per channel",
    ("DFT", 20): _dft,
    ("GridSample", 20): _grid_sample,
    ("Pad", 19): _not_with("mode", "wrap"),
    ("Resize", 19): _not_with("coordinate_transformation_mode", "half_pixel_symmetric"),
    ("ScatterElements", 18): _not_with("reduction", "max", "min"),
    ("ScatterND", 18): _not_with("reduction", "max", "min"),
    ("Split", 18): _equal_parts,
    **{(f"Reduce{kind}", 18): _input_to_attribute("axes") for kind in _REDUCTIONS},
    ("RoiAlign", 16): _roi_align,
    ("CastLike", 15): _cast_like,
    ("Shape", 15): _shape,
    ("Reshape", 14): _reshape,
    ("Split", 13): _input_to_attribute("split"),
    ("Resize", 13): _resize,
    ("DequantizeLinear", 13): _one_scale,
    ("QuantizeLinear", 13): _one_scale,
    **{(op, 13): _input_to_attribute("axes") for op in ("ReduceSum", "Squeeze", "Unsqueeze")},
    **{(operator, 13): _softmax for operator in ("Hardmax", "LogSoftmax", "Softmax")},
    ("Dropout", 12): _dropout,
}
