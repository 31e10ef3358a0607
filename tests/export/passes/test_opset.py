from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actspan.errors import ExportError
from actspan.export.optimize import Rewritten, rewrite_model
from actspan.export.passes.contract import PassSettings
from tests.export.passes.nets import Net, old_tem, random_nets

NEWEST = onnx.defs.onnx_opset_version()


def converted(model: onnx.ModelProto, opset: int) -> Rewritten:
    return rewrite_model(model, ["opset"], PassSettings(opset=opset))


@pytest.mark.parametrize("opset", [13, 17, 18, NEWEST])
def test_up_and_back(opset: int) -> None:
    up = converted(old_tem(), opset)
    assert [o.version for o in up.model.opset_import] == [opset]
    assert up.tags == (f"opset{opset}",)
    assert [n.name for n in up.model.graph.node][:3] == ["Conv_0", "Relu_1", "Conv_2"]
    down = converted(up.model, 11)
    assert [o.version for o in down.model.opset_import] == [11]
    assert down.model.ir_version == 6
    assert [n.op_type for n in down.model.graph.node] == [n.op_type for n in up.model.graph.node]


def test_the_same_opset_changes_nothing() -> None:
    assert not converted(old_tem(), 11).changed


def test_inputs_become_attributes_again() -> None:
    net = Net(21)
    x = net.op("Softmax", net.batchnorm(net.conv("x", 6, 4, 3), 4))
    x = net.op("Squeeze", net.op("Unsqueeze", x, net.const([2])), net.const([2]))
    mean = net.op("ReduceMean", x, net.const([2]))
    down = converted(net.model(net.op("Add", x, net.op("ReduceSum", mean, net.const([1])))), 11)
    nodes = {node.op_type: node for node in down.model.graph.node}
    for operator in ("Squeeze", "Unsqueeze", "ReduceMean", "ReduceSum"):
        assert len(nodes[operator].input) == 1
    assert onnx.helper.get_node_attr_value(nodes["Softmax"], "axis") == 2


@pytest.mark.parametrize(
    ("opset", "make", "message"),
    [
        pytest.param(20, "Gelu", "opset 11 has no such operator", id="newer-operator"),
        pytest.param(17, "Softmax", "cannot be written in opset 11", id="other-meaning"),
        pytest.param(19, "AveragePool", "opset 11 does not know dilations", id="newer-attribute"),
    ],
)
def test_what_the_older_version_does_not_have(opset: int, make: str, message: str) -> None:
    net = Net(opset)
    attributes = {"Softmax": {"axis": 1}, "AveragePool": {"kernel_shape": [2], "dilations": [2]}}
    model = net.model(net.op(make, "x", **attributes.get(make, {})))
    with pytest.raises(ExportError, match=f"pass opset: {make} .*{message}"):
        converted(model, 11)


@pytest.mark.parametrize("opset", [9, NEWEST + 1])
def test_opsets_out_of_reach(opset: int) -> None:
    with pytest.raises(ExportError, match=f"give an opset from 11 to {NEWEST}"):
        converted(old_tem(), opset)


def test_it_comes_before_the_others() -> None:
    done = rewrite_model(old_tem(), ["conv1d-to-conv2d"], PassSettings(opset=13))
    assert done.tags == ("opset13", "conv2d")
    down = converted(done.model, 11).model
    assert all(len(n.input) == 1 for n in down.graph.node if "queeze" in n.op_type)


@settings(max_examples=25)
@given(random_nets(), st.sampled_from([11, 13, 18, NEWEST]))
def test_any_net_computes_the_same(model: onnx.ModelProto, opset: int) -> None:
    shape = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape
    assert len(shape.dim) == 3
    done = converted(model, opset)
    assert [o.version for o in done.model.opset_import] == [opset]
    assert np.isfinite(done.reports[0].difference)
