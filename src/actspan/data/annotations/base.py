"""What every form of annotations has in common: ids, subsets, the table of findings, bad rows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from actspan.data.annotations.undecoded import NotPlainError, UndecodedObject
from actspan.data.filenames import FileNames, file_stem
from actspan.data.labels import with_labels
from actspan.data.problems import Loss, Problem
from actspan.data.videos import Videos
from actspan.errors import AnnotationError
from actspan.files import check_size, read_bytes
from actspan.limits import DOCUMENT
from actspan.types import Video

# THUMOS14 marks with this label what its annotators could not decide; it is not a class
AMBIGUOUS = "Ambiguous"

_OTHER_SUFFIXES = (".eaf", ".vtt", ".srt", ".textgrid", ".csv", ".tsv", ".txt")  # never JSON
_JSON_START = re.compile(rb'\s*(\{\s*["}]|\[\s*[\[\]{"\d-])')

Unit = Literal["seconds", "milliseconds", "frames"]
Instance = tuple[float, float, str]  # start and end in seconds, label


@dataclass(frozen=True, slots=True)
class Annotations:
    """Videos of one source, and what was wrong with it.

    Attributes
    ----------
    path : Path
        The file or folder they were read from.
    form : str
        Name of its form: "activitynet", "authors", "csv", ...
    videos : Videos
        In the source's order; segments as annotated.
    problems : tuple of Problem
        Entries and rows that could not be read, repeated ids.
    document : mapping
        What a JSON document says beside its videos (version, taxonomy), kept for writing.
    assumptions : tuple of str
        What was taken for granted, for people to read.
    unit : "seconds", "milliseconds" or "frames"
        Of the source's times, where the reader converted them.
    """

    path: Path
    form: str
    videos: Videos
    problems: tuple[Problem, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    unit: Unit = "seconds"

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)

    def with_labels(self, patterns: Iterable[str]) -> Self:
        """Keep the instances whose labels match a pattern; see `actspan.data.labels`.

        Raises
        ------
        AnnotationError
            A pattern matches no label.
        """
        return replace(self, videos=with_labels(self.videos, patterns))


@dataclass(frozen=True, slots=True)
class Hints:
    """What the reader of a form may need to be told.

    Attributes
    ----------
    fps : float, optional
        Frames a second of videos that do not say theirs, where times are frame numbers.
    tiers : tuple of str
        Patterns of the tiers to read, where a form has tiers; all unless given.
    columns : mapping
        Names of a table's columns by role ("video", "label", ...); by their names unless given.
    """

    fps: float | None = None
    tiers: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


class Parsed(NamedTuple):
    """A JSON document, and the keys that stand twice in one of its objects."""

    document: Any
    repeated: list[str]


class Source:
    """A file or folder of annotations; it is read once.

    Parameters
    ----------
    path : Path
    form_is_told : bool
        Whether the user says its form, so that its name shall not decide.
    """

    def __init__(self, path: Path, *, form_is_told: bool = False) -> None:
        self.path, self._form_is_told = path, form_is_told

    @cached_property
    def json(self) -> Parsed:
        """Its content as JSON.

        Raises
        ------
        AnnotationError
            It cannot be read, or is not JSON.
        """
        return _parse_json(self.path, self._data)

    @cached_property
    def undecoded(self) -> UndecodedObject | None:
        """Its content as a JSON object that is decoded in parts; None where it is none.

        Raises
        ------
        AnnotationError
            It cannot be read.
        """
        try:
            return UndecodedObject(self._data)
        except NotPlainError:
            return None

    @property
    def _starts_as_json(self) -> bool:
        try:
            check_size(self.path)
            with self.path.open("rb") as stream:
                start = stream.read(64)
        except OSError as error:
            raise AnnotationError(f"{self.path}: cannot be read: {error.strerror}") from error
        return _JSON_START.match(start.removeprefix(b"\xef\xbb\xbf")) is not None

    @cached_property
    def _data(self) -> bytes:
        try:
            return read_bytes(self.path, DOCUMENT)
        except OSError as error:
            raise AnnotationError(f"{self.path}: cannot be read: {error.strerror}") from error

    @cached_property
    def may_be_json(self) -> bool:
        """Whether to read it as JSON: its form is told, or its name or start is that of JSON."""
        suffix = self.path.suffix.lower()
        if self.path.is_dir() or (suffix in _OTHER_SUFFIXES and not self._form_is_told):
            return False
        return self._form_is_told or suffix in (".json", ".boris") or self._starts_as_json


def _parse_json(path: Path, data: bytes) -> Parsed:
    repeated: list[str] = []

    def keep_first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        made = {}
        for key, value in pairs:
            if key in made:
                repeated.append(key)
            made.setdefault(key, value)
        return made

    try:
        return Parsed(json.loads(data, object_pairs_hook=keep_first), repeated)
    except RecursionError as error:
        raise AnnotationError(f"{path}: JSON nested too deeply to be annotations") from error
    except ValueError as error:  # bad syntax, bad UTF-8, an integer of thousands of digits
        raise AnnotationError(f"{path}: not valid JSON: {error}") from error


def canonical_id(name: str) -> str:
    """Return the id that a name stands for.

    A literal `v_`, which some layouts put before every id (bsn.md section 1), is dropped. So are
    folder and suffix of a video file's name.
    """
    return file_stem(name).removeprefix("v_")


def written_id(name: str) -> str:
    """An id as it has to be written, so that reading it back gives the same id."""
    return f"v_{name}" if name.startswith("v_") else name


def number(value: Any, name: str) -> float:
    """Check that a value is a positive number, or text that is one (HACS quotes durations).

    Raises
    ------
    TypeError, ValueError
        It is not; `name` is in the message.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"{name!r} is {value!r}, not a number")
    try:
        found = float(value)
    except (ValueError, OverflowError) as error:
        raise TypeError(f"{name!r} is {value!r}, not a number") from error
    if not math.isfinite(found) or found <= 0:
        raise ValueError(f"{name!r} is {value}, not a positive number")
    return found


