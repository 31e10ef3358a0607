"""fp16: weights and arithmetic in half precision, with explicit types.

The standard's schema of an operator defines what it may compute in half precision; the rest stays
in single precision between casts. A runtime does not have to infer any type.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir

from actspan.deploy.passes.contract import (
    Contract,
    GraphPass,
    PassSettings,
    add_constant,
    constant_of,
    insert_behind,
    is_standard,
    nodes_of,
    opset_of,
    remove_unused,
    unique_name,
)

SINGLE, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
_LARGEST = float(np.finfo(np.float16).max)


class Float16(GraphPass):
    """Conversion to half precision; inputs and outputs of float32 are cast inside."""

    contract = Contract(
        name="fp16",
        tag="fp16",
        summary="Store weights and compute in half precision.",
        needs="every type is known, no weight beyond 65504, no control flow",
        ensures="no float32 weight but where an operator takes nothing else; inputs and outputs "
        "of the type asked for",
        tolerance=1e-2,
        kind="operators on float32",
        retypes=True,
    )

    def __init__(self, settings: PassSettings) -> None:
        super().__init__(settings)
        self._io = SINGLE if settings.io == "fp32" else HALF

    @property
    def tag(self) -> str:
        """Tag `fp16`, or `fp16-io` if inputs and outputs are half precision too."""
        return "fp16" if self._io == SINGLE else "fp16-io"

    def missing(self, model: ir.Model) -> str | None:
        """Check that the model can be converted; see `GraphPass.missing`."""
        if any(True for _ in model.graph.subgraphs()):
            return "the graph has control flow, whose branches it does not convert"
        for value in model.graph.initializers.values():
            array = constant_of(value) if value.dtype == SINGLE else None
            if array is not None and (np.isfinite(array) & (np.abs(array) > _LARGEST)).any():
                return f"{value.name} holds {np.abs(array).max():.4g}; half precision ends at 65504"
        for node in model.graph:
            if any(output.type is None for output in node.outputs if output.uses()):
                return f"the type of what {node.op_type} {node.name!r} computes is not known"
        for value in (*model.graph.inputs, *(o for node in model.graph for o in node.outputs)):
            if value.dtype == SINGLE and not isinstance(value.type, ir.TensorType):
                return (
                    f"{value.name} is a {type(value.type).__name__}, which it does not convert; "
                    "what can be folded goes before: --passes constant-fold,fp16"
                )
        return None

    def broken(self, model: ir.Model) -> str | None:
        """Check that no convertible node is left; see `GraphPass.broken`."""
        touched = any(value.dtype == HALF for value in model.graph.initializers.values())
        for value in (*model.graph.inputs, *model.graph.outputs):
            if value.dtype in (SINGLE, HALF) and value.dtype != self._io and touched:
                return f"{value.name} is {value.dtype}, not {self._io}: give --io fp16"
        left = _convertible(model)
        return f"{left.op_type} {left.name!r} still takes float32" if left is not None else None

    def remaining(self, model: ir.Model) -> Mapping[ir.Node, str]:
        """Return the nodes in single precision; see `GraphPass.remaining`."""
        return {
            node: "it takes no float16" if is_standard(node) else f"an operator of {node.domain}"
            for node in nodes_of(model)
            if not _is_cast(node) and _computes_single(node)
        }

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Convert the model, unless no node can change to half precision."""
        if _convertible(model) is None:
            return ir.passes.PassResult(model, False)
        _Converter(model, self._io).run()
        remove_unused(model)
        return ir.passes.PassResult(model, True)


def _convertible(model: ir.Model) -> ir.Node | None:
    """Return the first node that takes single precision but may take half."""
    for node in model.graph:
        halves = _Types(node, opset_of(model)).inputs
        singles = (value is not None and value.dtype == SINGLE for value in node.inputs)
        if not _is_cast(node) and any(a and b for a, b in zip(singles, halves, strict=True)):
            return node
    return None


def _computes_single(node: ir.Node) -> bool:
    """Return whether a node computes float32, or computes from it; parameters do not count."""
    values = (*node.outputs, *(value for value in node.inputs if constant_of(value) is None))
    return any(value is not None and value.dtype == SINGLE for value in values)


