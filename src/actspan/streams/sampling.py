"""Sampling of decoded frames into snippets; shared pictures are drawn once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from actspan.streams.decode import Frame
from actspan.streams.grid import Sampling

P = TypeVar("P")


class Picture(NamedTuple, Generic[P]):
    """A picture of a video, and its number among the drawn ones."""

    number: int
    content: P


Snippet = tuple[Picture[P], ...]


class SnippetSampler(Generic[P]):
    """Sampler of frames, which returns each snippet as soon as its last picture is known.

    A sample is the frame that a player shows at that time; before the first frame, the first one.

    Parameters
    ----------
    sampling : Sampling
    draw : callable
        Function from frame to picture; called once for each frame that is sampled.
    """

    def __init__(self, sampling: Sampling, draw: Callable[[Frame], P]) -> None:
        self._sampling, self._draw = sampling, draw
        self._open: deque[list[Picture[P]]] = deque()
        self._first = 0  # number of the first open snippet
        self._drawn = 0
        self._shown: Frame | None = None  # frame that a player shows now
        self._picture: Picture[P] | None = None  # its picture, if it was sampled

    def feed(self, frame: Frame) -> list[Snippet[P]]:
        """Add the next frame; return the snippets that it completes."""
        self._sample(frame.time)
        self._shown, self._picture = frame, None
        whole = []
        while self._open and len(self._open[0]) == self._sampling.frames:
            whole.append(tuple(self._open.popleft()))
            self._first += 1
        return whole

    def finish(self, end: float) -> list[Snippet[P]]:
        """Return the snippets that were still open when the video ended after `end` seconds."""
        count = self._sampling.count(end)
        self._sample(math.inf, last=count)
        return [tuple(taken) for taken in self._open][: max(count - self._first, 0)]

    def _sample(self, until: float, last: float = math.inf) -> None:
        """Add the shown picture to every sample before `until`, in snippets before `last`."""
        time, frames = self._sampling.time, self._sampling.frames
        if self._shown is None:
            return
        while (number := self._first + len(self._open)) < last and time(number, 0) < until:
            self._open.append([])
        for number, taken in enumerate(self._open, self._first):
            while len(taken) < frames and time(number, len(taken)) < until:
                taken.append(self._current(self._shown))

    def _current(self, shown: Frame) -> Picture[P]:
        if self._picture is None:
            self._picture = Picture(self._drawn, self._draw(shown))
            self._drawn += 1
        return self._picture
