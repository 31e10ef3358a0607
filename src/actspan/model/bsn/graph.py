"""Weights of BSN's networks and of the classifier to ONNX graphs; needs the package `onnx`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from actspan.core.types import Float32
from actspan.model.graph_builder import GraphBuilder, Sizes
from actspan.model.weights import (
    dilations_of,
    hidden_layers,
    last_layer,
    layers_of,
    members_of,
)

if TYPE_CHECKING:
    import onnx


def build_tem(
    weights: Mapping[str, Float32], *, batch: int | None = None, length: int | None = None
) -> onnx.ModelProto:
    """Build TEM: `video` (batch, C, length) to `output` (batch, 3, length): action, start, end.

    With learnt curves the output has more values per cell (`TemConfig.outputs`). With `input.mean`
    and `input.scale` among its weights, the graph standardises its input. Batch and length are free
    unless given.
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
    video: Sizes = (free[0], channels, free[1])
    outputs = weights["conv3.weight"].shape[0]
    return graph.model("tem", {"video": video}, {"output": (free[0], outputs, free[1])})


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
    x, count = "video_feature", layers_of(weights)
    for layer in hidden_layers(count):
        x = graph.linear(x, layer, rank)
        layer_scale = graph.constant("layer_scale", np.float32(0.1))
        x = graph.add("Relu", graph.add("Mul", x, layer_scale))
    x = graph.add("Mul", graph.linear(x, last_layer(count), rank), layer_scale)
    graph.add("Sigmoid", x, output="output")
    rows: Sizes = (proposals or "proposals",)
    rows = rows if rank == 2 else (batch or "batch", *rows)
    inputs = weights["fc1.weight"].shape[1]
    return graph.model("pem", {"video_feature": (*rows, inputs)}, {"output": (*rows, 1)})


def build_classifier(weights: Mapping[str, Float32]) -> onnx.ModelProto:
    """Build the classifier: `pooled` (proposals, inputs) to `output` (proposals, labels + 1)."""
    graph = GraphBuilder(weights)
    x = graph.add("Sub", "pooled", "input.mean")
    x = graph.add("Mul", x, "input.scale")
    x = graph.add("Relu", graph.linear(x, "fc1", 2))
    graph.add("Softmax", graph.linear(x, "fc2", 2), output="output")
    inputs, outputs = weights["fc1.weight"].shape[1], weights["fc2.weight"].shape[0]
    pooled: Sizes = ("proposals", inputs)
    return graph.model("classifier", {"pooled": pooled}, {"output": ("proposals", outputs)})
