"""fold-batchnorm and constant-fold: libraries do the work, the contracts are ours."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings

from actspan.export.optimize import rewrite_model
from actspan.export.passes.contract import PassSettings
from tests.export.passes.nets import Net, random_nets


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


def test_batchnorm_before_a_layer_or_of_a_value_that_others_read_stays() -> None:
    net = Net()
    x = net.conv(net.batchnorm("x", 6), 6, 4, 3)
    model = net.model(net.op("Add", net.batchnorm(x, 4), x))
    assert not rewrite_model(model, ["fold-batchnorm"]).changed


def test_scales_around_batchnorm_go_with_it() -> None:
    net = Net()
    x = net.batchnorm(net.op("Div", net.conv("x", 6, 4, 3), net.random(4, 1)), 4)
    x = net.batchnorm(net.op("Mul", x, net.const(np.float32(0.1))), 4)
    assert operators(net.model(x)) == ["Unsqueeze", "Conv", "Squeeze"]


def test_constants_identities_and_dropout_go() -> None:
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
