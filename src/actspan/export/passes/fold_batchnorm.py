"""fold-batchnorm: batch normalisation into the weights of the layer before it."""

from __future__ import annotations

import onnx_ir as ir
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.rules import common

from actspan.export.passes.contract import Contract, GraphPass
from actspan.export.passes.tools import constant_of, is_standard, only_use, remove_unused

__all__ = ["FoldBatchNorm"]

_RULES = (
    common.fuse_batchnorm_into_conv_rule,
    common.fuse_batchnorm_into_conv_transpose_rule,
    common.fuse_batchnorm_into_gemm_rule,
)


class FoldBatchNorm(GraphPass):
    """See the module. The arithmetic is a rule set of onnxscript's rewriter."""

    contract = Contract(
        name="fold-batchnorm",
        tag="bn",
        summary="Fold batch normalisation into the Conv, ConvTranspose or Gemm before it.",
        needs="nothing",
        ensures="no BatchNormalization follows a layer with constant weights of its own",
        tolerance=1e-5,
    )

    def broken(self, model: ir.Model) -> str | None:
        """See `GraphPass.broken`."""
        left = [node.name or node.op_type for node in model.graph if _is_foldable(node)]
        return f"batch normalisation is left: {', '.join(left)}" if left else None

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Apply the rules while they find something."""
        before = _count(model)
        rewrite(model, pattern_rewrite_rules=_RULES)
        changed = _count(model) < before
        if changed:
            remove_unused(model)
        return ir.passes.PassResult(model, changed)


def _count(model: ir.Model) -> int:
    return sum(is_standard(node, "BatchNormalization") for node in model.graph)


def _is_foldable(node: ir.Node) -> bool:
    if not is_standard(node, "BatchNormalization") or len(node.outputs) > 1:
        return False
    if any(constant_of(value) is None for value in node.inputs[1:]):
        return False
    layer = node.inputs[0].producer()
    if layer is None or not is_standard(layer, "Conv", "ConvTranspose", "Gemm"):
        return False
    weights = [value for value in layer.inputs[1:] if value is not None]
    own = all(only_use(value) is layer and constant_of(value) is not None for value in weights)
    return own and only_use(node.inputs[0]) is node
