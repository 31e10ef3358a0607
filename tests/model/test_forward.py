from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actspan import PemConfig, TemConfig
from actspan.core.errors import ShapeError
from actspan.model.bsn.forward import pem_forward, tem_forward
from actspan.model.bsn.networks import Pem, Tem
from actspan.model.checkpoints import read_checkpoint


@given(
    channels=st.integers(1, 9),
    hidden=st.integers(1, 9),
    batch=st.integers(1, 3),
    length=st.integers(1, 12),
    dilated=st.integers(0, 3),
    curves=st.integers(0, 3),
    standardize=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_tem_equals_torch(
    channels: int,
    hidden: int,
    batch: int,
    length: int,
    dilated: int,
    curves: int,
    standardize: bool,
) -> None:
    config = TemConfig(channels=channels, hidden=hidden, dilated=dilated, curves=curves)
    net = Tem(config).eval()
    if standardize:
        net.standardize(torch.linspace(-1, 1, channels), torch.linspace(0.5, 2, channels))
    video = torch.linspace(-5, 5, batch * channels * length).reshape(batch, channels, length)
    with torch.inference_mode():
        expected = net(video).numpy()
    found = tem_forward(net.weights(), video.numpy())
    assert found.dtype == np.float32
    assert found.shape == (batch, 5 + curves if curves else 3, length)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@given(
    hidden=st.integers(1, 40),
    inputs=st.integers(1, 40),
    layers=st.integers(1, 3),
    rows=st.lists(st.integers(0, 4), min_size=1, max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_pem_equals_torch(hidden: int, inputs: int, layers: int, rows: list[int]) -> None:
    net = Pem(PemConfig(hidden=hidden, inputs=inputs, layers=layers)).eval()
    x = torch.rand(*rows, inputs)
    with torch.inference_mode():
        expected = net(x).numpy()
    found = pem_forward(net.weights(), x.numpy())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_weights_decide_the_precision() -> None:
    nets = (Tem(TemConfig(channels=4, hidden=6, members=2, dilated=2)), Pem(PemConfig(hidden=6)))
    inputs = (torch.rand(2, 4, 5), torch.rand(3, 32))
    for net, x, forward in zip(nets, inputs, (tem_forward, pem_forward), strict=True):
        with torch.inference_mode():
            expected = net.eval().double()(x.double()).numpy()
        weights = {name: w.double().numpy() for name, w in net.state_dict().items()}
        found = forward(weights, x.numpy())
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_extreme_input_neither_overflows_nor_warns() -> None:
    weights = Tem(TemConfig(channels=2, hidden=2)).weights()
    out = tem_forward(weights, np.float32([[[1e9, -1e9], [1e9, 1e9]]]))
    assert np.isfinite(out).all()
    assert ((out >= 0) & (out <= 1)).all()


def test_wrong_shapes_are_refused() -> None:
    tem, pem = Tem(TemConfig(channels=2, hidden=2)).weights(), Pem().weights()
    with pytest.raises(ShapeError, match=r"\(1, 3, 9\); \(B, 2, T\) is needed"):
        tem_forward(tem, np.zeros((1, 3, 9)))
    with pytest.raises(ShapeError, match=r"\(32, 4\); \(\.\.\., 32\) is needed"):
        pem_forward(pem, np.zeros((32, 4)))


def test_golden_outputs(golden: Path) -> None:
    tem = read_checkpoint(golden / "tem_made_up.pth.tar").weights
    pem = read_checkpoint(golden.parent / "weights" / "pem_best.pth.tar").weights
    with np.load(golden / "stages.npz") as stages:
        videos = [name.removesuffix("/tem") for name in stages if name.endswith("/tem")]
        for video in videos:
            score = pem_forward(pem, stages[f"{video}/bsp"])
            np.testing.assert_allclose(score[:, 0], stages[f"{video}/pem"], rtol=0, atol=1e-6)
            if f"{video}/feature" in stages:
                found = tem_forward(tem, stages[f"{video}/feature"].T[None])
                np.testing.assert_allclose(found[0], stages[f"{video}/tem"], rtol=0, atol=1e-5)
    assert len(videos) == 24
