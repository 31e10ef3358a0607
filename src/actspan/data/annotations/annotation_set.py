"""Annotations as all formats return them, and the file or folder that they are read from."""

from __future__ import annotations

import math
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import Any, Self, TypeVar

import numpy as np

from actspan.config.stages import Unit
from actspan.core.errors import AnnotationError
from actspan.core.files import check_size, read_bytes
from actspan.core.limits import DOCUMENT
from actspan.core.problems import Problem
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.json_objects import compacted, decode, split
from actspan.data.names import composed, file_stem
from actspan.data.videos import Videos, with_labels

# THUMOS14 uses this label for segments that its annotators could not decide. It is not a class.
AMBIGUOUS = "Ambiguous"

Instance = tuple[float, float, str]  # start and end in seconds, label

T = TypeVar("T")
_NEVER_JSON = (".eaf", ".vtt", ".srt", ".textgrid", ".csv", ".tsv", ".txt")
_JSON_START = re.compile(rb'(\xef\xbb\xbf)?\s*(\{\s*["}]|\[\s*[\[\]{"\d-])')


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


class Source:
    """A file or folder of annotations, whose JSON is read only once.

    Properties and `parsed` raise AnnotationError if it cannot be read, or is not JSON.
    """

    def __init__(self, path: Path, *, format_is_given: bool = False) -> None:
        self.path = path
        self._format_is_given = format_is_given  # then the name does not matter

    @cached_property
    def json(self) -> bytes | None:
        """The content as compact JSON; None if neither name nor start suggest that it is JSON."""
        suffix = self.path.suffix.lower()
        is_named = self._format_is_given or suffix in (".json", ".boris")
        if self.path.is_dir() or (suffix in _NEVER_JSON and not is_named):
            return None
        if not is_named and not _starts_as_json(self.path):
            return None
        data = content_of(self.path)
        if not data.strip():
            raise AnnotationError(f"{self.path}: empty; JSON was expected")
        return compacted(data)

    @cached_property
    def object(self) -> tuple[dict[str, Any], list[str]] | None:
        """The parts of a JSON object and its repeated keys, as `split` returns them, or None."""
        return None if self.json is None else self.parsed(split, self.json)

    @cached_property
    def document(self) -> tuple[Any, list[str]]:
        """The decoded JSON, None if it is none, and all repeated keys."""
        return (None, []) if self.json is None else self.parsed(decode, self.json)

    def parsed(self, parse: Callable[[Any], T], part: Any) -> T:
        """Return `parse(part)` for a part of the JSON."""
        try:
            return parse(part)
        except RecursionError as error:
            what = "JSON nested too deeply to be annotations"
            raise AnnotationError(f"{self.path}: {what}") from error
        except ValueError as error:
            raise AnnotationError(f"{self.path}: not valid JSON: {error}") from error

    def has_objects(self, keys: Iterable[str]) -> bool:
        """Return whether it is a JSON object with an object under each of the keys."""
        document = self.document[0]
        return isinstance(document, dict) and all(isinstance(document.get(k), dict) for k in keys)


def _starts_as_json(path: Path) -> bool:
    try:
        check_size(path)
        with path.open("rb") as stream:
            return _JSON_START.match(stream.read(64)) is not None
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}") from error


def content_of(path: Path) -> bytes:
    """Return the content of a file; raise AnnotationError if it cannot be read."""
    try:
        return read_bytes(path, DOCUMENT)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror or error}") from error


def text_of(path: Path, save_as: str = "UTF-8") -> str:
    """Return the text of a file; raise AnnotationError if it cannot be read, or is not UTF-8."""
    data = content_of(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        is_wide = data.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        what = "UTF-16" if is_wide else f"not UTF-8 text (byte {data[error.start]:#04x})"
        raise AnnotationError(f"{path}:{line}: {what}: save it as {save_as}") from error


def canonical_id(name: str) -> str:
    """Return the id that a name stands for.

    A literal `v_`, which some layouts put before every id (bsn.md section 1), is removed. So are
    the folder and suffix of a video file's name. Letters are those of Unicode NFC.
    """
    return file_stem(composed(name)).removeprefix("v_")


def number(value: Any, name: str) -> float:
    """Return a value, or text of one (HACS quotes durations), as a positive number.

    Raises TypeError or ValueError, with `name` in the message, if it is not one.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        found = float(value) if is_number else _decimal(value)
    except (AttributeError, ValueError, OverflowError, TypeError) as error:
        raise TypeError(f"{name!r} is {value!r}, not a number") from error
    if not math.isfinite(found) or found <= 0:
        raise ValueError(f"{name!r} is {value}, not a positive number")
    return found


def _decimal(text: str) -> float:
    if "_" in text:  # Python's float reads 1_000
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def seconds(text: str) -> float:
    """Return a time in seconds from a number, or from a clock such as `1:02:03.5` or `2:03`.

    Raises ValueError if it is neither.
    """
    try:
        values = [_decimal(part) for part in text.strip().split(":")]
    except ValueError:
        values = []
    if not values or len(values) > 3 or not all(math.isfinite(v) for v in values):
        raise ValueError(f"{text!r} is not a time in seconds")
    if len(values) == 1:
        return values[0]
    whole = all(value.is_integer() for value in values[:-1])
    if not whole or min(values) < 0 or max(values[1:]) >= 60:
        raise ValueError(f"{text!r} is not a time of the form 1:02:03.5")
    hours = values[0] if len(values) == 3 else 0.0
    return (hours * 60 + values[-2]) * 60 + values[-1]


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


def possible_mistakes(path: Path, videos: Videos) -> Iterator[str]:
    """Yield notes about instances that occur twice, and labels that are nearly equal."""
    start, end = videos.segments.T
    video = np.repeat(np.arange(len(videos)), videos.counts)
    order = np.lexsort((end, start, video))
    same = np.all([x[order[1:]] == x[order[:-1]] for x in (video, start, end)], axis=0)
    alike = np.union1d(order[:-1][same], order[1:][same]).tolist() if same.any() else ()
    keys = Counter((video.item(i), start.item(i), end.item(i), videos.labels[i]) for i in alike)
    count = keys.total() - len(keys)
    if count:
        names = dict.fromkeys(videos.ids[key[0]] for key, number in keys.items() if number > 1)
        occur = "instances occur" if count > 1 else "instance occurs"
        yield (
            f"{path}: {count:,} {occur} twice, with the same video, times and label: "
            f"{counted(len(names), 'video')} ({listed(names)})"
        )
    variants: dict[str, list[str]] = {}
    for label in dict.fromkeys(videos.labels):
        variants.setdefault(" ".join(composed(label).casefold().split()), []).append(label)
    groups = [" and ".join(map(repr, labels)) for labels in variants.values() if len(labels) > 1]
    if groups:
        yield (
            f"{path}: labels that differ only in capitals, blanks or Unicode form are "
            f"different classes: {listed(groups, 12)}"
        )
