"""Annotations as a table: one row per segment, with columns found by their names.

`video,start,end,label` and optionally `subset,duration,fps,frames` (of the video, not of the
segment); scored instances are written with a column `score`. A row without start and end mentions a
video without instances, or only gives its duration. Separators are commas, semicolons (also with
decimal commas), tabs or bars. `columns` finds what each column means.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.base import Annotations, Hints, Instance
from actspan.data.annotations.cells import Cells, escaped_id
from actspan.data.annotations.column_names import TIMES
from actspan.data.annotations.columns import Columns, find_columns, is_blank
from actspan.data.annotations.doubts import fractions_of_a_day
from actspan.data.annotations.lines import Places, Table
from actspan.data.annotations.rows import Facts, RefusedError, Rows
from actspan.data.annotations.settling import settle
from actspan.data.annotations.source import Source
from actspan.data.annotations.writing import Style, scored_instances, written_facts
from actspan.data.names import Ignored
from actspan.data.videos import canonical_subset

_WRITTEN = ("video", "start", "end", "label", "subset", "duration", "fps", "frames", "score")
_FACTS = frozenset(Facts._fields)
_NO_FACTS = Facts()
_IF_KNOWN = {"fps", "frames", "score"}


def fits(source: Source) -> bool:
    """Return whether the file's name has the suffix of a table."""
    return source.path.suffix.lower() in (".csv", ".tsv")


def read(source: Source, hints: Hints) -> Annotations:
    """Read a table; rows that cannot be used become problems with their line numbers."""
    table = Table(source.path, hints)
    columns = find_columns(source.path, table.head, hints)
    columns = table.with_used(settle(source.path, columns, table.below(columns)))
    if columns.unit == "frames":
        _require_rate(source.path, columns, hints.fps)
    taken = Cells(source.path, table.separator)
    reader = _Reader(source.path, columns, hints, taken)
    for place, cells in table.below(columns):
        reader.read(place, cells)
    reader.require_sense()
    notes = (*table.notes(), *reader.notes())
    videos = reader.rows.videos()
    if columns.unit == "seconds":
        notes += fractions_of_a_day(videos, source.path)
    return Annotations(
        source.path,
        "csv",
        videos,
        tuple(reader.rows.problems),
        notes=notes,
        unit=columns.unit,
        clocks=frozenset(taken.clocks),
    )


def _require_rate(path: Path, columns: Columns, fps: float | None) -> None:
    """Raise AnnotationError if no row can have a frame rate."""
    roles = columns.places.keys()
    if fps is None and "fps" not in roles and not roles >= {"frames", "duration"}:
        start, end = (columns.name(columns.places[role]) for role in TIMES)
        raise AnnotationError(
            f"{path}: columns {start} and {end} are frame numbers, and nothing gives the frame "
            "rate: add a column fps, or convert the file: actspan annotate convert --fps RATE"
        )


