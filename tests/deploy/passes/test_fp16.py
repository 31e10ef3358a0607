from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
import pytest
from hypothesis import given, settings

from actspan.core.errors import ExportError
from actspan.deploy.optimize import RewrittenModel, rewrite_model
from actspan.deploy.passes.contract import PassSettings
from tests.deploy.passes.nets import FLOAT, Net, old_tem, random_nets

ONE = np.ones(1, np.float32)
HALF = onnx.TensorProto.FLOAT16
INT64 = onnx.TensorProto.INT64


def halved(model: onnx.ModelProto, io: Literal["fp32", "fp16"] = "fp32") -> RewrittenModel:
    done = rewrite_model(model, ["fp16"], PassSettings(io=io))
    assert not rewrite_model(done.model, ["fp16"], PassSettings(io=io)).changed
    return done


def types(values: Any) -> set[int]:
    return {value.type.tensor_type.elem_type for value in values}


def test_only_inputs_and_outputs_stay_in_single_precision() -> None:
    done = halved(old_tem())
    graph = done.model.graph
    assert {w.data_type for w in graph.initializer} == {HALF}
    assert types(graph.input) | types(graph.output) == {FLOAT}
    casts = [n.op_type for n in graph.node].count("Cast")
    assert casts == 2
    assert [v.name for v in (*graph.input, *graph.output)] == ["video", "output"]
    outside = {"video", "output"}
    assert types(v for v in graph.value_info if v.name not in outside) == {HALF}
    assert done.model.ByteSize() < 0.7 * old_tem().ByteSize()
    assert done.tags == ("fp16",)


def test_what_stays_in_single_precision_is_named() -> None:
    net = Net()
    step, zero = net.const(np.float32(0.005)), net.const(np.uint8(128))
    x = net.op("QuantizeLinear", net.conv("x", 6, 4, 3), step, zero)
    (report,) = halved(net.model(net.op("DequantizeLinear", x, step, zero))).reports
    assert report.left == (
        "2 of 3 operators on float32 left: QuantizeLinear 'QuantizeLinear_1', DequantizeLinear "
        "'DequantizeLinear_2' (it does not accept float16)"
    )
    assert not report.missed
    assert halved(old_tem()).reports[0].left is None


@pytest.mark.parametrize("opset", [17, 19, 23, 25])
def test_quantised_weights(opset: int) -> None:
    net = Net(opset)
    scale = net.const(np.full(4, 0.01, np.float32))
    bytes_ = net.const(np.arange(4 * 6 * 3, dtype=np.int8).reshape(4, 6, 3))
    weight = net.op("DequantizeLinear", bytes_, scale, axis=0)
    halved(net.model(net.op("Conv", "x", weight)))


def test_inputs_in_half_precision_need_the_same_outside() -> None:
    made = halved(old_tem(), "fp16").model
    with pytest.raises(ExportError, match="video is FLOAT16, not FLOAT: give --io fp16"):
        halved(made)


def test_sequences_are_refused() -> None:
    net = Net()
    first = net.op("SequenceAt", net.op("SequenceConstruct", "x", "x"), net.const(0))
    model = net.model(net.conv(first, 6, 4, 3))
    with pytest.raises(ExportError, match="is a SequenceType, which it does not convert"):
        halved(model)
    assert rewrite_model(model, ["constant-fold", "fp16"]).tags == ("fold", "fp16")


def test_inputs_and_outputs_too() -> None:
    done = halved(old_tem(), "fp16")
    assert types(done.model.graph.input) | types(done.model.graph.output) == {HALF}
    assert "Cast" not in [node.op_type for node in done.model.graph.node]
    assert done.tags == ("fp16-io",)


def test_what_takes_single_precision_only_stays_between_casts() -> None:
    net = Net()
    x = net.op("Relu", net.conv("x", 6, 4, 3))
    scales = net.const(np.float32([1, 1, 2]))
    x = net.op("Resize", x, "", scales, mode="nearest")
    ones = net.op("ConstantOfShape", net.const([1]), value=onnx.numpy_helper.from_array(ONE))
    done = halved(net.model(net.op("Add", x, ones)))
    singles = [w.name for w in done.model.graph.initializer if w.data_type == FLOAT]
    assert singles == [scales]
    assert [node.op_type for node in done.model.graph.node].count("Cast") == 3


def test_integers_stay() -> None:
    net = Net()
    x = net.op("Reshape", net.conv("x", 6, 4, 3), net.const(np.array([0, -1])))
    done = halved(net.model(x))
    assert {w.data_type for w in done.model.graph.initializer} == {HALF, INT64}


def test_a_weight_that_is_used_as_output() -> None:
    net = Net()
    inner = net.conv("x", 6, 4, 3)
    done = halved(net.model([inner, net.op("Relu", inner)]))
    assert types(done.model.graph.output) == {FLOAT}
    assert [v.name for v in done.model.graph.output] == ["Conv_0", "Relu_1"]


def test_weights_out_of_range() -> None:
    net = Net()
    model = net.model(net.op("Mul", "x", net.const(np.float32(1e5), "huge")))
    with pytest.raises(ExportError, match=r"pass fp16: huge contains 1e\+05; half precision ends"):
        halved(model)


def test_control_flow_is_refused() -> None:
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("y", FLOAT, ("batch", 6, "length"))],
    )
    net = Net()
    condition = net.op("Greater", net.op("ReduceSum", "x", keepdims=0), net.positive())
    x = net.op("If", condition, then_branch=inner, else_branch=inner)
    with pytest.raises(ExportError, match="control flow"):
        halved(net.model(net.op("Mul", x, net.positive())))


@settings(max_examples=25)
@given(random_nets())
def test_any_net_computes_nearly_the_same(model: onnx.ModelProto) -> None:
    done = halved(model)
    assert {w.data_type for w in done.model.graph.initializer} <= {HALF, INT64}
