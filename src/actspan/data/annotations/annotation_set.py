"""Annotations as all formats return them, and videos as all formats write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from sys import intern
from typing import Any, Self

import numpy as np

from actspan.config.stages import Unit
from actspan.core.errors import AnnotationError
from actspan.core.problems import Problem
from actspan.core.types import Video
from actspan.data.data_requests import UNLABELLED
from actspan.data.instances import with_labels
from actspan.data.videos import Videos

# THUMOS14 uses this label for segments that its annotators could not decide. It is not a class.
AMBIGUOUS = "Ambiguous"
FPS = 25.0  # default frames per second, for formats that count frames

Instance = tuple[float, float, str]  # start and end in seconds, label
ScoredInstance = tuple[float, float, str, float | None]  # seconds, label, score

_LONGEST_NAME = 150  # bytes of a file's name before its suffix; file systems allow 255 in all
_NOT_IN_NAMES = re.compile(r"[^\w .()+,=@-]")
# Names that Windows reserves for devices, with any suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
# Characters that XML 1.0 cannot contain, not even as a character reference.
_NOT_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Annotations:
    """Videos of one source, in its order and as annotated, and the problems found in it."""

    path: Path
    format: str  # a key of `FORMATS`
    videos: Videos
    problems: tuple[Problem, ...] = ()  # entries and rows that could not be read, repeated ids
    # Content of a JSON document beside its videos (version, taxonomy), kept for writing.
    document: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what was assumed or ignored
    unit: Unit = "seconds"  # unit of the source's times, if the reader converted them
    # Which of "times" and "durations" the source writes as clocks (0:01), which are seconds.
    clocks: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)

    def with_labels(self, patterns: Iterable[str]) -> Self:
        """Return the annotations with the instances whose labels match a pattern.

        Raises AnnotationError if a pattern matches no label.
        """
        return replace(self, videos=with_labels(self.videos, patterns))


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Facts from the user that the reader of a format may need."""

    fps: float | None = None  # of videos that do not give their own, if times are frame numbers
    tiers: tuple[str, ...] = ()  # patterns of the tiers to read; all by default
    # Names of a table's columns by role ("video", "label", ...); found by name by default.
    columns: Mapping[str, str] = field(default_factory=dict)
    will_clip: bool = False  # segments may start before their video, because they will be clipped
    only_facts: bool = False  # durations, subsets and rates of videos are needed, and no segments


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Settings for writing annotations, where a format leaves a choice."""

    # Content to write beside the videos, if a format allows it: version, taxonomy.
    document: Mapping[str, Any] = field(default_factory=dict)
    # Returns the link to a video: an address, or a path relative to the written files.
    media: Callable[[Video], str] | None = None
    fps: float = FPS  # of videos that do not give their own, if times are frame numbers


def make_video(name: str, instances: Iterable[Instance], **facts: Any) -> Video:
    """Return a video with these instances; ambiguous ones become its ignored segments."""
    rows = list(instances)
    kept = [row for row in rows if row[2] != AMBIGUOUS]
    return Video(
        id=name,
        segments=np.array([row[:2] for row in kept], dtype=np.float64),
        labels=tuple(intern(label) for _, _, label in kept),
        ignored=np.array([row[:2] for row in rows if row[2] == AMBIGUOUS], dtype=np.float64),
        **facts,
    )


def scored_instances(video: Video) -> Iterator[ScoredInstance]:
    """Yield instances with their scores, then the ignored segments, labelled `Ambiguous`."""
    scores = [None] * len(video.segments) if video.scores is None else video.scores.tolist()
    for (start, end, label), score in zip(video.instances(), scores, strict=True):
        yield start, end, label, score
    for start, end in video.ignored.tolist():
        yield start, end, AMBIGUOUS, None


def labelled_instances(video: Video) -> Iterator[ScoredInstance]:
    """Yield `scored_instances` with a label each, for tools that need one.

    Raises AnnotationError if an id, a subset or a label has a control character or half a surrogate
    pair, which no text file can contain.
    """
    texts = [("id", video.id), ("subset", video.subset), *(("label", x) for x in video.labels)]
    for what, text in texts:
        if bad := _NOT_TEXT.search(text):
            raise AnnotationError(
                f"video {video.id!r}: {what} {text!r} holds {bad.group()!r}, which this format "
                "cannot contain: rename it"
            )
    for start, end, label, score in scored_instances(video):
        yield start, end, label.strip() or UNLABELLED, score


def milliseconds(start: float, end: float) -> tuple[int, int]:
    """Return a segment in whole milliseconds, at least one long."""
    first = round(start * 1000)
    return first, max(round(end * 1000), first + 1)


def named_files(videos: Sequence[Video], suffix: str) -> Iterator[tuple[str, Video]]:
    """Yield a file name per video: its id, with `_` for characters that could form a path.

    Raises AnnotationError if two ids give the same name on some file system.
    """
    taken: dict[str, str] = {}  # ids by names without case, which some file systems ignore
    for video in videos:
        text = _NOT_IN_NAMES.sub("_", unicodedata.normalize("NFC", video.id))
        text = text.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
        text = text.strip(" ").rstrip(" .")  # Windows drops these
        is_special = not text or text.startswith(".") or _DEVICES.match(text)
        name = f"_{text}{suffix}" if is_special else text + suffix
        if (key := name.casefold()) in taken:
            raise AnnotationError(
                f"videos {taken[key]!r} and {video.id!r} would both be written to {name!r}: rename "
                "one of them"
            )
        taken[key] = video.id
        yield name, video
