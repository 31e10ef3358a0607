"""Windows of a recording whose end is not known yet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from actspan.data.windows import Window
from actspan.types import Float32


class WindowCutter:
    """Cuts snippets, as they come, into the windows of `plan_windows`.

    A window is given as soon as a snippet after it is known: then it is not the last one. At most
    one and a half windows are held.

    Parameters
    ----------
    length : int
        T, snippets a window.

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
        self._begin = 0  # number of the first snippet that is held
        self._next = 0  # where the next window begins

    def __len__(self) -> int:
        """Snippets so far."""
        return self._begin + (0 if self._held is None else len(self._held))

    def feed(self, rows: Float32) -> Iterator[tuple[Window, Float32]]:
        """Take the next snippets, (k, C); the windows that they complete, the last one apart.

        Each comes with its snippets, (T, C), and with as many snippets of the recording as there
        are so far.
        """
        self._held = rows if self._held is None else np.concatenate([self._held, rows])
        while len(self) > self._next + self._length:
            first = self._next
            yield self._cut(first)
            self._held = self._held[first + 1 - self._begin :]  # the last one begins after it
            self._begin, self._next = first + 1, first + self._step

    def finish(self) -> tuple[Window, Float32]:
        """The last window, aligned to the end; the whole of a recording shorter than a window."""
        return self._cut(max(len(self) - self._length, 0))

    def _cut(self, first: int) -> tuple[Window, Float32]:
        assert self._held is not None
        last = min(first + self._length, len(self))
        rows = self._held[first - self._begin : last - self._begin].copy()
        return Window(first, last, len(self)), rows
