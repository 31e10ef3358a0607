"""Samples to snippets: statistics over windows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.config.streams import Statistic
from actspan.core.errors import VideoError
from actspan.streams.sample_windows import SampleWindows

STATISTICS = get_args(Statistic)


def plain(values: Any) -> Any:
    """Return the statistics of one window, (n, C), one after another; every channel has a value."""
    steps = np.abs(np.diff(values, axis=0))
    change = [np.mean(s[~np.isnan(s)]) if (~np.isnan(s)).any() else 0.0 for s in steps.T]
    rest = [f(values, axis=0) for f in (np.nanmean, np.nanstd, np.nanmin, np.nanmax)]
    return np.concatenate([*rest, np.sqrt(np.nanmean(values**2, axis=0)), change])


def run(times: Any, values: Any, stride: float, length: float, cuts: list[int]) -> Any:
    windows = SampleWindows(stride, length, STATISTICS, values.shape[1])
    parts = [windows.feed(times[i:j], values[i:j]) for i, j in pairwise([0, *cuts, len(times)])]
    rows = np.concatenate([*parts, windows.finish(times[-1] + 0.1)])
    return rows, windows


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    stride=st.sampled_from([0.1, 0.25, 1.0]),
    share=st.sampled_from([0.5, 1.0, 2.0, 3.3]),
)
def test_windows_equal_plain_statistics_however_samples_come(
    seed: int, count: int, stride: float, share: float
) -> None:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.random(count)) * 5
    times -= times[0]
    values = rng.normal(size=(count, 2))
    values[rng.random(values.shape) < 0.3] = np.nan
    length = share * stride
    rows, windows = run(times, values, stride, length, [])
    cuts = np.sort(rng.integers(0, count + 1, 3)).tolist()
    again, other = run(times, values, stride, length, cuts)
    assert rows.tobytes() == again.tobytes()
    assert windows.empty == other.empty
    assert np.isfinite(rows).all()
    empty = 0
    for i, row in enumerate(rows):
        low = (i + 0.5) * stride - length / 2
        inside = values[(times >= low - 1e-6) & (times < low + length - 1e-6)]
        if np.isfinite(inside).any(axis=0).all():
            np.testing.assert_allclose(row, plain(inside), atol=1e-6)
        else:
            empty += 1
    assert windows.empty == empty


def test_missing_values_repeat_the_last_or_take_the_first() -> None:
    windows = SampleWindows(1.0, 1.0, ["mean"], 2)
    nan = np.nan
    values = np.array([[nan, 1], [nan, nan], [5, nan], [nan, 4]], dtype=np.float64)
    first = windows.feed(np.arange(4) + 0.25, values)
    assert len(first) == 3
    rows = np.concatenate([first, windows.finish(4.0)])
    assert rows.tolist() == [[5, 1], [5, 1], [5, 1], [5, 4]]
    assert windows.empty == 4
    assert not len(windows.unknown)


def test_a_channel_without_a_value_is_zero() -> None:
    windows = SampleWindows(1.0, 1.0, ["mean"], 2)
    assert not len(windows.feed(np.array([0.0, 1.0]), np.array([[np.nan, 1], [np.nan, 2]])))
    assert windows.finish(2.0).tolist() == [[0, 1], [0, 2]]
    assert windows.unknown.tolist() == [0]


@pytest.mark.parametrize(
    ("times", "why"),
    [([0.0, 2.0, 1.0], "times run backwards after 2 s"), ([0.0, 1e9], "times jump by 1e.09 s")],
)
def test_impossible_times_are_refused(times: list[float], why: str) -> None:
    windows = SampleWindows(0.25, 0.5, ["mean"], 1)
    windows.feed(np.array(times[:-1]), np.zeros((len(times) - 1, 1)))
    with pytest.raises(VideoError, match=why):
        windows.feed(np.array(times[-1:]), np.zeros((1, 1)))
