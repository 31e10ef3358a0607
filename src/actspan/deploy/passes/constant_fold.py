"""constant-fold: precompute constants, and remove nodes without effect at inference."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript import optimizer

from actspan.deploy.passes.contract import (
    Contract,
    GraphPass,
    bypass,
    can_leave,
    constant_of,
    graphs_of,
    is_standard,
    nodes_of,
    opset_of,
    remove_unused,
    unique_name,
)
from actspan.deploy.passes.older_opsets import dropout_effect, write_older

# Nodes with larger operands or results are kept, so that the file does not grow.
_LARGEST = 16 * 1024 * 1024  # elements
# Not folded: quantised weights, random numbers, nodes that expand, and names of outputs.
_NOT_FOLDED = {
    *("DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"),
    *("Bernoulli", "Multinomial", "RandomNormalLike", "RandomUniformLike"),
    *("ConstantOfShape", "Identity"),
}
# Domains without operators: passes of libraries ignore these nodes.
_HIDDEN, _GUARD = "actspan.hidden", "actspan.output"
_ORIGINAL = "actspan.kept"  # marks an Identity of the original model
_TRACE = "pkg.onnxscript.optimizer.folded_from"  # metadata of the folder, which grows with each run


class ConstantFold(GraphPass):
    """Constant folding by onnxscript's folder and onnx-ir's clean-up passes."""

    contract = Contract(
        name="constant-fold",
        tag="fold",
        summary="Compute what depends on constants alone; drop Identity, Dropout and unused nodes.",
        needs="nothing",
        ensures="no Identity between nodes, no Dropout",
        tolerance=1e-6,
        kind="Dropout and nodes of constants alone",
    )
    rounds = 10

    def broken(self, model: ir.Model) -> str | None:
        """Check that no node without effect is left; see `GraphPass.broken`."""
        left = [n.name or n.op_type for n in nodes_of(model) if _is_idle(n)]
        return f"nodes without effect are left: {', '.join(left)}" if left else None

    def remaining(self, model: ir.Model) -> Mapping[ir.Node, str]:
        """Return the nodes that were not folded; see `GraphPass.remaining`."""
        reasons = {}
        for node in nodes_of(model):
            if is_standard(node, "Dropout"):
                reasons[node] = "its mask is read, or it may be in training mode"
            elif _is_constant(node):
                reasons[node] = "too large, or not known to the folder"
        return reasons

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold, then clean up, until nothing changes."""
        passes = ir.passes.PassManager(
            [
                _Fold(),
                common.IdentityEliminationPass(),
                common.RemoveUnusedNodesPass(),
                common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
            ],
            steps=10,
        )
        _guard_outputs(model)
        hidden = [node for node in nodes_of(model) if _is_beyond_folder(node, opset_of(model))]
        for node in hidden:
            node.domain = _HIDDEN
        changed = passes(model).modified
        for node in hidden:
            node.domain = ""
        changed |= _release_outputs(model)
        remove_unused(model)
        for node in nodes_of(model):
            for value in (*node.outputs, *node.inputs):
                if value is not None:
                    value.metadata_props.pop(_TRACE, None)
        return ir.passes.PassResult(model, changed)


class _Fold(ir.passes.InPlacePass):  # type: ignore[misc]
    """The folder, extended by the older form of Dropout, which it does not know."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        idle = [node for node in nodes_of(model) if _is_idle_dropout(node)]
        for node in idle:
            bypass(node, node.inputs[0])
        remove_unused(model)
        result = optimizer.fold_constants(
            model, input_size_limit=_LARGEST, output_size_limit=_LARGEST
        )
        version = opset_of(model)  # the folder writes sequence nodes in the form of opset 18
        for node in list(model.graph.all_nodes()):
            if version < 18 and is_standard(node, "Split", "Squeeze", "Unsqueeze"):
                write_older(node, 18, version)
        return ir.passes.PassResult(model, bool(idle) or result.modified)


def _is_beyond_folder(node: ir.Node, opset: int) -> bool:
    """Return whether a node splits a sequence by computed sizes, which the folder cannot do."""
    if not is_standard(node, "SplitToSequence") or len(node.inputs) < 2:
        return False
    sizes = node.inputs[1]
    listed = sizes.shape is not None and sizes.shape.rank() == 1
    return constant_of(sizes) is None and not (listed and opset >= 13)


def _is_idle_dropout(node: ir.Node) -> bool:
    return is_standard(node, "Dropout") and dropout_effect(node) is None


def _is_constant(node: ir.Node) -> bool:
    """Return whether a node computes the same tensors every time, and may be folded."""
    if not is_standard(node) or node.op_type in _NOT_FOLDED or not node.inputs:
        return False
    if any(attribute.type == ir.AttributeType.GRAPH for attribute in node.attributes.values()):
        return False
    tensors = all(isinstance(output.type, ir.TensorType) for output in node.outputs)
    return tensors and all(value is None or constant_of(value) is not None for value in node.inputs)


def _is_idle(node: ir.Node) -> bool:
    """Return whether a node has no effect and can go; some Identity nodes separate two names."""
    if _is_idle_dropout(node):
        return True
    if not is_standard(node, "Identity"):
        return False
    return not node.outputs[0].is_graph_output() or can_leave(node.inputs[0], node.graph)


def _guard_outputs(model: ir.Model) -> None:
    """Insert an unknown node before every output that a node computes.

    In ONNX two outputs of a graph may differ only in their names. Passes that drop an Identity
    between the two, or between an output and a value of the enclosing graph, leave one name for
    both, or an output that its graph does not compute. So every output is computed by a node of an
    unknown domain during the pass. Afterwards that node is removed, or becomes an Identity if one
    is needed.
    """
    for graph in graphs_of(model):
        for output in dict.fromkeys(graph.outputs):
            producer = output.producer()
            if producer is None or is_standard(producer, "Constant"):
                continue  # no pass drops these
            if is_standard(producer, "Identity"):
                producer.domain = _GUARD
                producer.meta[_ORIGINAL] = True
            else:
                _guard(model.graph, graph, output)


def _guard(root: ir.Graph, graph: ir.Graph, output: ir.Value) -> None:
    name = output.name
    output.name = unique_name(root, f"{name}_computed")
    guarded = ir.Value(name=name, type=output.type, shape=output.shape)
    graph.append(ir.Node(_GUARD, "Identity", [output], outputs=[guarded], name=f"Identity_{name}"))
    for index, value in enumerate(graph.outputs):
        if value is output:
            graph.outputs[index] = guarded


def _release_outputs(model: ir.Model) -> bool:
    """Undo `_guard_outputs`; return whether an Identity of the original model was removed."""
    changed = False
    for graph in graphs_of(model):
        guards = [node for node in graph if node.domain == _GUARD]
        for node in sorted(guards, key=lambda node: _ORIGINAL in node.meta):  # inserted ones first
            node.domain = ""
            value, output = node.inputs[0], node.outputs[0]
            if output.is_graph_output() and not can_leave(value, graph):
                continue
            changed |= _ORIGINAL in node.meta
            name, leaves = output.name, output.is_graph_output()
            output.replace_all_uses_with(value, replace_graph_outputs=True)
            graph.remove(node, safe=True)
            if leaves:
                value.name, value.type, value.shape = name, output.type, output.shape
    return changed
