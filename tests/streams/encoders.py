"""Small backbones as ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TOML = "mean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n"


def write_encoder(
    path: Path, shape: list[int | str], *, toml: str | None = TOML, channels: int = 5
) -> Path:
    """Write an encoder: the mean of every colour of a picture or clip, times a fixed matrix."""
    axes = {4: [0, 1, 2, 3], 5: [0, 1, 2, 3, 4]}[len(shape)]
    colour = shape.index(3)
    others = [axis for axis in axes[1:] if axis != colour]
    matrix = np.random.default_rng(0).normal(size=(3, channels)).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=others, keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], channels])],
        [numpy_helper.from_array(matrix, "matrix")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    if toml is not None:
        path.with_suffix(".toml").write_text(toml)
    return path


def write_network_of_free_axes(path: Path) -> None:
    """Write a network with a batch and a sequence, whose axes have names, and a state without."""
    shapes = {"x": ["batch", "sequence", 4], "state": ["batch", None]}
    nodes = [helper.make_node("Relu", [name], [f"{name}_out"]) for name in shapes]
    inputs, outputs = (
        [
            helper.make_tensor_value_info(name + end, TensorProto.FLOAT, s)
            for name, s in shapes.items()
        ]
        for end in ("", "_out")
    )
    graph = helper.make_graph(nodes, "speech", inputs, outputs)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
