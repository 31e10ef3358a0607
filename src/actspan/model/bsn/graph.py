"""Weights to ONNX graphs, node by node, without torch; needs the package `onnx`.

Opset 17 and IR version 8: every operator used here is unchanged since opset 14, and these versions
are read by ONNX Runtime since 1.12, OpenVINO since 2023, TensorRT since 8.6 and the CANN compilers
of recent years. A newer opset has no advantage and excludes older runtimes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from actspan import __version__
from actspan.core.errors import require
from actspan.core.types import Float32
from actspan.model.weights import dilations_of, members_of

if TYPE_CHECKING:
    import onnx

OPSET = 17
IR_VERSION = 8


def build_tem(
    weights: Mapping[str, Float32], *, batch: int | None = None, length: int | None = None
) -> onnx.ModelProto:
    """Build TEM: `video` (batch, C, length) to `output` (batch, 3, length): action, start, end.

    With `input.mean` and `input.scale` among its weights, the graph standardises its input. Batch
    and length are free unless given.
    """
    graph = GraphBuilder(weights)
    x = "video"
    if "input.mean" in weights:
        x = graph.add("Sub", x, graph.constant("mean", weights["input.mean"][None, :, None]))
        x = graph.add("Mul", x, graph.constant("scale", weights["input.scale"][None, :, None]))
    x = graph.add("Conv", x, "conv1.weight", "conv1.bias", kernel_shape=[3], pads=[1, 1])
    x = graph.add("Relu", x)
    padded, group = [1, 1], members_of(weights)
    x = graph.add(
        "Conv", x, "conv2.weight", "conv2.bias", kernel_shape=[3], pads=padded, group=group
    )
    x = graph.add("Relu", x)
    for layer, dilation in dilations_of(weights).items():
        wide = graph.add(
            "Conv",
            x,
            f"{layer}.weight",
            f"{layer}.bias",
            kernel_shape=[3],
            dilations=[dilation],
            pads=[dilation, dilation],
            group=group,
        )
        x = graph.add("Add", x, graph.add("Relu", wide))
    x = graph.add("Conv", x, "conv3.weight", "conv3.bias", kernel_shape=[1])
    x = graph.add("Mul", x, graph.constant("logit_scale", np.float32(0.01)))
    graph.add("Sigmoid", x, output="output")
    channels = weights["conv1.weight"].shape[1]
    free = (batch or "batch", length or "length")
    return graph.model("tem", ("video", (free[0], channels, free[1])), (free[0], 3, free[1]))


def build_pem(
    weights: Mapping[str, Float32],
    *,
    rank: Literal[2, 3] = 2,
    batch: int | None = None,
    proposals: int | None = None,
) -> onnx.ModelProto:
    """Build PEM: `video_feature` (proposals, 32) to `output` (proposals, 1), the predicted IoU.

    A rank of 3 adds a leading batch axis: (batch, proposals, 32) to (batch, proposals, 1). Both
    sizes are free unless given.
    """
    graph = GraphBuilder(weights)
    x = graph.linear("video_feature", "fc1", rank)
    layer_scale = graph.constant("layer_scale", np.float32(0.1))
    x = graph.add("Relu", graph.add("Mul", x, layer_scale))
    x = graph.add("Mul", graph.linear(x, "fc2", rank), layer_scale)
    graph.add("Sigmoid", x, output="output")
    rows: tuple[int | str, ...] = (proposals or "proposals",)
    rows = rows if rank == 2 else (batch or "batch", *rows)
    inputs = weights["fc1.weight"].shape[1]
    return graph.model("pem", ("video_feature", (*rows, inputs)), (*rows, 1))


def build_classifier(weights: Mapping[str, Float32]) -> onnx.ModelProto:
    """Build the classifier: `pooled` (proposals, inputs) to `output` (proposals, labels + 1)."""
    graph = GraphBuilder(weights)
    x = graph.add("Sub", "pooled", "input.mean")
    x = graph.add("Mul", x, "input.scale")
    x = graph.add("Relu", graph.linear(x, "fc1", 2))
    graph.add("Softmax", graph.linear(x, "fc2", 2), output="output")
    inputs, outputs = weights["fc1.weight"].shape[1], weights["fc2.weight"].shape[0]
    return graph.model("classifier", ("pooled", ("proposals", inputs)), ("proposals", outputs))


class GraphBuilder:
    """Nodes and constants of a graph; a weight becomes a constant when a node first uses it."""

    def __init__(self, weights: Mapping[str, Float32]) -> None:
        self._onnx = require("onnx", extra="export", purpose="exporting to ONNX")
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: Float32 | np.float32) -> str:
        """Store `value` under `name`."""
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        self._constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def add(
        self, operator: str, *inputs: str, output: str = "", **attributes: list[int] | int | str
    ) -> str:
        """Append a node; return the name of its output."""
        for name in inputs:
            if name in self._weights and name not in self._constants:
                self.constant(name, self._weights[name])
        name = f"{operator.lower()}_{len(self._nodes)}"
        output = output or name
        self._nodes.append(
            self._onnx.helper.make_node(operator, list(inputs), [output], name=name, **attributes)
        )
        return output

    def linear(self, x: str, layer: str, rank: int) -> str:
        """Append a fully connected layer: Gemm if the input is a matrix, else MatMul and Add."""
        weight = self.constant(f"{layer}.weight_t", self._weights[f"{layer}.weight"].T)
        if rank == 2:
            return self.add("Gemm", x, weight, f"{layer}.bias")
        return self.add("Add", self.add("MatMul", x, weight), f"{layer}.bias")

    def model(
        self,
        name: str,
        video: tuple[str, tuple[int | str, ...]],
        output: tuple[int | str, ...],
    ) -> onnx.ModelProto:
        """Return the finished model, after the full check."""
        helper, float32 = self._onnx.helper, self._onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(video[0], float32, video[1])],
            [helper.make_tensor_value_info("output", float32, output)],
            list(self._constants.values()),
        )
        model: onnx.ModelProto = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="actspan",
            producer_version=__version__,
        )
        self._onnx.checker.check_model(model, full_check=True)
        return model
