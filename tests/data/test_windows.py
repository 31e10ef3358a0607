from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.data.recording import pad_window, plan_windows, stitch


@given(snippets=st.integers(1, 500), length=st.integers(2, 60))
def test_windows_cover_everything_and_every_inner_edge_is_inside_another(
    snippets: int, length: int
) -> None:
    windows = list(plan_windows(snippets, length))
    assert windows[0].first == 0
    assert windows[-1].is_final
    assert [w.is_final for w in windows].count(True) == 1
    assert all(len(w) == min(length, snippets) for w in windows)
    for before, after in pairwise(windows):
        assert before.first < after.first < before.last
        assert before.last <= after.last - 1


@pytest.mark.parametrize(
    ("snippets", "expected"),
    [
        pytest.param(3, [(0, 3)], id="shorter-than-a-window"),
        pytest.param(10, [(0, 10)], id="just-one"),
        pytest.param(15, [(0, 10), (5, 15)], id="two"),
        pytest.param(16, [(0, 10), (5, 15), (6, 16)], id="last-is-aligned-to-the-end"),
    ],
)
def test_plans(snippets: int, expected: list[tuple[int, int]]) -> None:
    assert [(w.first, w.last) for w in plan_windows(snippets, 10)] == expected


def test_padding_is_zeros_at_the_end() -> None:
    padded = pad_window(np.ones((2, 3), np.float32), 4)
    assert padded.tolist() == [[1] * 3, [1] * 3, [0] * 3, [0] * 3]


@given(snippets=st.integers(1, 200), length=st.integers(2, 30))
def test_stitching_windows_of_a_curve_gives_the_curve(snippets: int, length: int) -> None:
    curve = np.arange(3 * snippets, dtype=np.float32).reshape(3, snippets)
    parts = [(w, curve[:, w.first : w.last]) for w in plan_windows(snippets, length)]
    np.testing.assert_array_equal(stitch(parts), curve)
