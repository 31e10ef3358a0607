"""opset: convert to another version of the standard operators.

Upwards onnx's own converter is used, which supports every step from 7 on (onnxscript's starts at
18). Downwards it supports few operators and fails at Relu, although most operators changed only in
their types. So downwards a node is kept if the older version describes it too, nodes of another
form are rewritten (see `older_opsets`), and the numeric check decides.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common
from onnx import version_converter

from actspan.core.errors import ExportError
from actspan.deploy.passes.contract import (
    Contract,
    GraphPass,
    is_standard,
    opset_of,
    remove_unused,
)
from actspan.deploy.passes.older_opsets import write_older

OLDEST = 11


class ConvertOpset(GraphPass):
    """Conversion to another opset."""

    contract = Contract(
        name="opset",
        tag="opset",
        summary="Convert to another opset, up or down.",
        needs=f"an opset from {OLDEST} to what the installed onnx knows; downwards, operators "
        "that the older version has",
        ensures="the requested opset, and an IR version that goes with it",
        tolerance=1e-6,
    )

    @property
    def tag(self) -> str:
        """Tag such as `opset11`."""
        return f"opset{self._settings.opset}"

    def missing(self, model: ir.Model) -> str | None:
        """Check that the version is supported; see `GraphPass.missing`."""
        newest, target = onnx.defs.onnx_opset_version(), self._settings.opset
        if target is None or not OLDEST <= target <= newest:
            return f"give an opset from {OLDEST} to {newest}: --opset N"
        if "" not in model.opset_imports:
            return "the graph has no operators of the standard, so no opset"
        return None

    def broken(self, model: ir.Model) -> str | None:
        """Check the version of the result; see `GraphPass.broken`."""
        version = opset_of(model)
        return None if version == self._settings.opset else f"the opset is {version}"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Convert the model up or down."""
        target, current = int(self._settings.opset or 0), opset_of(model)
        if target == current:
            return ir.passes.PassResult(model, False)
        needed = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", target)])
        if target > current:
            _upgrade(model, target)
            needed = max(needed, model.ir_version)
        else:
            for node in list(model.graph.all_nodes()):
                if is_standard(node):
                    write_older(node, current, target)
            model.opset_imports[""] = target
            remove_unused(model)
        model.ir_version = needed
        return ir.passes.PassResult(model, True)


def _upgrade(model: ir.Model, target: int) -> None:
    try:
        converted = version_converter.convert_version(ir.to_proto(model), target)
    except Exception as error:  # the converter's C++ raises RuntimeError and ConvertError
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise ExportError(f"onnx {onnx.__version__} cannot convert it: {reason}") from error
    model.graph = ir.from_proto(converted).graph
    # The converter writes constants as nodes, which the next run would count as changes.
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
