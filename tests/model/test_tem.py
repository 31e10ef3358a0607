from __future__ import annotations

import numpy as np
import pytest
import torch

from actspan import TemConfig
from actspan.core.errors import ShapeError
from actspan.model.bsn.networks import Tem
from actspan.model.weights import weight_shapes

CONFIG = TemConfig(channels=5, hidden=8, length=20)


@pytest.fixture
def video() -> torch.Tensor:
    return torch.randn(3, 5, 20, generator=torch.Generator().manual_seed(0))


def test_computes_the_published_layers(video: torch.Tensor) -> None:
    net, conv = Tem(CONFIG), torch.nn.functional.conv1d
    w = {name: torch.from_numpy(array) for name, array in net.weights().items()}
    x = torch.relu(conv(video, w["conv1.weight"], w["conv1.bias"], padding=1))
    x = torch.relu(conv(x, w["conv2.weight"], w["conv2.bias"], padding=1))
    x = 0.01 * conv(x, w["conv3.weight"], w["conv3.bias"])
    torch.testing.assert_close(net.logits(video), x)
    torch.testing.assert_close(net(video), torch.sigmoid(x))
    assert net(video).shape == (3, 3, 20)


def test_has_the_weights_of_a_bundle() -> None:
    shapes = {name: array.shape for name, array in Tem(CONFIG).weights().items()}
    assert shapes == weight_shapes(CONFIG)
    assert sum(p.numel() for p in Tem().parameters()) == 1_403_395  # the published size


def test_weights_can_be_read_and_loaded(video: torch.Tensor) -> None:
    one, two = Tem(CONFIG), Tem(CONFIG)
    two.load_weights(one.weights())
    torch.testing.assert_close(one(video), two(video), rtol=0, atol=0)
    before = one.weights()["conv1.bias"].copy()
    with torch.no_grad():
        one.conv1.bias += 1
    np.testing.assert_array_equal(two.weights()["conv1.bias"], before)


def test_standardises_its_input(video: torch.Tensor) -> None:
    plain, net = Tem(CONFIG), Tem(CONFIG)
    mean, scale = torch.arange(5.0), torch.full((5,), 0.5)
    net.load_weights(plain.weights() | {"input.mean": mean.numpy(), "input.scale": scale.numpy()})
    expected = plain((video - mean[:, None]) * scale[:, None])
    torch.testing.assert_close(net(video), expected)
    assert set(net.weights()) - set(plain.weights()) == {"input.mean", "input.scale"}
    again = Tem(CONFIG)
    again.load_weights(net.weights())
    torch.testing.assert_close(again(video), expected)
    again.load_weights(plain.weights())
    torch.testing.assert_close(again(video), plain(video))


def test_weights_that_do_not_fit_change_nothing() -> None:
    net = Tem(CONFIG)
    before = net.weights()
    with pytest.raises(ShapeError, match=r"conv1\.weight has shape"):
        net.load_weights(Tem(TemConfig(channels=6, hidden=8)).weights())
    for name, array in net.weights().items():
        np.testing.assert_array_equal(array, before[name])


def test_dropout_acts_in_training_only(video: torch.Tensor) -> None:
    net = Tem(CONFIG, dropout=0.5)
    assert net.hidden_dropout.p == 0.5
    assert Tem(CONFIG, dropout=0.5, hidden_dropout=0.0).hidden_dropout.p == 0
    assert not torch.equal(net(video), net(video))
    net.eval()
    assert torch.equal(net(video), net(video))