def seconds(text: str) -> float:
    """Read a time: seconds, or a clock as `1:02:03.5` or `2:03`.

    Raises
    ------
    ValueError
        It is neither.
    """
    parts = text.strip().split(":")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if not values or len(values) > 3 or not all(math.isfinite(v) for v in values):
        raise ValueError(f"{text!r} is not a time in seconds")
    if len(values) > 1 and min(values) < 0:
        raise ValueError(f"{text!r} is not a time of the form 1:02:03.5")
    total = 0.0
    for value in values:
        total = total * 60 + value
    return total


def check_segment(start: float, end: float) -> None:
    """Raise ValueError unless a segment starts in the video and has a length."""
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ValueError(f"segment [{start:g}, {end:g}]: not finite")
    if start < 0:
        raise ValueError(f"segment [{start:g}, {end:g}]: starts before the video")
    if end <= start:
        what = "zero length" if end == start else "ends before it starts"
        raise ValueError(f"segment [{start:g}, {end:g}]: {what}")


def make_video(name: str, instances: Iterable[Instance], **facts: Any) -> Video:
    """Make a video of its instances; ambiguous ones become stretches that are ignored."""
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
    """Instances as a form writes them: what is ignored comes last, labelled `Ambiguous`."""
    yield from video.instances()
    for start, end in video.ignored.tolist():
        yield start, end, AMBIGUOUS


def repeated_id(name: str, path: Path) -> Problem:
    """The finding that an id is there twice; the first entry is kept."""
    remedy = "keep one entry per id"
    return Problem(canonical_id(name), str(path), "id listed twice", remedy, Loss.FILE)


class Facts(NamedTuple):
    """What a row may say of its video beside a segment."""

    duration: float | None = None
    subset: str | None = None
    fps: float | None = None
    frames: int | None = None


class Rows:
    """Videos that are put together from rows, in order of first mention.

    A row is used as a whole or not at all: what is wrong with it is a finding with its place.
    """

    def __init__(self) -> None:
        self._facts: dict[str, dict[str, Any]] = {}
        self._instances: dict[str, list[Instance]] = {}
        self._ids: dict[str, str] = {}  # by the names that rows give them
        self._files = FileNames()
        self.problems: list[Problem] = []

    def __contains__(self, name: str) -> bool:
        return canonical_id(name) in self._facts

    def add(self, name: str, instance: Instance | None = None, facts: Facts | None = None) -> None:
        """Take a row up: a segment of a video, or None for a mention of the video alone.

        Raises
        ------
        ValueError
            The row has no video, a segment without length, or contradicts an earlier row.
        """
        name = self._ids.get(name) or self._id_of(name)
        if not name:
            raise ValueError("no video id")
        if instance is not None:
            check_segment(*instance[:2])
        said = {k: v for k, v in (facts or Facts())._asdict().items() if v is not None}
        known = self._facts.get(name, {})
        for key, value in said.items():
            if known.get(key, value) != value:
                raise ValueError(f"{key} {value!r}, but {known[key]!r} in an earlier row")
        self._facts.setdefault(name, {}).update(said)
        self._instances.setdefault(name, [])
        if instance is not None:
            self._instances[name].append(instance)

    def _id_of(self, name: str) -> str:
        found = canonical_id(self._files.stem(name.strip()))
        self._ids[name] = found
        return found

    def refuse(self, video: str, where: str, what: object, loss: Loss = Loss.SEGMENT) -> None:
        """Note that a row, or a whole file, cannot be used."""
        remedy = "fix or remove the row" if loss is Loss.SEGMENT else "fix or remove it"
        self.problems.append(Problem(canonical_id(video.strip()), where, str(what), remedy, loss))

    def notes(self, where: object) -> tuple[str, ...]:
        """Return lines about ids that were shortened."""
        return self._files.notes(where)

    def videos(self) -> Videos:
        """All videos that were mentioned in a row that could be used."""
        return Videos(
            make_video(name, self._instances[name], **{"duration": math.nan, "subset": "", **facts})
            for name, facts in self._facts.items()
        )
