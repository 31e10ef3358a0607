from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Proposals, SoftNmsConfig, soft_nms
from actspan.core.errors import ShapeError
from actspan.core.ragged import RaggedProposals
from actspan.proposals.suppression import soft_nms_batch, soft_nms_plain
from tests.strategies import ranked_proposals


def assert_twins_agree(
    proposals: Proposals, config: SoftNmsConfig | None = None, span: float = 1.0
) -> None:
    kernel = soft_nms(proposals, config, span=span)
    plain = soft_nms_plain(proposals, config, span=span)
    np.testing.assert_array_equal(kernel.start, plain.start)
    np.testing.assert_array_equal(kernel.end, plain.end)
    np.testing.assert_allclose(kernel.score, plain.score, rtol=1e-12)


@pytest.mark.parametrize(
    ("config", "span"),
    [
        pytest.param(None, 1.0, id="default"),
        pytest.param(None, 0.25, id="window-of-a-recording"),
        pytest.param(
            SoftNmsConfig(threshold_short=0.0, threshold_long=0.0), 1.0, id="all-that-touch"
        ),
        pytest.param(SoftNmsConfig(threshold_short=-0.1, threshold_long=-0.1), 1.0, id="all"),
        pytest.param(SoftNmsConfig(threshold_short=0.3, threshold_long=1.2), 1.0, id="steep"),
        pytest.param(SoftNmsConfig(picks=10_000, keep=10_000), 1.0, id="every-proposal-is-picked"),
        pytest.param(
            SoftNmsConfig(
                threshold_short=0.5, decay=0.4, union="neighbour-first", leave_last=True, keep=1000
            ),
            1.0,
            id="published-bmn",
        ),
    ],
)
@given(ranked_proposals())
def test_kernel_equals_its_plain_twin(
    config: SoftNmsConfig | None, span: float, proposals: Proposals
) -> None:
    assert_twins_agree(proposals, config, span)


@given(ranked_proposals(), st.sampled_from([-1.0, -0.5]))
def test_twins_agree_on_negative_scores_which_rise(proposals: Proposals, shift: float) -> None:
    assert_twins_agree(proposals.with_score(proposals.score + shift))


@given(ranked_proposals())
def test_twins_agree_on_segments_of_no_length(proposals: Proposals) -> None:
    end = np.where(np.arange(len(proposals)) % 3 == 0, proposals.start, proposals.end)
    assert_twins_agree(Proposals(proposals.start, end, proposals.score, unit="fraction"))


@pytest.mark.parametrize("unit", [1.0, 86_400.0], ids=["fractions", "seconds-of-a-day"])
def test_twins_agree_on_many_proposals_with_equal_scores(unit: float) -> None:
    draw = np.random.default_rng(0)
    cells = np.sort(draw.integers(0, 300, (4000, 2)), axis=1) + np.array([0, 1])
    score = draw.integers(1, 6, 4000) / 5  # ties: the earlier wins
    proposals = Proposals(*(cells.T * unit / 301), score, unit="fraction")
    assert_twins_agree(proposals, SoftNmsConfig(picks=500, keep=500), unit)


@given(videos=st.lists(ranked_proposals(), min_size=1, max_size=5))
def test_many_at_once_are_as_one_by_one(videos: list[Proposals]) -> None:
    config = SoftNmsConfig(picks=11, keep=10)
    together = RaggedProposals.of(videos)
    kept = soft_nms_batch(together, together.together.score, config)
    assert len(kept.ends) == len(videos)
    begin = 0
    for proposals, end in zip(videos, kept.ends.tolist(), strict=True):
        alone = soft_nms(proposals, config)
        best = together.together[kept.chosen[begin:end]]
        np.testing.assert_array_equal(best.start, alone.start)
        np.testing.assert_array_equal(best.end, alone.end)
        np.testing.assert_array_equal(kept.score[begin:end], alone.score)
        begin = end


@given(ranked_proposals())
def test_suppression_never_raises_a_score_and_sorts(proposals: Proposals) -> None:
    kept = soft_nms(proposals)
    assert (np.diff(kept.score) <= 0).all()
    assert len(kept) == min(len(proposals), 100)
    assert kept.score.max(initial=0) == proposals.score.max(initial=0)
    assert np.sort(kept.score).sum() <= proposals.score.sum() + 1e-9


def test_a_single_proposal_is_unchanged() -> None:
    kept = soft_nms(Proposals([0.2], [0.4], [0.7], unit="fraction"))
    assert (kept.start[0], kept.end[0], kept.score[0]) == (0.2, 0.4, 0.7)


@pytest.mark.parametrize("suppressing", [soft_nms, soft_nms_plain])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([(0.6, 0.2, 0.9)], r"1 proposal of 3 .* \[0.6, 0.2\] at 1", id="turned round"),
        pytest.param([(0.2, float("nan"), 0.9)], "end contains NaN", id="end NaN"),
        pytest.param([(float("-inf"), 0.2, 0.9)], "start contains NaN or inf", id="start infinite"),
        pytest.param([(0.2, 0.4, float("nan"))], "score contains NaN", id="score NaN"),
    ],
)
def test_invalid_segments_are_refused(
    suppressing: Callable[[Proposals], Proposals],
    rows: list[tuple[float, float, float]],
    message: str,
) -> None:
    proposals = Proposals(
        *zip((0.1, 0.5, 0.8), *rows, (0.3, 0.9, 0.7), strict=True), unit="fraction"
    )
    with pytest.raises(ShapeError, match=message):
        suppressing(proposals)


def test_no_proposals_give_no_proposals() -> None:
    assert len(soft_nms(Proposals.empty("fraction"))) == 0


@pytest.mark.parametrize(
    ("width", "decays"),
    [
        pytest.param(0.02, True, id="short-pick-decays-neighbours-above-0.65"),
        pytest.param(0.9, False, id="long-pick-needs-almost-0.9"),
    ],
)
def test_threshold_grows_with_the_width_of_the_pick(width: float, decays: bool) -> None:
    proposals = Proposals([0.0, 0.0], [width, 0.75 * width], [0.9, 0.5], unit="fraction")
    assert (soft_nms(proposals).score[1] < 0.5) == decays


def test_decay_formula() -> None:
    kept = soft_nms(Proposals([0.1, 0.1], [0.5, 0.49], [0.9, 0.8], unit="fraction"))
    overlap = 0.39 / 0.4
    assert kept.score[1] == pytest.approx(0.8 * np.exp(-(overlap**2) / 0.75))


def test_picks_and_keep_bound_the_result() -> None:
    start = np.arange(200) / 200
    proposals = Proposals(start, start + 0.004, np.linspace(1, 0.1, 200), unit="fraction")
    assert len(soft_nms(proposals)) == 100
    assert len(soft_nms(proposals, SoftNmsConfig(picks=20, keep=50))) == 20


@pytest.mark.parametrize("suppressing", [soft_nms, soft_nms_plain])
@pytest.mark.parametrize(("count", "kept"), [(0, 0), (1, 1), (2, 1), (20, 19), (101, 100)])
def test_the_last_proposal_is_left_unless_it_is_the_only_one(
    suppressing: Callable[..., Proposals], count: int, kept: int
) -> None:
    start = np.arange(count) / 200
    proposals = Proposals(start, start + 0.004, 1 - start, unit="fraction")
    assert len(suppressing(proposals, SoftNmsConfig(leave_last=True, keep=200))) == kept
