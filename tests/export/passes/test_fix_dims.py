from __future__ import annotations

import numpy as np
import onnx
import pytest

from actspan.errors import ConfigError, ExportError
from actspan.export.graph import build_pem, build_tem
from actspan.export.optimize import Rewritten, rewrite_model
from actspan.export.passes.contract import PassSettings
from tests.export.passes.nets import Net, old_tem

Shape = list[int | str]


def fixed(model: onnx.ModelProto, **sizes: int) -> Rewritten:
    return rewrite_model(model, ["fix-dims"], PassSettings(**sizes))


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


def test_what_follows_is_inferred_anew() -> None:
    net = Net()
    x = net.conv("x", 6, 4, 3, strides=[2])
    model = onnx.shape_inference.infer_shapes(net.model(net.op("Relu", x)))
    assert shapes(fixed(model, batch=2, length=21).model)[1] == [2, 4, 10]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        pytest.param({}, "give a batch or a length", id="nothing"),
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
