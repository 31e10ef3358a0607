"""Scores against what they are worth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from actspan import Proposals
from actspan.evaluation.baselines import SCORE_BINS as BINS
from actspan.evaluation.baselines import calibrate

TRUTH = {"a": np.array([[0.0, 10.0], [20.0, 30.0]]), "b": np.array([[0.0, 5.0]])}


def random_proposals(rng: np.random.Generator, count: int) -> Proposals:
    start = rng.uniform(0, 30, count)
    score = rng.integers(0, 20, count) / 20  # with ties
    return Proposals(start, start + rng.uniform(0, 20, count), score, unit="seconds")


def test_a_score_that_is_the_tiou_lies_on_the_diagonal() -> None:
    found = calibrate(
        TRUTH, {"b": Proposals([0, 0, 0], [5, 4, 2], [1.0, 0.8, 0.4], unit="seconds")}
    )
    assert found is not None
    assert found.proposals == 3
    assert found.score.tolist() == pytest.approx([0.4, 0.8, 1.0])
    assert found.tiou.tolist() == pytest.approx(found.score.tolist())
    assert found.gap == pytest.approx(0)
    assert found.rank_correlation == pytest.approx(1)


def test_bins_are_of_equal_size_and_bounded_by_quartiles() -> None:
    rng = np.random.default_rng(0)
    found = calibrate(TRUTH, {name: random_proposals(rng, 300) for name in TRUTH}, most=200)
    assert found is not None
    assert found.proposals == 400
    assert len(found.score) == BINS
    assert (np.diff(found.score) >= 0).all()
    assert (found.low <= found.high).all()


def test_the_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(1)
    proposals = random_proposals(rng, 200)
    found = calibrate({"b": TRUTH["b"]}, {"b": proposals}, most=200)
    inter = np.clip(np.minimum(proposals.end, 5) - proposals.start, 0, None)
    union = (proposals.end - proposals.start) + 5 - inter
    assert found is not None
    expected = spearmanr(proposals.score, inter / union).statistic
    assert found.rank_correlation == pytest.approx(expected)


def test_only_the_best_of_each_video_count() -> None:
    found = calibrate(TRUTH, {"b": Proposals([0, 0], [5, 1], [0.1, 0.9], unit="seconds")}, most=1)
    assert found is not None
    assert found.tiou.tolist() == pytest.approx([0.2])
    assert np.isnan(found.rank_correlation)


def test_nothing_to_calibrate() -> None:
    assert calibrate(TRUTH, {"c": Proposals([0], [1], [1], unit="seconds")}) is None