class _Reader:
    """Reader of rows, which counts what it ignores."""

    def __init__(self, path: Path, columns: Columns, hints: Hints, cells: Cells) -> None:
        self.rows = Rows(will_clip=hints.will_clip)
        self._path, self._columns, self._fps, self._cells = path, columns, hints.fps, cells
        self._width = len(columns.head) or max(columns.places.values()) + 1
        self._has_facts = not _FACTS.isdisjoint(columns.places)
        self._unnamed = [i for i, name in enumerate(columns.head) if not name]
        self._ignored = Ignored()
        self._count = self._segments = self._swapped = 0
        self._widths: Counter[int] = Counter()
        self._short = Places("fewer cells than the header, so the last are taken as empty")
        self._long = Places("cells in columns without a name, which were ignored")
        self._negative = 0
        self._sessions: dict[str, set[str]] = {}

    def read(self, place: str, cells: Sequence[str]) -> None:
        """Add a row, or a problem if it cannot be used."""
        if len(cells) != self._width or self._unnamed:
            self._check_width(place, cells)
        row = {role: cells[i] for role, i in self._columns.places.items() if i < len(cells)}
        video, row["label"] = (
            self._cells.video(row.get("video", "")),
            self._cells.label(row.get("label", "")),
        )
        self._count += 1
        if self._columns.session is not None and self._columns.session < len(cells):
            self._sessions.setdefault(cells[self._columns.session], set()).add(video)
        if self._is_left_out(cells, row["label"]) or self._cells.is_total(video, row["label"]):
            return
        try:
            self._refuse_longer(cells)
            facts = self._facts_of(row)
            instance = self._instance_of(row, self._units_per_second(facts))
            self.rows.add(video, instance, facts)
        except (TypeError, ValueError) as error:
            self.rows.refuse(video, place, error)

    def require_sense(self) -> None:
        """Raise AnnotationError if most rows show that their columns mean something else."""
        if self._columns.head and 2 * self._widths.total() > self._count:
            width = self._widths.most_common(1)[0][0]
            raise AnnotationError(
                f"{self._path}: rows have {width} cells and the header {self._width}: are times "
                "written with decimal commas, or are there commas in labels? quote such cells, or "
                "separate by semicolons"
                if self._cells.comma_separates
                else f"{self._path}: rows have {width} cells and the header {self._width}: name "
                "every column"
            )
        if self._swapped > 1 and 2 * self._swapped > self._segments:
            start, end = (self._columns.name(self._columns.places[role]) for role in TIMES)
            raise AnnotationError(
                f"{self._path}: start and end are swapped in {self._swapped:,} of "
                f"{counted(self._segments, 'row')}: name the columns: --start-column {end} "
                f"--end-column {start}"
            )
        self._cells.require_decimals()

    def notes(self) -> tuple[str, ...]:
        """Return notes about what was assumed and what was ignored."""
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
                f"({listed(several)}): BORIS counts their times from the start of the first file; "
                "check them"
            )
        notes += [line for places in (self._short, self._long) for line in places.notes(self._path)]
        return (*notes, *self._cells.notes(), *self._ignored.notes(self._path))

    def _units_per_second(self, facts: Facts) -> float:
        """Return the number of time units per second."""
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
        beyond = () if self._columns.head else cells[self._width :]
        if any(chain(unnamed, beyond)):
            self._long.add(place)

    def _refuse_longer(self, cells: Sequence[str]) -> None:
        """Raise ValueError for a row with cells beyond the header: others may be shifted."""
        if len(cells) > self._width and self._columns.head and any(cells[self._width :]):
            self._widths[len(cells)] += 1
            raise RefusedError(
                f"{len(cells)} cells, and the header has {self._width}",
                "quote cells that hold the sign between columns",
            )

    def _is_left_out(self, cells: Sequence[str], label: str) -> bool:
        """Return whether a row is a clip of no class or an event without a length; count these."""
        verdict, kind = self._columns.verdict, self._columns.kind
        if verdict is not None and verdict < len(cells) and cells[verdict] == "-1":
            self._negative += 1
            return True
        if kind is not None and kind < len(cells) and cells[kind].upper() == "POINT":
            self._ignored.add("events without a length", label or "(no label)")
            return True
        return False

    def _facts_of(self, row: Mapping[str, str]) -> Facts:
        if not self._has_facts:
            return _NO_FACTS
        frames, fps = (self._cells.positive(row.get(r, ""), r) for r in ("frames", "fps"))
        duration = self._cells.duration(row.get("duration", ""))
        if "duration" not in self._columns.places and frames and fps:
            duration = frames / fps
        subset = row.get("subset", "")
        return Facts(
            duration=duration,
            subset=None if is_blank(subset) else canonical_subset(subset),
            fps=fps,
            frames=None if frames is None else int(frames),
        )

    def _instance_of(self, row: Mapping[str, str], units: float) -> Instance | None:
        """Return the segment of a row, or None; `units` of its times make one second."""
        start, end = row.get("start", ""), row.get("end", "")
        if is_blank(start) and is_blank(end):
            if row.get("label"):
                raise ValueError(f"label {row['label']!r} without start and end")
            return None
        if is_blank(start) or is_blank(end):
            raise ValueError("end without start" if is_blank(start) else "start without end")
        first, last = self._in_seconds(start, units), self._in_seconds(end, units)
        self._segments += 1
        self._swapped += last < first
        return first, last, row["label"]

    def _in_seconds(self, text: str, units: float) -> float:
        time, is_clock = self._cells.time(text)
        return time if is_clock else time / units


def encode(videos: Sequence[Video], style: Style) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a table: one row per segment, and one per video without any.

    Raises
    ------
    AnnotationError
        Some text cannot be UTF-8.
    """
    rows = [row for video in videos for row in _rows(video)]
    used = [c for c in _WRITTEN if c not in _IF_KNOWN or any(c in row for row in rows)]
    lines: list[str] = []
    # csv quotes the characters of its own line end, and a carriage return has to be quoted.
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
    facts["video"] = escaped_id(facts["video"])
    empty = True
    for start, end, label, score in scored_instances(video):
        row = {**facts, "start": repr(start), "end": repr(end), "label": label}
        yield row if score is None else {**row, "score": repr(score)}
        empty = False
    if empty:
        yield facts
