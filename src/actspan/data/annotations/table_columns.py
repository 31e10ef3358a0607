"""Meanings of a table's columns: by their names, by the user, or by their content."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from actspan.config.stages import Unit
from actspan.core.errors import AnnotationError
from actspan.core.wording import listed, suggestion
from actspan.data.annotations.annotation_set import ReadOptions
from actspan.data.annotations.fields import (
    LABEL_NUMBERS,
    NAMES,
    TIMES,
    find_times,
    normalized,
    place_of,
    seconds,
)

_WEAK_LABELS = NAMES["label"][NAMES["label"].index("phase") :]  # these may also describe a video
# Roles of BORIS's columns: with POINT for events without a length, and of observations.
_TOOL_ROLES = {"kind": "behaviortype", "session": "observationid"}
_POSITIONS = ("video", "start", "end", "label", "subset", "duration", "fps")
_LISTED = 200  # columns that an error message lists
_CONVERTED = {
    "milliseconds": "milliseconds by their names: converted to seconds",
    "frames": "frame numbers by their names: divided by the frame rate",
}
_SAMPLE = 10_000  # rows that are examined to find out what a column means
_SECONDS = {"seconds": 1.0, "milliseconds": 0.001, "frames": math.nan}  # per unit


@dataclass(slots=True)
class Columns:
    """Roles of the columns of a table."""

    path: Path
    places: dict[str, int]  # indices by role
    head: tuple[str, ...] = ()  # names of all columns; empty without a header
    labels: tuple[int, ...] = ()  # all columns that could be the label, most likely first
    unit: Unit = "seconds"  # of start and end, by their names
    given: Iterable[str] = ()  # roles that the user named; content is not questioned
    notes: list[str] = field(default_factory=list)  # what was assumed
    noted: set[int] = field(default_factory=set)  # columns that the notes name

    @property
    def has_times(self) -> bool:
        """Return whether rows are segments."""
        return self.places.keys() >= set(TIMES)

    def name(self, place: int | str) -> str:
        """Return the name of a column, given by its index or role, for messages."""
        index = self.places[place] if isinstance(place, str) else place
        return repr(self.head[index]) if self.head else str(index + 1)

    def note(self, what: str, *noted: int) -> None:
        """Add a note, and the columns that it names."""
        self.notes.append(f"{self.path}: {what}")
        self.noted.update(noted)

    def ignored(self, used: set[int]) -> list[str]:
        """Return the names of the other columns, which have no role and are in no note."""
        used |= self.noted.union(i for role, i in self.places.items() if role != "session")
        return [name for i, name in enumerate(self.head) if name and i not in used]


def time_of(text: str) -> float:
    """Return a time in seconds, or NaN if the text is not a time."""
    try:
        return seconds(with_point(text))
    except ValueError:
        return math.nan


def with_point(text: str) -> str:
    """Return a number with a decimal point instead of a decimal comma."""
    return text.replace(",", ".") if text.count(",") == 1 and "." not in text else text


def is_header(path: Path, head: Sequence[str], given: Mapping[str, str]) -> bool:
    """Return whether a line is a header with the columns of segments or events."""
    if not all(name in head for name in given.values()):
        return False
    columns = _by_name(path, head, given)
    return "video" in columns.places and (columns.has_times or "time" in map(normalized, head))


def find_columns(path: Path, head: Sequence[str], options: ReadOptions) -> Columns:
    """Return the columns of a header, or of a first row of values.

    Raises AnnotationError if a given or a required column is missing; the message lists all.
    """
    columns = _by_name(path, head, options.columns)
    if _is_sufficient(columns):
        return columns
    needed = ("video", "duration") if options.only_facts else ("video", *TIMES)
    missing = [role for role in needed if role not in columns.places]
    names = listed(map(repr, head), _LISTED)
    absent = f"not found: {', '.join(map(repr, missing))}; available: {names}"
    if options.only_facts:
        if not missing:
            return columns
        raise AnnotationError(
            f"{path}: columns 'video' and 'duration' are needed; {absent}. Rename the column: "
            "video_duration, duration, length or seconds is read as the duration, video or name as "
            "the id; or pass --duration-column NAME to annotate convert"
        )
    if not options.columns and len(head) >= 3 and all(time_of(cell) >= 0 for cell in head[1:3]):
        columns = Columns(path, {role: i for i, role in enumerate(_POSITIONS[: len(head)])})
        columns.note(f"no header; columns read as {','.join(columns.places)}")
        return columns
    flags = ", ".join(f"--{role}-column NAME" for role in missing)
    raise AnnotationError(
        f"{path}: columns for 'video', 'start' and 'end' are needed; {absent}. Rename columns, or "
        f"pass {flags}; times are seconds or clocks, or milliseconds or frames where the names of "
        "their columns say so (start_ms, start_frame)"
    )


def _by_name(path: Path, head: Sequence[str], given: Mapping[str, str]) -> Columns:
    names = [normalized(cell) for cell in head]
    places = {}
    for role, name in given.items():
        place = head.index(name) if name in head else place_of(names, [normalized(name)])
        if place is None:
            listed_names = listed(map(repr, head), _LISTED)
            what = f"no column {name!r}{suggestion(name, head)}; available: {listed_names}"
            raise AnnotationError(f"{path}: {what}")
        places[role] = place
    unit, times = find_times(head, places) or ("seconds", {})
    if not times and places.keys() >= set(TIMES):
        raise AnnotationError(
            f"{path}: columns {given['start']!r} and {given['end']!r} are of different units by "
            "their names: rename one of them"
        )
    places |= times
    for role, known in NAMES.items():
        indices = (names.index(name) for name in known if name in names)
        index = next((i for i in indices if i not in places.values()), None)
        if role not in places and index is not None:
            places[role] = index
    candidates = [names.index(n) for n in (*NAMES["label"], *LABEL_NUMBERS) if n in names]
    others = {place for role, place in places.items() if role != "label"}
    labels = tuple(i for i in dict.fromkeys(candidates) if i not in others)
    if labels:
        places.setdefault("label", labels[0])
    places |= {role: names.index(name) for role, name in _TOOL_ROLES.items() if name in names}
    columns = Columns(path, places, tuple(head), labels, unit, given)
    if unit != "seconds":
        columns.note(f"columns {' and '.join(map(columns.name, TIMES))} are {_CONVERTED[unit]}")
    return columns


def _is_sufficient(columns: Columns) -> bool:
    """Return whether rows can be read as segments, or as facts about videos."""
    places = columns.places
    if "video" not in places:
        return False
    if places.keys() & set(TIMES):
        return columns.has_times
    label = columns.head[places["label"]] if "label" in places else ""
    if label and normalized(label) not in _WEAK_LABELS:
        return False  # labelled rows have times, under unknown names
    names = {normalized(name) for name in columns.head}
    counts_frames = not names.isdisjoint((*NAMES["frames"], "count"))
    has_rate = not names.isdisjoint(NAMES["fps"])
    return bool(places.keys() & {"duration", "subset"}) or (has_rate and counts_frames)


def resolve_columns(columns: Columns, rows: Iterable[Sequence[str]]) -> None:
    """Find the label column, and whether durations are those of videos, from the content.

    `rows` are those below the header; they are not read if the names are sufficient.
    """
    places = columns.places
    if not columns.has_times:  # a table of facts has no labels, and `count` means frames
        places.pop("label", None)
        count = place_of([normalized(name) for name in columns.head], ["count"])
        if count is not None:
            places.setdefault("frames", count)
        return
    lengths = [r for r in ("duration", "frames") if r in places and r not in columns.given]
    candidates = () if "label" in columns.given else columns.labels
    content: dict[int, list[str]] = {i: [] for i in {*candidates, *places.values()}}
    if lengths or candidates:
        for cells in islice(rows, _SAMPLE):
            for i, column in content.items():
                column.append(cells[i] if i < len(cells) else "")
    for role in lengths:
        if _is_of_segments(columns, role, content):
            what = "is the length of segments, and not used as the video's"
            columns.note(f"column {columns.name(role)} {what}", places.pop(role))
    if candidates:
        _find_label(columns, {i: content[i] for i in candidates})
    elif "label" not in places and columns.head:
        what = "no column of labels is known by name, so instances have none"
        columns.note(f"{what}; --label-column names it")


def _find_label(columns: Columns, content: Mapping[int, Sequence[str]]) -> None:
    """Choose the label: the first column of words, or the first filled one."""
    filled = {i: list(filter(None, texts)) for i, texts in content.items()}
    numbers = {i: [t for t in texts if math.isfinite(time_of(t))] for i, texts in filled.items()}
    words = {i: len(texts) - len(numbers[i]) for i, texts in filled.items()}
    first = next((i for i in filled if filled[i]), columns.labels[0])
    common = (i for i, texts in content.items() if 2 * words[i] > len(texts))
    chosen = first if 2 * words[first] > len(filled[first]) else next(common, first)
    columns.places["label"] = chosen
    rivals = []
    for i in columns.labels:
        key = normalized(columns.head[i])
        is_verdict = key == "label" and numbers[i] and not words[i] and {*numbers[i]} <= {"1", "-1"}
        if i != chosen and is_verdict:  # HACS Clips: -1 marks a clip of no class
            columns.places["verdict"] = i
        elif i != chosen and key not in LABEL_NUMBERS:
            rivals.append(i)
    name = columns.name(chosen)
    if rivals:
        names = " or ".join(map(columns.name, rivals))
        columns.note(f"the label is column {name}; it could be {names} (--label-column)", *rivals)
    if numbers[chosen] and 2 * words[chosen] <= len(filled[chosen]):
        columns.note(f"labels are numbers (column {name})")


def _is_of_segments(columns: Columns, role: str, content: Mapping[int, Sequence[str]]) -> bool:
    """Return whether durations or frame counts belong to segments, and not to videos.

    A video lasts at least until its last segment's end, so it exceeds end - start by the start.
    Lengths of segments also vary within a video.
    """
    scale = 1.0 if role == "frames" else _SECONDS[columns.unit]
    texts = (content[columns.places[name]] for name in ("video", *TIMES, role))
    rows = [
        (video, time_of(start) * scale, time_of(end) * scale, time_of(length))
        for video, start, end, length in zip(*texts, strict=True)
    ]
    rows = [row for row in rows if math.isfinite(sum(row[1:]))]
    counts = Counter(video for video, *_ in rows)
    distinct = Counter(video for video, _ in {(video, length) for video, _, _, length in rows})
    varied = sum(n > 1 for n in distinct.values())
    difference = max((abs(end - start - length) for _, start, end, length in rows), default=0.0)
    latest_start = max((start for _, start, *_ in rows), default=0.0)
    if role == "frames":
        is_close = columns.unit == "frames" and difference <= 1 and latest_start > 2
        return is_close or 2 * varied > sum(n > 1 for n in counts.values())
    short = sum(length < end for _, _, end, length in rows)
    equal = any(difference <= x and latest_start > 2 * x for x in (0.011, 0.51))
    return equal or (varied > 0 and 2 * short > len(rows))
