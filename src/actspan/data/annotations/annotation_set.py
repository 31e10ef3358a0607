"""Annotations as all formats return them, and the files and folders that they are read from.

A source's JSON is split into parts that are decoded one at a time: a document of 50,000 videos
takes 100 MB as Python objects, so its entries stay undecoded until they are needed. Decoders keep
one value of a repeated key and do not report the other. msgspec is fast: what it decoded is encoded
again, which gives the compact text that it was decoded from unless a key is repeated. Where the
texts differ (also by escapes or digits), Python's decoder reads every key.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import Any, Self

import msgspec
import numpy as np

from actspan.config.base import NOT_JSON
from actspan.config.stages import Unit
from actspan.core.errors import AnnotationError
from actspan.core.files import check_size, read_bytes
from actspan.core.limits import DOCUMENT
from actspan.core.problems import Problem
from actspan.core.types import Video
from actspan.data.instances import with_labels
from actspan.data.videos import Videos

# THUMOS14 uses this label for segments that its annotators could not decide. It is not a class.
AMBIGUOUS = "Ambiguous"
# Label of instances without one, in tools that need a label. It is read back as no label.
NO_LABEL = "(no label)"

Instance = tuple[float, float, str]  # start and end in seconds, label

_NEVER_JSON = (
    ".eaf", ".vtt", ".srt", ".textgrid", ".edl", ".otio", ".llc", ".csv", ".tsv", ".txt",
)  # fmt: skip
_JSON_START = re.compile(rb'(\xef\xbb\xbf)?\s*(\{\s*["}]|\[\s*[\[\]{"\d-])')

decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


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


class JsonError(ValueError):
    """Text that is not JSON."""


@dataclass
class Source:
    """A file or folder of annotations, whose JSON is read only once.

    Properties raise OSError if it cannot be read, and JsonError or RecursionError if it is not
    valid JSON or is nested too deeply.
    """

    path: Path
    format_is_given: bool = False  # then the name does not matter

    @cached_property
    def json(self) -> bytes | None:
        """Return the content without blanks between values; None unless name or start suggest JSON.

        Invalid JSON, and JSON with NaN, is unchanged.
        """
        suffix = self.path.suffix.lower()
        if self.path.is_dir():
            return None
        is_named = self.format_is_given or suffix in (".json", ".boris")
        if not is_named and (suffix in _NEVER_JSON or not _starts_as_json(self.path)):
            return None
        data = read_bytes(self.path, DOCUMENT)
        if not data.strip():
            raise AnnotationError(f"{self.path}: empty; JSON was expected")
        try:
            return msgspec.json.format(data, indent=-1)
        except NOT_JSON:
            return data

    @cached_property
    def object(self) -> tuple[dict[str, Any], list[str]] | None:
        """Return the parts of a JSON object and its repeated keys, as `split` does, or None."""
        return None if self.json is None else split(self.json)

    @cached_property
    def document(self) -> tuple[Any, list[str]]:
        """Return the decoded JSON, None if it is none, and all repeated keys."""
        return (None, []) if self.json is None else decode(self.json)


def _starts_as_json(path: Path) -> bool:
    check_size(path)
    with path.open("rb") as stream:
        return _JSON_START.match(stream.read(64)) is not None


class _Object(dict[str, Any]):
    """An object of JSON with the first value of each key, and the keys that are repeated."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        super().__init__()
        self.repeated: list[str] = []
        for key, value in pairs:
            if key in self:
                self.repeated.append(key)
            else:
                self[key] = value


def is_object(part: Any) -> bool:
    """Return whether a part is an object."""
    is_raw = isinstance(part, msgspec.Raw)
    return bytes(memoryview(part)[:1]) == b"{" if is_raw else isinstance(part, dict)


def split(part: Any) -> tuple[dict[str, Any], list[str]] | None:
    """Return the parts of an object, and its repeated keys; None if it is not an object.

    `part` is compact JSON, or a part that this returned. The first value of a repeated key is kept.
    Raises JsonError or RecursionError.
    """
    if isinstance(part, (bytes, msgspec.Raw)):
        try:
            parts = decode_object(part)
            if msgspec.json.encode(parts) == memoryview(part):
                return parts, []
        except NOT_JSON:
            pass
        part = _decode_slowly(part)
    return (part, part.repeated) if isinstance(part, _Object) else None


def decode(part: Any) -> tuple[Any, list[str]]:
    """Return the value of a part, and the keys that are repeated in any of its objects.

    Raises JsonError or RecursionError.
    """
    if isinstance(part, (bytes, msgspec.Raw)):
        try:
            value = msgspec.json.decode(part)
            if msgspec.json.encode(value) == memoryview(part):
                return value, []
        except NOT_JSON:
            pass
        part = _decode_slowly(part)
    return part, list(_repeated_keys(part))


def _decode_slowly(data: bytes | msgspec.Raw) -> Any:
    try:
        return json.loads(bytes(data), object_pairs_hook=_Object)
    except ValueError as error:
        raise JsonError(str(error)) from error


def _repeated_keys(value: Any) -> Iterator[str]:
    if isinstance(value, _Object):
        yield from value.repeated
    inner = value.values() if isinstance(value, dict) else value
    for part in inner if isinstance(value, (dict, list)) else ():
        yield from _repeated_keys(part)


def content_of(path: Path) -> bytes:
    """Return the content of a file; raise AnnotationError if it cannot be read."""
    try:
        return read_bytes(path, DOCUMENT)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror or error}") from error


def document_of(path: Path) -> tuple[Any, list[str]]:
    """Return the decoded JSON of a file and all repeated keys; raise AnnotationError if invalid."""
    try:
        return Source(path, format_is_given=True).document
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise AnnotationError(f"{path}: JSON nested too deeply to be annotations") from error
    except JsonError as error:
        raise AnnotationError(f"{path}: not valid JSON: {error}") from error


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
