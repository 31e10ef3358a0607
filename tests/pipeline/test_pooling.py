"""Features of a proposal: a kernel equal to its plain twin, read in parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Features, Proposals
from actspan.pipeline import classifier
from actspan.pipeline.classifier import pool_features, pool_features_plain

STEPS = Features(np.arange(10.0)[:, None], stride=2.0, length=2.0)  # centres at 1, 3, ... 19


def segments(*rows: tuple[float, float]) -> Proposals:
    start, end = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    return Proposals(start, end, np.ones(len(start)), unit="seconds")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param((4, 12), [3.5, 1, 6], id="four-snippets-and-one-either-side"),
        pytest.param((0, 20), [4.5, 0, 9], id="everything-has-only-itself-around"),
        pytest.param((3.1, 4.9), [2, 1, 3], id="between-two-centres-takes-the-nearest"),
        pytest.param((0, 0), [0, 0, 1], id="no-length"),
        pytest.param((20, 20), [9, 8, 9], id="at-the-end"),
        pytest.param((18, 30), [9, 8, 9], id="beyond-the-end"),
    ],
)
def test_means_computed_by_hand(row: tuple[float, float], expected: list[float]) -> None:
    assert pool_features(STEPS, segments(row))[0].tolist() == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param((4, 16), [2.5, 4.5, 6.5, 0.5, 8.5], id="two-snippets-a-part"),
        pytest.param((4, 8), [2, 2, 3, 1, 4], id="a-part-without-a-snippet-gets-the-next"),
        pytest.param((0, 0), [0, 0, 0, 0, 1], id="one-snippet-is-every-part"),
    ],
)
def test_means_of_three_parts(row: tuple[float, float], expected: list[float]) -> None:
    assert pool_features(STEPS, segments(row), 3)[0].tolist() == expected


@given(st.data())
def test_the_kernel_equals_its_plain_twin_for_any_block_size(data: st.DataObject) -> None:
    snippets = data.draw(st.integers(1, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    source = Features(rng.normal(size=(snippets, 3)), stride=0.5, length=1.0)
    start = rng.uniform(0, source.span, 20)
    found = Proposals(
        start, start + rng.exponential(source.span / 4, 20), np.ones(20), unit="seconds"
    )
    parts = data.draw(st.integers(1, 4))
    expected = pool_features_plain(source, found, parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "_ROWS", data.draw(st.sampled_from([1, 7, 4096])))
        np.testing.assert_allclose(pool_features(source, found, parts), expected, atol=1e-5)


def test_positions_are_seconds_of_the_output_span() -> None:
    shorter = Features(STEPS.values, 2.0, 2.0, output_span=10.0)
    np.testing.assert_array_equal(
        pool_features(shorter, segments((2, 6))), pool_features(STEPS, segments((4, 12)))
    )


def test_no_proposals_give_no_rows() -> None:
    for pool in (pool_features, pool_features_plain):
        assert pool(STEPS, Proposals.empty("seconds"), 2).shape == (0, 4)
