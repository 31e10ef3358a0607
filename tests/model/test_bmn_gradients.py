"""A training step of BMN, compared with the published codes'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from actspan.config.bmn import BmnConfig
from actspan.model.bmn.losses import BmnLoss, bmn_loss
from actspan.model.bmn.networks import Bmn
from actspan.model.bmn.targets import fitting_proposals
from tests.model.published_bmn import AXES, LOSSES, made_up_weights, our_name


@pytest.mark.parametrize("code", ["jjboy", "mmaction2"])
def test_a_step_equals_the_published_one(data: Path, code: str) -> None:
    golden, stages = (np.load(data / "bmn" / name) for name in ("training.npz", "stages.npz"))
    net = Bmn(BmnConfig(axes=AXES[code]))
    net.load_weights(made_up_weights(data / "bmn"))
    features = np.stack([stages[f"{video}/feature"].T for video in golden["videos"]])
    targets = [
        torch.from_numpy(golden[f"{code}/target_{name}"]) for name in ("iou", "start", "end")
    ]
    draws = [torch.from_numpy(golden[f"draw_{name}"]) for name in ("middle", "low")]
    proposals = torch.from_numpy(fitting_proposals(net.config))

    def loss() -> BmnLoss:
        outputs = net(torch.from_numpy(features))
        return bmn_loss(outputs, targets, LOSSES[code], proposals, draws=draws)

    def losses(found: BmnLoss) -> list[float]:
        parts = found.total, found.boundaries, found.regression, found.classification
        return [part.item() for part in parts]

    optimizer = torch.optim.Adam(net.parameters(), 1e-3, weight_decay=1e-4)
    before = loss()
    np.testing.assert_allclose(losses(before), golden[f"{code}/losses"], rtol=1e-5)
    before.total.backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    norms = {name: gradient.double().norm().item() for name, gradient in gradients.items()}
    compared = 0
    for key in golden:
        where, _, name = key.rpartition("/")
        if where == f"{code}/grad_norm":
            assert norms[our_name(name)] == pytest.approx(float(golden[key]), rel=1e-4), name
            compared += 1
        elif where == f"{code}/grad":
            found = gradients[our_name(name)].numpy()
            np.testing.assert_allclose(
                found, golden[key], rtol=0, atol=1e-3 * np.abs(golden[key]).max(), err_msg=name
            )
    assert compared == len(norms) == 24
    total = float(golden[f"{code}/grad_norm_total"])
    assert np.linalg.norm(list(norms.values())) == pytest.approx(total, rel=1e-4)
    optimizer.step()
    with torch.no_grad():
        np.testing.assert_allclose(losses(loss()), golden[f"{code}/losses_after"], rtol=1e-3)
