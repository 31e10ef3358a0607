from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actspan import BoundaryScores, BspConfig, Proposals, bsp_features, generate_proposals
from actspan.core.ragged import RaggedProposals
from actspan.proposals.bsp import bsp_features_batch, bsp_features_plain
from tests.strategies import boundary_scores


@given(boundary_scores())
def test_kernel_equals_its_plain_twin(scores: BoundaryScores) -> None:
    proposals = generate_proposals(scores)
    np.testing.assert_allclose(
        bsp_features(scores, proposals), bsp_features_plain(scores, proposals), atol=1e-6
    )


@given(boundary_scores(min_cells=3))
def test_features_stay_within_the_range_of_actionness(scores: BoundaryScores) -> None:
    features = bsp_features(scores, generate_proposals(scores))
    assert features.min(initial=0) >= 0
    assert features.max(initial=0) <= scores.action.max() + 1e-6


def test_off_grid_proposals_and_other_sizes_equal_the_twin() -> None:
    rng = np.random.default_rng(0)
    scores = BoundaryScores(*rng.random((3, 77), dtype=np.float32))
    start = rng.random(50) * 0.7
    proposals = Proposals(start, start + rng.random(50) * 0.3, np.ones(50), unit="fraction")
    config = BspConfig(action_samples=20, boundary_samples=5, boundary_ratio=0.4)
    features = bsp_features(scores, proposals, config)
    assert features.shape == (50, 30)
    np.testing.assert_allclose(features, bsp_features_plain(scores, proposals, config), atol=1e-6)


def test_features_are_linear_in_actionness() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 40), dtype=np.float32) / 2
    proposals = generate_proposals(BoundaryScores(one, one, other))
    parts = [bsp_features(BoundaryScores(a, one, other), proposals) for a in (one, other)]
    whole = bsp_features(BoundaryScores(one + other, one, other), proposals)
    np.testing.assert_allclose(whole, parts[0] + parts[1], atol=1e-6)


@given(st.lists(boundary_scores(), min_size=1, max_size=5))
def test_many_at_once_are_as_one_by_one(videos: list[BoundaryScores]) -> None:
    found = [generate_proposals(scores) for scores in videos]
    rows = np.empty((sum(map(len, found)), 32), dtype=np.float32)
    bsp_features_batch(rows, videos, RaggedProposals.of(found), BspConfig())
    alone = [bsp_features(scores, part) for scores, part in zip(videos, found, strict=True)]
    np.testing.assert_array_equal(rows, np.concatenate(alone))
