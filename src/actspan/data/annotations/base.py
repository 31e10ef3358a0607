"""Annotations as all formats return them: ids, times, instances, videos."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from sys import intern
from typing import Any, Literal, Self

import numpy as np

from actspan.core.problems import Problem, Skipped
from actspan.core.types import Video
from actspan.data.names import composed, file_stem
from actspan.data.videos import Videos, with_labels

# THUMOS14 uses this label for segments that its annotators could not decide. It is not a class.
AMBIGUOUS = "Ambiguous"


Unit = Literal["seconds", "milliseconds", "frames"]
Instance = tuple[float, float, str]  # start and end in seconds, label


@dataclass(frozen=True, slots=True)
class Annotations:
    """Videos of one source, and the problems found in it.

    Attributes
    ----------
    path : Path
        The file or folder they were read from.
    format : str
        Name of its format: "activitynet", "authors", "csv", ...
    videos : Videos
        In the source's order; segments as annotated.
    problems : tuple of Problem
        Entries and rows that could not be read, repeated ids.
    document : mapping
        Content of a JSON document beside its videos (version, taxonomy), kept for writing.
    notes : tuple of str
        Assumptions, for people to read.
    unit : "seconds", "milliseconds" or "frames"
        Unit of the source's times, if the reader converted them.
    clocks : frozenset of str
        Values that the source writes as clocks (0:01), in seconds: "times", "durations".
    """

    path: Path
    format: str
    videos: Videos
    problems: tuple[Problem, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unit: Unit = "seconds"
    clocks: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)

    def with_labels(self, patterns: Iterable[str]) -> Self:
        """Return the annotations with the instances whose labels match a pattern.

        Raises
        ------
        AnnotationError
            A pattern matches no label.
        """
        return replace(self, videos=with_labels(self.videos, patterns))


@dataclass(frozen=True, slots=True)
class Hints:
    """Facts from the user that the reader of a format may need.

    Attributes
    ----------
    fps : float, optional
        Frames per second of videos that do not give their own, if times are frame numbers.
    tiers : tuple of str
        Patterns of the tiers to read, if a format has tiers; all by default.
    columns : mapping
        Names of a table's columns by role ("video", "label", ...); found by name by default.
    will_clip : bool
        Whether segments that start before their video will be clipped, and are not refused.
    only_facts : bool
        Whether only durations, subsets and rates of videos are needed, and no segments.
    """

    fps: float | None = None
    tiers: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    will_clip: bool = False
    only_facts: bool = False


def canonical_id(name: str) -> str:
    """Return the id that a name stands for.

    A literal `v_`, which some layouts put before every id (bsn.md section 1), is removed. So are
    the folder and suffix of a video file's name. Letters are those of Unicode NFC.
    """
    return file_stem(composed(name)).removeprefix("v_")


def written_id(name: str) -> str:
    """Return an id in the format in which reading it gives the same id."""
    return f"v_{name}" if name.startswith("v_") else name


def number(value: Any, name: str) -> float:
    """Return a value as a positive number; it may be text (HACS quotes durations).

    Raises
    ------
    TypeError, ValueError
        It is not a positive number; `name` is in the message.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"{name!r} is {value!r}, not a number")
    try:
        found = decimal(value) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError) as error:
        raise TypeError(f"{name!r} is {value!r}, not a number") from error
    if not math.isfinite(found) or found <= 0:
        raise ValueError(f"{name!r} is {value}, not a positive number")
    return found


def decimal(text: str) -> float:
    """Return the number in a text; raise ValueError for others and for Python's `1_000`."""
    if "_" in text:
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def seconds(text: str) -> float:
    """Return a time in seconds from a number, or from a clock such as `1:02:03.5` or `2:03`.

    Raises
    ------
    ValueError
        It is neither.
    """
    parts = text.strip().split(":")
    try:
        values = [decimal(part) for part in parts]
    except ValueError:
        values = []
    if not values or len(values) > 3 or not all(math.isfinite(v) for v in values):
        raise ValueError(f"{text!r} is not a time in seconds")
    if len(values) > 1 and not _is_clock(values):
        raise ValueError(f"{text!r} is not a time of the form 1:02:03.5")
    total = 0.0
    for value in values:
        total = total * 60 + value
    return total


def _is_clock(values: Sequence[float]) -> bool:
    """Return whether hours, minutes and seconds are in range, and only the last has decimals."""
    whole = all(value.is_integer() for value in values[:-1])
    return whole and min(values) >= 0 and max(values[1:]) < 60


def check_segment(start: float, end: float, *, may_be_early: bool = False) -> None:
    """Raise ValueError unless a segment starts within the video and has a positive length."""
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ValueError(f"segment [{start:g}, {end:g}]: not finite")
    if start < 0 and not may_be_early:
        raise ValueError(f"segment [{start:g}, {end:g}]: starts before the video")
    if end <= start:
        what = "zero length" if end == start else "ends before it starts"
        raise ValueError(f"segment [{start:g}, {end:g}]: {what}")


def make_video(name: str, instances: Iterable[Instance], **facts: Any) -> Video:
    """Return a video with these instances; ambiguous ones become its ignored segments."""
    kept, ignored = [], []
    for start, end, label in instances:
        if label == AMBIGUOUS:
            ignored.append((start, end))
        else:
            kept.append((start, end, label))
    return Video(
        id=name,
        segments=np.array([(s, e) for s, e, _ in kept], dtype=np.float64),
        labels=tuple(intern(label) for _, _, label in kept),
        ignored=np.array(ignored, dtype=np.float64),
        **facts,
    )


def written_instances(video: Video) -> Iterator[Instance]:
    """Yield instances as formats write them; ignored segments come last, labelled `Ambiguous`."""
    yield from video.instances()
    for start, end in video.ignored.tolist():
        yield start, end, AMBIGUOUS


def repeated_id(name: str, path: Path) -> Problem:
    """Return the problem that an id is listed twice; the first entry is kept."""
    remedy = "keep one entry per id"
    return Problem(canonical_id(name), str(path), "id listed twice", remedy, Skipped.ENTRY)
