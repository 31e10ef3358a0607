"""Temporal networks of other origins, built node by node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper, numpy_helper

FLOAT = onnx.TensorProto.FLOAT


class Net:
    """A graph under construction, with seeded weights of unit gain."""

    def __init__(self, opset: int = 17, seed: int = 0) -> None:
        self.opset, self.rng = opset, np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def const(self, value: Any, name: str = "") -> str:
        name = name or f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def random(self, *shape: int, scale: float = 1.0) -> str:
        return self.const((scale * self.rng.standard_normal(shape)).astype(np.float32))

    def positive(self, *shape: int) -> str:
        return self.const(self.rng.uniform(0.5, 1.5, shape).astype(np.float32))

    def op(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        name = f"{operator}_{len(self.nodes)}"
        outs = [name, *(f"{name}_{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, list(inputs), outs, name=name, **attributes))
        return name

    def conv(
        self,
        x: str,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        bias: bool = True,
        **attributes: Any,
    ) -> str:
        """Append a convolution; attributes: group, strides, dilations, pads, auto_pad."""
        fan = inputs // attributes.get("group", 1)
        weight = self.random(outputs, fan, kernel, scale=1 / np.sqrt(fan * kernel))
        operands = [x, weight, *([self.random(outputs, scale=0.1)] if bias else [])]
        return self.op("Conv", *operands, kernel_shape=[kernel], **attributes)

    def batchnorm(self, x: str, channels: int) -> str:
        parameters = [
            self.positive(channels),
            self.random(channels),
            self.random(channels),
            self.positive(channels),
        ]
        return self.op("BatchNormalization", x, *parameters)

    def model(
        self,
        output: str | list[str],
        shape: tuple[int | str, ...] = ("batch", 6, "length"),
        *,
        ir_version: int = 8,
    ) -> onnx.ModelProto:
        outputs = [output] if isinstance(output, str) else output
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", FLOAT, shape)],
            [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
            self.weights,
        )
        version = max(
            ir_version, helper.find_min_ir_version_for([helper.make_opsetid("", self.opset)])
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=version
        )


def old_tem(channels: int = 8, hidden: int = 16) -> onnx.ModelProto:
    """Return TEM in the form of PyTorch's exporter of 2020: opset 11, weights are inputs."""
    rng = np.random.default_rng(0)
    weights, nodes, x = [], [], "video"
    sizes = [(channels, hidden, 3), (hidden, hidden, 3), (hidden, 3, 1)]
    for i, (inputs, outputs, kernel) in enumerate(sizes, 1):
        weight = rng.standard_normal((outputs, inputs, kernel)) / np.sqrt(inputs * kernel) * 9
        weights += [
            numpy_helper.from_array(weight.astype(np.float32), f"module.conv{i}.weight"),
            numpy_helper.from_array(np.float32(np.ones(outputs)), f"module.conv{i}.bias"),
        ]
        nodes.append(
            helper.make_node(
                "Conv",
                [x, f"module.conv{i}.weight", f"module.conv{i}.bias"],
                [str(20 + len(nodes))],
                name=f"Conv_{len(nodes)}",
                dilations=[1],
                group=1,
                kernel_shape=[kernel],
                pads=[kernel // 2, kernel // 2],
                strides=[1],
            )
        )
        x = nodes[-1].output[0]
        if i < 3:
            nodes.append(
                helper.make_node("Relu", [x], [str(20 + len(nodes))], name=f"Relu_{len(nodes)}")
            )
            x = nodes[-1].output[0]
    scale = numpy_helper.from_array(np.float32(0.01))
    nodes.append(helper.make_node("Constant", [], ["25"], name="Constant_5", value=scale))
    nodes.append(helper.make_node("Mul", ["25", x], ["26"], name="Mul_6"))
    nodes.append(helper.make_node("Sigmoid", ["26"], ["output"], name="Sigmoid_7"))
    graph = helper.make_graph(
        nodes,
        "torch-jit-export",
        [
            helper.make_tensor_value_info("video", FLOAT, (1, channels, 100)),
            *(helper.make_tensor_value_info(w.name, FLOAT, w.dims) for w in weights),
        ],
        [helper.make_tensor_value_info("output", FLOAT, (1, 3, 100))],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6, producer_name="pytorch"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


LENGTH = 24
PADDING: list[dict[str, Any]] = [
    {},
    {"pads": [1, 1]},
    {"pads": [2, 0]},
    {"pads": [0, 3]},
    {"auto_pad": "SAME_UPPER"},
    {"auto_pad": "SAME_LOWER"},
    {"auto_pad": "VALID"},
]


@st.composite
def random_nets(draw: st.DrawFn) -> onnx.ModelProto:
    """Draw networks with convolutions of every kind, and common operators between them."""
    walk = _Walk(draw)
    kinds = ["conv", "conv", *walk.steps]
    for kind in ["conv", *draw(st.lists(st.sampled_from(kinds), max_size=8))]:
        walk.steps[kind]()
    return walk.net.model(walk.net.op("Identity", walk.x), ("batch", 6, LENGTH))


class _Walk:
    """A network that grows at its end; operators that do not fit there are ignored."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        opset, seed = draw(st.sampled_from([11, 13, 17, 21])), draw(st.integers(0, 99))
        self.net = Net(opset, seed)
        self.x, self.channels, self.length = "x", 6, LENGTH
        self.kept: tuple[str, int, int] | None = None
        self.steps: dict[str, Callable[[], None]] = {
            "conv": self.conv,
            "relu": lambda: self.append("Relu"),
            "leaky": lambda: self.append("LeakyRelu", alpha=0.1),
            "sigmoid": lambda: self.append("Sigmoid"),
            "softmax": lambda: self.append("Softmax", axis=2),
            "average": lambda: self.append(
                "AveragePool", kernel_shape=[3], pads=[1, 1], count_include_pad=1
            ),
            "batchnorm": self.batchnorm,
            "scale": self.scale,
            "channel": self.channel,
            "full": self.full,
            "keep": self.keep,
            "add": self.add,
            "pool": self.pool,
            "concat": self.concat,
            "transpose": self.transpose,
            "up": self.up,
            "pad": self.pad,
        }

    def append(self, operator: str, *others: str, **attributes: Any) -> None:
        self.x = self.net.op(operator, self.x, *others, **attributes)

    def conv(self) -> None:
        if self.length >= 12:
            grown = _draw_conv(self.draw, self.net, self.x, self.channels, self.length)
            self.x, self.channels, self.length = grown

    def batchnorm(self) -> None:
        self.x = self.net.batchnorm(self.x, self.channels)

    def scale(self) -> None:
        factor = self.net.const(np.float32(self.draw(st.sampled_from([0.1, -0.5, 2.0]))))
        if self.draw(st.booleans()):
            self.append("Div", factor)
        else:
            self.x = self.net.op("Mul", *self.draw(st.permutations([self.x, factor])))

    def channel(self) -> None:
        shape = self.draw(st.sampled_from([(1, self.channels, 1), (self.channels, 1)]))
        self.append(self.draw(st.sampled_from(["Mul", "Add"])), self.net.positive(*shape))

    def full(self) -> None:
        cells = (self.channels, self.length)
        shape = self.draw(st.sampled_from([cells[1:], cells, (1, *cells)]))
        self.x = self.net.op("Sub", self.net.random(*shape), self.x)

    def keep(self) -> None:
        self.kept = (self.x, self.channels, self.length)

    def add(self) -> None:
        if self.kept is not None and self.kept[1:] == (self.channels, self.length):
            self.append("Add", self.kept[0])

    def pool(self) -> None:
        if self.length >= 12:
            self.append("MaxPool", kernel_shape=[2], strides=[2])
            self.length //= 2

    def concat(self) -> None:
        if self.channels <= 12:
            self.append("Concat", self.net.op("Relu", self.x), axis=self.draw(_CHANNEL_AXES))
            self.channels *= 2

    def transpose(self) -> None:
        for _ in range(2):
            self.append("Transpose", perm=[0, 2, 1])

    def up(self) -> None:
        if self.length <= LENGTH:
            weight = self.net.random(self.channels, self.channels, 2, scale=self.channels**-0.5)
            self.append("ConvTranspose", weight, strides=[2], kernel_shape=[2])
            self.length *= 2

    def pad(self) -> None:
        self.append("Pad", self.net.const(np.array([0, 0, 1, 0, 0, 2])))
        self.length += 3


_CHANNEL_AXES = st.sampled_from([1, -2])


def _draw_conv(
    draw: st.DrawFn, net: Net, x: str, channels: int, length: int
) -> tuple[str, int, int]:
    kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    stride, padding = draw(st.integers(1, 2)), draw(st.sampled_from(PADDING))
    outputs = draw(st.sampled_from([6, channels]))
    group = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == outputs % g == 0]))
    attributes: dict[str, Any] = {"group": group, **padding}
    if padding.get("auto_pad", "").startswith("SAME"):
        dilation = 1  # ONNX Runtime has no other
    if dilation > 1 or draw(st.booleans()):
        attributes["dilations"] = [dilation]
    if stride > 1 or draw(st.booleans()):
        attributes["strides"] = [stride]
    x = net.conv(x, channels, outputs, kernel, bias=draw(st.booleans()), **attributes)
    reach = dilation * (kernel - 1)
    if padding.get("auto_pad", "").startswith("SAME"):
        return x, outputs, -(-length // stride)
    return x, outputs, (length + sum(padding.get("pads", [])) - reach - 1) // stride + 1
