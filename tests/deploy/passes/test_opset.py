from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actspan.core.errors import ExportError
from actspan.deploy.optimize import RewrittenModel, rewrite_model
from actspan.deploy.passes.contract import PassSettings
from actspan.deploy.passes.older_opsets import _ADAPTERS
from tests.deploy.passes.nets import FLOAT, Net, old_tem, random_nets

NEWEST = onnx.defs.onnx_opset_version()


def converted(model: onnx.ModelProto, opset: int) -> RewrittenModel:
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


Case = Callable[[Net], str]


def pooled(net: Net, operator: str, dilation: int) -> str:
    return net.op(operator, "x", kernel_shape=[2], dilations=[dilation])


def reshaped(net: Net, shape: list[int], allowzero: int) -> str:
    return net.op("Reshape", "x", net.const(shape), allowzero=allowzero)


def resized(net: Net, **attributes: Any) -> str:
    return net.op("Resize", "x", "", net.const(np.float32([1, 1, 2])), **attributes)


def quantized(net: Net, scale: Any) -> str:
    zero = net.const(np.zeros(np.shape(scale), np.uint8))
    parameters = [net.const(np.float32(scale)), zero]
    x = net.op("QuantizeLinear", "x", *parameters, axis=1)
    return net.op("DequantizeLinear", x, *parameters, axis=1)


def roi(net: Net, **attributes: Any) -> str:
    x = net.op("Unsqueeze", "x", net.const([1]))
    box, batch = net.const(np.float32([[0, 0, 4, 4]])), net.const([0])
    return net.op("RoiAlign", x, box, batch, output_height=2, output_width=2, **attributes)


def scattered(net: Net, **attributes: Any) -> str:
    places, updates = net.const([[[1]]]), net.const(np.float32([[[3]]]))
    return net.op("ScatterElements", "x", places, updates, axis=2, **attributes)


def sampled(net: Net, **attributes: Any) -> str:
    x = net.op("Unsqueeze", "x", net.const([1]))
    grid = net.const(net.rng.uniform(-1, 1, (2, 3, 3, 2)).astype(np.float32))
    return net.op("GridSample", x, grid, **attributes)


def spectrum(net: Net, *inputs: str) -> str:
    return net.op("DFT", net.op("Unsqueeze", "x", net.const([3])), *inputs)


def as_float(net: Net, x: str) -> str:
    return net.op("Cast", x, to=FLOAT)


def computed(net: Net, *dims: int) -> str:
    return net.op("Mul", net.op("Shape", "x"), net.const(list(dims)))


SAME_MEANING: list[tuple[str, int, int, Case]] = [
    ("Reshape-0", 17, 11, lambda n: reshaped(n, [2, -1], 0)),
    ("Reshape-keeps-0", 17, 11, lambda n: reshaped(n, [0, -1], 0)),
    ("Reshape-1-without-zeros", 18, 11, lambda n: reshaped(n, [2, 240], 1)),
    ("AveragePool-dilations", 19, 11, lambda n: pooled(n, "AveragePool", 1)),
    ("LpPool-dilations", 18, 11, lambda n: pooled(n, "LpPool", 1)),
    ("Cast-saturate", 19, 11, lambda n: n.op("Cast", "x", to=FLOAT, saturate=1)),
    ("Cast-round-mode", 24, 11, lambda n: n.op("Cast", "x", to=FLOAT, round_mode="up")),
    ("CastLike", 19, 11, lambda n: as_float(n, n.op("CastLike", "x", n.const(np.float64(0))))),
    ("Resize-antialias", 18, 11, lambda n: resized(n, mode="linear", antialias=0)),
    ("Resize-policy", 18, 13, lambda n: resized(n, keep_aspect_ratio_policy="stretch")),
    ("ArgMax-last", 12, 11, lambda n: as_float(n, n.op("ArgMax", "x", select_last_index=0))),
    ("ReduceSum-no-axes", 13, 11, lambda n: n.op("ReduceSum", "x", noop_with_empty_axes=0)),
    ("ReduceLogSumExp", 18, 11, lambda n: n.op("ReduceLogSumExp", "x", n.const([1]))),
    ("Quantize-one-scale", 21, 11, lambda n: quantized(n, 0.1)),
    (
        "RoiAlign-older",
        16,
        11,
        lambda n: roi(n, coordinate_transformation_mode="output_half_pixel"),
    ),
    ("ScatterElements-none", 18, 11, lambda n: scattered(n, reduction="none")),
    ("ScatterElements-add", 18, 16, lambda n: scattered(n, reduction="add")),
    ("GridSample-linear", 20, 16, lambda n: sampled(n, mode="linear")),
    ("GridSample-cubic", 20, 16, lambda n: sampled(n, mode="cubic")),
    ("DFT-axis", 20, 17, lambda n: spectrum(n, "", n.const(2))),
    ("DFT-no-axis", 20, 17, spectrum),
    ("Shape-of-one-axis", 18, 11, lambda n: as_float(n, n.op("Shape", "x", start=1, end=2))),
    ("Shape-from-the-end", 18, 11, lambda n: as_float(n, n.op("Shape", "x", start=-1))),
    ("Split-equal", 18, 11, lambda n: n.op("Split", "x", axis=1, num_outputs=3, outputs=3)),
    ("Split-shorter-last", 18, 11, lambda n: n.op("Split", "x", axis=1, num_outputs=4, outputs=4)),
    ("Dropout", 13, 11, lambda n: n.op("Dropout", "x", n.const(np.float32(0.5)), seed=1)),
]


