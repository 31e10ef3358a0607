"""BMN's losses, compared with the published codes'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from actspan.config.bmn import BmnConfig, BmnLossConfig
from actspan.model.bmn.losses import (
    bmn_loss,
    draw_proposals,
    regression_weights,
)
from actspan.model.bmn.targets import fitting_proposals
from tests.model.published_bmn import AXES, LOSSES

CASES = (
    "normal",
    "no_cell_above_0.9",
    "no_cell_above_0.7",
    "more_high_than_middle",
    "no_start_positive",
)
RULE = "rule_regression_loss_jjboy_layout"


def loss_case(folder: Path, case: str, code: str) -> dict[str, Any]:
    """Return predictions, targets, draws and outputs of a case of the published code."""
    golden = np.load(folder / "loss_cases.npz")
    axes = "jjboy" if code == "jjboy" else "mmaction2"
    own, where = golden, f"{case}/{code}"
    if code == "paddle":
        own, where = np.load(folder / "loss_cases_paddle.npz"), case
    draws = [torch.from_numpy(golden[f"draw_{name}"]) for name in ("middle", "low")]
    if code == "paddle":
        draws = [draw[:1].expand(draw.shape) for draw in draws]
    return {
        "scores": [
            torch.from_numpy(golden[key]).requires_grad_()
            for key in (f"{case}/{axes}/pred_map", f"{case}/pred_start", f"{case}/pred_end")
        ],
        "targets": [
            torch.from_numpy(own[f"{where}/target_{name}"]) for name in ("iou", "start", "end")
        ],
        "draws": draws,
        "losses": own[f"{where}/losses"],
        "norms": own.get(f"{where}/grad_norms"),
        "rule": float(golden[f"{case}/{RULE}"]),
    }


@pytest.mark.parametrize("code", ["jjboy", "mmaction2", "paddle"])
@pytest.mark.parametrize("case", CASES)
def test_losses_equal_the_published_ones(data: Path, case: str, code: str) -> None:
    golden = loss_case(data / "bmn", case, code)
    proposals = torch.from_numpy(fitting_proposals(BmnConfig(axes=AXES[code])))
    scores = golden["scores"]
    found = bmn_loss(scores, golden["targets"], LOSSES[code], proposals, draws=golden["draws"])
    parts = np.array(
        [found.boundaries.item(), found.regression.item(), found.classification.item()]
    )
    total, *published = golden["losses"]
    defined = np.isfinite(published)
    if case == "more_high_than_middle":  # published: every cell of the batch is selected
        defined[1] = False
    np.testing.assert_allclose(parts[defined], np.array(published)[defined], rtol=1e-5)
    if code == "jjboy":
        assert parts[1] == pytest.approx(golden["rule"], rel=1e-5, abs=1e-12)
    assert np.isfinite(parts).all()
    found.total.backward()
    norms = [score.grad.norm().item() for score in scores]
    assert np.isfinite(norms).all()
    if defined.all():
        assert found.total.item() == pytest.approx(total, rel=1e-5)
        np.testing.assert_allclose(norms, golden["norms"], rtol=1e-4)


@pytest.mark.parametrize("code", ["jjboy", "mmaction2", "paddle"])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_batch_of_one_kind_of_proposals_has_a_finite_loss(code: str, value: float) -> None:
    for level, proposals in ((0.0, True), (0.5, True), (1.0, True), (1.0, False)):
        scores = [torch.full(shape, value) for shape in ((2, 2, 5, 5), (2, 5), (2, 5))]
        scores = [score.requires_grad_() for score in scores]
        targets = [torch.full(shape, level) for shape in ((2, 5, 5), (2, 5), (2, 5))]
        counted = torch.full((5, 5), proposals)
        loss = bmn_loss(scores, targets, LOSSES[code], counted)
        loss.total.backward()
        assert torch.isfinite(loss.total)
        assert all(torch.isfinite(score.grad).all() for score in scores)


@given(st.integers(0, 10_000), st.sampled_from(list(LOSSES)))
def test_what_does_not_count_does_not_matter(seed: int, code: str) -> None:
    rng = torch.Generator().manual_seed(seed)
    cells = torch.rand((2, 6), generator=rng) < 0.7
    proposals = torch.rand((2, 6, 6), generator=rng) < 0.7
    draws = draw_proposals((2, 6, 6), LOSSES[code], rng)
    totals = []
    shapes = ((2, 2, 6, 6), (2, 6), (2, 6))
    scores = [torch.rand(shape, generator=rng) for shape in shapes]
    targets = [torch.rand(shape, generator=rng) for shape in ((2, 6, 6), (2, 6), (2, 6))]
    for _ in range(2):
        loss = bmn_loss(scores, targets, LOSSES[code], proposals, cells=cells, draws=draws)
        totals.append(loss.total.item())
        of_map = proposals[:, None].expand(shapes[0])
        scores = [
            torch.where(keep, score, torch.rand(score.shape, generator=rng))
            for keep, score in zip((of_map, cells, cells), scores, strict=True)
        ]
        targets = [
            torch.where(keep, target, torch.rand(target.shape, generator=rng))
            for keep, target in zip((proposals, cells, cells), targets, strict=True)
        ]
    assert totals[0] == pytest.approx(totals[1], rel=1e-6)


def levels(high: int, middle: int, low: int, none: int) -> Tensor:
    """Return the IoU of one row of proposals, (1, 1, N)."""
    values = [0.8] * high + [0.7] * middle + [0.3] * low + [0.0] * none
    return torch.tensor(values)[None, None]


def test_as_many_middle_and_bad_proposals_are_selected_as_good_ones() -> None:
    iou = levels(50, 500, 1000, 300)
    draws = draw_proposals((1, 1, 1850), BmnLossConfig(), torch.Generator().manual_seed(1))
    weights = regression_weights(iou, iou >= 0, BmnLossConfig(), draws=draws)[0, 0]
    high, middle, low, none = weights.split([50, 500, 1000, 300])
    assert set(weights.tolist()) == {0.0, 1.0}
    assert high.all()
    assert middle.sum().item() == pytest.approx(50, abs=20)
    assert low.sum().item() == pytest.approx(50, abs=20)
    assert not none.any()
    expected = regression_weights(iou, iou >= 0, BmnLossConfig())[0, 0]
    assert [part.sum().item() for part in expected.split([50, 500, 1000, 300])] == pytest.approx(
        [50, 50, 50, 0]
    )


def test_few_are_all_selected_and_none_without_a_good_one() -> None:
    for config in LOSSES.values():
        few = levels(9, 3, 2, 0)
        draws = draw_proposals((1, 1, 14), config, torch.Generator().manual_seed(1))
        assert regression_weights(few, few >= 0, config, draws=draws).tolist() == [[[1.0] * 14]]
        bad = levels(0, 3, 2, 1)
        assert not regression_weights(bad, bad >= 0, config).any()


def test_a_shared_draw_is_the_same_for_every_video() -> None:
    for shared in (False, True):
        config = BmnLossConfig(shared_draw=shared)
        middle, low = draw_proposals((2, 4, 4), config, torch.Generator().manual_seed(1))
        assert torch.equal(middle[0], middle[1]) == shared
        assert torch.equal(low[0], low[1]) == shared
        assert not torch.equal(middle, low)
