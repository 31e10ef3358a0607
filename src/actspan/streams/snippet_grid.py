"""Snippet grid: distance and length of snippets, and the frames that each takes."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Self, TypeVar

from actspan.config.stages import FeatureSpec
from actspan.core.errors import ConfigError
from actspan.streams.video_decoding import Frame

P = TypeVar("P")

_ROUNDING = 1e-3  # seconds: some containers have timestamps in whole milliseconds


class Span(NamedTuple):
    """A length of time, in seconds or in frames: `0.25s`, `8f`."""

    value: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `0.25s`, `250ms` or `8f`; raise ConfigError for another text, or for 0."""
        found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(s|ms|f)", text.strip().lower())
        value = float(found[1]) if found else 0.0
        if found is None or value <= 0:
            raise ConfigError(
                f"{text!r} is not a length of time: give seconds (0.25s) or frames (8f)"
            )
        return cls(value / 1000, "s") if found[2] == "ms" else cls(value, found[2])

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"

    def twice(self) -> Self:
        """Return a span of twice the length."""
        return type(self)(2 * self.value, self.unit)

    def seconds(self, fps: float) -> float:
        """Return the length in seconds, in a video of `fps` frames per second."""
        return self.value if self.unit == "s" else self.value / fps


@dataclass(frozen=True, slots=True)
class Grid:
    """Snippets of equal length at a fixed stride, in the same unit (otherwise ConfigError).

    Snippet i has its middle at (i + 0.5) * stride: a snippet longer than the stride
    overlaps its neighbours on both sides.
    """

    stride: Span
    length: Span

    def __post_init__(self) -> None:
        if self.stride.unit != self.length.unit:
            raise ConfigError(
                f"stride {self.stride} and length {self.length}: give both in seconds, or both in "
                "frames"
            )

    @classmethod
    def of(cls, spec: FeatureSpec) -> Self:
        """Return the grid of existing features; raise ConfigError if they have none."""
        if spec.stride_seconds is not None:
            stride, unit, length = spec.stride_seconds, "s", spec.length_seconds
        elif spec.stride_frames is not None:
            stride, unit, length = spec.stride_frames, "f", spec.length_frames
        else:
            raise ConfigError("features without a stride: the length of their snippets is unknown")
        return cls(Span(stride, unit), Span(length or stride, unit))

    def settings(self) -> dict[str, Any]:
        """Return the fields for `FeatureSpec`."""
        unit = {"s": "seconds", "f": "frames"}[self.stride.unit]
        return {f"stride_{unit}": self.stride.value, f"length_{unit}": self.length.value}

    def sampling(self, fps: float, frames: int) -> Sampling:
        """Return the times at which `frames` frames per snippet are taken, in a video of `fps`."""
        return Sampling(self.stride.seconds(fps), self.length.seconds(fps), frames)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Times at which the frames of each snippet are taken."""

    stride: float  # seconds
    length: float  # seconds
    frames: int  # per snippet, taken at the middles of equal parts of it

    def time(self, snippet: int, frame: int) -> float:
        """Return the seconds at which a frame of a snippet is taken, with slack for rounding."""
        middle = (snippet + 0.5) * self.stride
        return middle + ((frame + 0.5) / self.frames - 0.5) * self.length + _ROUNDING

    def count(self, end: float) -> int:
        """Return the number of snippets whose middle lies in `end` seconds; at least one."""
        return max(1, math.ceil(end / self.stride - 0.5 - 1e-6))


class Picture(NamedTuple, Generic[P]):
    """A picture of a video, and its number among the drawn ones."""

    number: int
    content: P


Snippet = tuple[Picture[P], ...]


class SnippetSampler(Generic[P]):
    """Sampler of frames, which returns each snippet as soon as its last picture is known.

    A sample is the frame that a player shows at that time; before the first frame, the first one.
    Snippets share pictures: `draw` is called once for each frame that is sampled.
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
                if self._picture is None:
                    self._picture = Picture(self._drawn, self._draw(self._shown))
                    self._drawn += 1
                taken.append(self._picture)
