"""conv1d-to-conv2d: one-dimensional convolutions as two-dimensional ones of height 1.

Accelerators are built for images; several have no one-dimensional convolution, or a slow one. At
the start of a region of convolutions and elementwise operators, a sequence (B, C, T) becomes
(B, C, 1, T); at its end the axis is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from actspan.deploy.passes.contract import (
    Contract,
    GraphPass,
    add_constant,
    constant_of,
    graphs_of,
    insert_behind,
    is_standard,
    nodes_of,
    opset_of,
    remove_unused,
    unique_name,
)
from actspan.deploy.passes.lifting import (
    AXIS,
    CONVOLUTIONS,
    ELEMENTWISE,
    lift_attributes,
    lifted_inputs,
    shape_to_2d,
)

Plan = dict[ir.Node, list[int]]  # node of the region: inputs that get the new axis


class Conv1dToConv2d(GraphPass):
    """Conversion of one-dimensional convolutions to two-dimensional ones."""

    contract = Contract(
        name="conv1d-to-conv2d",
        tag="conv2d",
        summary="Write one-dimensional convolutions as two-dimensional ones of height 1.",
        needs="opset 11 or newer, if there is something to convert",
        ensures="no one-dimensional Conv, ConvInteger, ConvTranspose or QLinearConv, in branches "
        "and bodies neither; one Unsqueeze for each value that enters a region, one Squeeze for "
        "each that leaves it",
        tolerance=1e-5,  # runtimes sum in different orders; 120 layers differed by 2e-6
        kind="one-dimensional convolutions",
        complete=True,
    )

    def missing(self, model: ir.Model) -> str | None:
        """Check the opset; see `GraphPass.missing`."""
        version = opset_of(model)
        if version >= 11 or self.broken(model) is None:  # nothing to convert
            return None
        return f"opset {version} is too old for it; convert to a newer one first: --opset 11"

    def broken(self, model: ir.Model) -> str | None:
        """Check that no convertible convolution is left; see `GraphPass.broken`."""
        left = [node.name or node.op_type for node in _plan(model)]
        return f"one-dimensional convolutions are left: {', '.join(left)}" if left else None

    def remaining(self, model: ir.Model) -> Mapping[ir.Node, str]:
        """Return the convolutions that were left; see `GraphPass.remaining`."""
        rank, reasons = _ranks(model), {}
        for node in nodes_of(model):
            if _is_conv1d(node, rank):
                known = node.op_type in CONVOLUTIONS
                reasons[node] = "its shapes are not known" if known else "not known here"
                if not is_standard(node):
                    reasons[node] = f"an operator of {node.domain}"
        return reasons

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite every region that contains a one-dimensional convolution."""
        plan = _plan(model)
        if plan:
            _Rewriter(model, plan).run()
            remove_unused(model)
        return ir.passes.PassResult(model, bool(plan))


def _is_conv1d(node: ir.Node, rank: Mapping[ir.Value, int]) -> bool:
    """Return whether a node is a convolution over one axis, or of unknown rank."""
    if "Conv" not in node.op_type:
        return False
    kernel = node.attributes.get("kernel_shape")
    if kernel is not None:
        return len(kernel.as_ints()) == 1
    values = [value for value in (*node.inputs, *node.outputs) if value is not None]
    known = [rank[value] for value in values if rank.get(value, 0) > 1]
    return not known or 3 in known


def _ranks(model: ir.Model) -> dict[ir.Value, int]:
    """Return ranks from shapes, or from the operators if shapes are unknown."""
    rank: dict[ir.Value, int] = {}
    for graph in graphs_of(model):
        for value in (*graph.inputs, *graph.initializers.values()):
            if value.shape is not None:
                rank[value] = value.shape.rank()
    for node in model.graph.all_nodes():
        for output in node.outputs:
            if output.shape is not None:
                rank[output] = output.shape.rank()
            elif is_standard(node, *ELEMENTWISE) and node.inputs[0] in rank:
                rank[output] = rank[node.inputs[0]]
        if is_standard(node, *CONVOLUTIONS) and _is_conv1d(node, rank):
            inputs = [node.inputs[index] for index in CONVOLUTIONS[node.op_type]]
            known = any(value in rank for value in (*inputs, *node.outputs))
            if known or "kernel_shape" in node.attributes:
                rank |= dict.fromkeys((*inputs, node.outputs[0]), 3)
    return rank


def _plan(model: ir.Model) -> Plan:
    """Return the nodes of all regions, which may reach into branches and bodies."""
    rank = _ranks(model)
    plan: Plan = {}
    for node in model.graph.all_nodes():
        inputs = lifted_inputs(node, rank)
        if inputs is not None:
            plan[node] = inputs
    plan = _with_convolution(plan)
    while _trim(plan):
        plan = _with_convolution(plan)
    return plan


def _with_convolution(plan: Plan) -> Plan:
    """Drop regions (nodes linked by sequences) without a convolution."""
    reached: set[ir.Node] = set()
    stack = [node for node in plan if node.op_type in CONVOLUTIONS]
    while stack:
        node = stack.pop()
        if node in reached:
            continue
        reached.add(node)
        producers = (node.inputs[index].producer() for index in plan[node])
        stack += [other for other in producers if other in plan]
        stack += [use.node for use in node.outputs[0].uses() if _gets_axis(plan, use)]
    return {node: inputs for node, inputs in plan.items() if node in reached}


