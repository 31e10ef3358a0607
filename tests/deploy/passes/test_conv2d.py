from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from onnx import helper, numpy_helper

from actspan.core.errors import ExportError
from actspan.deploy.optimize import RewrittenModel, rewrite_model
from actspan.deploy.passes.model_form import graphs_in
from actspan.deploy.passes.numeric import largest_difference
from actspan.model.bsn.graph import build_tem
from tests.deploy.passes.control_flow import BOOL, INT64, branches, graph, node
from tests.deploy.passes.control_flow import model as made_of
from tests.deploy.passes.nets import FLOAT, PADDING, Net, old_tem, random_nets


def lifted(model: onnx.ModelProto) -> RewrittenModel:
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
def test_axes_have_the_form_of_the_opset(opset: int) -> None:
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
def test_operators_without_a_two_dimensional_form_end_a_region(kind: str) -> None:
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
    # Two sums of other values before a convolution: it is cheaper to lift their sum.
    net = Net()
    turned = [net.op("Transpose", "x", perm=[0, 2, 1]) for _ in range(2)]
    x = net.op("Add", *(net.op("Transpose", t, perm=[0, 2, 1]) for t in turned))
    after = check(net.model(net.conv(x, 6, 4, 3)))
    assert operators(after)["Add"] == 1


WEIGHT = np.random.default_rng(3).standard_normal((4, 6, 3)).astype(np.float32)
BYTES = np.clip(np.round(WEIGHT / 0.02), -127, 127).astype(np.int8)
SCALE, ZERO = np.float32(0.02), np.int8(0)


def scaled(net: Net, scale: Any, **attributes: int) -> str:
    scale = np.asarray(scale, np.float32)
    zero = net.const(np.zeros(scale.shape, np.int8))
    return net.op("DequantizeLinear", net.const(BYTES), net.const(scale), zero, **attributes)


def trained(net: Net) -> str:
    """Return a network with weights as quantisation-aware training stores them."""
    scale, zero = net.const(SCALE), net.const(ZERO)
    return net.op("DequantizeLinear", net.op("QuantizeLinear", net.const(WEIGHT), scale, zero),
                  scale, zero)  # fmt: skip


# weights in the many ways in which files contain them: opset, how, operators of the rewritten graph
STORED: dict[str, tuple[int, Callable[[Net], str], list[str]]] = {
    "quantised": (17, lambda n: scaled(n, 0.02), ["DequantizeLinear"]),
    "per-channel": (17, lambda n: scaled(n, [0.02] * 4, axis=0), ["DequantizeLinear"]),
    "per-input": (17, lambda n: scaled(n, [0.02] * 6, axis=1), ["DequantizeLinear"]),
    "per-cell": (17, lambda n: scaled(n, [0.02] * 3, axis=2), ["DequantizeLinear"]),
    "per-cell-from-the-end": (17, lambda n: scaled(n, [0.02] * 3, axis=-1), ["DequantizeLinear"]),
    "in-blocks": (
        21,
        lambda n: scaled(n, np.full((4, 2, 3), 0.02), axis=1, block_size=3),
        ["DequantizeLinear"],
    ),
    "trained": (17, trained, ["QuantizeLinear", "DequantizeLinear"]),
    "half": (17, lambda n: n.op("Cast", n.const(WEIGHT.astype(np.float16)), to=1), ["Cast"]),
    "identity": (17, lambda n: n.op("Identity", n.const(WEIGHT)), ["Identity"]),
    "turned": (
        17,
        lambda n: n.op("Transpose", n.const(WEIGHT.transpose(2, 1, 0)), perm=[2, 1, 0]),
        ["Transpose", "Unsqueeze"],
    ),
}


@pytest.mark.parametrize(("opset", "store", "expected"), STORED.values(), ids=STORED)
def test_weights_that_are_no_plain_constants(
    opset: int, store: Callable[[Net], str], expected: list[str]
) -> None:
    net = Net(opset)
    model = net.model(net.op("Relu", net.op("Conv", "x", store(net))), (2, 6, 20))
    done = lifted(model)
    assert done.reports[0].left is None
    assert operators(done.model) == Counter([*expected, "Unsqueeze", "Conv", "Relu", "Squeeze"])
    assert {len(shape) for shape in convolved(done.model)} == {4}
    assert not lifted(done.model).changed


def convolved(model: onnx.ModelProto) -> list[list[Any]]:
    """Return the shapes of the outputs of convolutions, also in branches and bodies."""
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for part in graphs_in(model.graph)
        for value in (*part.value_info, *part.output)
    }
    nodes = (node for part in graphs_in(model.graph) for node in part.node)
    return [shapes[node.output[0]] for node in nodes if "Conv" in node.op_type]


def test_weights_that_are_an_input() -> None:
    net = Net()
    model = net.model(net.op("Conv", "x", "w"), (2, 6, 20))
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", FLOAT, (4, 6, 3)))
    done = lifted(model)
    assert operators(done.model) == {"Unsqueeze": 2, "Conv": 1, "Squeeze": 1}


