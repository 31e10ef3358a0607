"""Sequences in the default passes: the folder writes them in the form of a newer opset."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from actspan.deploy.optimize import rewrite_model
from actspan.deploy.passes.contract import PassSettings
from tests.deploy.passes.nets import Net

FLOAT = onnx.TensorProto.FLOAT
OPSETS = [11, 12, 13, 17, 18]
INT64 = onnx.TensorProto.INT64


def split(net: Net, sizes: str) -> str:
    """Split `x` along its channels, and convolve the first part."""
    parts = net.op("SplitToSequence", "x", sizes, axis=1)
    return net.op("SequenceAt", parts, net.const(0))


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    ("sizes", "channels"),
    [
        pytest.param([2, 4], 2, id="sizes"),
        pytest.param(3, 3, id="equal"),
        pytest.param(4, 4, id="shorter-last"),
    ],
)
def test_split_then_convolve(opset: int, sizes: int | list[int], channels: int) -> None:
    net = Net(opset)
    first = split(net, net.const(sizes))
    done = rewrite_model(net.model(net.conv(first, channels, 4, 3), (2, 6, 20)))
    operators = [node.op_type for node in done.model.graph.node]
    assert operators == ["Split", "Unsqueeze", "Conv", "Squeeze"]


def test_elements_of_a_sequence_get_fixed_sizes() -> None:
    net = Net()
    parts = net.op("SplitToSequence", "x", net.const(3), axis=1)
    model = net.model(parts)
    free = onnx.helper.make_tensor_sequence_value_info(parts, FLOAT, ("batch", 3, "length"))
    model.graph.output[0].CopyFrom(free)
    done = rewrite_model(model, ["fix-dims"], PassSettings(batch=2, length=20))
    element = done.model.graph.output[0].type.sequence_type.elem_type.tensor_type
    assert [dim.dim_value for dim in element.shape.dim] == [2, 3, 20]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("new_axis", [0, 1])
def test_concatenate(opset: int, new_axis: int) -> None:
    net = Net(opset)
    parts = net.op("SequenceConstruct", "x", "x")
    model = net.model(net.op("ConcatFromSequence", parts, axis=0, new_axis=new_axis))
    done = rewrite_model(model)
    assert [node.op_type for node in done.model.graph.node][-1] == "Concat"
    assert not rewrite_model(done.model).changed


@pytest.mark.parametrize(
    ("opset", "shape", "operator"),
    [
        pytest.param(11, [2], "SplitToSequence", id="a-split-takes-no-sizes"),
        pytest.param(13, [2], "Split", id="listed"),
        pytest.param(13, [], "SplitToSequence", id="one-size-for-all"),
    ],
)
def test_computed_sizes(opset: int, shape: list[int], operator: str) -> None:
    net = Net(opset)
    none = net.op("Mul", "any", net.const(np.zeros(shape, np.int64)))
    first = split(net, net.op("Add", none, net.const(np.full(shape, 3))))
    model = net.model(net.op("Relu", net.op("Identity", first)), (2, 6, 20))
    model.graph.input.append(onnx.helper.make_tensor_value_info("any", INT64, shape))
    done = rewrite_model(model)
    assert operator in [node.op_type for node in done.model.graph.node]
