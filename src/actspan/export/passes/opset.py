"""opset: convert to another version of the standard operators.

Up goes onnx's own converter, which knows every step from 7 on (onnxscript's begins at 18). Down
it knows few operators and gives up at Relu, although most changed in nothing but the types they
take. So downwards a node stays as it is where the older version describes it too, a few that
changed their form are rewritten, and the numeric check has the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import onnx
import onnx_ir as ir
from onnx import version_converter

from actspan.errors import ExportError
from actspan.export.passes.contract import Contract, GraphPass, PassSettings
from actspan.export.passes.tools import constant_of, is_standard, opset_of, remove_unused
from actspan.wording import counted

__all__ = ["OLDEST", "ConvertOpset"]

OLDEST = 11


class ConvertOpset(GraphPass):
    """See the module."""

    contract = Contract(
        name="opset",
        tag="opset",
        summary="Convert to another opset, up or down.",
        needs=f"an opset from {OLDEST} to what the installed onnx knows; downwards, operators "
        "that the older version has",
        ensures="the opset asked for, and an IR version that goes with it",
        tolerance=1e-6,
    )

    def __init__(self, target: int | None = None) -> None:
        self._target = target

    @classmethod
    def of(cls, settings: PassSettings) -> Self:
        """See `GraphPass.of`."""
        return cls(settings.opset)

    @property
    def tag(self) -> str:
        """Such as `opset11`."""
        return f"opset{self._target}"

    def missing(self, model: ir.Model) -> str | None:
        """See `GraphPass.missing`."""
        newest = onnx.defs.onnx_opset_version()
        if self._target is None or not OLDEST <= self._target <= newest:
            return f"give an opset from {OLDEST} to {newest}: --opset N"
        return None

    def broken(self, model: ir.Model) -> str | None:
        """See `GraphPass.broken`."""
        version = opset_of(model)
        return None if version == self._target else f"the opset is {version}"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Convert up or down."""
        target, current = int(self._target or 0), opset_of(model)
        if target == current:
            return ir.passes.PassResult(model, False)
        needed = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", target)])
        if target > current:
            _upgrade(model, target)
            needed = max(needed, model.ir_version)
        else:
            _downgrade(model, current, target)
        model.ir_version = needed
        return ir.passes.PassResult(model, True)


def _upgrade(model: ir.Model, target: int) -> None:
    try:
        converted = version_converter.convert_version(ir.to_proto(model), target)
    except Exception as error:  # the converter's C++ raises RuntimeError and ConvertError
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise ExportError(f"onnx {onnx.__version__} cannot convert it: {reason}") from error
    model.graph = ir.from_proto(converted).graph


def _downgrade(model: ir.Model, current: int, target: int) -> None:
    for node in model.graph.all_nodes():
        if not is_standard(node):
            continue
        for (operator, version), adapt in _ADAPTERS.items():
            if operator == node.op_type and target < version <= current and not adapt(node):
                raise ExportError(f"{_named(node)} cannot be said in opset {target}")
        _check_described(node, target)
    model.opset_imports[""] = target
    remove_unused(model)


def _check_described(node: ir.Node, target: int) -> None:
    """Refuse a node that has something the older version does not know."""
    try:
        schema = onnx.defs.get_schema(node.op_type, target, "")
    except onnx.defs.SchemaError:
        raise ExportError(f"{_named(node)}: opset {target} has no such operator") from None
    unknown = [name for name in node.attributes if name not in schema.attributes]
    if unknown:
        raise ExportError(f"{_named(node)}: opset {target} does not know {', '.join(unknown)}")
    if len(node.inputs) > schema.max_input:
        raise ExportError(
            f"{_named(node)}: opset {target} takes {counted(schema.max_input, 'input')}"
        )


def _named(node: ir.Node) -> str:
    return f"{node.op_type} {node.name!r}"


def _input_to_attribute(name: str) -> Callable[[ir.Node], bool]:
    """Axes, or sizes, were attributes once."""

    def adapt(node: ir.Node) -> bool:
        if len(node.inputs) < 2 or node.inputs[1] is None:
            return True
        array = constant_of(node.inputs[1])
        if array is None or node.attributes.get_int("noop_with_empty_axes", 0):
            return False
        node.attributes.pop("noop_with_empty_axes", None)
        node.attributes[name] = ir.AttrInt64s(name, [int(i) for i in array.reshape(-1)])
        node.resize_inputs(1)
        return True

    return adapt


def _softmax(node: ir.Node) -> bool:
    """Before 13 everything from the axis on was one: the same for the last axis alone."""
    shape = node.inputs[0].shape
    axis = node.attributes.get_int("axis", -1)
    if shape is None or axis not in (-1, shape.rank() - 1):
        return False
    node.attributes["axis"] = ir.AttrInt64("axis", shape.rank() - 1)
    return True


def _without(name: str, default: int) -> Callable[[ir.Node], bool]:
    """An attribute that came later, if it says what was meant before."""

    def adapt(node: ir.Node) -> bool:
        if node.attributes.get_int(name, default) != default:
            return False
        node.attributes.pop(name, None)
        return True

    return adapt


def _split(node: ir.Node) -> bool:
    """Equal parts were the default before `num_outputs` said so."""
    node.attributes.pop("num_outputs", None)
    return True


# (operator, version that changed it): says a node as before, or answers False
_ADAPTERS: dict[tuple[str, int], Callable[[ir.Node], bool]] = {
    ("BatchNormalization", 14): _without("training_mode", 0),
    ("Split", 18): _split,
    ("Split", 13): _input_to_attribute("split"),
    **{
        (operator, 18): _input_to_attribute("axes")
        for operator in (
            "ReduceL1",
            "ReduceL2",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
        )
    },
    **{(op, 13): _input_to_attribute("axes") for op in ("ReduceSum", "Squeeze", "Unsqueeze")},
    **{(operator, 13): _softmax for operator in ("Hardmax", "LogSoftmax", "Softmax")},
}
