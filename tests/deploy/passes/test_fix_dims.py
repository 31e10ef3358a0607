from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import pytest

from actspan.core.errors import ConfigError, ExportError
from actspan.deploy.optimize import RewrittenModel, rewrite_model
from actspan.deploy.passes.contract import PassSettings
from actspan.deploy.passes.fix_dims import Dims, advice, free_axes
from actspan.model.bsn.graph import build_pem, build_tem
from tests.deploy.passes.nets import FLOAT, Net, old_tem

Shape = list[int | str]
Sizes = dict[str, int]


def fixed(model: onnx.ModelProto, dims: Sizes | None = None, **sizes: int) -> RewrittenModel:
    return rewrite_model(model, ["fix-dims"], PassSettings(dims=dims or {}, **sizes))


def shapes(model: onnx.ModelProto) -> tuple[Shape, Shape]:
    def shape(value: onnx.ValueInfoProto) -> Shape:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    return shape(model.graph.input[0]), shape(model.graph.output[0])


def tem() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    sizes = {"conv1": (8, 6, 3), "conv2": (8, 8, 3), "conv3": (3, 8, 1)}
    weights = {f"{n}.weight": rng.standard_normal(s, np.float32) for n, s in sizes.items()}
    return build_tem(weights | {f"{n}.bias": np.zeros(s[0], np.float32) for n, s in sizes.items()})


def pem(rank: int) -> onnx.ModelProto:
    shapes = {"fc1.weight": (9, 32), "fc1.bias": (9,), "fc2.weight": (1, 9), "fc2.bias": (1,)}
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return build_pem(weights, rank=3 if rank == 3 else 2)


def test_batch_length_or_both() -> None:
    assert shapes(fixed(tem(), batch=16).model) == ([16, 6, "length"], [16, 3, "length"])
    assert shapes(fixed(tem(), length=100).model) == (["batch", 6, 100], ["batch", 3, 100])
    done = fixed(tem(), batch=16, length=100)
    assert shapes(done.model) == ([16, 6, 100], [16, 3, 100])
    assert done.tags == ("b16-t100",)
    assert not fixed(done.model, batch=16, length=100).changed


def test_proposals_are_a_length() -> None:
    assert shapes(fixed(pem(2), length=1000).model) == ([1000, 32], [1000, 1])
    assert shapes(fixed(pem(3), batch=1, length=1000).model) == ([1, 1000, 32], [1, 1000, 1])


def test_later_shapes_are_inferred_again() -> None:
    net = Net()
    x = net.conv("x", 6, 4, 3, strides=[2])
    model = onnx.shape_inference.infer_shapes(net.model(net.op("Relu", x)))
    assert shapes(fixed(model, batch=2, length=21).model)[1] == [2, 4, 10]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        pytest.param({}, "the inputs have no free axis, so leave this pass out", id="nothing"),
        pytest.param({"batch": 16}, "the batch of video .axis 0. is 1 already, not 16", id="batch"),
        pytest.param({"length": 50}, "the length of video .axis 2. is 100 already", id="length"),
    ],
)
def test_needs(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ExportError, match=f"pass fix-dims: {message}"):
        fixed(old_tem(), **sizes)


def test_an_axis_that_no_input_has() -> None:
    with pytest.raises(ExportError, match="no input has a batch"):
        fixed(pem(2), batch=2)


def test_sizes_are_positive() -> None:
    with pytest.raises(ConfigError, match="batch must be at least 1, not 0"):
        PassSettings(batch=0)


def test_sizes_that_are_there_already_change_nothing() -> None:
    assert not fixed(old_tem(), batch=1, length=100).changed


def streaming() -> onnx.ModelProto:
    """Return a network with a mask and a recurrent state, whose batch is its second axis."""
    net = Net()
    x = net.op("Unsqueeze", "x", net.const([1]))  # (batch, 1, samples)
    x = net.op("Transpose", net.conv(x, 1, 4, 40, strides=[8]), perm=[2, 0, 1])
    weights = [net.random(1, 20, 4), net.random(1, 20, 5)]
    net.nodes.append(
        onnx.helper.make_node(
            "LSTM",
            [x, *weights, "", "", "h", "c"],
            ["", "next_h", "next_c"],
            hidden_size=5,
            name="lstm",
        )
    )
    scaled = net.op("Mul", "next_h", net.op("Cast", "mask", to=FLOAT))
    inputs: dict[str, tuple[int, Shape]] = {
        "x": (FLOAT, ["batch", "samples"]),
        "h": (FLOAT, [1, "batch", 5]),
        "c": (FLOAT, [1, "batch", 5]),
        "mask": (onnx.TensorProto.BOOL, ["batch", 1]),
    }
    model = net.model([scaled, "next_c"])
    del model.graph.input[:]
    for name, (kind, shape) in inputs.items():
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    return model


def input_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in model.graph.input
    }


STATE_FIXED = {"x": [3, 200], "h": [1, 3, 5], "c": [1, 3, 5], "mask": [3, 1]}


@pytest.mark.parametrize(
    ("settings", "tag"),
    [
        pytest.param({"dims": {"batch": 3, "samples": 200}}, "batch3-samples200", id="names"),
        pytest.param({"batch": 3, "length": 200}, "b3-t200", id="roles"),
        pytest.param({"batch": 3, "dims": {"samples": 200}}, "b3-samples200", id="both"),
    ],
)
def test_axes_of_one_name_get_one_size(settings: dict[str, Any], tag: str) -> None:
    done = rewrite_model(streaming(), ["fix-dims"], PassSettings(**settings))
    assert input_shapes(done.model) == STATE_FIXED
    assert done.tags == (tag,)


