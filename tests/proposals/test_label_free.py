"""Label-free proposals: heights equal a plain computation, and known segments are found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.config.stages import LabelFreeConfig
from actspan.core.errors import ShapeError
from actspan.core.types import Features, Float32
from actspan.model import LABEL_FREE
from actspan.pipeline.core import Pipeline
from actspan.proposals.components import principal_components
from actspan.proposals.label_free import (
    boundary_heights,
    boundary_heights_plain,
    propose_label_free,
    usual_length,
)


def stream(seed: int, lengths: list[int], channels: int = 6, noise: float = 0.1) -> Float32:
    """Return a stream whose parts differ in their means: (sum of lengths, channels)."""
    draw = np.random.default_rng(seed)
    parts = [draw.normal(size=channels) + noise * draw.normal(size=(n, channels)) for n in lengths]
    return np.concatenate(parts).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 5))
def test_heights_equal_the_plain_computation(seed: int, snippets: int, channels: int) -> None:
    points = np.random.default_rng(seed).normal(size=(snippets, channels))
    np.testing.assert_allclose(boundary_heights(points), boundary_heights_plain(points), rtol=1e-9)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(5, 12), min_size=3, max_size=6))
def test_highest_boundaries_are_those_between_the_parts(seed: int, lengths: list[int]) -> None:
    values = stream(seed, lengths, noise=0.01)
    heights = boundary_heights(principal_components(values, 32))
    inner = np.argsort(-heights[1:-1])[: len(lengths) - 1] + 1
    assert sorted(inner.tolist()) == np.cumsum(lengths)[:-1].tolist()


def test_a_part_that_stands_out_is_the_best_candidate() -> None:
    values = stream(3, [40, 12, 48], noise=0.05)
    values[52:] = values[:48]  # the same before and after
    _, found = propose_label_free(values)
    assert (found.start[0] * 100, found.end[0] * 100) == (40, 52)
    assert found.score[0] == 1
    assert np.all(np.diff(found.score) <= 0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_candidates_are_inside_the_stream(seed: int, snippets: int) -> None:
    config = LabelFreeConfig(boundaries=10, keep=20)
    values = np.random.default_rng(seed).normal(size=(snippets, 4)).astype(np.float32)
    scores, found = propose_label_free(values, config)
    assert len(scores) == snippets
    assert len(found) <= 20
    assert np.all((found.start >= 0) & (found.end <= 1) & (found.end > found.start))
    assert np.all((found.score > 0) & (found.score <= 1))


def test_scale_and_order_of_channels_do_not_matter() -> None:
    values = stream(7, [30, 9, 25, 14, 30])
    turned = (values * [1, 2, 4, 8, 16, 32] + 5)[:, ::-1].astype(np.float32)
    _, first = propose_label_free(values)
    _, second = propose_label_free(turned)
    np.testing.assert_allclose(first.start[:20], second.start[:20])
    np.testing.assert_allclose(first.score[:20], second.score[:20], rtol=1e-3)


@pytest.mark.parametrize("snippets", [1, 2, 50])
def test_nothing_is_found_where_nothing_changes(snippets: int) -> None:
    scores, candidates = propose_label_free(np.full((snippets, 3), 7, np.float32))
    assert not scores.start.any()
    assert len(candidates) == 0


def test_usual_length_is_that_of_equal_parts() -> None:
    heights = boundary_heights(principal_components(stream(1, [20] * 10, noise=1e-3), 32))
    assert 20 <= usual_length(heights) <= 40


def test_features_without_snippets_are_refused() -> None:
    with pytest.raises(ShapeError, match="n >= 1"):
        propose_label_free(np.empty((0, 3), np.float32))


def test_the_bundle_of_the_package_proposes_in_seconds() -> None:
    features = Features(stream(5, [60, 20, 70]), stride=0.5, length=0.5)
    with Pipeline.load(LABEL_FREE, threads=1) as pipeline:
        found = pipeline.propose(features)
    assert 0 < len(found) <= 100
    assert found.end.max() <= 75
