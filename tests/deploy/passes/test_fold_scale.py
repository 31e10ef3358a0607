from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings

from actspan.deploy.optimize import rewrite_model
from actspan.model.bsn.graph import build_pem
from tests.deploy.passes.nets import Net, old_tem, random_nets


def folded(model: onnx.ModelProto) -> list[str]:
    done = rewrite_model(model, ["fold-scale"])
    assert not rewrite_model(done.model, ["fold-scale"]).changed
    return [node.op_type for node in done.model.graph.node]


def conv(net: Net) -> str:
    return net.conv("x", 6, 4, 3)


def gemm(net: Net, **attributes: int) -> str:
    rows = net.op("Reshape", "x", net.const(np.array([-1, 6])))
    shape = (4, 6) if attributes.get("transB") else (6, 4)
    return net.op(
        "Gemm", rows, net.random(*shape), net.random(4), alpha=0.5, beta=2.0, **attributes
    )


def matmul(net: Net) -> str:
    turned = net.op("Transpose", "x", perm=[0, 2, 1])
    return net.op("Add", net.random(4), net.op("MatMul", turned, net.random(6, 4)))


def factor(net: Net, *shape: int) -> str:
    return net.positive(*shape)


CASES: list[tuple[str, Callable[[Net], str], list[str]]] = [
    ("scalar", lambda n: n.op("Mul", conv(n), factor(n)), ["Conv"]),
    ("scalar-first", lambda n: n.op("Mul", factor(n), conv(n)), ["Conv"]),
    ("negative", lambda n: n.op("Mul", conv(n), n.const(np.float32(-2))), ["Conv"]),
    ("division", lambda n: n.op("Div", conv(n), factor(n, 1)), ["Conv"]),
    ("twice", lambda n: n.op("Div", n.op("Mul", conv(n), factor(n)), factor(n)), ["Conv"]),
    ("channels", lambda n: n.op("Mul", conv(n), factor(n, 1, 4, 1)), ["Conv"]),
    ("channels-by-broadcast", lambda n: n.op("Mul", conv(n), factor(n, 4, 1)), ["Conv"]),
    ("relu", lambda n: n.op("Mul", n.op("Relu", conv(n)), factor(n)), ["Conv", "Relu"]),
    ("bias-apart", lambda n: n.op("Mul", n.op("Add", conv(n), factor(n, 4, 1)), factor(n)),
     ["Conv", "Add"]),
    ("gemm", lambda n: n.op("Mul", gemm(n), factor(n)), ["Reshape", "Gemm"]),
    ("gemm-channels", lambda n: n.op("Mul", gemm(n), factor(n, 4)), ["Reshape", "Gemm"]),
    ("gemm-transposed", lambda n: n.op("Mul", gemm(n, transB=1), factor(n, 1, 4)),
     ["Reshape", "Gemm"]),
    ("matmul", lambda n: n.op("Mul", matmul(n), factor(n)), ["Transpose", "MatMul", "Add"]),
    ("matmul-channels", lambda n: n.op("Mul", matmul(n), factor(n, 4)),
     ["Transpose", "MatMul", "Add"]),
    ("moved", lambda n: n.op("Mul", n.op("Transpose", conv(n), perm=[0, 2, 1]), factor(n)),
     ["Conv", "Transpose"]),
]  # fmt: skip


@pytest.mark.parametrize(("make", "left"), [pytest.param(m, k, id=n) for n, m, k in CASES])
def test_a_scale_is_folded_into_the_layer_before(
    make: Callable[[Net], str], left: list[str]
) -> None:
    net = Net()
    assert folded(net.model(make(net))) == left


STAYS: list[tuple[str, Callable[[Net], str]]] = [
    ("negative-behind-relu", lambda n: n.op("Mul", n.op("Relu", conv(n)), n.const(np.float32(-1)))),
    ("times-not-channels", lambda n: n.op("Mul", conv(n), factor(n, 1, 1, 98))),
    ("another-axis", lambda n: n.op("Mul", conv(n), factor(n, 2, 1, 1, 1))),
    ("constant-by-value", lambda n: n.op("Div", factor(n), conv(n))),
    ("by-zero", lambda n: n.op("Div", conv(n), n.const(np.float32(0)))),
    ("sigmoid", lambda n: n.op("Mul", n.op("Sigmoid", conv(n)), factor(n))),
    ("channels-behind-transpose",
     lambda n: n.op("Mul", n.op("Transpose", conv(n), perm=[0, 2, 1]), factor(n, 4))),
]  # fmt: skip


