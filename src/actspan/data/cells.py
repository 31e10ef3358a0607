"""Snippets to the T cells of the networks: rescaled (bsn.md section 2), or as windows (section 11).

A short video is rescaled as a whole: one cell covers some snippets, or a part of one. A long
recording is cut into windows of T snippets, each a cell. Rescaling is a kernel with a reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actspan.config.stages import Edge
from actspan.core.errors import ConfigError, ShapeError
from actspan.core.kernels import kernel
from actspan.core.types import Features, Float32, Float64

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

_MARGIN = 1e-4  # seconds by which sampling stays inside the first and last snippet centre


def rescale_features(
    features: ArrayLike,
    length: int = 100,
    *,
    stride: float = 16 / 30,
    span: float | None = None,
    edge: Edge = "clamp",
) -> Float32:
    """Resample snippet features to `length` cells that share the span evenly.

    A cell's value is the mean of three linear interpolations between snippet centres: at its
    start, middle and end (bsn.md section 2; the published `csv_mean_100` features are this).

    Parameters
    ----------
    features : (n, C) array
        One row per snippet; snippet i has its centre at (i + 0.5) * stride.
    length : int
        T, the number of cells.
    stride : float
        Seconds from snippet to snippet.
    span : float, optional
        Seconds that the cells share; n * stride by default. Where a border of cells meets an
        outer snippet centre the last bit decides, so the authors' layout gives its own.
    edge : "clamp" or "zero"
        Value of cells beyond the first and last snippet centre: the nearest snippet, or zeros
        as published (which empties both ends of short videos).

    Returns
    -------
    (length, C) float32

    Raises
    ------
    ShapeError
        `features` is not a filled two-dimensional array, or another argument is not positive.

    Examples
    --------
    >>> rescale_features([[0.0], [1.0]], length=2).ravel()
    array([0.25009376, 0.74990624], dtype=float32)
    """
    values, low, share, inside = _samples(features, length, stride, span, edge)
    out = np.empty((length, values.shape[1]), dtype=np.float32)
    _mean_of_three(values, low, share, inside, out)
    return out


def fit_to_cells(features: Features, length: int, edge: Edge) -> Float32:
    """Return a video's features rescaled to `length` cells, (length, C).

    Features with exactly `length` snippets are returned unchanged: they are already on the grid
    (`csv_mean_100` was rescaled before it was published).
    """
    if len(features) == length:
        return features.values
    return rescale_features(
        features.values, length, stride=features.stride, span=features.span, edge=edge
    )


def rescale_features_plain(features: ArrayLike, length: int = 100, **options: Any) -> Float32:
    """Compute `rescale_features` in plain NumPy, as its reference; `options` are the same."""
    values, low, share, inside = _samples(features, length, **options)
    high = np.minimum(low + 1, len(values) - 1)
    weight = share[:, :, None]
    sampled = values[low] * (1 - weight) + values[high] * weight  # (T, 3, C) float64
    rescaled: Float32 = np.where(inside[:, None], sampled.mean(axis=1), 0.0).astype(np.float32)
    return rescaled


def _samples(
    features: ArrayLike,
    length: int,
    stride: float = 16 / 30,
    span: float | None = None,
    edge: Edge = "clamp",
) -> tuple[Float32, Int64, Float64, Bool]:
    """Return values (n, C), per cell lower snippets and shares of the next (T, 3), inside (T,)."""
    values = np.ascontiguousarray(features, dtype=np.float32)
    if values.ndim != 2 or 0 in values.shape:
        raise ShapeError(f"features have shape {values.shape}; (n, C) with n, C >= 1 is needed")
    n = len(values)
    span = n * stride if span is None else span
    if length < 1 or not (stride > 0 and span > 0):
        raise ShapeError(f"length {length}, stride {stride} and span {span} must be positive")
    if edge not in ("clamp", "zero"):
        raise ConfigError(f"edge {edge!r} is not known: 'clamp' or 'zero'")
    # The published float operations in their order: where a border meets an outer centre, the last
    # bit decides whether a whole cell is zero.
    first, last = stride / 2, stride / 2 + (n - 1) * stride  # centres of the outer snippets
    edges = 1.0 / length * np.arange(length + 1) * span  # seconds
    if n == 1:
        everywhere = np.ones(length, dtype=bool)
        return values, np.zeros((length, 3), dtype=np.int64), np.zeros((length, 3)), everywhere
    low = np.maximum(first + _MARGIN, edges[:-1])
    high = np.minimum(last - _MARGIN, edges[1:])
    inside = (high >= first) & (low <= last)
    points = np.stack([low, (low + high) / 2, high], axis=1)
    if edge == "clamp":
        points[high < first], points[low > last] = first, last
        inside = np.ones(length, dtype=bool)
    position = np.clip(points / stride - 0.5, 0.0, n - 1.0)  # in snippets
    lower = np.minimum(position.astype(np.int64), n - 2)
    return values, lower, position - lower, inside


@kernel
def _mean_of_three(values: Float32, low: Int64, share: Float64, inside: Bool, out: Float32) -> None:
    last = len(values) - 1
    for cell in range(len(out)):
        if not inside[cell]:
            out[cell, :] = 0.0
            continue
        a, b, c = low[cell, 0], low[cell, 1], low[cell, 2]
        wa, wb, wc = share[cell, 0], share[cell, 1], share[cell, 2]
        a1, b1, c1 = min(a + 1, last), min(b + 1, last), min(c + 1, last)
        for k in range(out.shape[1]):
            total = values[a, k] * (1 - wa) + values[a1, k] * wa
            total += values[b, k] * (1 - wb) + values[b1, k] * wb
            total += values[c, k] * (1 - wc) + values[c1, k] * wc
            out[cell, k] = total / 3


class Window(NamedTuple):
    """A part of a recording, in snippets: first <= i < last of `snippets`.

    It has fewer than T snippets only if the recording is shorter.
    """

    first: int
    last: int
    snippets: int  # of the whole recording

    def __len__(self) -> int:
        return self.last - self.first

    @property
    def is_final(self) -> bool:
        """Return whether the window is the last one of the recording."""
        return self.last == self.snippets

    def offset(self, seconds: float) -> float:
        """Return the second at which the window starts, if it lasts `seconds`."""
        return self.first * (seconds / len(self))

    def inner_edges(self) -> tuple[bool, bool]:
        """Return whether the recording continues before the first, and after the last snippet."""
        return self.first > 0, not self.is_final


def plan_windows(snippets: int, length: int) -> Iterator[Window]:
    """Yield windows of `length` snippets, each half a window after the previous one.

    The last one is aligned to the end. A recording of at most `length` snippets is one window.

    Examples
    --------
    >>> [(w.first, w.last) for w in plan_windows(23, 10)]
    [(0, 10), (5, 15), (10, 20), (13, 23)]
    """
    if snippets <= length:
        yield Window(0, snippets, snippets)
        return
    step = max(length // 2, 1)
    for first in range(0, snippets - length, step):
        yield Window(first, first + length, snippets)
    yield Window(snippets - length, snippets, snippets)


def pad_window(values: Float32, length: int) -> Float32:
    """Return a window padded with snippets of zeros: (n, C) -> (length, C)."""
    if len(values) == length:
        return values
    padded = np.zeros((length, values.shape[1]), dtype=np.float32)
    padded[: len(values)] = values
    return padded


def stitch(parts: list[tuple[Window, Float32]]) -> Float32:
    """Return one curve per channel for all windows; each snippet is taken where it is most central.

    `parts` have the windows in order, each with (3, cells) float32; the result is (3, n) float32.
    """
    snippets = parts[-1][0].snippets  # live videos: known at the last window
    whole = np.empty((3, snippets), dtype=np.float32)
    for k, (window, scores) in enumerate(parts):
        before = 0 if k == 0 else (parts[k - 1][0].last - window.first) // 2
        whole[:, window.first + before : window.last] = scores[:, before:]
    return whole


class WindowCutter:
    """Cutter of snippets, as they arrive, into the windows of `plan_windows`, T snippets each.

    A window is returned as soon as a snippet after it is known, since it is then not the last one.
    At most one and a half windows are kept.

    Examples
    --------
    >>> cutter = WindowCutter(10)
    >>> [w[:2] for w, _ in cutter.feed(np.zeros((23, 4), dtype=np.float32))]
    [(0, 10), (5, 15), (10, 20)]
    >>> cutter.finish()[0]
    Window(first=13, last=23, snippets=23)
    """

    def __init__(self, length: int) -> None:
        self._length, self._step = length, max(length // 2, 1)
        self._held: Float32 | None = None
        self._begin = 0  # index of the first snippet that is kept
        self._next = 0  # index at which the next window starts

    def __len__(self) -> int:
        """Return the number of snippets so far."""
        return self._begin + (0 if self._held is None else len(self._held))

    def feed(self, rows: Float32) -> Iterator[tuple[Window, Float32]]:
        """Add the next snippets, (k, C); yield the windows that they complete, except the last.

        Each comes with its snippets, (T, C). `Window.snippets` is the number of snippets so far.
        """
        self._held = rows if self._held is None else np.concatenate([self._held, rows])
        while len(self) > self._next + self._length:
            first = self._next
            yield self._cut(first)
            self._held = self._held[first + 1 - self._begin :]  # the last window starts later
            self._begin, self._next = first + 1, first + self._step

    def finish(self) -> tuple[Window, Float32]:
        """Return the last window, aligned to the end, or all of a shorter recording."""
        return self._cut(max(len(self) - self._length, 0))

    def _cut(self, first: int) -> tuple[Window, Float32]:
        assert self._held is not None
        last = min(first + self._length, len(self))
        rows = self._held[first - self._begin : last - self._begin].copy()
        return Window(first, last, len(self)), rows
