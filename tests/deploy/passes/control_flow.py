"""Graphs with branches and bodies, built from nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

FLOAT, BOOL, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL, onnx.TensorProto.INT64
Declared = tuple[str, int, Sequence[int | str]]  # name, type, shape
node = helper.make_node


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Declared] = (),
    outputs: Sequence[Declared] = (),
    constants: dict[str, NDArray[Any]] | None = None,
) -> onnx.GraphProto:
    values = [[helper.make_tensor_value_info(*v) for v in part] for part in (inputs, outputs)]
    weights = [numpy_helper.from_array(v, k) for k, v in (constants or {}).items()]
    return helper.make_graph(list(nodes), "g", *values, weights)


def model(main: onnx.GraphProto, *, opset: int = 17, domain: str = "") -> onnx.ModelProto:
    imports = [helper.make_opsetid("", opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, 1))
    made = helper.make_model(main, opset_imports=imports, ir_version=10)
    onnx.checker.check_model(made, full_check=not domain)
    return made


def branches(
    then: Sequence[onnx.NodeProto],
    other: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    *,
    before: Sequence[onnx.NodeProto] = (),
    inputs: Sequence[Declared] = (),
    outputs: Sequence[Declared] = (),
    **constants: NDArray[Any],
) -> onnx.ModelProto:
    """Return a model whose last node is an If with outputs of one shape, by names of its nodes.

    The last outputs of the branches leave them; `outputs` are given out before.
    """
    parts = {
        f"{name}_branch": graph(nodes, outputs=[(nodes[-1].output[0], FLOAT, shape)])
        for name, nodes in (("then", then), ("else", other))
    }
    choice = node("If", ["c"], ["y"], name="If_0", **parts)
    main = graph(
        [*before, choice],
        [*inputs, ("c", BOOL, [])],
        [*outputs, ("y", FLOAT, shape)],
        constants,
    )
    return model(main)