def test_roles_that_are_fixed_already_change_nothing() -> None:
    model = fixed(streaming(), {"batch": 3, "samples": 200}).model
    assert not fixed(model, batch=3, length=200).changed
    assert not fixed(fixed(pem(2), length=9).model, length=9).changed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(
            {"dims": {"bacth": 1}},
            r"no free axis is called 'bacth' \(did you mean 'batch'\?\); available: batch, samples",
            id="unknown-name",
        ),
        pytest.param(
            {"batch": 2, "dims": {"batch": 1}}, "no input has a batch|already", id="named-twice"
        ),
        pytest.param(
            {"dims": {"h:7": 1}},
            r"no free axis is called 'h:7'; available: batch, samples",
            id="unknown-place",
        ),
        pytest.param(
            {"dims": {"h:0": 2}}, "pass fix-dims: h:0 is 1 already, not 2", id="place-of-fixed"
        ),
        pytest.param(
            {},
            "free axes: batch, samples: fix them with --dim batch=1 --dim samples=N",
            id="nothing-given",
        ),
    ],
)
def test_sizes_that_no_axis_can_have(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        rewrite_model(streaming(), ["fix-dims"], PassSettings(**settings))


def test_the_numeric_check_gives_one_size_to_one_name() -> None:
    assert rewrite_model(streaming(), ["conv1d-to-conv2d"]).changed


def test_the_advice_for_sizes_that_do_not_run_works() -> None:
    net = Net()
    windows = net.const([0, 4, 37])  # what runs with this length alone
    model = net.model(net.op("Reshape", net.conv("x", 6, 4, 1), windows))
    with pytest.raises(ExportError, match="none of the sizes tried runs") as caught:
        rewrite_model(model, ["conv1d-to-conv2d"])
    options = re.findall(r"--dim (\w+)=(\w+)", str(caught.value))
    assert options == [("batch", "1"), ("length", "N")]
    dims = {"batch": 1, "length": 37}
    assert rewrite_model(model, ["conv1d-to-conv2d"], PassSettings(dims=dims)).changed


@pytest.mark.parametrize(
    ("shapes", "batches", "lengths"),
    [
        pytest.param({"x": ["batch", 6, "t"]}, ["batch"], ["t"], id="usual"),
        pytest.param({"x": ["n", 6, "t"]}, ["n"], ["t"], id="first-is-the-batch"),
        pytest.param({"x": ["proposals", 32]}, [], ["proposals"], id="rows"),
        pytest.param({"x": ["t", "batch_size", 4]}, ["batch_size"], ["t"], id="batch-second"),
        pytest.param({"x": [None, 6, None]}, ["x:0"], ["x:2"], id="no-names"),
        pytest.param({"x": ["n", "t"], "m": ["t", "t"], "s": [2, "n", 8]}, ["n"], ["t"], id="mask"),
        pytest.param({"x": [2, 3], "scalar": []}, [], [], id="fixed"),
    ],
)
def test_roles_of_free_axes(
    shapes: dict[str, Dims], batches: list[str], lengths: list[str]
) -> None:
    found: dict[str, list[str]] = {"batch": [], "length": []}
    for axis in free_axes(shapes):
        if axis.label not in found[axis.role]:
            found[axis.role].append(axis.label)
    assert found == {"batch": batches, "length": lengths}


def test_advice_for_axes_without_a_name() -> None:
    axes = free_axes({"x": [None, 6, None]})
    assert advice(axes) == "free axes: x:0, x:2: fix them with --dim x:0=1 --dim x:2=N"


def unnamed() -> onnx.ModelProto:
    """Return the streaming network without names of axes; the batch of h and c is not first."""
    model = streaming()
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            dim.ClearField("dim_param")
    return model


def at_places(batch: int) -> Sizes:
    return {"x:0": batch, "x:1": 200, "h:1": batch, "c:1": batch, "mask:0": batch}


def test_axes_without_a_name_are_fixed_by_their_places() -> None:
    done = fixed(unnamed(), at_places(3))
    assert input_shapes(done.model) == STATE_FIXED
    assert not fixed(done.model, at_places(3)).changed
    with pytest.raises(ExportError, match="pass fix-dims: x:0 is 3 already, not 4"):
        fixed(done.model, at_places(4))


def test_a_place_and_the_roles_of_other_axes() -> None:
    sizes = at_places(3)
    done = fixed(unnamed(), {place: sizes[place] for place in ("h:1", "c:1")}, batch=3, length=200)
    assert input_shapes(done.model) == STATE_FIXED


def test_the_advice_for_places_works() -> None:
    with pytest.raises(ExportError, match="free axes: x:0, x:1, h:1, c:1, mask:0: fix") as caught:
        rewrite_model(unnamed(), ["conv1d-to-conv2d"])
    options = re.findall(r"--dim (\S+)=(\w+)", str(caught.value))
    dims = {place: 200 if size == "N" and place == "x:1" else 1 for place, size in options}
    assert rewrite_model(unnamed(), ["conv1d-to-conv2d"], PassSettings(dims=dims)).changed


def test_the_place_of_an_axis_with_a_name_stands_for_the_name() -> None:
    assert input_shapes(fixed(streaming(), {"h:1": 3, "x:1": 200}).model) == STATE_FIXED
    with pytest.raises(ExportError, match="batch cannot be 3 and 2"):
        fixed(streaming(), {"h:1": 3, "batch": 2})
