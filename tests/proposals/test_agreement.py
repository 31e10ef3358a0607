"""Agreement of a model's candidates with label-free ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import FusionConfig, Proposals
from actspan.core.errors import ShapeError
from actspan.core.types import Float64
from actspan.proposals.agreement import best_support, best_support_plain, combine
from actspan.proposals.candidates import fuse
from tests.strategies import ranked_proposals

CONFIG = FusionConfig(label_free=1.0)


def of_model(start: list[float], end: list[float], score: list[float]) -> Proposals:
    """Return candidates with start scores as given, and end scores of 1."""
    return Proposals(start, end, score, score, np.ones(len(score)), unit="fraction")


@given(ranked_proposals(), ranked_proposals())
def test_the_kernel_equals_the_plain_form(segments: Proposals, others: Proposals) -> None:
    if not len(others):
        return
    support, best = best_support(segments, others, others.score)
    expected, _ = best_support_plain(segments, others, others.score)
    np.testing.assert_allclose(support, expected, rtol=1e-12, atol=1e-300)
    of_best = [
        best_support_plain(segments[i : i + 1], others[j : j + 1], others.score[j : j + 1])[0][0]
        for i, j in enumerate(best.tolist())
    ]
    np.testing.assert_allclose(of_best, expected, rtol=1e-12, atol=1e-300)


def test_a_candidate_keeps_as_much_confidence_as_it_has_support() -> None:
    candidates = of_model([0.0, 0.5], [0.4, 0.9], [1.0, 1.0])
    found = Proposals([0.0, 0.5], [0.4, 0.7], [1.0, 0.8], unit="fraction")
    together, confidence = combine(candidates, np.array([0.5, 0.5], np.float32), found, CONFIG)
    assert confidence[:2] == pytest.approx([0.5, 0.5 * 0.8 * 0.5**4])
    assert together.start[:2].tolist() == [0.0, 0.5]


def test_label_free_proposals_are_added_below_equal_candidates() -> None:
    candidates = of_model([0.0], [0.4], [0.8])
    found = Proposals([0.0, 0.6], [0.4, 0.8], [1.0, 0.9], unit="fraction")
    together, confidence = combine(candidates, np.array([0.5], np.float32), found, CONFIG)
    assert together.start.tolist() == [0.0, 0.0, 0.6]
    fused = fuse(together, confidence, FusionConfig())
    assert fused == pytest.approx([0.4, 0.3 * 0.4, 0.0])


@given(ranked_proposals(), ranked_proposals(), st.floats(0.1, 3), st.floats(0.3, 2))
def test_confidence_never_rises(
    drawn: Proposals, found: Proposals, exponent: float, of_pem: float
) -> None:
    candidates = of_model(drawn.start.tolist(), drawn.end.tolist(), drawn.score.tolist())
    given_: Float64 = np.linspace(1, 0.1, len(candidates))
    config = FusionConfig(label_free=exponent, confidence=of_pem)
    together, confidence = combine(candidates, given_.astype(np.float32), found, config)
    assert len(together) == len(confidence) in (len(candidates), len(candidates) + len(found))
    assert (confidence[: len(candidates)] <= given_ + 1e-6).all()
    assert ((confidence >= 0) & (confidence <= 1)).all()


@pytest.mark.parametrize("candidates", [of_model([], [], []), of_model([0.0], [0.5], [0.3])])
def test_nothing_changes_without_both(candidates: Proposals) -> None:
    found = (
        Proposals.empty("fraction")
        if len(candidates)
        else Proposals([0.0], [0.5], [1.0], unit="fraction")
    )
    before = np.ones(len(candidates), np.float32)
    together, confidence = combine(candidates, before, found, CONFIG)
    assert together is candidates
    assert confidence is before


def test_candidates_without_boundary_scores_are_refused() -> None:
    some = Proposals([0.0], [0.5], [1.0], unit="fraction")
    with pytest.raises(ShapeError, match="start and end scores"):
        combine(some, np.ones(1, np.float32), some, CONFIG)
