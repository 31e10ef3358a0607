"""Windows of a recording whose end is not known yet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from actspan.core.types import Float32
from actspan.data.recording import Window


class WindowCutter:
    """Cutter of snippets, as they arrive, into the windows of `plan_windows`.

    A window is returned as soon as a snippet after it is known, since it is then not the last one.
    At most one and a half windows are kept.

    Parameters
    ----------
    length : int
        T, snippets per window.

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
