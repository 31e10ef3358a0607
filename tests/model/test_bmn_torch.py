"""BMN in torch: the published order of its layers, gradients, and training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from torch.nn import functional as F

from actspan.config.bmn import BmnConfig, MapAxes
from actspan.core.errors import ShapeError
from actspan.core.types import Float32
from actspan.model.bmn.networks import Bmn
from actspan.model.bmn.sampling import map_shape, sample_mask
from actspan.model.weights import infer_bmn, weight_shapes

SMALL = BmnConfig(channels=8, length=9, samples=3, base=8, sampled=6, matched=7, hidden=5)


def random_weights(config: BmnConfig) -> dict[str, Float32]:
    """Return weights whose outputs are neither 0 nor 1."""
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(0, 1.5 / np.sqrt(max(np.prod(shape[1:]), 1)), shape).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }


def as_published(net: Bmn, x: torch.Tensor) -> list[torch.Tensor]:
    """Compute the network in the published order: sample by a dense mask, then combine."""
    config = net.config
    base, start, end, maps = net.base, net.start, net.end, net.map

    def temporal(layer: torch.nn.Conv1d, x: torch.Tensor) -> torch.Tensor:
        groups = x.shape[1] // layer.weight.shape[1]
        return F.conv1d(x, layer.weight, layer.bias, padding=1, groups=groups)

    x = F.relu(temporal(base.conv2, F.relu(temporal(base.conv1, x))))
    sides = [
        F.conv1d(F.relu(temporal(side.conv1, x)), side.conv2.weight, side.conv2.bias)[:, 0]
        for side in (start, end)
    ]
    sampled = F.relu(temporal(net.sampled.conv, x))
    mask = torch.from_numpy(sample_mask(config)).to(x.dtype)
    shape = (config.samples, *map_shape(config))
    volume = (sampled @ mask).reshape(*sampled.shape[:2], *shape)
    weight = net.matched.conv.weight[..., None, None]
    y = F.relu(F.conv3d(volume, weight, net.matched.conv.bias)[:, :, 0])
    y = F.relu(F.conv2d(y, maps.conv1.weight, maps.conv1.bias))
    for layer in (maps.conv2, maps.conv3):
        y = F.relu(F.conv2d(y, layer.weight, layer.bias, padding=1))
    return [F.conv2d(y, maps.conv4.weight, maps.conv4.bias), *sides]


@given(
    axes=st.sampled_from(["start-end", "duration-start"]),
    length=st.integers(2, 12),
    durations=st.integers(1, 12),
    batch=st.integers(1, 6),
    channels=st.integers(1, 9),
)
@settings(max_examples=25, deadline=None)
def test_equals_the_published_order(
    axes: MapAxes, length: int, durations: int, batch: int, channels: int
) -> None:
    limit = min(durations, length) if axes == "duration-start" else None
    config = replace(SMALL, axes=axes, length=length, durations=limit, channels=channels)
    net = Bmn(config).double()
    net.load_weights(random_weights(config))
    net.double()
    x = torch.randn(batch, channels, length, dtype=torch.float64)
    found, expected = net.logits(x), as_published(net, x)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    gradients = [
        torch.autograd.grad(sum((y**2).sum() for y in outputs), list(net.parameters()))
        for outputs in (found, expected)
    ]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-7)


def test_has_the_weights_of_a_bundle() -> None:
    shapes = {name: array.shape for name, array in Bmn(SMALL).weights().items()}
    assert shapes == weight_shapes(SMALL)
    assert sum(p.numel() for p in Bmn().parameters()) == 4_978_564  # the published size
    assert infer_bmn(shapes, BmnConfig(length=9)) == SMALL
    assert infer_bmn({}, SMALL) == SMALL


def test_a_step_of_training_is_deterministic_and_no_video_depends_on_others() -> None:
    net = Bmn(SMALL)
    x = torch.randn(6, 8, 9, generator=torch.Generator().manual_seed(0))
    gradients = []
    for _ in range(2):
        net.zero_grad()
        sum(y.sum() for y in net(x)).backward()  # type: ignore[union-attr]
        gradients.append([p.grad for p in net.parameters()])
    for one, two in zip(*gradients, strict=True):
        assert torch.equal(one, two)
    with torch.inference_mode():
        for together, alone in zip(net.eval()(x), net(x[4:5]), strict=True):
            torch.testing.assert_close(together[4:5], alone, rtol=0, atol=1e-6)


def test_standardises_its_input() -> None:
    plain, net = Bmn(SMALL), Bmn(SMALL)
    mean, scale = torch.arange(8.0), torch.full((8,), 0.5)
    net.load_weights(plain.weights() | {"input.mean": mean.numpy(), "input.scale": scale.numpy()})
    x = torch.randn(2, 8, 9)
    for found, expected in zip(net(x), plain((x - mean[:, None]) * scale[:, None]), strict=True):
        torch.testing.assert_close(found, expected)
    with pytest.raises(ShapeError, match=r"base\.conv1\.weight has shape"):
        net.load_weights(Bmn(replace(SMALL, channels=12)).weights())


def test_dropout_acts_in_training_only() -> None:
    net, x = Bmn(SMALL, dropout=0.5), torch.randn(2, 8, 9)
    assert not torch.equal(net(x).start, net(x).start)
    net.eval()
    assert torch.equal(net(x).start, net(x).start)