def _gets_axis(plan: Plan, use: Any) -> bool:
    """Return whether a use of a value gets the new axis."""
    return use.node in plan and use.idx in plan[use.node]


def _count_crossings(plan: Plan, values: Iterable[ir.Value]) -> int:
    """Return how many of these values enter or leave a region."""
    count = 0
    for value in values:
        inside = any(_gets_axis(plan, use) for use in value.uses())
        outside = value.is_graph_output() or any(not _gets_axis(plan, use) for use in value.uses())
        count += outside if value.producer() in plan else inside and constant_of(value) is None
    return count


def _trim(plan: Plan) -> bool:
    """Remove a node at the edge of a region if fewer values then change their shape.

    At the entry an equal number is enough: the following node may then save one.
    """
    for node, inputs in list(plan.items()):
        if _must_stay(plan, node):
            continue
        values = {*(node.inputs[index] for index in inputs), node.outputs[0]}
        before = _count_crossings(plan, values)
        first = not any(node.inputs[index].producer() in plan for index in inputs)
        del plan[node]
        if _count_crossings(plan, values) < before + first:
            return True
        plan[node] = inputs
    return False


def _must_stay(plan: Plan, node: ir.Node) -> bool:
    """Return whether a node must stay: convolutions, and quantisation that runtimes fuse with them.

    The latter are a DequantizeLinear before a convolution, the QuantizeLinear before that, and a
    QuantizeLinear of a region's output.
    """
    readers = [use.node for use in node.outputs[0].uses() if _gets_axis(plan, use)]
    if node.op_type == "DequantizeLinear":
        return any(reader.op_type in CONVOLUTIONS for reader in readers)
    if node.op_type == "QuantizeLinear":
        return node.inputs[0].producer() in plan or any(
            reader.op_type == "DequantizeLinear" and _must_stay(plan, reader) for reader in readers
        )
    return node.op_type in CONVOLUTIONS


class _Rewriter:
    """Rewrite of a graph with known regions."""

    def __init__(self, model: ir.Model, plan: Plan) -> None:
        self._graph, self._plan = model.graph, plan
        self._axes_as_input = opset_of(model) >= 13
        self._lifted: dict[ir.Value, ir.Value] = {}  # from three dimensions to four
        self._axes: ir.Value | None = None

    def run(self) -> None:
        for value in [node.outputs[0] for node in self._plan]:
            if value.is_graph_output() or any(not _gets_axis(self._plan, u) for u in value.uses()):
                self._squeeze(value)
        for node in self._plan:
            for index in self._plan[node]:
                node.replace_input_with(index, self._lift(node.inputs[index]))
            lift_attributes(node)
            if node.op_type == "Pad":
                begin, end = np.split(np.asarray(constant_of(node.inputs[1])), 2)
                pads = np.concatenate([np.insert(begin, AXIS, 0), np.insert(end, AXIS, 0)])
                name = f"{node.inputs[1].name}_2d"
                node.replace_input_with(1, add_constant(self._graph, name, pads))
            output = node.outputs[0]
            output.shape = shape_to_2d(output.shape)

    def _lift(self, value: ir.Value) -> ir.Value:
        """Return the value with the new axis; values computed in a region have it already."""
        if value.producer() in self._plan:
            return value
        if value not in self._lifted:
            name, array = f"{value.name}_2d", constant_of(value)
            if array is not None:
                self._lifted[value] = add_constant(self._graph, name, np.expand_dims(array, -2))
            else:
                node = self._reshape("Unsqueeze", value, name)
                insert_behind(value, node)
                node.outputs[0].shape = shape_to_2d(value.shape)
                self._lifted[value] = node.outputs[0]
        return self._lifted[value]

    def _squeeze(self, value: ir.Value) -> None:
        """Give readers of `value` outside its region the three-dimensional one, under its name."""
        name, outside = value.name, [u for u in value.uses() if not _gets_axis(self._plan, u)]
        value.name = unique_name(self._graph, f"{name}_2d")
        node = self._reshape("Squeeze", value, name)
        insert_behind(value, node)
        squeezed = node.outputs[0]
        squeezed.shape = value.shape
        for use in outside:
            use.node.replace_input_with(use.idx, squeezed)
        outputs = value.graph.outputs
        for index, output in enumerate(outputs):
            if output is value:
                outputs[index] = squeezed

    def _reshape(self, operator: str, value: ir.Value, name: str) -> ir.Node:
        inputs, attributes = [value], []
        if self._axes_as_input:
            if self._axes is None:
                self._axes = add_constant(self._graph, "axes_2d", np.array([AXIS]))
            inputs.append(self._axes)
        else:
            attributes.append(ir.AttrInt64s("axes", [AXIS]))
        name = unique_name(self._graph, name)
        output = ir.Value(name=name, type=value.type)
        return ir.Node(
            "", operator, inputs, attributes, outputs=[output], name=f"{operator}_{name}"
        )
