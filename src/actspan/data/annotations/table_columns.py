"""Columns of a table, found by their names or named by the user."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actspan.config.stages import Unit
from actspan.core.errors import AnnotationError
from actspan.core.wording import listed, suggestion
from actspan.data.annotations.annotation_set import ReadOptions, seconds
from actspan.data.annotations.role_names import (
    LABEL_NUMBERS,
    NAMES,
    TIMES,
    find_times,
    normalized,
)

_WEAK_LABELS = NAMES["label"][NAMES["label"].index("phase") :]  # these may also describe a video
_POSITIONS = ("video", "start", "end", "label", "subset", "duration", "fps")
_BLANKS = {"na", "n/a", "nan", "none", "null", "-"}
_LISTED = 200  # columns that an error message lists
_CONVERTED = {
    "milliseconds": "milliseconds by their names: converted to seconds",
    "frames": "frame numbers by their names: divided by the frame rate",
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Roles of the columns of a table."""

    places: Mapping[str, int]  # indices by role
    head: tuple[str, ...] = ()  # names of all columns; empty without a header
    labels: tuple[int, ...] = ()  # all columns that could be the label, most likely first
    unit: Unit = "seconds"  # of start and end, by their names
    given: frozenset[str] = frozenset()  # roles that the user named; content is not questioned
    verdict: int | None = None  # of 1 and -1, where -1 marks a clip of no class (HACS Clips)
    kind: int | None = None  # with POINT for events without a length (BORIS)
    session: int | None = None  # of observations (BORIS)
    notes: tuple[str, ...] = ()  # what was assumed
    noted: frozenset[int] = frozenset()  # columns that the notes name

    @property
    def has_times(self) -> bool:
        """Whether rows are segments."""
        return self.places.keys() >= set(TIMES)

    def name(self, place: int | str) -> str:
        """Return the name of a column, given by its index or role, for messages."""
        index = self.places[place] if isinstance(place, str) else place
        return repr(self.head[index]) if self.head else str(index + 1)

    def with_note(self, note: str, *noted: int) -> Columns:
        """Return the columns with one more note, and the columns that the note names."""
        return replace(self, notes=(*self.notes, note), noted=self.noted.union(noted))

    def ignored(self) -> list[str]:
        """Return the names of the columns that have no role and are in no note."""
        used = {*self.places.values(), *self.noted, self.verdict, self.kind}
        return [name for i, name in enumerate(self.head) if name and i not in used]


def is_blank(text: str) -> bool:
    """Return whether a number's cell is empty, or marked as empty by a spreadsheet or R."""
    return not text or text.lower() in _BLANKS


def with_point(text: str) -> str:
    """Return a number with a decimal point instead of a decimal comma."""
    return text.replace(",", ".") if text.count(",") == 1 and "." not in text else text


def time_of(text: str) -> float:
    """Return a time in seconds, or NaN if the text is not a time."""
    try:
        return seconds(with_point(text))
    except ValueError:
        return math.nan


def find_columns(path: Path, head: Sequence[str], options: ReadOptions) -> Columns:
    """Return the columns of a header, or of a first row of values.

    Raises AnnotationError if a given or a required column is missing; the message lists all.
    """
    given = options.columns
    found = columns_by_name(path, head, given)
    if _is_sufficient(found):
        return found
    needed = ("video", "duration") if options.only_facts else ("video", *TIMES)
    missing = [role for role in needed if role not in found.places]
    absent = f"not found: {', '.join(map(repr, missing))}; there are: {_listed(head)}"
    if options.only_facts:
        if not missing:
            return found
        raise AnnotationError(
            f"{path}: columns 'video' and 'duration' are needed; {absent}. Rename the column: "
            "video_duration, duration, length or seconds is read as the duration, video or name as "
            "the id; or pass --duration-column NAME to annotate convert"
        )
    if not given and len(head) >= 3 and time_of(head[1]) >= 0 and time_of(head[2]) >= 0:
        places = {role: i for i, role in enumerate(_POSITIONS[: len(head)])}
        return Columns(places).with_note(f"{path}: no header; columns taken as {','.join(places)}")
    flags = ", ".join(f"--{role}-column NAME" for role in missing)
    raise AnnotationError(
        f"{path}: columns for 'video', 'start' and 'end' are needed; {absent}. Rename columns, or "
        f"pass {flags}; times are seconds or clocks, or milliseconds or frames where the names of "
        "their columns say so (start_ms, start_frame)"
    )


def is_header(path: Path, head: Sequence[str], given: Mapping[str, str]) -> bool:
    """Return whether a line is a header with the columns of segments or events."""
    if not all(name in head for name in given.values()):
        return False
    found = columns_by_name(path, head, given)
    return "video" in found.places and (found.has_times or "time" in map(normalized, head))


def columns_by_name(path: Path, head: Sequence[str], given: Mapping[str, str]) -> Columns:
    """Return the columns found by name; raise as `find_columns` does."""
    names = [normalized(cell) for cell in head]
    places = {role: _given_place(path, head, name) for role, name in given.items()}
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
    kind, session = (
        names.index(name) if name in names else None for name in ("behaviortype", "observationid")
    )
    columns = Columns(places, tuple(head), labels, unit, frozenset(given), None, kind, session)
    if unit == "seconds":
        return columns
    start, end = map(columns.name, TIMES)
    return columns.with_note(f"{path}: columns {start} and {end} are {_CONVERTED[unit]}")


def _given_place(path: Path, head: Sequence[str], name: str) -> int:
    names = [normalized(cell) for cell in head]
    if name in head:
        return head.index(name)
    if normalized(name) in names:
        return names.index(normalized(name))
    raise AnnotationError(
        f"{path}: no column {name!r}{suggestion(name, head)}; there are: {_listed(head)}"
    )


def _listed(head: Sequence[str]) -> str:
    return listed(map(repr, head), _LISTED)


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
