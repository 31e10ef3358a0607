"""Helper functions over onnx-ir that several passes share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from numpy.typing import NDArray

__all__ = [
    "add_constant",
    "bypass",
    "can_leave",
    "constant_of",
    "graphs_of",
    "insert_behind",
    "is_standard",
    "nodes_of",
    "only_use",
    "opset_of",
    "remove_unused",
    "unique_name",
]


def graphs_of(model: ir.Model) -> list[ir.Graph]:
    """Return the main graph, and the branches and bodies of control flow in it."""
    return [model.graph, *model.graph.subgraphs()]


def nodes_of(model: ir.Model) -> Iterator[ir.Node]:
    """Yield the nodes of all graphs of a model."""
    for graph in graphs_of(model):
        yield from graph


def opset_of(model: ir.Model) -> int:
    """Return the version of the standard operators, 1 if the model names none."""
    return int(model.opset_imports.get("", 1))


def is_standard(node: ir.Node, *operators: str) -> bool:
    """Return whether a node is one of these operators of the standard."""
    return node.domain == "" and (not operators or node.op_type in operators)


def constant_of(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the content of a constant value, else None."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy())


def only_use(value: ir.Value) -> ir.Node | None:
    """Return the only reader of a value; None if it has others, or is a graph output."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    return uses[0].node


def can_leave(value: ir.Value | None, graph: ir.Graph | None) -> bool:
    """Return whether a value can become one more output of a graph.

    A graph must compute its outputs itself, and their names must differ.
    """
    if value is None or value.is_graph_output():
        return False
    producer = value.producer()
    return producer is not None and producer.graph is graph


def unique_name(graph: ir.Graph, name: str) -> str:
    """Return `name`, with a number appended if the main graph or one inside has it already."""
    taken: set[str | None] = set()
    for part in (graph, *graph.subgraphs()):
        taken |= {value.name for value in (*part.inputs, *part.initializers.values())}
        taken |= {output.name for node in part for output in node.outputs}
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def add_constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """Add an initializer to the main graph, visible in all others, under a name like `name`."""
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


def insert_behind(value: ir.Value, node: ir.Node) -> None:
    """Insert a node directly after a value, so that it is visible wherever the value is."""
    producer, graph = value.producer(), value.graph
    if producer is not None:
        graph.insert_after(producer, node)
    elif len(graph):
        graph.insert_before(graph[0], node)


def bypass(node: ir.Node, value: ir.Value) -> None:
    """Replace a node's only output by `value`, which takes over its name if it is a graph output.

    The node stays unused; or as an Identity if both values must stay, see `can_leave`.
    """
    output = node.outputs[0]
    if not output.is_graph_output():
        output.replace_all_uses_with(value)
    elif can_leave(value, node.graph):
        name = output.name
        output.replace_all_uses_with(value, replace_graph_outputs=True)
        output.name = f"{name}_unused"
        value.name, value.type, value.shape = name, output.type, output.shape
    else:
        node.op_type = "Identity"
        node.attributes.clear()
        node.resize_inputs(1)
        node.replace_input_with(0, value)


def remove_unused(model: ir.Model) -> None:
    """Remove nodes and constants that nothing reads, in branches and bodies too."""
    common.RemoveUnusedNodesPass()(model)
    for graph in graphs_of(model):
        for name, value in list(graph.initializers.items()):
            if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
                del graph.initializers[name]
