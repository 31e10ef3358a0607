"""TEM and PEM targets: bsn.md sections 3 and 6."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Proposals
from actspan.model.bsn.losses import pem_targets, tem_targets


@pytest.mark.parametrize(
    ("instances", "action", "start", "end"),
    [
        pytest.param([], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], id="no-instances"),
        pytest.param(
            [(0.25, 0.75)], [0, 1, 1, 0], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], id="on-the-grid"
        ),
        pytest.param(
            [(0.375, 0.625)], [0, 0.5, 0.5, 0], [0, 1, 0, 0], [0, 0, 1, 0], id="cell-centres"
        ),
        pytest.param([(-1, 2)], [1, 1, 1, 1], [0.5, 0, 0, 0], [0, 0, 0, 0.5], id="clipped"),
        pytest.param(
            [(0, 0.2), (0.1, 0.25)], [0.8, 0, 0, 0], [0.9, 0, 0, 0], [0.7, 0.5, 0, 0], id="maximum"
        ),
    ],
)
def test_known_cells(
    instances: list[tuple[float, float]], action: list[float], start: list[float], end: list[float]
) -> None:
    found = tem_targets(np.array(instances, dtype=np.float64).reshape(-1, 2), length=4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [action, start, end], atol=1e-6)


def test_a_boundary_outside_a_window_gives_no_target() -> None:
    action, start, end = tem_targets(np.array([[-0.5, 0.5]]), length=4, clip=False)
    assert action.tolist() == [1, 1, 0, 0]
    assert not start.any()
    assert end.tolist() == [0, 0.5, 0.5, 0]


def test_long_instances_have_wide_boundaries() -> None:
    # They are a tenth of the instance, if that is more than a cell.
    start = tem_targets(np.array([[0.2, 0.8]]), length=100)[1]
    assert np.flatnonzero(start > 0.5).tolist() == [17, 18, 19, 20, 21, 22]


segments = st.lists(
    st.tuples(st.floats(-0.2, 1.0), st.floats(0.01, 0.8)).map(lambda s: (s[0], s[0] + s[1])),
    max_size=4,
)


@given(segments, st.integers(2, 40))
def test_targets_are_shares_whatever_the_order(
    instances: list[tuple[float, float]], length: int
) -> None:
    array = np.array(instances, dtype=np.float64).reshape(-1, 2)
    found = tem_targets(array, length)
    assert found.shape == (3, length)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    np.testing.assert_array_equal(found, tem_targets(array[::-1], length))


def test_pem_targets_are_not_clipped() -> None:
    candidates = Proposals([0.5, 0.0], [1.0, 0.2], [1.0, 1.0], unit="fraction")
    np.testing.assert_allclose(pem_targets(candidates, np.array([[0.5, 1.5]])), [0.5, 0.0])


def test_candidates_of_a_video_without_instances_are_worth_nothing() -> None:
    assert pem_targets(
        Proposals([0.5], [1.0], [1.0], unit="fraction"), np.empty((0, 2))
    ).tolist() == [0.0]
