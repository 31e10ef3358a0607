from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from actspan import PemConfig, TemConfig
from actspan.core.errors import MissingExtraError
from actspan.model.bsn.forward import pem_forward, tem_forward
from actspan.model.bsn.graph import build_pem, build_tem
from actspan.model.graph_builder import OPSET
from actspan.model.weights import weight_shapes

TEM, PEM = TemConfig(channels=5, hidden=4), PemConfig(hidden=6)


def random_weights(config: TemConfig | PemConfig) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = weight_shapes(config)
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def dims(value: onnx.ValueInfoProto) -> tuple[Any, ...]:
    return tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        pytest.param({}, ("batch", "length"), id="free"),
        pytest.param({"batch": 3}, (3, "length"), id="fixed-batch"),
        pytest.param({"length": 20}, ("batch", 20), id="fixed-length"),
        pytest.param({"batch": 3, "length": 20}, (3, 20), id="fixed"),
    ],
)
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("dilated", [0, 3])
def test_tem(
    sizes: dict[str, int], shape: tuple[Any, Any], standardize: bool, dilated: int
) -> None:
    weights = random_weights(TemConfig(channels=5, hidden=4, members=2, dilated=dilated))
    if standardize:
        extra = {"input.mean": np.linspace(-1, 1, 5), "input.scale": np.linspace(0.5, 2, 5)}
        weights |= {name: array.astype(np.float32) for name, array in extra.items()}
    model = build_tem(weights, **sizes)
    assert dims(model.graph.input[0]) == (shape[0], 5, shape[1])
    assert dims(model.graph.output[0]) == (shape[0], 3, shape[1])
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("video", "output")
    x = np.random.default_rng(1).standard_normal((3, 5, 20), dtype=np.float32)
    np.testing.assert_allclose(run(model, x), tem_forward(weights, x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        pytest.param({}, ("proposals",), id="free"),
        pytest.param({"proposals": 9}, (9,), id="fixed"),
        pytest.param({"rank": 3}, ("batch", "proposals"), id="rank-3"),
        pytest.param({"rank": 3, "batch": 2, "proposals": 9}, (2, 9), id="rank-3-fixed"),
    ],
)
def test_pem(options: dict[str, Any], shape: tuple[Any, ...]) -> None:
    weights = random_weights(PEM)
    model = build_pem(weights, **options)
    assert dims(model.graph.input[0]) == (*shape, 32)
    assert dims(model.graph.output[0]) == (*shape, 1)
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("video_feature", "output")
    x = np.random.default_rng(1).random((2, 9, 32), dtype=np.float32)
    x = x[0] if len(shape) == 1 else x
    np.testing.assert_allclose(run(model, x), pem_forward(weights, x), rtol=0, atol=1e-6)


def test_free_sizes_take_none_and_many() -> None:
    model = build_pem(random_weights(PEM))
    for proposals in (0, 1, 5000):
        assert run(model, np.zeros((proposals, 32), np.float32)).shape == (proposals, 1)


def test_versions_are_widely_readable() -> None:
    model = build_tem(random_weights(TEM))
    assert [o.version for o in model.opset_import] == [OPSET] == [17]
    assert model.ir_version == 8
    assert model.producer_name == "actspan"


def test_the_same_weights_give_the_same_bytes() -> None:
    one, two = build_tem(random_weights(TEM)), build_tem(random_weights(TEM))
    assert one.SerializeToString(deterministic=True) == two.SerializeToString(deterministic=True)


def test_torch_is_not_needed() -> None:
    code = (
        "import sys, numpy as np; sys.modules['torch'] = None\n"
        "from actspan.model.bsn.graph import build_pem\n"
        "w = {'fc1.weight': np.ones((2, 32), 'f'), 'fc1.bias': np.ones(2, 'f'),"
        " 'fc2.weight': np.ones((1, 2), 'f'), 'fc2.bias': np.ones(1, 'f')}\n"
        "print(len(build_pem(w).graph.node))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "6"


def test_a_missing_onnx_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install '.*\[export\]'"):
        build_pem(random_weights(PEM))
