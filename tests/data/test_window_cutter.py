"""Windows that are cut as snippets come are those that are planned when all are there."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actspan.data.cells import WindowCutter, plan_windows


@given(
    length=st.integers(2, 9),
    sizes=st.lists(st.integers(0, 13), min_size=1, max_size=9).filter(any),
)
def test_windows_are_those_of_the_plan(length: int, sizes: list[int]) -> None:
    rows = np.arange(sum(sizes), dtype=np.float32)[:, None]
    cutter = WindowCutter(length)
    cut, begin = [], 0
    for size in sizes:
        for window, values in cutter.feed(rows[begin : begin + size]):
            cut.append((window[:2], values.ravel().tolist()))
            assert not window.is_final
            assert window.inner_edges()[1]
        begin += size
    window, values = cutter.finish()
    assert window.is_final
    cut.append((window[:2], values.ravel().tolist()))
    planned = list(plan_windows(len(rows), length))
    assert [place for place, _ in cut] == [(w.first, w.last) for w in planned]
    for (first, last), values in cut:
        assert values == list(range(first, last))


def test_a_window_is_given_as_soon_as_one_more_snippet_is_known() -> None:
    cutter = WindowCutter(4)
    one = np.zeros((1, 2), dtype=np.float32)
    counts = [len(list(cutter.feed(one))) for _ in range(9)]
    assert counts == [0, 0, 0, 0, 1, 0, 1, 0, 1]


def test_no_more_is_held_than_a_window_and_what_came_last() -> None:
    cutter = WindowCutter(10)
    for _ in range(100):
        list(cutter.feed(np.zeros((3, 2), dtype=np.float32)))
        assert cutter._held is not None
        assert len(cutter._held) <= 10 + 5 + 3
