from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings

from actspan.errors import ExportError
from actspan.export.graph import build_tem
from actspan.export.optimize import Rewritten, rewrite_model
from actspan.export.passes.numeric import largest_difference
from tests.export.passes.nets import PADDING, Net, old_tem, random_nets


def lifted(model: onnx.ModelProto) -> Rewritten:
    return rewrite_model(model, ["conv1d-to-conv2d"])


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def conv_ranks(model: onnx.ModelProto) -> set[int]:
    rank = {w.name: len(w.dims) for w in model.graph.initializer}
    return {rank[node.input[1]] for node in model.graph.node if node.op_type == "Conv"}


def check(model: onnx.ModelProto, *, unsqueeze: int = 1, squeeze: int = 1) -> onnx.ModelProto:
    done = lifted(model)
    assert done.tags == ("conv2d",)
    count = operators(done.model)
    assert (count["Unsqueeze"], count["Squeeze"]) == (unsqueeze, squeeze)
    assert conv_ranks(done.model) == {4}
    again = lifted(done.model)
    assert not again.changed
    assert again.model.SerializeToString() == done.model.SerializeToString()
    return done.model


def test_our_tem_keeps_its_outputs() -> None:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "conv1.weight": (512, 400, 3), "conv1.bias": (512,), "conv2.weight": (512, 512, 3),
        "conv2.bias": (512,), "conv3.weight": (3, 512, 1), "conv3.bias": (3,),
        "input.mean": (400,), "input.scale": (400,),
    }  # fmt: skip
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    for name, weight in weights.items():
        weights[name] = (weight / np.sqrt(weight[0].size)).astype(np.float32)
    model = build_tem(weights)
    after = check(model)
    assert largest_difference(model, after, seed=1) < 1e-6


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 21, 24])
def test_axes_are_said_as_the_opset_wants_them(opset: int) -> None:
    net = Net(opset)
    after = check(net.model(net.op("Relu", net.conv("x", 6, 4, 3))))
    nodes = {node.op_type: node for node in after.graph.node}
    for operator in ("Squeeze", "Unsqueeze"):
        assert len(nodes[operator].input) == (2 if opset >= 13 else 1)
        assert len(nodes[operator].attribute) == (0 if opset >= 13 else 1)


def test_a_file_of_the_old_exporter() -> None:
    after = check(old_tem())
    assert [node.name for node in after.graph.node if node.op_type == "Conv"] == [
        "Conv_0",
        "Conv_2",
        "Conv_4",
    ]
    assert [value.name for value in after.graph.input] == ["video"]
    assert [value.name for value in after.graph.output] == ["output"]


@pytest.mark.parametrize("padding", PADDING, ids=str)
@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({}, id="plain"),
        pytest.param({"dilations": [2]}, id="dilated"),
        pytest.param({"group": 2}, id="grouped"),
        pytest.param({"strides": [2]}, id="strided"),
    ],
)
def test_every_kind_of_convolution(padding: dict[str, Any], attributes: dict[str, Any]) -> None:
    if "dilations" in attributes and "SAME" in padding.get("auto_pad", ""):
        pytest.skip("ONNX Runtime does not run it")
    net = Net()
    check(net.model(net.conv("x", 6, 4, 3, **padding, **attributes)))


def test_one_region_over_residuals_normalisation_and_constants() -> None:
    net = Net()
    x = net.op("Mul", net.op("Sub", "x", net.random(1, 6, 1)), net.positive(6, 1))
    x = first = net.op("Relu", net.batchnorm(net.conv(x, 6, 8, 3, pads=[1, 1]), 8))
    x = net.batchnorm(net.conv(x, 8, 8, 3, pads=[2, 2], dilations=[2]), 8)
    x = net.op("PRelu", net.op("Add", x, first), net.positive(8, 1))
    x = net.op("MaxPool", x, kernel_shape=[3], pads=[1, 1])
    x = net.op("Concat", x, first, axis=-2)
    x = net.op("Clip", x, net.const(np.float32(-2)), net.const(np.float32(2)))
    check(net.model(net.op("Softmax", net.conv(x, 16, 3, 1), axis=1)))


def test_weights_that_two_share() -> None:
    net = Net()
    weight = net.random(6, 6, 3)
    x = net.op("Conv", "x", weight, pads=[1, 1])
    check(net.model(net.op("Conv", net.op("Relu", x), weight, pads=[1, 1])))


@pytest.mark.parametrize("kind", ["MaxPool", "ReduceMean", "Flatten"])
def test_what_has_no_form_in_two_dimensions_ends_a_region(kind: str) -> None:
    net = Net(seed=1)
    x = net.conv("x", 6, 6, 3, pads=[1, 1])
    if kind == "MaxPool":  # somebody reads its indices
        x = net.op(kind, x, outputs=2, kernel_shape=[2])
        x = net.op("Add", x, net.op("Cast", f"{x}_1", to=onnx.TensorProto.FLOAT))
    elif kind == "ReduceMean":
        x = net.op("Add", x, net.op(kind, x, axes=[2], keepdims=1))
    else:
        check(net.model(net.op(kind, x)))
        return
    after = check(net.model(net.conv(x, 6, 3, 1)), unsqueeze=2, squeeze=2)
    assert operators(after)[kind] == 1


def test_inner_values_that_leave_keep_their_names() -> None:
    net = Net()
    first = net.conv("x", 6, 4, 3)
    second = net.op("Sigmoid", net.conv(first, 4, 3, 1))
    after = check(net.model([first, second]), squeeze=2)
    assert [value.name for value in after.graph.output] == [first, second]


def test_input_of_unknown_shape() -> None:
    net = Net()
    model = net.model(net.op("Relu", net.conv("x", 6, 4, 3)))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ExportError, match="'shape' of 'type' is required"):
        lifted(model)


def test_nothing_to_do() -> None:
    net = Net()
    assert not lifted(net.model(net.op("Relu", "x"))).changed


def test_branches_that_only_touch_stay_outside() -> None:
    """Two sums of foreign values before a convolution: cheaper to lift their sum."""
    net = Net()
    turned = [net.op("Transpose", "x", perm=[0, 2, 1]) for _ in range(2)]
    x = net.op("Add", *(net.op("Transpose", t, perm=[0, 2, 1]) for t in turned))
    after = check(net.model(net.conv(x, 6, 4, 3)))
    assert operators(after)["Add"] == 1


@settings(max_examples=40)
@given(random_nets())
def test_any_net_computes_the_same(model: onnx.ModelProto) -> None:
    done = lifted(model)
    assert conv_ranks(done.model) == {4}
    assert not lifted(done.model).changed
