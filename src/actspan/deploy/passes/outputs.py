"""Keep the outputs of graphs separate while a library's pass runs.

In ONNX two outputs of a graph may differ only in their names. Passes that drop an Identity between
the two, or between an output and a value of the enclosing graph, leave one name for both, or an
output that its graph does not compute. So every output is computed by a node of an unknown domain
during the pass. Afterwards that node is removed, or becomes an Identity if one is needed.
"""

from __future__ import annotations

import onnx_ir as ir

from actspan.deploy.passes.tools import can_leave, graphs_of, is_standard, unique_name

__all__ = ["guard_outputs", "release_outputs"]

_UNKNOWN = "actspan.output"  # a domain without operators
_KEPT = "actspan.kept"  # marks an Identity of the original model


def guard_outputs(model: ir.Model) -> None:
    """Insert an unknown node before every output that a node computes."""
    for graph in graphs_of(model):
        for output in dict.fromkeys(graph.outputs):
            producer = output.producer()
            if producer is None or is_standard(producer, "Constant"):
                continue  # no pass drops these
            if is_standard(producer, "Identity"):
                producer.domain = _UNKNOWN
                producer.meta[_KEPT] = True
            else:
                _guard(model.graph, graph, output)


def _guard(root: ir.Graph, graph: ir.Graph, output: ir.Value) -> None:
    name = output.name
    output.name = unique_name(root, f"{name}_computed")
    given = ir.Value(name=name, type=output.type, shape=output.shape)
    graph.append(ir.Node(_UNKNOWN, "Identity", [output], outputs=[given], name=f"Identity_{name}"))
    for index, value in enumerate(graph.outputs):
        if value is output:
            graph.outputs[index] = given


def release_outputs(model: ir.Model) -> bool:
    """Undo `guard_outputs`; return whether an Identity of the original model was removed."""
    changed = False
    for graph in graphs_of(model):
        guards = [node for node in graph if node.domain == _UNKNOWN]
        for node in sorted(guards, key=lambda node: _KEPT in node.meta):  # inserted ones first
            node.domain = ""
            value, output = node.inputs[0], node.outputs[0]
            if output.is_graph_output() and not can_leave(value, graph):
                continue
            changed |= _KEPT in node.meta
            name, leaves = output.name, output.is_graph_output()
            output.replace_all_uses_with(value, replace_graph_outputs=True)
            graph.remove(node, safe=True)
            if leaves:
                value.name, value.type, value.shape = name, output.type, output.shape
    return changed
