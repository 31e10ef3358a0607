from __future__ import annotations

import pytest
import torch

from actspan import PemConfig
from actspan.core.errors import ShapeError
from actspan.model.bsn.networks import Pem
from actspan.model.weights import weight_shapes

CONFIG = PemConfig(hidden=8)


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.rand(7, 32, generator=torch.Generator().manual_seed(0))


def test_computes_the_published_layers(rows: torch.Tensor) -> None:
    net = Pem(CONFIG)
    w = {name: torch.from_numpy(array) for name, array in net.weights().items()}
    hidden = torch.relu(0.1 * (rows @ w["fc1.weight"].T + w["fc1.bias"]))
    expected = torch.sigmoid(0.1 * (hidden @ w["fc2.weight"].T + w["fc2.bias"]))
    torch.testing.assert_close(net(rows), expected)
    assert net(rows).shape == (7, 1)


def test_takes_any_leading_axes(rows: torch.Tensor) -> None:
    net = Pem(CONFIG)
    torch.testing.assert_close(net(rows[None])[0], net(rows))


def test_has_the_weights_of_a_bundle() -> None:
    shapes = {name: array.shape for name, array in Pem(CONFIG).weights().items()}
    assert shapes == weight_shapes(CONFIG)
    assert sum(p.numel() for p in Pem().parameters()) == 8_705  # the published size


def test_weights_can_be_read_and_loaded(rows: torch.Tensor) -> None:
    one, two = Pem(CONFIG), Pem(CONFIG)
    two.load_weights(one.weights())
    torch.testing.assert_close(one(rows), two(rows), rtol=0, atol=0)
    with pytest.raises(ShapeError, match=r"missing weights: fc2\.bias"):
        two.load_weights({k: v for k, v in one.weights().items() if k != "fc2.bias"})


def test_dropout_acts_in_training_only(rows: torch.Tensor) -> None:
    net = Pem(CONFIG, dropout=0.5)
    assert not torch.equal(net(rows), net(rows))
    net.eval()
    assert torch.equal(net(rows), net(rows))
