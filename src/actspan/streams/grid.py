"""Snippet grid: distance and length of snippets, and the times at which they are sampled."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from actspan.config.stages import FeatureSpec
from actspan.core.errors import ConfigError

_ROUNDING = 1e-3  # seconds: some containers have timestamps in whole milliseconds


class Span(NamedTuple):
    """A stretch of time, in seconds or in frames: `0.25s`, `8f`."""

    value: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `0.25s`, `250ms` or `8f`.

        Raises
        ------
        ConfigError
            The text has another form, or the value is not positive.
        """
        found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(s|ms|f)", text.strip().lower())
        value = float(found[1]) if found else 0.0
        if found is None or value <= 0:
            raise ConfigError(
                f"{text!r} is no stretch of time: give seconds (0.25s) or frames (8f)"
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
    """Snippets of equal length at a fixed stride.

    Snippet i has its middle at (i + 0.5) * stride: a snippet longer than the stride
    overlaps its neighbours on both sides.

    Attributes
    ----------
    stride, length : Span
        Both in the same unit.

    Raises
    ------
    ConfigError
        Units differ.
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
        """Return the grid of existing features.

        Raises
        ------
        ConfigError
            The features have no grid.
        """
        if spec.stride_seconds is not None:
            stride, unit, length = spec.stride_seconds, "s", spec.length_seconds
        elif spec.stride_frames is not None:
            stride, unit, length = spec.stride_frames, "f", spec.length_frames
        else:
            raise ConfigError("features without a stride: nothing says which snippets they want")
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
    """Times at which the frames of each snippet are taken.

    Attributes
    ----------
    stride, length : float
        Seconds.
    frames : int
        Number of frames per snippet, taken at the middles of equal parts of it.
    """

    stride: float
    length: float
    frames: int

    def time(self, snippet: int, frame: int) -> float:
        """Return the seconds at which a frame of a snippet is taken, with slack for rounding."""
        middle = (snippet + 0.5) * self.stride
        return middle + ((frame + 0.5) / self.frames - 0.5) * self.length + _ROUNDING

    def count(self, end: float) -> int:
        """Return the number of snippets whose middle lies in `end` seconds; at least one."""
        return max(1, math.ceil(end / self.stride - 0.5 - 1e-6))
