"""fp16: weights and arithmetic in half precision, with explicit types.

The standard's schema of an operator defines what it may compute in half precision; the rest stays
in single precision between casts. A runtime does not have to infer any type.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

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
    """Conversion to half precision."""

    contract = Contract(
        name="fp16",
        tag="fp16",
        summary="Store weights and compute in half precision.",
        needs="every type is known, no weight beyond 65504, no control flow",
        ensures="no float32 weight, except where an operator accepts only float32; inputs and "
        "outputs of the requested type",
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
                return (
                    f"{value.name} contains {np.abs(array).max():.4g}; half precision ends at 65504"
                )
        for node in model.graph:
            if any(output.type is None for output in node.outputs if output.uses()):
                return f"the type of what {node.op_type} {node.name!r} computes is not known"
        for value in (*model.graph.inputs, *(o for node in model.graph for o in node.outputs)):
            if value.dtype == SINGLE and not isinstance(value.type, ir.TensorType):
                return (
                    f"{value.name} is a {type(value.type).__name__}, which it does not convert; "
                    "fold constants first: --passes constant-fold,fp16"
                )
        return None

    def broken(self, model: ir.Model) -> str | None:
        """Check that no convertible node is left; see `GraphPass.broken`."""
        touched = any(value.dtype == HALF for value in model.graph.initializers.values())
        for value in (*model.graph.inputs, *model.graph.outputs):
            if value.dtype in (SINGLE, HALF) and value.dtype != self._io and touched:
                return f"{value.name} is {value.dtype}, not {self._io}: give --io fp16"
        left = _convertible(model)
        return f"{left.op_type} {left.name!r} still uses float32" if left is not None else None

    def remaining(self, model: ir.Model) -> Mapping[ir.Node, str]:
        """Return the nodes in single precision; see `GraphPass.remaining`."""
        return {
            node: "it does not accept float16"
            if is_standard(node)
            else f"an operator of {node.domain}"
            for node in nodes_of(model)
            if not is_standard(node, "Cast") and _computes_single(node)
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
        halves, _ = _changeable_ports(node, opset_of(model))
        singles = (value is not None and value.dtype == SINGLE for value in node.inputs)
        if not is_standard(node, "Cast") and any(map(operator.and_, singles, halves)):
            return node
    return None


def _computes_single(node: ir.Node) -> bool:
    """Return whether a node computes float32, or computes from it; parameters do not count."""
    values = (*node.outputs, *(value for value in node.inputs if constant_of(value) is None))
    return any(value is not None and value.dtype == SINGLE for value in values)


def _changeable_ports(node: ir.Node, opset: int) -> tuple[list[bool], list[bool]]:
    """Return which inputs and outputs of a node may change from single to half precision."""
    inputs, outputs = [False] * len(node.inputs), [False] * len(node.outputs)
    none = list(inputs), list(outputs)
    if not is_standard(node) or node.op_type == "BitCast":
        return none
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    half = {
        constraint.type_param_str
        for constraint in schema.type_constraints
        if "tensor(float16)" in constraint.allowed_type_strs
    }
    changeable = set()
    for index, value in enumerate(node.inputs):
        kind = schema.inputs[min(index, len(schema.inputs) - 1)].type_str
        if value is not None and value.dtype in (SINGLE, HALF):
            inputs[index] = kind in half
            changeable.add(kind)
    for index, output in enumerate(node.outputs):
        kind = schema.outputs[min(index, len(schema.outputs) - 1)].type_str
        outputs[index] = kind in half and (kind in changeable or is_standard(node, "Cast"))
        if kind in half and not outputs[index] and output.dtype == SINGLE:
            return none  # an attribute defines the type
    return inputs, outputs


class _Converter:
    """Conversion of one graph."""

    def __init__(self, model: ir.Model, io: ir.DataType) -> None:
        self._graph, self._io, self._opset = model.graph, io, opset_of(model)
        self._twins: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def run(self) -> None:
        graph, allowed = (
            self._graph,
            {node: _changeable_ports(node, self._opset) for node in self._graph},
        )
        singles = self._set_types({node: outputs for node, (_, outputs) in allowed.items()})
        for node, (halves, _) in allowed.items():
            for index, value in enumerate(node.inputs):
                if value in singles:
                    wanted = HALF if halves[index] else SINGLE
                    node.replace_input_with(index, self._as(value, wanted))
        for index, value in enumerate(graph.outputs):
            if value in singles and (given := self._as(value, self._io)) is not value:
                name = value.name  # the output keeps its name
                graph.outputs[index] = given
                value.name = unique_name(graph, f"{name}_inner")
                given.name = name

    def _set_types(self, allowed: Mapping[ir.Node, Sequence[bool]]) -> set[ir.Value]:
        """Set the type of values where they are computed; return those that were float32."""
        computed = [output for node in self._graph for output in node.outputs]
        values = (*self._graph.inputs, *computed, *self._graph.initializers.values())
        singles = {value for value in values if value.dtype == SINGLE}
        for value in singles & set(self._graph.inputs):
            value.type = ir.TensorType(self._io)
        for node, halves in allowed.items():
            for output, half in zip(node.outputs, halves, strict=True):
                if output in singles and half:
                    output.type = ir.TensorType(HALF)
                    if is_standard(node, "Cast"):
                        node.attributes["to"] = ir.AttrInt64("to", int(HALF))
        return singles

    def _as(self, value: ir.Value, wanted: ir.DataType) -> ir.Value:
        """Return the value in a type: itself, a converted constant, or a cast for all readers."""
        key = (value, wanted)
        if value.dtype == wanted:
            return value
        if key not in self._twins:
            array, name = constant_of(value), f"{value.name}_{'fp16' if wanted == HALF else 'fp32'}"
            if array is not None:
                self._twins[key] = add_constant(self._graph, name, array.astype(wanted.numpy()))
                return self._twins[key]
            name = unique_name(self._graph, name)
            output = ir.Value(name=name, type=ir.TensorType(wanted), shape=value.shape)
            to = ir.AttrInt64("to", int(wanted))
            node = ir.Node("", "Cast", [value], [to], outputs=[output], name=f"Cast_{name}")
            insert_behind(value, node)
            self._twins[key] = output
        return self._twins[key]