def _is_cast(node: ir.Node) -> bool:
    return is_standard(node, "Cast")


class _Types:
    """Inputs and outputs of a node that may change from single to half precision.

    Attributes
    ----------
    inputs, outputs : list of bool
    """

    def __init__(self, node: ir.Node, opset: int) -> None:
        self.inputs = [False] * len(node.inputs)
        self.outputs = [False] * len(node.outputs)
        if not is_standard(node) or node.op_type == "BitCast":
            return
        schema = onnx.defs.get_schema(node.op_type, opset, "")
        half = {
            constraint.type_param_str
            for constraint in schema.type_constraints
            if "tensor(float16)" in constraint.allowed_type_strs
        }
        taken = set()
        for index, value in enumerate(node.inputs):
            kind = schema.inputs[min(index, len(schema.inputs) - 1)].type_str
            if value is not None and value.dtype in (SINGLE, HALF):
                self.inputs[index] = kind in half
                taken.add(kind)
        for index in range(len(node.outputs)):
            kind = schema.outputs[min(index, len(schema.outputs) - 1)].type_str
            self.outputs[index] = kind in half and (kind in taken or _is_cast(node))
            if kind in half and not self.outputs[index] and node.outputs[index].dtype == SINGLE:
                self.inputs = [False] * len(node.inputs)  # an attribute defines the type
                self.outputs = [False] * len(node.outputs)
                return


class _Converter:
    """Conversion of one graph."""

    def __init__(self, model: ir.Model, io: ir.DataType) -> None:
        self._graph, self._io, self._opset = model.graph, io, opset_of(model)
        self._twins: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def run(self) -> None:
        nodes = list(self._graph)
        singles = {v for v in self._graph.inputs if v.dtype == SINGLE}
        singles |= {o for node in nodes for o in node.outputs if o.dtype == SINGLE}
        singles |= {v for v in self._graph.initializers.values() if v.dtype == SINGLE}
        types = {node: _Types(node, self._opset) for node in nodes}
        self._set_types(singles, types)
        for node, allowed in types.items():
            for index, value in enumerate(node.inputs):
                if value in singles:
                    wanted = HALF if allowed.inputs[index] else SINGLE
                    node.replace_input_with(index, self._as(value, wanted))
        for index, value in enumerate(self._graph.outputs):
            if value in singles:
                self._give_out(index, value)

    def _set_types(self, singles: set[ir.Value], types: dict[ir.Node, _Types]) -> None:
        """Return the type that each value has where it is computed."""
        for value in self._graph.inputs:
            if value in singles:
                value.type = ir.TensorType(self._io)
        for node, allowed in types.items():
            for output, half in zip(node.outputs, allowed.outputs, strict=True):
                if output in singles and half:
                    output.type = ir.TensorType(HALF)
                    if _is_cast(node):
                        node.attributes["to"] = ir.AttrInt64("to", int(HALF))

    def _as(self, value: ir.Value, wanted: ir.DataType) -> ir.Value:
        """Return the value in a type: itself, a converted constant, or a cast for all readers."""
        if value.dtype == wanted:
            return value
        key = (value, wanted)
        if key not in self._twins:
            array, name = constant_of(value), f"{value.name}_{'fp16' if wanted == HALF else 'fp32'}"
            if array is not None:
                self._twins[key] = add_constant(self._graph, name, array.astype(wanted.numpy()))
            else:
                self._twins[key] = self._cast(value, wanted, unique_name(self._graph, name))
        return self._twins[key]

    def _cast(self, value: ir.Value, wanted: ir.DataType, name: str) -> ir.Value:
        output = ir.Value(name=name, type=ir.TensorType(wanted), shape=value.shape)
        to = ir.AttrInt64("to", int(wanted))
        node = ir.Node("", "Cast", [value], [to], outputs=[output], name=f"Cast_{name}")
        insert_behind(value, node)
        return output

    def _give_out(self, index: int, value: ir.Value) -> None:
        """Give an output of the graph the requested type, under its name."""
        given = self._as(value, self._io)
        if given is value:
            return
        name = value.name
        self._graph.outputs[index] = given
        value.name = unique_name(self._graph, f"{name}_inner")
        given.name = name