def test_quantised_layers_stay_beside_their_quantisation() -> None:
    # Runtimes fuse DequantizeLinear, Conv and QuantizeLinear if nothing is between them.
    net = Net()
    step, zero = net.const(np.float32(0.05)), net.const(np.uint8(128))
    x = net.op("Abs", "x")
    for _ in range(2):
        x = net.op("DequantizeLinear", net.op("QuantizeLinear", x, step, zero), step, zero)
        x = net.op("Relu", net.op("Conv", x, net.random(6, 6, 1)))
    after = check(net.model(x))
    assert [node.op_type for node in after.graph.node] == [
        *("Abs", "Unsqueeze", "QuantizeLinear", "DequantizeLinear", "Conv", "Relu"),
        *("QuantizeLinear", "DequantizeLinear", "Conv", "Relu", "Squeeze"),
    ]


def test_integer_convolutions() -> None:
    net = Net()
    step, zero = net.const(np.float32(0.05)), net.const(np.uint8(128))
    weight, scale = net.const(BYTES), net.const(np.full(4, SCALE))
    zeros = net.const(np.zeros(4, np.int8))
    x = net.op("QuantizeLinear", "x", step, zero)
    first = net.op("QLinearConv", x, step, zero, weight, scale, zeros, step, zero)
    second = net.op("ConvInteger", x, weight, zero, net.const(ZERO), pads=[1, 1])
    both = [net.op("DequantizeLinear", first, step, zero), net.op("Cast", second, to=FLOAT)]
    done = lifted(net.model(both, (2, 6, 20)))
    assert done.reports[0].left is None
    assert convolved(done.model) == [[2, 4, 1, 18], [2, 4, 1, 20]]


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({}, id="plain"),
        pytest.param({"strides": [2], "output_padding": [1]}, id="padding-of-the-output"),
        pytest.param({"strides": [2], "output_shape": [41]}, id="shape-of-the-output"),
        pytest.param({"strides": [3], "auto_pad": "SAME_LOWER"}, id="same"),
        pytest.param({"dilations": [2], "pads": [2, 1], "group": 3}, id="groups"),
    ],
)
def test_transposed_convolutions(attributes: dict[str, Any]) -> None:
    net = Net()
    bias = net.random(2 * attributes.get("group", 1))
    x = net.op("ConvTranspose", "x", net.random(6, 2, 3), bias, **attributes)
    done = lifted(net.model(net.op("Relu", x), (2, 6, 20)))
    assert operators(done.model) == {"Unsqueeze": 1, "ConvTranspose": 1, "Relu": 1, "Squeeze": 1}


def test_branches() -> None:
    # A value, or weights, that both branches read get their new axis once.
    wide = [2, 4, 18]
    then = [node("Conv", ["r", "W"], ["t"]), node("Relu", ["t"], ["a"])]
    other = [node("Conv", ["r", "W"], ["e"]), node("Add", ["e", "B"], ["b"])]
    model = branches(
        then, other, wide,
        before=[node("Relu", ["x"], ["r"])],
        inputs=[("x", FLOAT, [2, 6, 20])],
        W=WEIGHT, B=np.ones((4, 1), np.float32),
    )  # fmt: skip
    done = lifted(model)
    assert done.reports[0].left is None
    assert convolved(done.model) == [[2, 4, 1, 18]] * 2
    kinds = [node.op_type for part in graphs_in(done.model.graph) for node in part.node]
    assert (kinds.count("Unsqueeze"), kinds.count("Squeeze")) == (1, 2)
    weights = [weight for part in graphs_in(done.model.graph) for weight in part.initializer]
    assert [list(w.dims) for w in weights if len(w.dims) == 4] == [[4, 6, 1, 3]]
    assert not lifted(done.model).changed


def test_a_constant_in_the_other_branch() -> None:
    zeros = numpy_helper.from_array(np.zeros((2, 4, 18), np.float32))
    model = branches(
        [node("Conv", ["x", "W"], ["a"])],
        [node("Constant", [], ["b"], value=zeros)],
        [2, 4, 18],
        inputs=[("x", FLOAT, [2, 6, 20])],
        W=WEIGHT,
    )  # fmt: skip
    done = lifted(model)
    assert done.reports[0].left is None
    assert convolved(done.model) == [[2, 4, 1, 18]]


def random_addend(net: Net) -> list[str]:
    noise = net.op("RandomNormal", shape=[2, 4, 18], scale=1e-9, seed=1.0)
    return [net.op("Add", net.conv("x", 6, 4, 3), noise)]


def constant_output(net: Net) -> list[str]:
    ones = numpy_helper.from_array(np.ones((2, 4, 18), np.float32))
    return [net.conv("x", 6, 4, 3), net.op("Constant", value=ones)]


@pytest.mark.parametrize("make", [random_addend, constant_output])
def test_nodes_without_inputs(make: Callable[[Net], list[str]]) -> None:
    net = Net()
    done = lifted(net.model(make(net), (2, 6, 20)))
    assert done.reports[0].left is None
    assert conv_ranks(done.model) == {4}


