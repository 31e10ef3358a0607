"""constant-fold: compute once what never changes, and drop what does nothing at inference."""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript import optimizer

from actspan.export.passes.contract import Contract, GraphPass
from actspan.export.passes.older import write_older
from actspan.export.passes.tools import constant_of, is_standard, opset_of

__all__ = ["ConstantFold"]

# nodes with larger operands or results stay: folding shall not blow the file up
_LARGEST = 16 * 1024 * 1024  # elements
_RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli")


class ConstantFold(GraphPass):
    """See the module. The work is onnxscript's folder and onnx-ir's clean-up passes."""

    contract = Contract(
        name="constant-fold",
        tag="fold",
        summary="Compute what depends on constants alone; drop Identity, Dropout and unused nodes.",
        needs="opset 13 where a sequence is split by computed sizes",
        ensures="no Identity between nodes, no Dropout",
        tolerance=1e-6,
    )

    def missing(self, model: ir.Model) -> str | None:
        """See `GraphPass.missing`."""
        if opset_of(model) >= 13:
            return None
        splits = (node for node in model.graph.all_nodes() if is_standard(node, "SplitToSequence"))
        for node in splits:
            if len(node.inputs) > 1 and constant_of(node.inputs[1]) is None:
                return (
                    f"{node.op_type} {node.name!r} has computed sizes, which a Split takes since "
                    "opset 13 only; convert first: --opset 13"
                )
        return None

    def broken(self, model: ir.Model) -> str | None:
        """See `GraphPass.broken`."""
        left = [n.name or n.op_type for n in model.graph if _is_inner_identity(n)]
        return f"nodes that do nothing are left: {', '.join(left)}" if left else None

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
        return passes(model)


class _Fold(ir.passes.InPlacePass):  # type: ignore[misc]
    """The folder, and Dropout of the older form, which it does not know."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for node in list(model.graph):
            if _is_idle_dropout(node):
                identity = ir.Node("", "Identity", [node.inputs[0]], name=node.name)
                _take_place(model.graph, node, identity)
                changed = True
        result = optimizer.fold_constants(
            model, input_size_limit=_LARGEST, output_size_limit=_LARGEST
        )
        _write_in_own_opset(model)
        return ir.passes.PassResult(model, changed or result.modified)


def _write_in_own_opset(model: ir.Model) -> None:
    """Rewrite what the folder makes of sequences, always in the form of opset 18."""
    version = opset_of(model)
    for node in list(model.graph.all_nodes()):
        if version < 18 and is_standard(node, "Split", "Squeeze", "Unsqueeze"):
            write_older(node, 18, version)


def _is_idle_dropout(node: ir.Node) -> bool:
    if not is_standard(node, "Dropout"):
        return False
    if any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
        return False
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return True
    training = constant_of(node.inputs[2])
    return training is not None and not training.any()


def _take_place(graph: ir.Graph, old: ir.Node, new: ir.Node) -> None:
    graph.insert_before(old, new)
    before, after = old.outputs[0], new.outputs[0]
    after.type, after.shape = before.type, before.shape
    name = before.name
    before.replace_all_uses_with(after, replace_graph_outputs=True)
    graph.remove(old, safe=True)
    after.name = name


def _is_inner_identity(node: ir.Node) -> bool:
    """An Identity from an input to an output of the graph must stay: both names do."""
    if _is_idle_dropout(node):
        return True
    if not is_standard(node, "Identity"):
        return False
    return not (node.inputs[0].is_graph_input() or node.outputs[0].is_graph_output())
