"""fold-batchnorm and constant-fold."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings

from actspan.deploy.optimize import rewrite_model
from actspan.deploy.passes.contract import PassSettings
from actspan.deploy.passes.model_form import graphs_in
from tests.deploy.passes.control_flow import branches, node
from tests.deploy.passes.nets import FLOAT, Net, random_nets


def operators(model: onnx.ModelProto, *names: str) -> list[str]:
    done = rewrite_model(model, names or None)
    assert not rewrite_model(done.model, names or None).changed
    return [node.op_type for node in done.model.graph.node]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("group", [1, 2])
def test_batchnorm_goes_into_the_convolution(bias: bool, group: int) -> None:
    net = Net()
    x = net.batchnorm(net.conv("x", 6, 4, 3, bias=bias, group=group), 4)
    assert operators(net.model(net.op("Relu", x)), "fold-batchnorm") == ["Conv", "Relu"]


def test_batchnorm_goes_into_a_transposed_convolution_and_a_linear_layer() -> None:
    net = Net()
    x = net.batchnorm(net.op("ConvTranspose", "x", net.random(6, 4, 2), strides=[2]), 4)
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    x = net.batchnorm(net.op("Gemm", x, net.random(4, 3)), 3)
    expected = ["ConvTranspose", "GlobalAveragePool", "Flatten", "Gemm"]
    assert operators(net.model(x), "fold-batchnorm") == expected


def test_batchnorm_before_a_layer_or_of_a_value_that_others_read_stays_and_is_named() -> None:
    net = Net()
    x = net.conv(net.batchnorm("x", 6), 6, 4, 3)
    y = net.batchnorm(net.conv("x", 6, 4, 3), 4)
    model = net.model(net.op("Add", net.op("Add", net.batchnorm(x, 4), x), y))
    (report,) = rewrite_model(model, ["fold-batchnorm"]).reports
    assert (report.nodes_before, report.nodes_after, report.missed) == (7, 6, False)
    name = "BatchNormalization"
    assert report.left == (
        f"2 of 3 batch normalisations left: {name} '{name}_0' (not behind Conv, ConvTranspose or "
        f"Gemm); {name} '{name}_4' (what the layer before it computes is read elsewhere too)"
    )


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("weights-given", "weights of the layer before it are no plain constants"),
        ("weights-quantised", "weights of the layer before it are no plain constants"),
        ("parameters-given", "its parameters are no constants"),
        ("training", "in training mode"),
    ],
)
def test_batchnorm_that_cannot_be_folded_is_named(kind: str, reason: str) -> None:
    net = Net()
    weight, training = net.random(6, 6, 3), int(kind == "training")
    if kind == "weights-quantised":
        weight = net.op("DequantizeLinear", net.const(np.ones((6, 6, 3), np.int8)), net.positive())
    parameters = [net.positive(6), net.random(6), net.random(6), net.positive(6)]
    x = net.op("Conv", "x", "any" if kind == "weights-given" else weight)
    parameters[0] = "any" if kind == "parameters-given" else parameters[0]
    outputs = 3 if training else 1
    x = net.op("BatchNormalization", x, *parameters, outputs=outputs, training_mode=training)
    model = net.model(net.op("Relu", x))
    if kind.endswith("given"):
        shape = (6, 6, 3) if kind == "weights-given" else (6,)
        model.graph.input.append(onnx.helper.make_tensor_value_info("any", FLOAT, shape))
    (report,) = rewrite_model(model, ["fold-batchnorm"]).reports
    assert not report.changed
    wanted = f"1 of 1 batch normalisations left: BatchNormalization '{x}' ({reason})"
    assert report.left == wanted


def test_batchnorm_with_shared_weights_and_without_a_bias_by_name() -> None:
    net = Net()
    weight = net.random(6, 6, 1)
    x = net.batchnorm(net.op("Conv", "x", weight, ""), 6)
    model = net.model(net.op("Add", x, net.op("Conv", "x", weight)))
    assert operators(model, "fold-batchnorm") == ["Conv", "Conv", "Add"]


@pytest.mark.parametrize("group", [1, 2])
def test_batchnorm_of_transposed_convolutions_in_groups(group: int) -> None:
    net = Net()
    x = net.op("ConvTranspose", "x", net.random(6, 4, 2), group=group)
    model = net.model(net.batchnorm(net.op("Relu", net.batchnorm(x, 4 * group)), 4 * group))
    assert operators(model, "fold-batchnorm") == ["ConvTranspose", "Relu", "BatchNormalization"]


def test_scales_and_batchnorm_in_branches() -> None:
    # A scale in a branch, of a layer outside: an Identity must stay in the branch.
    model = branches(
        [node("Conv", ["x", "V"], ["g"]), node("Mul", ["g", "s"], ["a"])],
        [node("BatchNormalization", ["h", *"puvw"], ["b"], "norm")],
        [2, 4, 18],
        before=[node("Conv", ["x", "W"], ["h"])],
        inputs=[("x", FLOAT, [2, 6, 20])],
        s=np.float32(0.5),
        **{name: np.full((4, 6, 3), 0.1, np.float32) for name in "VW"},
        **{name: np.float32([1, 2, 3, 4]) for name in "puvw"},
    )
    done = rewrite_model(model, ["fold-scale", "fold-batchnorm"])
    kinds = [node.op_type for part in graphs_in(done.model.graph) for node in part.node]
    assert sorted(kinds) == ["Conv", "Conv", "Identity", "If"]
    assert [report.left for report in done.reports] == [None, None]


def test_constants_that_cannot_be_folded_are_named() -> None:
    net = Net()
    x = net.op("Split", net.random(1, 6, 1), outputs=2, axis=1, num_outputs=2)
    x = net.op("Concat", x, f"{x}_1", axis=1)
    net.opset = 18
    (report,) = rewrite_model(net.model(net.op("Add", "x", x)), ["constant-fold"]).reports
    assert str(report.left).startswith("1 of 1 Dropout and nodes of constants alone left: Split")


def test_scales_around_batchnorm_go_with_it() -> None:
    net = Net()
    x = net.batchnorm(net.op("Div", net.conv("x", 6, 4, 3), net.random(4, 1)), 4)
    x = net.batchnorm(net.op("Mul", x, net.const(np.float32(0.1))), 4)
    assert operators(net.model(x)) == ["Unsqueeze", "Conv", "Squeeze"]


def test_constants_identities_and_dropout_are_removed() -> None:
    net = Net()
    scale = net.op("Sqrt", net.op("Mul", net.const(np.float32(2)), net.const(np.float32(8))))
    x = net.op("Identity", net.op("Dropout", net.op("Mul", "x", scale), net.const(np.float32(0.5))))
    assert operators(net.model(net.op("Relu", x)), "constant-fold") == ["Mul", "Relu"]


def test_dropout_of_the_older_form() -> None:
    net = Net(11)
    x = net.op("Relu", net.op("Dropout", net.conv("x", 6, 4, 3), ratio=0.5))
    assert operators(net.model(x), "constant-fold") == ["Conv", "Relu"]


def test_dropout_that_is_the_output_keeps_its_name() -> None:
    net = Net()
    output = net.op("Dropout", net.op("Relu", "x"))
    done = rewrite_model(net.model(output), ["constant-fold"])
    assert [value.name for value in done.model.graph.output] == [output]
    assert [node.op_type for node in done.model.graph.node] == ["Relu"]


def test_shapes_fold_once_they_are_fixed() -> None:
    net = Net()
    shape = net.op("Shape", "x")
    batch = net.op("Gather", shape, net.const(np.array([0])))
    target = net.op("Concat", batch, net.const(np.array([-1])), axis=0)
    model = net.model(net.op("Reshape", "x", target))
    fixed = rewrite_model(model, ["constant-fold"], PassSettings(batch=2, length=10)).model
    assert [node.op_type for node in fixed.graph.node] == ["Reshape"]


@settings(max_examples=25)
@given(random_nets())
def test_any_net_computes_the_same(model: onnx.ModelProto) -> None:
    assert "Identity" not in operators(model, "constant-fold")[:-1]
    operators(model, "fold-batchnorm")