@pytest.mark.parametrize("make", [pytest.param(m, id=n) for n, m in STAYS])
def test_a_scale_stays_if_folding_would_change_the_result(make: Callable[[Net], str]) -> None:
    net = Net()
    assert not rewrite_model(net.model(make(net), (2, 6, 100)), ["fold-scale"]).changed


def test_a_scale_stays_if_the_layer_has_other_readers() -> None:
    net = Net()
    inner = conv(net)
    model = net.model([net.op("Mul", inner, factor(net)), inner])
    assert not rewrite_model(model, ["fold-scale"]).changed


def test_shared_weights_are_not_scaled_twice() -> None:
    net = Net()
    weight = net.random(6, 6, 1)
    first = net.op("Mul", net.op("Conv", "x", weight), net.const(np.float32(3)))
    assert folded(net.model(net.op("Conv", first, weight))) == ["Conv", "Conv"]


def test_published_scales() -> None:
    assert folded(old_tem()) == ["Conv", "Relu", "Conv", "Relu", "Conv", "Sigmoid"]
    rng = np.random.default_rng(0)
    shapes = {"fc1.weight": (9, 32), "fc1.bias": (9,), "fc2.weight": (1, 9), "fc2.bias": (1,)}
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    assert folded(build_pem(weights)) == ["Gemm", "Relu", "Gemm", "Sigmoid"]
    assert folded(build_pem(weights, rank=3)) == [
        "MatMul", "Add", "Relu", "MatMul", "Add", "Sigmoid",
    ]  # fmt: skip


@settings(max_examples=25)
@given(random_nets())
def test_any_net_computes_the_same(model: onnx.ModelProto) -> None:
    folded(model)


def shared(net: Net) -> str:
    x = conv(net)
    return net.op("Add", net.op("Mul", x, factor(net)), x)


def quantised(net: Net) -> str:
    weight = net.op("DequantizeLinear", net.const(np.ones((4, 6, 3), np.int8)), factor(net))
    return net.op("Mul", net.op("Conv", "x", weight), factor(net))


CHANNELS = np.array([[[1.0], [-2.0], [3.0], [4.0]]], np.float32)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(shared, "what it scales is read elsewhere too", id="shared"),
        pytest.param(quantised, "weights or bias of Conv 'Conv_1' cannot be scaled", id="int8"),
        pytest.param(
            lambda n: n.op("Mul", conv(n), factor(n, 1, 4, 20)),
            "it is not one factor, or one per channel",
            id="per-cell",
        ),
        pytest.param(
            lambda n: n.op("Mul", conv(n), n.const(np.float32(np.inf))),
            "a factor is infinite, or divides by zero",
            id="infinite",
        ),
        pytest.param(
            lambda n: n.op("Div", conv(n), n.const(np.float32(0))),
            "a factor is infinite, or divides by zero",
            id="by-zero",
        ),
        pytest.param(
            lambda n: n.op("Mul", n.op("Relu", conv(n)), n.const(CHANNELS)),
            "it is negative, and behind Relu 'Relu_1'",
            id="negative-behind-relu",
        ),
        pytest.param(lambda n: n.op("Mul", n.op("Tanh", conv(n)), factor(n)), None, id="tanh"),
        pytest.param(lambda n: n.op("Mul", "x", factor(n)), None, id="no-layer"),
        pytest.param(
            lambda n: n.op("Mul", n.op("MatMul", "x", n.op("Transpose", "x", perm=[0, 2, 1])),
                           factor(n)),
            None,
            id="no-weights",
        ),
    ],
)  # fmt: skip
def test_scales_that_stay_are_named(make: Callable[[Net], str], reason: str | None) -> None:
    net = Net()
    (report,) = rewrite_model(net.model(make(net), (2, 6, 22)), ["fold-scale"]).reports
    assert not report.changed
    (scale,) = [node for node in net.nodes if node.op_type in ("Mul", "Div")]
    wanted = f"1 of 1 scales behind a layer left: {scale.op_type} '{scale.name}' ({reason})"
    assert report.left == (None if reason is None else wanted)
