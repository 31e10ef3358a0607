"""Annotations as a table: a row per segment, columns found by their names.

`video,start,end,label` and, where there are any, `subset,duration,fps,frames` (of the video, not
of the segment); what was scored is written with a column `score`. A row without start and end
mentions a video that has no instances, or only says its duration. Separated by commas, semicolons
(then with decimal commas too), tabs or bars. `columns` finds what each column means.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace

from actspan.data.annotations import events
from actspan.data.annotations.base import Annotations, Hints, Instance, number, seconds
from actspan.data.annotations.column_names import TIMES
from actspan.data.annotations.columns import (
    Columns,
    Line,
    find_columns,
    is_blank,
    is_header,
    point,
)
from actspan.data.annotations.rows import Facts, Rows
from actspan.data.annotations.settling import settle
from actspan.data.annotations.source import Source
from actspan.data.annotations.writing import Style, scored_instances, written_facts
from actspan.data.ignored import Ignored
from actspan.data.videos import canonical_subset
from actspan.errors import AnnotationError
from actspan.files import read_text
from actspan.limits import DOCUMENT
from actspan.types import Video
from actspan.wording import counted, named

_WRITTEN = ("video", "start", "end", "label", "subset", "duration", "fps", "frames", "score")
_IF_KNOWN = {"fps", "frames", "score"}
_PREAMBLE = 100  # lines that may stand above a header


def fits(source: Source) -> bool:
    """Return whether its name says that it is a table."""
    return source.path.suffix.lower() in (".csv", ".tsv")


def read(source: Source, hints: Hints) -> Annotations:
    """Read a table; rows that cannot be used are problems with their line numbers."""
    table = _Table(source.path, hints)
    columns = find_columns(source.path, table.head, hints.columns)
    columns = settle(source.path, columns, table.below(columns))
    if columns.unit == "frames":
        _require_rate(source.path, columns, hints.fps)
    reader = _Reader(source.path, columns, hints.fps)
    for place, cells in table.below(columns):
        reader.read(place, cells)
    notes = (*table.notes(), *reader.notes())
    return Annotations(
        source.path,
        "csv",
        reader.rows.videos(),
        tuple(reader.rows.problems),
        assumptions=notes,
        unit=columns.unit,
    )


def _require_rate(path: Path, columns: Columns, fps: float | None) -> None:
    """Raise AnnotationError where nothing can say the frame rate of any row."""
    roles = columns.places.keys()
    if fps is None and "fps" not in roles and not roles >= {"frames", "duration"}:
        start, end = (columns.name(columns.places[role]) for role in TIMES)
        raise AnnotationError(
            f"{path}: columns {start} and {end} are frame numbers, and nothing gives the frame "
            "rate: add a column fps, or convert the file: actspan annotate convert --fps RATE"
        )


class _Table:
    """The lines of a table, drawn twice where only the content shows what a column means."""

    def __init__(self, path: Path, hints: Hints) -> None:
        self._path = path
        try:
            self._text = read_text(path, DOCUMENT, "utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise AnnotationError(f"{path}: cannot be read as UTF-8 text: {error}") from error
        top = next((line for line in self._text.splitlines() if line.strip()), "")
        self._separator = max(",;\t|", key=top.count)
        first = [cells for _, cells in islice(self._lines(), _PREAMBLE)]
        if not first:
            raise AnnotationError(f"{path}: empty; a row per segment is needed")
        headers = (i for i, cells in enumerate(first) if is_header(path, cells, hints.columns))
        self._above = next(headers, 0)
        self.head = first[self._above]
        self._events = events.fits(self.head)
        if self._events:
            self.head = [*self.head, events.START, events.END]

    def below(self, columns: Columns) -> Iterator[Line]:
        """Return the rows: all lines but the header and those above it."""
        lines = islice(self._lines(), self._above + bool(columns.head), None)
        return events.as_segments(columns.head[:-2], lines) if self._events else lines

    def notes(self) -> tuple[str, ...]:
        """Return a line about what stands above the header."""
        above = counted(self._above, "line")
        return (f"{self._path}: ignored {above} above the header",) if self._above else ()

    def _lines(self) -> Iterator[Line]:
        """Return place and cells of every line that is not blank."""
        reader = csv.reader(StringIO(self._text, newline=""), delimiter=self._separator)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield f"{self._path}:{reader.line_num}", [cell.strip() for cell in cells]
        except csv.Error as error:
            where = f"{self._path}:{reader.line_num}"
            raise AnnotationError(f"{where}: not a table: {error}") from error


class _Reader:
    """Reads rows, and counts what it does not take."""

    def __init__(self, path: Path, columns: Columns, fps: float | None) -> None:
        self.rows = Rows()
        self._path, self._columns, self._fps = path, columns, fps
        self._width = len(columns.head) or max(columns.places.values()) + 1
        self._unnamed = [i for i, name in enumerate(columns.head) if not name]
        self._ignored = Ignored()
        self._short = _Places("fewer cells than the header, so the last are taken as empty")
        self._long = _Places("cells in columns without a name, which were ignored")
        self._negative = 0
        self._sessions: dict[str, set[str]] = {}

    def read(self, place: str, cells: Sequence[str]) -> None:
        """Take a row; one that cannot be used becomes a problem."""
        if len(cells) != self._width or self._unnamed:
            self._check_width(place, cells)
        row = {role: cells[i] for role, i in self._columns.places.items() if i < len(cells)}
        video = row.get("video", "")
        if self._columns.session is not None and self._columns.session < len(cells):
            self._sessions.setdefault(cells[self._columns.session], set()).add(video)
        if self._is_left_out(cells, row.get("label", "")):
            return
        try:
            facts = self._facts_of(row)
            self.rows.add(video, _instance_of(row, self._units_per_second(facts)), facts)
        except (TypeError, ValueError) as error:
            self.rows.refuse(video, place, error)

    def notes(self) -> tuple[str, ...]:
        """Return lines about what was assumed and what was ignored."""
        for name in self._columns.ignored():
            self._ignored.add("columns", name)
        notes = [*self._columns.notes, *self.rows.notes(self._path)]
        if self._columns.verdict is not None:
            label = self._columns.name(self._columns.places["label"])
            verdict = self._columns.name(self._columns.verdict)
            notes.append(
                f"{self._path}: the label is column {label}; left out "
                f"{counted(self._negative, 'row')} with -1 in column {verdict}, which marks clips "
                "that are not of the class (HACS Clips)"
            )
        several = [name for name, videos in self._sessions.items() if len(videos) > 1]
        if several:
            notes.append(
                f"{self._path}: {counted(len(several), 'observation')} of several media files "
                f"({named(several)}): BORIS counts their times from the start of the first file; "
                "check them"
            )
        notes += [line for places in (self._short, self._long) for line in places.notes(self._path)]
        return (*notes, *self._ignored.notes(self._path))

    def _units_per_second(self, facts: Facts) -> float:
        """Return how many of the units that times are in make a second."""
        if self._columns.unit != "frames":
            return 1000.0 if self._columns.unit == "milliseconds" else 1.0
        if facts.fps is not None:
            return facts.fps
        if facts.frames is not None and facts.duration is not None:
            return facts.frames / facts.duration
        if self._fps is None:
            raise ValueError("a row in frames without a frame rate: --fps")
        return self._fps

    def _check_width(self, place: str, cells: Sequence[str]) -> None:
        if len(cells) < self._width:
            self._short.add(place)
        unnamed = (cells[i] for i in self._unnamed if i < len(cells))
        if any(chain(unnamed, cells[self._width :])):
            self._long.add(place)

    def _is_left_out(self, cells: Sequence[str], label: str) -> bool:
        """Count rows of clips that are not of their class, and of events without a length."""
        verdict, kind = self._columns.verdict, self._columns.kind
        if verdict is not None and verdict < len(cells) and cells[verdict] == "-1":
            self._negative += 1
            return True
        if kind is not None and kind < len(cells) and cells[kind].upper() == "POINT":
            self._ignored.add("events without a length", label or "(no label)")
            return True
        return False

    def _facts_of(self, row: Mapping[str, str]) -> Facts:
        def positive(role: str) -> float | None:
            text = row.get(role, "")
            return None if is_blank(text) else number(point(text), role)

        text, frames, fps = row.get("duration", ""), positive("frames"), positive("fps")
        duration = None if is_blank(text) else number(seconds(point(text)), "duration")
        if "duration" not in self._columns.places and frames and fps:
            duration = frames / fps
        return Facts(
            duration=duration,
            subset=canonical_subset(row["subset"]) if row.get("subset") else None,
            fps=fps,
            frames=None if frames is None else int(frames),
        )


@dataclass(slots=True)
class _Places:
    """How many rows have something in common, and where the first of them is."""

    what: str
    count: int = 0
    first: str = ""

    def add(self, place: str) -> None:
        self.first = self.first or place
        self.count += 1

    def notes(self, path: Path) -> tuple[str, ...]:
        if not self.count:
            return ()
        rows = f"{self.count:,} rows have" if self.count > 1 else "1 row has"
        return (f"{path}: {rows} {self.what} (first: line {self.first.rpartition(':')[2]})",)


def _instance_of(row: Mapping[str, str], units: float) -> Instance | None:
    """Return the segment of a row, if it has one; `units` of its times make a second."""
    start, end = row.get("start", ""), row.get("end", "")
    if is_blank(start) and is_blank(end):
        if row.get("label"):
            raise ValueError(f"label {row['label']!r} without start and end")
        return None
    if is_blank(start) or is_blank(end):
        raise ValueError("end without start" if is_blank(start) else "start without end")
    return _in_seconds(start, units), _in_seconds(end, units), row.get("label", "")


def _in_seconds(text: str, units: float) -> float:
    time = seconds(point(text))
    return time if ":" in text else time / units  # a clock has its own unit


def encode(videos: Sequence[Video], style: Style) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a table: a row per segment, and one per video without any.

    Raises
    ------
    AnnotationError
        Some text cannot be UTF-8.
    """
    rows = [row for video in videos for row in _rows(video)]
    used = [c for c in _WRITTEN if c not in _IF_KNOWN or any(c in row for row in rows)]
    lines: list[str] = []
    # csv quotes the signs of its own end of line, and a carriage return has to be
    writer = csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n")
    writer.writerow(used)
    writer.writerows([row.get(column, "") for column in used] for row in rows)
    text = "".join(line.removesuffix("\r\n") + "\n" for line in lines)
    try:
        yield "annotations.csv", text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise AnnotationError(f"a table cannot be written as UTF-8: {error}") from error


def _rows(video: Video) -> Iterator[dict[str, str]]:
    facts = {key: str(value) for key, value in written_facts(video).items()}
    empty = True
    for start, end, label, score in scored_instances(video):
        row = {**facts, "start": repr(start), "end": repr(end), "label": label}
        yield row if score is None else {**row, "score": repr(score)}
        empty = False
    if empty:
        yield facts
