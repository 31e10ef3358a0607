from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actspan import BspConfig, Proposals
from actspan.core.ragged import RaggedProposals
from actspan.core.types import Float32
from actspan.proposals.curves import (
    curve_features,
    curve_features_batch,
    curve_features_plain,
    sampled_cells,
)


@st.composite
def learnt_curves(draw: st.DrawFn, curves: int | None = None) -> Float32:
    shape = (curves or draw(st.integers(1, 5)), draw(st.integers(1, 40)))
    return draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))


@st.composite
def segments(draw: st.DrawFn) -> Proposals:
    count = draw(st.integers(0, 20))
    pairs = draw(hnp.arrays(np.float64, (2, count), elements=st.floats(0, 1)))
    return Proposals(*np.sort(pairs, axis=0), np.ones(count), unit="fraction")


@given(curves=learnt_curves(), proposals=segments())
def test_kernel_equals_its_plain_twin(curves: Float32, proposals: Proposals) -> None:
    found = curve_features(curves, proposals)
    assert found.shape == (len(proposals), 16 * len(curves) + 1)
    expected = curve_features_plain(curves, proposals)
    np.testing.assert_array_equal(found[:, :-1], expected[:, :-1])
    np.testing.assert_allclose(found[:, -1], expected[:, -1], rtol=1e-6)


@given(videos=st.lists(st.tuples(learnt_curves(3), segments()), min_size=1, max_size=4))
def test_many_at_once_are_as_one_by_one(videos: list[tuple[Float32, Proposals]]) -> None:
    curves, proposals = [list(part) for part in zip(*videos, strict=True)]
    config = BspConfig(curve_samples=3, curve_boundary_samples=2, curve_boundary_ratio=0.5)
    rows = np.empty((sum(map(len, proposals)), config.curve_size(3)), dtype=np.float32)
    curve_features_batch(rows, curves, RaggedProposals.of(proposals), config)
    alone = [curve_features(c, p, config) for c, p in zip(curves, proposals, strict=True)]
    np.testing.assert_array_equal(rows, np.concatenate(alone))


def test_samples_lie_where_they_should() -> None:
    ramp = np.arange(100, dtype=np.float32)[None]  # the value at a position is the position
    found = curve_features(ramp, Proposals([0.2], [0.6], [1.0], unit="fraction"))[0]
    low, high = 19.5, 59.5
    inside = low + 40 * np.array([1, 3, 5, 7, 9, 11, 13, 15]) / 16
    around = 10 * np.array([-1, -1 / 3, 1 / 3, 1])
    expected = np.concatenate([inside, low + around, high + around, [np.log(40)]])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_around_a_short_proposal_a_cell_is_seen() -> None:
    lower, share = sampled_cells(np.array([0.5]), np.array([0.52]), 100, BspConfig())
    np.testing.assert_allclose((lower + share)[0, 8:12], 49.5 + np.array([-1, -1 / 3, 1 / 3, 1]))


def test_curves_are_zero_beyond_the_video() -> None:
    ones = np.ones((1, 10), dtype=np.float32)
    around = curve_features(ones, Proposals([0.0], [1.0], [1.0], unit="fraction"))[0, 8:16]
    np.testing.assert_allclose(around, [0, 0.0, 1, 1, 1, 1, 0, 0], atol=1e-6)


@pytest.mark.parametrize(("curves", "size"), [(1, 17), (16, 257)])
def test_number_of_features(curves: int, size: int) -> None:
    assert BspConfig().curve_size(curves) == size
