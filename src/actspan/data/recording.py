"""Windows of long recordings (bsn.md section 11)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from actspan.core.types import Float32


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
