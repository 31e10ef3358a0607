"""The losses of training, compared with the formulas of bsn.md in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actspan.config.training import PemLoss
from actspan.model.bsn.losses import balanced_logistic, pem_loss, proposal_weights, tem_loss


def section_3(p: np.ndarray, target: np.ndarray) -> float:
    """Compute the formula of the specification, with its clamp."""
    mask = target > 0.5
    r = mask.size / np.clip(mask.sum(), 1, mask.size - 1)
    c0 = 0.5 * r / (r - 1)
    c1 = c0 * (r - 1)
    return float(-np.mean(c1 * mask * np.log(p + 1e-5) + c0 * (1 - mask) * np.log(1 - p + 1e-5)))


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_tem_loss_is_the_formula(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    p = rng.uniform(size=(2, 3, 5))
    target = (rng.uniform(size=p.shape) < share).astype(np.float64)
    found = tem_loss(torch.from_numpy(p), torch.from_numpy(target))
    parts = [section_3(p[:, k], target[:, k]) for k in range(3)]
    np.testing.assert_allclose(
        [found.action.item(), found.start.item(), found.end.item()], parts, rtol=1e-6
    )
    assert found.total.item() == pytest.approx(2 * parts[0] + parts[1] + parts[2], rel=1e-6)


@pytest.mark.parametrize("positive", [False, True], ids=["no-positives", "no-negatives"])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_batch_of_one_kind_has_a_finite_loss(positive: bool, value: float) -> None:
    p = torch.full((2, 10), value, requires_grad=True)
    loss = balanced_logistic(p, torch.full((2, 10), positive))
    loss.backward()
    assert p.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(p.grad).all()


def test_half_a_cell_is_not_positive() -> None:
    p = torch.tensor([[[0.9]], [[0.9]], [[0.9]]]).reshape(1, 3, 1).expand(1, 3, 4)
    half, none = (tem_loss(p, torch.full((1, 3, 4), value)).total for value in (0.5, 0.0))
    assert half.item() == none.item()


def test_published_pem_loss_is_a_plain_mean_of_smooth_l1() -> None:
    predicted, target = torch.tensor([0.5, 0.2, 1.0]), torch.tensor([0.0, 0.2, 0.2])
    expected = 0.5 * np.mean([0.25, 0.0, 0.64])
    assert pem_loss(predicted, target, "published").item() == pytest.approx(expected)


def test_proposals_are_balanced() -> None:
    target = torch.tensor([0.9] * 2 + [0.4] * 8 + [0.1] * 40)
    weights = proposal_weights(target)
    good, middle, bad = weights[:2], weights[2:10], weights[10:]
    assert good.tolist() == [1.0, 1.0]
    assert middle.sum().item() == pytest.approx(2)
    assert bad.sum().item() == pytest.approx(4)


def test_too_few_are_all_taken() -> None:
    target = torch.tensor([0.9, 0.9, 0.9, 0.6, 0.2, 0.1])
    assert proposal_weights(target).tolist() == [1.0] * 6


def test_the_sample_is_what_it_should_be_on_average_and_repeats() -> None:
    target = torch.tensor([0.9] * 500 + [0.4] * 5000 + [0.1] * 5000)
    drawn = [proposal_weights(target, generator=torch.Generator().manual_seed(s)) for s in (1, 1)]
    assert torch.equal(*drawn)
    assert set(drawn[0].tolist()) == {0.0, 1.0}
    assert drawn[0][:500].all()
    assert drawn[0][500:5500].sum().item() == pytest.approx(500, rel=0.2)
    assert drawn[0][5500:].sum().item() == pytest.approx(1000, rel=0.2)


@pytest.mark.parametrize("kind", ["published", "weighted", "weighted-logistic"])
@pytest.mark.parametrize("level", [0.0, 0.4, 1.0], ids=["all-bad", "all-middle", "all-good"])
def test_pem_losses_are_finite_and_least_at_the_target(kind: PemLoss, level: float) -> None:
    target = torch.full((50,), level)
    draw = torch.Generator().manual_seed(0)
    there = pem_loss(target, target, kind, generator=draw)
    away = pem_loss(torch.full((50,), 0.7), target, kind)
    assert torch.isfinite(there)
    assert there <= away