@pytest.mark.parametrize(
    ("opset", "target", "make"), [pytest.param(*case, id=name) for name, *case in SAME_MEANING]
)
def test_what_the_older_version_always_does(opset: int, target: int, make: Case) -> None:
    net = Net(opset)
    done = converted(net.model(make(net), (2, 6, 40)), target)
    assert [o.version for o in done.model.opset_import] == [target]
    assert done.reports[0].difference == 0
    assert not converted(done.model, target).changed


OTHER_MEANING: list[tuple[str, int, int, Case, str]] = [
    ("newer-operator", 20, 11, lambda n: n.op("Gelu", "x"), "has no such operator"),
    ("Softmax", 17, 11, lambda n: n.op("Softmax", "x", axis=1), "not known to be the last"),
    ("dilations", 19, 11, lambda n: pooled(n, "AveragePool", 2), r"not know dilations=.2"),
    ("Reshape-0", 18, 11, lambda n: reshaped(n, [2, 0, 5], 1), "allowzero is 1, .* has a 0"),
    (
        "Reshape-computed",
        18,
        11,
        lambda n: n.op("Reshape", "x", computed(n, 1, 1, 1), allowzero=1),
        "allowzero is 1, .*: --passes fix-dims,constant-fold,opset",
    ),
    ("antialias", 18, 11, lambda n: resized(n, mode="linear", antialias=1), "antialias=1"),
    (
        "symmetric",
        19,
        11,
        lambda n: resized(n, coordinate_transformation_mode="half_pixel_symmetric"),
        "its coordinate_transformation_mode is half_pixel_symmetric",
    ),
    ("scales", 21, 11, lambda n: quantized(n, np.full(6, 0.1)), "a scale per channel"),
    ("RoiAlign-default", 16, 11, roi, "is half_pixel, not output_half_pixel"),
    ("max", 18, 16, lambda n: scattered(n, reduction="max"), "its reduction is max"),
    (
        "last-index",
        12,
        11,
        lambda n: as_float(n, n.op("ArgMax", "x", select_last_index=1)),
        "last_index=1",
    ),
]


@pytest.mark.parametrize(
    ("opset", "target", "make", "message"),
    [pytest.param(*case, id=name) for name, *case in OTHER_MEANING],
)
def test_what_the_older_version_does_not_have(
    opset: int, target: int, make: Case, message: str
) -> None:
    net = Net(opset)
    with pytest.raises(ExportError, match=f"pass opset: .*{message}"):
        converted(net.model(make(net), (2, 6, 40)), target)


def test_the_advice_for_computed_shapes_works() -> None:
    net = Net(18)
    model = net.model(net.op("Reshape", "x", computed(net, 1, 1, 1), allowzero=1))
    wanted = PassSettings(opset=11, dims={"batch": 1, "length": 30})
    done = rewrite_model(model, ["fix-dims", "constant-fold", "opset"], wanted)
    assert [o.version for o in done.model.opset_import] == [11]


def test_every_attribute_that_came_later_is_dropped_or_named() -> None:
    # A new default of onnx that differs from the older behaviour needs an adapter.
    different = set()
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain or schema.since_version <= 11:
            continue
        try:
            older = onnx.defs.get_schema(schema.name, schema.since_version - 1, "")
        except onnx.defs.SchemaError:
            continue
        for name in set(schema.attributes) & set(older.attributes):
            if schema.attributes[name].default_value != older.attributes[name].default_value:
                different.add((schema.name, schema.since_version))
    assert different == {(op, 13) for op in ("Hardmax", "LogSoftmax", "Softmax")} | {
        ("GridSample", 20)
    }
    assert different <= set(_ADAPTERS)


@pytest.mark.parametrize("opset", [13, 18, NEWEST])
def test_a_second_run_changes_no_byte(opset: int) -> None:
    up = converted(old_tem(), opset).model
    again = converted(up, opset)
    assert not again.changed
    assert again.model.SerializeToString(deterministic=True) == up.SerializeToString(
        deterministic=True
    )
    assert "Constant" not in {node.op_type for node in up.graph.node}


def test_without_standard_operators_there_is_no_opset() -> None:
    node = onnx.helper.make_node("Binarizer", ["x"], ["y"], domain="ai.onnx.ml", threshold=0.5)
    values = [onnx.helper.make_tensor_value_info(name, FLOAT, [2]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("ai.onnx.ml", 1)], ir_version=8
    )
    with pytest.raises(ExportError, match="no operators of the standard"):
        converted(model, 17)


@pytest.mark.parametrize("opset", [9, NEWEST + 1])
def test_opsets_out_of_reach(opset: int) -> None:
    with pytest.raises(ExportError, match=f"give an opset from 11 to {NEWEST}"):
        converted(old_tem(), opset)


def test_fix_dims_runs_before_the_others() -> None:
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