def test_an_output_of_optional_type() -> None:
    tensor = helper.make_tensor_type_proto(FLOAT, [2, 4, 18])
    optional = helper.make_optional_type_proto(tensor)
    main = graph(
        [
            node("Conv", ["x", "W"], ["h"]),
            node("Relu", ["h"], ["y"]),
            node("Optional", ["h"], ["o"]),
            node("Optional", [], ["none"], type=tensor),
        ],
        [("x", FLOAT, [2, 6, 20])],
        [("y", FLOAT, [2, 4, 18])],
        {"W": WEIGHT},
    )
    main.output.extend(helper.make_value_info(name, optional) for name in ("o", "none"))
    done = lifted(made_of(main))
    assert done.reports[0].left is None
    assert convolved(done.model) == [[2, 4, 1, 18]]


def test_a_region_that_reaches_into_a_branch() -> None:
    model = branches(
        [node("Relu", ["h"], ["a"])],
        [node("Conv", ["h", "V"], ["b"], pads=[1, 1])],
        [2, 4, 18],
        before=[node("Conv", ["x", "W"], ["h"])],
        inputs=[("x", FLOAT, [2, 6, 20])],
        W=WEIGHT, V=WEIGHT[:, :4],
    )  # fmt: skip
    done = lifted(model)
    assert convolved(done.model) == [[2, 4, 1, 18]] * 2
    assert sum(node.op_type == "Unsqueeze" for node in done.model.graph.node) == 1


def test_bodies() -> None:
    # A Loop with convolutions of a state, with weights in the body and outside of it.
    shape = [1, 6, 9]
    body = graph(
        [
            node("Identity", ["go"], ["more"]),
            node("Conv", ["s", "own"], ["h"], pads=[1, 1]),
            node("Conv", ["h", "W"], ["t"], pads=[1, 1]),
        ],
        [("i", INT64, []), ("go", BOOL, []), ("s", FLOAT, shape)],
        [("more", BOOL, []), ("t", FLOAT, shape)],
        {"own": WEIGHT},
    )
    loop = node("Loop", ["n", "", "x"], ["y"], body=body)
    constants = {"n": np.array(3), "W": WEIGHT.transpose(1, 0, 2) / 4}
    made = made_of(graph([loop], [("x", FLOAT, shape)], [("y", FLOAT, shape)], constants))
    done = lifted(made)
    assert done.reports[0].left is None
    weights = {w.name: list(w.dims) for w in done.model.graph.initializer if len(w.dims) > 1}
    assert sorted(weights.values()) == [[4, 6, 1, 3], [6, 4, 1, 3]]
    inner = done.model.graph.node[0].attribute[0].g
    assert [n.op_type for n in inner.node].count("Squeeze") == 1
    assert not inner.initializer  # constants lie in the main graph


def fused(name: str, weight: str, output: str) -> onnx.NodeProto:
    return node(
        "FusedConv", ["x", weight], [output], name, domain="com.microsoft",
        activation="Relu", kernel_shape=[3],
    )  # fmt: skip


def test_remaining_nodes_are_counted_and_named() -> None:
    # Operators of ONNX Runtime's domain stay, in the main graph and in a branch.
    shape = [2, 4, 18]
    then = graph([fused("inner", "W", "a")], outputs=[("a", FLOAT, shape)])
    other = graph([node("Conv", ["x", "W"], ["b"])], outputs=[("b", FLOAT, shape)])
    nodes = [
        fused("first", "W", "y"),
        fused("second", "W", "v"),
        node("If", ["c"], ["z"], then_branch=then, else_branch=other),
        node("Conv", ["z", "V"], ["w"]),
    ]
    values = [("v", FLOAT, shape), ("y", FLOAT, shape), ("w", FLOAT, [2, 6, 18])]
    main = graph(
        nodes,
        [("x", FLOAT, [2, 6, 20]), ("c", BOOL, [])],
        values,
        {"W": WEIGHT, "V": WEIGHT[:, :, :1].transpose(1, 0, 2)},
    )
    (report,) = lifted(made_of(main, domain="com.microsoft")).reports
    assert report.changed
    assert report.missed
    assert report.left == (
        "3 of 5 one-dimensional convolutions left: FusedConv 'first', FusedConv 'second' (an "
        "operator of com.microsoft); in branches of If: FusedConv 'inner' (an operator of "
        "com.microsoft)"
    )


def test_two_dimensional_convolutions_are_not_changed() -> None:
    net = Net(10)
    model = net.model(net.op("Conv", "x", net.random(4, 6, 3, 3)), (2, 6, 20, 20))
    (report,) = lifted(model).reports
    assert (report.changed, report.left, report.missed) == (False, None, False)


@settings(max_examples=40)
@given(random_nets())
def test_any_net_computes_the_same(model: onnx.ModelProto) -> None:
    done = lifted(model)
    assert conv_ranks(done.model) == {4}
    assert not lifted(done.model).changed
