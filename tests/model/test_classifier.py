"""The classifier: the same function in torch, NumPy and ONNX, and in a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actspan import Bundle
from actspan.config.stages import ClassifierConfig
from actspan.core.errors import BundleError, ConfigError, ParityError, ShapeError
from actspan.model.bsn.forward import classifier_forward
from actspan.model.weights import weight_shapes
from actspan.runtime.export import export_network
from actspan.runtime.opening import open_session
from tests.examples import write_bundle

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
from actspan.model.bsn.networks import Classifier  # noqa: E402

CONFIG = ClassifierConfig(labels=("jump", "run", "swim"), channels=6, hidden=5)


@pytest.fixture
def net() -> Classifier:
    torch.manual_seed(0)
    made = Classifier(CONFIG)
    made.standardize(torch.randn(18), torch.rand(18) + 0.5)
    return made.eval()


def pooled(rows: int = 7) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, 18)).astype(np.float32)


def forward(net: Classifier, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(x)).numpy()


def test_weights_are_those_of_a_bundle(net: Classifier) -> None:
    assert {k: v.shape for k, v in net.weights().items()} == weight_shapes(CONFIG)
    other = Classifier(CONFIG).eval()
    other.load_weights(net.weights())
    np.testing.assert_array_equal(forward(other, pooled()), forward(net, pooled()))


def test_torch_numpy_and_onnx_agree(net: Classifier, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b").add_classifier(CONFIG, net.weights())
    bundle, check = export_network(bundle, "classifier")
    assert (check.net, check.numpy_difference < 1e-5) == ("classifier", True)
    expected = forward(net, pooled())
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(classifier_forward(net.weights(), pooled()), expected, atol=1e-6)
    with open_session(bundle.file("classifier.onnx"), backend="onnxruntime") as session:
        assert [*session.input_shapes] == ["pooled"]
        for rows in (1, 7):
            output = session.run({"pooled": pooled(rows)})["output"]
            np.testing.assert_allclose(output, forward(net, pooled(rows)), atol=1e-6)
    with pytest.raises(ShapeError, match=r"\(N, 18\) is needed"):
        classifier_forward(net.weights(), np.zeros((2, 3)))


def test_context_is_dropped_as_a_whole_and_only_while_training() -> None:
    net = Classifier(CONFIG, context_dropout=0.5)
    torch.manual_seed(0)
    x = torch.rand(1, 18).repeat(200, 1)
    bare = x.clone()
    bare[:, 6:] = 0  # the average context
    with torch.no_grad():
        found = net.logits(x)
        net.eval()
        whole, without = net.logits(x), net.logits(bare)
    is_whole = torch.isclose(found, whole).all(dim=1)
    assert (is_whole | torch.isclose(found, without).all(dim=1)).all()
    assert 60 < is_whole.sum() < 140


def test_a_bundle_keeps_it_beside_its_networks(net: Classifier, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    assert not bundle.has_classifier
    with pytest.raises(BundleError, match="this bundle has no classifier; train one"):
        bundle.weights("classifier")
    bundle.add_classifier(CONFIG, net.weights(), training={"seed": 3})
    found = Bundle.load(bundle.path)
    assert found.has_classifier
    assert found.config.classifier == CONFIG
    assert found.training == {"classifier": {"seed": 3}}
    assert {"tem.onnx", "pem.safetensors"} <= found.files.keys()
    np.testing.assert_array_equal(
        found.weights("classifier")["fc1.weight"], net.weights()["fc1.weight"]
    )


def test_a_replaced_classifier_leaves_no_old_files(net: Classifier, tmp_path: Path) -> None:
    whole = write_bundle(tmp_path / "b").add_classifier(CONFIG, net.weights())
    bundle, _ = export_network(whole, "classifier")
    other = ClassifierConfig(labels=("fly",), channels=6, hidden=3)
    changed = bundle.add_classifier(other, Classifier(other).weights())
    assert "classifier.onnx" not in changed.files
    assert Bundle.load(bundle.path).config.classifier == other


def test_weights_of_other_shapes_are_refused(net: Classifier, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    fewer = ClassifierConfig(labels=("jump",), channels=6, hidden=5)
    with pytest.raises(BundleError, match=r"fc2\.weight has shape \(4, 5\)"):
        bundle.add_classifier(fewer, net.weights())
    assert not Bundle.load(bundle.path).has_classifier
    for bad in ({"labels": ()}, {"labels": ("a", "a")}, {"labels": ("a",), "channels": 0}):
        with pytest.raises(ConfigError, match="classifier"):
            ClassifierConfig(**{"channels": 6, **bad})


def test_a_graph_that_differs_is_not_kept(
    net: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path / "b").add_classifier(CONFIG, net.weights())
    monkeypatch.setattr("actspan.model.forward.softmax", lambda x: np.zeros((64, 4)))
    with pytest.raises(ParityError, match="not written"):
        export_network(bundle, "classifier")
    assert not (bundle.path / "classifier.onnx").exists()
