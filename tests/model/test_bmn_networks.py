"""BMN in NumPy, torch and as a graph: the recorded outputs of its codes, and each other."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actspan.config.bmn import BmnConfig, MapAxes
from actspan.core.errors import ShapeError
from actspan.core.types import Float32
from actspan.model.bmn.blocks import REACH, Rectangle, map_strips, sample_blocks
from actspan.model.bmn.forward import bmn_logits
from actspan.model.bmn.graph import build_bmn, build_bmn_for_npu
from actspan.model.bmn.sampling import map_cells, map_shape, sample_mask, sample_weights
from actspan.model.bsn.forward import sigmoid
from actspan.model.weights import weight_shapes
from tests.model.published_bmn import made_up_weights

AXES: dict[str, MapAxes] = {"jjboy": "start-end", "mmaction2": "duration-start"}
SMALL: dict[str, Any] = {"channels": 12, "length": 14, "samples": 5, "base": 16, "sampled": 8}
SMALL |= {"matched": 10, "hidden": 6}
CONFIGS = [
    pytest.param(BmnConfig(axes="start-end", **SMALL), id="start-end"),
    pytest.param(BmnConfig(axes="duration-start", **SMALL), id="duration-start"),
    pytest.param(BmnConfig(axes="duration-start", durations=5, **SMALL), id="short-durations"),
]


@pytest.fixture(scope="module")
def bmn(data: Path) -> Path:
    if not (data / "bmn").is_dir():
        pytest.skip("needs the recorded outputs of BMN")
    return data / "bmn"


@pytest.fixture(scope="module")
def published(bmn: Path) -> dict[str, Float32]:
    pytest.importorskip("torch")
    return made_up_weights(bmn)


def random_weights(config: BmnConfig, seed: int = 0) -> dict[str, Float32]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 1.5 / np.sqrt(max(np.prod(shape[1:]), 1)), shape).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }


def video(config: BmnConfig, batch: int = 3) -> Float32:
    rng = np.random.default_rng(1)
    return rng.normal(size=(batch, config.channels, config.length)).astype(np.float32)


def outputs(weights: dict[str, Float32], x: Float32, config: BmnConfig) -> list[NDArray[Any]]:
    return [sigmoid(logits) for logits in bmn_logits(weights, x, config)]


@pytest.mark.parametrize("config", CONFIGS)
def test_blocks_have_the_same_weights_as_the_mask(config: BmnConfig) -> None:
    cells = map_cells(config)
    found = np.zeros((len(cells.rows), config.length * config.samples), np.float32)
    for block in chain.from_iterable(sample_blocks(config)):
        found[block.proposals[:, None], block.columns] = block.weights
    mask = sample_mask(config).reshape(-1, *map_shape(config))
    np.testing.assert_array_equal(found, mask[:, cells.rows, cells.columns].T)


@pytest.mark.parametrize("config", [*CONFIGS, pytest.param(BmnConfig(length=70), id="long")])
def test_strips_have_every_cell_that_depends_on_a_proposal(config: BmnConfig) -> None:
    cells, shape = map_cells(config), map_shape(config)
    covered = np.zeros(shape, int)
    for strip in map_strips(config):
        covered[strip.cells] += 1
    near = np.zeros(shape, bool)
    for row, column in zip(cells.rows, cells.columns, strict=True):
        near[Rectangle(row, row + 1, column, column + 1).grown(REACH, shape).cells] = True
    assert (covered[near] == 1).all()
    assert covered.max() == 1


@pytest.mark.parametrize("length", [200, 256])
def test_long_videos_need_little_memory(length: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    config = BmnConfig(length=length, channels=4, base=4, sampled=4, matched=4, hidden=2)
    sparse = sample_weights(config)
    assert sparse.values.nbytes + sparse.indices.nbytes < 80e6  # the mask: 1 and 2.1 GB
    weights, x = random_weights(config), video(config, batch=1)
    graph = build_bmn(weights, config).SerializeToString()
    assert len(graph) < 64e6
    found = onnxruntime.InferenceSession(graph).run(None, {"video": x})
    for output, wanted in zip(found, outputs(weights, x, config), strict=True):
        np.testing.assert_allclose(output, wanted, rtol=0, atol=2e-6)


@pytest.mark.parametrize("code", AXES)
def test_the_published_outputs_are_computed(
    bmn: Path, published: dict[str, Float32], code: str
) -> None:
    torch, onnxruntime = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    from actspan.model.bmn.networks import Bmn

    config = BmnConfig(axes=AXES[code])
    with np.load(bmn / "stages.npz") as stages:
        names = [key.partition("/")[0] for key in stages if key.endswith("/feature")][:2]
        x = np.stack([stages[f"{name}/feature"].T for name in names])
        parts = ("map", "start", "end")
        known = [np.stack([stages[f"{name}/{code}/{p}"] for name in names]) for p in parts]
    net = Bmn(config)
    net.load_weights(published)
    with torch.inference_mode():
        by_torch = [values.numpy() for values in net.eval()(torch.from_numpy(x))]
    graph = build_bmn(published, config).SerializeToString()
    assert len(graph) < 32e6  # 20 MB of them are weights; the published graph has 148 MB
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    by_graph = session.run(None, {"video": x})
    by_numpy = outputs(published, x[:1], config)
    for found in (by_torch, by_graph, by_numpy):
        for values, expected, tolerance in zip(found, known, (1e-5, 1e-6, 1e-6), strict=True):
            np.testing.assert_allclose(values, expected[: len(values)], rtol=0, atol=tolerance)


@pytest.mark.parametrize("code", AXES)
def test_the_published_layers_are_computed(
    bmn: Path, published: dict[str, Float32], code: str
) -> None:
    config = BmnConfig(axes=AXES[code])
    with np.load(bmn / "layers.npz") as layers, np.load(bmn / "stages.npz") as stages:
        cells, pem = layers[f"{code}/cells"], layers["pem"]
        known = layers[f"{code}/sampled"], layers[f"{code}/conv3d"]
        assert any(f"{name.partition('/')[0]}/feature" in stages for name in stages)
    mask = sample_mask(config).reshape(config.length, config.samples, *map_shape(config))
    sampled = np.stack([pem @ mask[:, :, a, b] for a, b in cells])  # (8, S, N)
    np.testing.assert_allclose(sampled, known[0], rtol=0, atol=1e-5 * np.abs(known[0]).max())
    weight, bias = published["matched.conv.weight"], published["matched.conv.bias"]
    conv3d = np.maximum(np.einsum("csn,msn->cm", sampled, weight) + bias, 0)
    np.testing.assert_allclose(conv3d, known[1], rtol=0, atol=1e-5 * np.abs(known[1]).max())


@pytest.mark.parametrize("standardized", [False, True])
@pytest.mark.parametrize("config", CONFIGS)
def test_torch_and_both_graphs_equal_numpy(config: BmnConfig, standardized: bool) -> None:
    torch, onnxruntime = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    from actspan.model.bmn.networks import Bmn

    weights, x = random_weights(config), video(config)
    if standardized:
        weights |= {"input.mean": np.linspace(-1, 1, config.channels, dtype=np.float32)}
        weights |= {"input.scale": np.linspace(0.5, 2, config.channels, dtype=np.float32)}
    expected = outputs(weights, x, config)
    net = Bmn(config)
    net.load_weights(weights)
    with torch.inference_mode():
        found = [[values.numpy() for values in net.eval()(torch.from_numpy(x))]]
    for model in (build_bmn(weights, config), build_bmn_for_npu(weights, config, batch=len(x))):
        known = onnx.shape_inference.infer_shapes(model).graph.value_info
        assert max(len(value.type.tensor_type.shape.dim) for value in known) <= 4
        session = onnxruntime.InferenceSession(model.SerializeToString())
        found.append(session.run(["confidence_map", "start", "end"], {"video": x}))
    for values in found:
        for output, wanted in zip(values, expected, strict=True):
            np.testing.assert_allclose(output, wanted, rtol=0, atol=2e-6)


@pytest.mark.parametrize("config", CONFIGS)
def test_openvino_equals_numpy(config: BmnConfig) -> None:
    openvino = pytest.importorskip("openvino", reason="needs openvino")
    pytest.importorskip("onnx")
    weights = random_weights(config)
    core = openvino.Core()
    model = core.read_model(build_bmn(weights, config).SerializeToString())
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for batch in (1, 4):  # a free batch
        x = video(config, batch)
        found = compiled({"video": x})
        for output, wanted in enumerate(outputs(weights, x, config)):
            np.testing.assert_allclose(found[output], wanted, rtol=0, atol=1e-5)


def test_precision_is_that_of_the_weights() -> None:
    config = BmnConfig(**SMALL)
    weights = {name: w.astype(np.float64) for name, w in random_weights(config).items()}
    assert {logits.dtype for logits in bmn_logits(weights, video(config), config)} == {
        np.dtype("f8")
    }
    with pytest.raises(ShapeError, match=r"video has shape \(1, 12, 15\); \(B, 12, 14\) is needed"):
        bmn_logits(weights, np.zeros((1, 12, 15)), config)


def test_the_same_weights_give_the_same_bytes() -> None:
    config = BmnConfig(**SMALL)
    one, two = (build_bmn(random_weights(config), config, batch=2) for _ in range(2))
    assert one.SerializeToString(deterministic=True) == two.SerializeToString(deterministic=True)
    assert one.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
