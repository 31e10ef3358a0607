"""Snippets of a video: the frames that each takes, and its features from their vectors."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Self, TypeVar

import numpy as np

from actspan.config.stages import Streams
from actspan.core.types import Float32
from actspan.streams.extract_request import Grid
from actspan.streams.video_decoding import Frame

P = TypeVar("P")

_ROUNDING = 1e-3  # seconds: some containers have timestamps in whole milliseconds


@dataclass(frozen=True, slots=True)
class Sampling:
    """Times at which the frames of each snippet are taken."""

    stride: float  # seconds
    length: float  # seconds
    frames: int  # per snippet, taken at the middles of equal parts of it

    @classmethod
    def of(cls, grid: Grid, fps: float, frames: int) -> Self:
        """Return the times of `frames` frames per snippet, in a video of `fps`."""
        return cls(grid.stride.seconds(fps), grid.length.seconds(fps), frames)

    def time(self, snippet: int, frame: int) -> float:
        """Return the seconds at which a frame of a snippet is taken, with slack for rounding."""
        middle = (snippet + 0.5) * self.stride
        return middle + ((frame + 0.5) / self.frames - 0.5) * self.length + _ROUNDING

    def count(self, end: float) -> int:
        """Return the number of snippets whose middle lies in `end` seconds; at least one."""
        return max(1, math.ceil(end / self.stride - 0.5 - 1e-6))


class Picture(NamedTuple, Generic[P]):
    """A picture of a video, and its number among the converted ones."""

    number: int
    content: P


Snippet = tuple[Picture[P], ...]


class SnippetSampler(Generic[P]):
    """Sampler of frames, which returns each snippet as soon as its last picture is known.

    A sample is the frame that a player shows at that time; before the first frame, the first one.
    Snippets share pictures: `convert` is called once for each frame that is sampled.
    """

    def __init__(self, sampling: Sampling, convert: Callable[[Frame], P]) -> None:
        self._sampling, self._convert = sampling, convert
        self._open: deque[list[Picture[P]]] = deque()
        self._first = 0  # number of the first open snippet
        self._converted = 0
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
        return [tuple(pictures) for pictures in self._open][: max(count - self._first, 0)]

    def _sample(self, until: float, last: float = math.inf) -> None:
        """Add the shown picture to every sample before `until`, in snippets before `last`."""
        time, frames = self._sampling.time, self._sampling.frames
        if self._shown is None:
            return
        while (number := self._first + len(self._open)) < last and time(number, 0) < until:
            self._open.append([])
        for number, pictures in enumerate(self._open, self._first):
            while len(pictures) < frames and time(number, len(pictures)) < until:
                if self._picture is None:
                    self._picture = Picture(self._converted, self._convert(self._shown))
                    self._converted += 1
                pictures.append(self._picture)


class SnippetBuilder:
    """Builder of the snippets of one video from vectors of length `channels`, in order."""

    def __init__(self, streams: Streams, channels: int) -> None:
        self._streams: Streams = streams
        self._first = 0  # number of the first vector still needed
        self._vectors = np.empty((0, channels), dtype=np.float32)
        self._width = feature_channels(streams, channels)

    def make(self, vectors: Float32, snippets: Iterable[tuple[int, ...]]) -> Float32:
        """Add the next vectors, (n, C); return the features of the next snippets, (k, channels).

        Snippets are given by the numbers of their vectors, in order of time.
        """
        stored = np.concatenate([self._vectors, vectors])
        rows, oldest = [], self._first
        for numbers in snippets:
            oldest = numbers[0]
            rows.append(pool_frames(stored[np.subtract(numbers, self._first)], self._streams))
        self._vectors, self._first = stored[oldest - self._first :], oldest
        return np.stack(rows) if rows else np.empty((0, self._width), dtype=np.float32)


def pool_frames(vectors: Float32, streams: Streams) -> Float32:
    """Compute one snippet's features, (F, C) to (C,), or to (2 C,) for both streams.

    Appearance is the mean over the snippet's frames, motion the standard deviation.
    """
    parts = []
    if streams != "motion":
        parts.append(vectors.mean(axis=0))
    if streams != "appearance":
        parts.append(vectors.std(axis=0))
    return np.concatenate(parts)


def feature_channels(streams: Streams, channels: int) -> int:
    """Return the length of a snippet's features, from vectors of length `channels`."""
    return 2 * channels if streams == "both" else channels
