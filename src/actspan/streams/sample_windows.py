"""Samples of a stream to snippets: statistics over windows, streamed.

Snippets lie on the grid of videos: snippet i has its middle at (i + 0.5) * stride. Missing values
(NaN) are left out of the statistics. A channel without one valid value in a snippet repeats its
last snippet, or before the first valid one takes that one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from actspan.config.streams import Statistic
from actspan.core.errors import VideoError
from actspan.core.types import Float32, Float64
from actspan.streams.snippets import Sampling

_ROUNDING = 1e-6  # seconds: times of regular samples are rounded
_VALUES = 1_000_000  # values per block of windows
_MOST = 1_000_000  # snippets without samples in a row: no recording, but a wrong clock

Positions = NDArray[np.intp]


class SampleWindows:
    """Snippets of one recording, from samples that are added in order of time.

    The answer does not depend on how the samples are divided between calls.

    Attributes
    ----------
    width : int
        Channels of a snippet, S * C.
    empty : int
        Number of finished snippets in which a channel had no valid value.
    """

    def __init__(
        self, stride: float, length: float, statistics: Sequence[Statistic], channels: int
    ) -> None:
        self._sampling, self._statistics = Sampling(stride, length, 1), tuple(statistics)
        self._stride, self._length = stride, length
        self._times = np.empty(0)
        self._values = np.empty((0, channels))
        self._first = 0  # number of the next snippet
        self.width = width = channels * len(self._statistics)
        self._last = np.full(width, np.nan)  # newest valid value of each channel
        self._held = np.empty((0, width))  # snippets whose channels are not all known yet
        self.empty = 0

    def feed(self, times: Float64, values: Float64) -> Float32:
        """Add samples, (n,) seconds and (n, C); return the snippets that are complete, (k, S * C).

        Raises VideoError if times run backwards, or jump very far.
        """
        if not len(times):
            return self._fill(np.empty((0, len(self._last))))
        self._times = np.concatenate([self._times, times])
        self._values = np.concatenate([self._values, values])
        steps = np.diff(self._times)
        if len(steps) and steps.min() < 0:
            place = float(self._times[int(steps.argmin())])
            raise VideoError(
                f"times run backwards after {place:g} s", "sort its rows by time, or split it"
            )
        if len(steps) and steps.max() > _MOST * self._stride:
            place = float(self._times[int(steps.argmax())])
            raise VideoError(
                f"times jump by {steps.max():g} s after {place:g} s",
                "correct the clock, split it, or say what its times are: --time, --time-unit",
            )
        whole = int((self._times[-1] + _ROUNDING - self._length / 2) / self._stride - 0.5) + 1
        while whole > self._first and self._end(whole - 1) - _ROUNDING > self._times[-1]:
            whole -= 1
        return self._advance(whole)

    def finish(self, end: float) -> Float32:
        """Return the snippets that were still open when the recording ended at `end` seconds."""
        rows = self._advance(self._sampling.count(end))
        if not len(self._held):
            return rows
        rest = np.where(np.isnan(self._last), 0.0, self._last)  # channels without any value
        held, self._held = self._held, self._held[:0]
        return np.concatenate([rows, np.where(np.isnan(held), rest, held).astype(np.float32)])

    @property
    def unknown(self) -> Positions:
        """Numbers of the output channels that had no valid value so far."""
        return np.flatnonzero(np.isnan(self._last))

    def _end(self, snippet: int) -> float:
        return (snippet + 0.5) * self._stride + self._length / 2

    def _advance(self, until: int) -> Float32:
        """Return the snippets before number `until`, and forget samples that are not needed."""
        numbers = np.arange(self._first, max(until, self._first))
        low = (numbers + 0.5) * self._stride - self._length / 2
        first = np.searchsorted(self._times, low - _ROUNDING)
        last = np.searchsorted(self._times, low + self._length - _ROUNDING)
        rows = window_statistics(self._values, first, last, self._statistics)
        self._first = max(until, self._first)
        oldest = (self._first + 0.5) * self._stride - self._length / 2 - _ROUNDING
        # One sample is kept, to compare the next time with.
        kept = min(int(np.searchsorted(self._times, oldest)), len(self._times) - 1)
        if kept > 0:
            self._times, self._values = self._times[kept:].copy(), self._values[kept:].copy()
        return self._fill(rows)

    def _fill(self, rows: Float64) -> Float32:
        """Return the rows whose missing values are known by now, filled; hold the others."""
        self.empty += int(np.isnan(rows).any(axis=1).sum())
        rows = self._filled_forward(rows)
        if len(self._held):
            rows = np.concatenate([self._held, rows])
        if np.isnan(self._last).any():
            self._held = rows
            return np.empty((0, rows.shape[1]), dtype=np.float32)
        self._held = self._held[:0]
        missing = np.isnan(rows)
        if missing.any():  # before the first valid value of a channel
            first = rows[missing.argmin(axis=0), np.arange(rows.shape[1])]
            rows = np.where(missing, first, rows)
        return rows.astype(np.float32)

    def _filled_forward(self, rows: Float64) -> Float64:
        """Fill missing values with the newest before them, if there is one."""
        table = np.concatenate([self._last[None], rows])
        place = np.where(np.isnan(table), 0, np.arange(len(table))[:, None])
        np.maximum.accumulate(place, axis=0, out=place)
        table = np.take_along_axis(table, place, axis=0)
        self._last = table[-1]
        return table[1:]


def window_statistics(
    values: Float64, first: Positions, last: Positions, statistics: Sequence[Statistic]
) -> Float64:
    """Compute statistics of the samples first <= i < last of each window.

    Parameters
    ----------
    values : (n, C) float64
        Samples; NaN is missing.
    first, last : (k,) int
    statistics : sequence of Statistic
        "rms" is the root of the mean square, "change" the mean absolute difference of neighbouring
        samples.

    Returns
    -------
    (k, S * C) float64
        All channels of the first statistic, then of the next; NaN where a channel has no value.

    Examples
    --------
    >>> window_statistics(np.array([[1.0], [3.0], [8.0]]), np.array([0, 1]), np.array([2, 3]),
    ...                   ["mean", "change"])
    array([[2. , 2. ],
           [5.5, 5. ]])
    """
    channels = values.shape[1]
    out = np.full((len(first), len(statistics) * channels), np.nan)
    full = np.flatnonzero(last > first)
    for block in _blocks(full, last - first, channels):
        out[block] = np.concatenate(
            _statistics(values, first[block], last[block], statistics), axis=1
        )
    return out


def _blocks(windows: Positions, counts: Positions, channels: int) -> Iterator[Positions]:
    """Divide windows, so that each block has a bounded number of values."""
    if not len(windows):
        return
    before = np.cumsum(counts[windows]) * max(channels, 1) // _VALUES
    cuts = [0, *(np.flatnonzero(np.diff(before)) + 1).tolist(), len(windows)]
    yield from (windows[i:j] for i, j in pairwise(cuts))


def _statistics(
    values: Float64, first: Positions, last: Positions, statistics: Sequence[Statistic]
) -> list[Float64]:
    """Compute the statistics, each (k, C), of windows that are not empty."""
    counts = last - first
    starts = np.cumsum(counts) - counts  # of each window among the gathered samples
    picked = values[np.arange(counts.sum()) + np.repeat(first - starts, counts)]  # (N, C)
    known = ~np.isnan(picked)
    filled = np.where(known, picked, 0.0)

    def mean(array: Float64, of: NDArray[np.bool_]) -> Float64:
        number = np.add.reduceat(of, starts, dtype=np.intp)
        with np.errstate(invalid="ignore"):
            found: Float64 = np.add.reduceat(array, starts) / number
        return found

    average = mean(filled, known)
    made = []
    for statistic in statistics:
        if statistic == "mean":
            made.append(average)
        elif statistic == "std":
            distance = np.where(known, picked - np.repeat(average, counts, axis=0), 0.0)
            made.append(np.sqrt(mean(distance**2, known)))
        elif statistic == "rms":
            made.append(np.sqrt(mean(filled**2, known)))
        elif statistic == "change":
            step = np.diff(picked, axis=0, prepend=np.nan)
            step[starts] = np.nan
            pairs = ~np.isnan(step)
            change = mean(np.where(pairs, np.abs(step), 0.0), pairs)
            alone = np.isnan(change) & ~np.isnan(average)  # no two neighbours are known
            made.append(np.where(alone, 0.0, change))
        else:
            reduce = np.fmin if statistic == "min" else np.fmax
            made.append(reduce.reduceat(picked, starts))
    return made
