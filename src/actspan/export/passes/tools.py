"""Small tools over onnx-ir that several passes share."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from numpy.typing import NDArray

__all__ = [
    "add_constant",
    "bypass",
    "constant_of",
    "is_standard",
    "only_use",
    "opset_of",
    "remove_unused",
    "unique_name",
]


def opset_of(model: ir.Model) -> int:
    """Version of the standard operators, 1 where the model names none."""
    return int(model.opset_imports.get("", 1))


def is_standard(node: ir.Node, *operators: str) -> bool:
    """Whether a node is one of these operators of the standard."""
    return node.domain == "" and (not operators or node.op_type in operators)


def constant_of(value: ir.Value | None) -> NDArray[Any] | None:
    """The content of a value that never changes, else None."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy())


def only_use(value: ir.Value) -> ir.Node | None:
    """The node that alone reads a value, once; None where others do, or it leaves the graph."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    return uses[0].node


def unique_name(graph: ir.Graph, name: str) -> str:
    """`name`, with a number behind it if the graph has a value of that name."""
    taken = {value.name for value in (*graph.inputs, *graph.initializers.values())}
    taken |= {output.name for node in graph.all_nodes() for output in node.outputs}
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def add_constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """Register an initializer under a name like `name`."""
    name = unique_name(graph, name)
    tensor = ir.tensor(np.ascontiguousarray(array).reshape(np.shape(array)), name=name)
    value = ir.Value(
        name=name,
        shape=ir.Shape(np.shape(array)),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


def bypass(node: ir.Node, value: ir.Value) -> None:
    """Let `value` take the place of a node's only output, its name included if it leaves the graph.

    The node stays, unused.
    """
    output = node.outputs[0]
    leaves = output.is_graph_output()
    name = output.name
    output.replace_all_uses_with(value, replace_graph_outputs=True)
    if leaves:
        output.name = f"{name}_unused"
        value.name = name
        value.shape = output.shape


def remove_unused(model: ir.Model) -> None:
    """Drop nodes and constants that nothing reads."""
    common.RemoveUnusedNodesPass()(model)
