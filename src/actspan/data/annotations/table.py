"""Annotations as a table: one row per segment, with columns found by their names.

`video,start,end,label` and optionally `subset,duration,fps,frames` (of the video, not of the
segment); scored instances are written with a column `score`. A row without start and end mentions a
video without instances, or only gives its duration. Separators are commas, semicolons (also with
decimal commas), tabs or bars. `table_columns` finds what each column means.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import numpy as np

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.annotation_set import Annotations, Instance, ReadOptions, Source
from actspan.data.annotations.fields import TIMES, Facts, written_facts
from actspan.data.annotations.table_columns import Columns, find_columns, resolve_columns
from actspan.data.annotations.table_lines import TOTALS, CellReader, Table, escaped_id, is_blank
from actspan.data.annotations.video_builder import RejectedError, VideoBuilder
from actspan.data.annotations.writing import WriteOptions, scored_instances
from actspan.data.videos import canonical_subset

_WRITTEN = ("video", "start", "end", "label", "subset", "duration", "fps", "frames", "score")
_NO_FACTS = Facts()
_PER_SECOND = {"seconds": 1.0, "milliseconds": 1000.0}
_IF_KNOWN = {"fps", "frames", "score"}
_SHORTEST = 0.02  # seconds; no action is shorter, but times given as fractions of a day are
_LABEL_STUDIO = {"annotation_id", "annotator", "lead_time"}


def fits(source: Source) -> bool:
    """Return whether the file's name has the suffix of a table.

    Raises AnnotationError for tools' CSV exports, which have regions as JSON in their cells.
    """
    path = source.path
    if path.suffix.lower() not in (".csv", ".tsv"):
        return False
    if not path.is_file():
        return True  # `read` reports what it is
    try:
        with path.open("rb") as stream:
            line = stream.readline(4096).decode("utf-8-sig", "replace").strip()
    except OSError:
        return True  # `read` reports why
    if {cell.strip(' "') for cell in line.split(",")} >= _LABEL_STUDIO:
        raise AnnotationError(
            f"{path}: Label Studio's CSV export is not read: export JSON from Label Studio"
        )
    if line.startswith("# Exported using VGG Image Annotator"):
        raise AnnotationError(
            f"{path}: the CSV export of VGG Image Annotator is not read: save the project (JSON)"
        )
    return True


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read a table; rows that cannot be used become problems with their line numbers."""
    path = source.path
    table = Table(path, options)
    columns = find_columns(path, table.head, options)
    columns = resolve_columns(path, columns, (cells for _, cells in table.below(columns)))
    roles = columns.places.keys()
    has_rate = options.fps is not None or "fps" in roles or roles >= {"frames", "duration"}
    if columns.unit == "frames" and not has_rate:
        start, end = map(columns.name, TIMES)
        raise AnnotationError(
            f"{path}: columns {start} and {end} are frame numbers, and nothing gives the frame "
            "rate: add a column fps, or convert the file: actspan annotate convert --fps RATE"
        )
    builder = VideoBuilder(path, options)
    reader = _RowReader(columns, options, table, builder)
    for place, row in table.below(columns):
        reader.add(place, row)
    reader.require_consistent()
    for name in columns.ignored(table.used()):
        builder.ignored["columns", name] += 1
    found = builder.built("csv", unit=columns.unit)
    notes = [*table.notes(), *columns.notes, *reader.notes(), *reader.cells.notes(), *found.notes]
    lengths = np.diff(found.videos.segments)
    too_short = 2 * int((lengths < _SHORTEST).sum()) > len(lengths)  # as Excel's times of day are
    if columns.unit == "seconds" and too_short:
        notes.append(
            f"{path}: most instances are shorter than {_SHORTEST:g} s: are their times fractions "
            "of a day? format the cells as numbers of seconds, and save the table again"
        )
    return replace(found, notes=tuple(notes))


class _RowReader:
    """Reader of rows, which counts what it ignores."""

    def __init__(
        self, columns: Columns, options: ReadOptions, table: Table, builder: VideoBuilder
    ) -> None:
        self.cells = CellReader(builder, table.separator)
        self._columns, self._fps, self._table, self._builder = columns, options.fps, table, builder
        self._width = len(columns.head) or max(columns.places.values()) + 1
        self._has_facts = not columns.places.keys().isdisjoint(Facts._fields)
        self._unnamed = [i for i, name in enumerate(columns.head) if not name]
        self._rows = self._segments = self._swapped = self._negative = 0
        self._widths: Counter[int] = Counter()  # of rows with more cells than the header
        self._sessions: dict[str, set[str]] = {}

    def add(self, place: str, cells: Sequence[str]) -> None:
        """Add a row, or a problem if it cannot be used."""
        if len(cells) != self._width or self._unnamed:
            self._check_width(place, cells)
        row = {role: cells[i] for role, i in self._columns.places.items() if i < len(cells)}
        video = self.cells.video(row.get("video", ""))
        label = row["label"] = self.cells.label(row.get("label", ""))
        self._rows += 1
        if "session" in row:
            self._sessions.setdefault(row["session"], set()).add(video)
        if row.get("verdict") == "-1":
            self._negative += 1
            return
        if row.get("kind", "").upper() == "POINT":
            self._builder.ignored["events without a length", label or "(no label)"] += 1
            return
        if not label and video.lower() in TOTALS:
            self._builder.ignored["rows that are totals", video] += 1
            return
        try:
            if len(cells) > self._width and self._columns.head and any(cells[self._width :]):
                self._widths[len(cells)] += 1
                raise RejectedError(
                    f"{len(cells)} cells, and the header has {self._width}",
                    "quote cells that contain the separator",
                )
            facts = self._facts_of(row) if self._has_facts else _NO_FACTS
            self._builder.add(video, self._instance_of(row, facts), facts)
        except (TypeError, ValueError) as error:
            self._builder.reject(video, place, error)

    def require_consistent(self) -> None:
        """Raise AnnotationError if most rows show that their columns mean something else."""
        path = self._builder.path
        if self._columns.head and 2 * self._widths.total() > self._rows:
            remedy = (
                "are times written with decimal commas, or are there commas in labels? quote such "
                "cells, or separate by semicolons"
                if self.cells.comma_separates
                else "name every column"
            )
            raise AnnotationError(
                f"{path}: rows have {self._widths.most_common(1)[0][0]} cells and the header "
                f"{self._width}: {remedy}"
            )
        if self._swapped > 1 and 2 * self._swapped > self._segments:
            start, end = map(self._columns.name, TIMES)
            raise AnnotationError(
                f"{path}: start and end are swapped in {self._swapped:,} of "
                f"{counted(self._segments, 'row')}: name the columns: --start-column {end} "
                f"--end-column {start}"
            )
        self.cells.require_decimals()

    def notes(self) -> Iterator[str]:
        """Yield notes about rows of HACS Clips and of BORIS."""
        path, columns = self._builder.path, self._columns
        if "verdict" in columns.places:
            yield (
                f"{path}: the label is column {columns.name('label')}; left out "
                f"{counted(self._negative, 'row')} with -1 in column {columns.name('verdict')}, "
                "which marks clips that are not of the class (HACS Clips)"
            )
        several = [name for name, videos in self._sessions.items() if len(videos) > 1]
        if several:
            yield (
                f"{path}: {counted(len(several), 'observation')} of several media files "
                f"({listed(several)}): BORIS counts their times from the start of the first file; "
                "check them"
            )

    def _check_width(self, place: str, cells: Sequence[str]) -> None:
        if len(cells) < self._width:
            what = "fewer cells than the header, so the last are taken as empty"
            self._table.counts.add(what, place)
        unnamed = (cells[i] for i in self._unnamed if i < len(cells))
        beyond = () if self._columns.head else cells[self._width :]
        if any(chain(unnamed, beyond)):
            what = "cells in columns without a name, which were ignored"
            self._table.counts.add(what, place)

    def _facts_of(self, row: Mapping[str, str]) -> Facts:
        roles = ("frames", "fps", "duration")
        frames, fps, duration = (self.cells.positive(row.get(role, ""), role) for role in roles)
        if "duration" not in self._columns.places and frames and fps:
            duration = frames / fps
        subset = row.get("subset", "")
        return Facts(
            duration=duration,
            subset=None if is_blank(subset) else canonical_subset(subset),
            fps=fps,
            frames=None if frames is None else int(frames),
        )

    def _instance_of(self, row: Mapping[str, str], facts: Facts) -> Instance | None:
        per_second = _PER_SECOND.get(self._columns.unit) or facts.fps
        if per_second is None and facts.frames is not None and facts.duration is not None:
            per_second = facts.frames / facts.duration
        per_second = per_second or self._fps
        if per_second is None:
            raise ValueError("a row in frames without a frame rate: --fps")
        start, end = row.get("start", ""), row.get("end", "")
        if is_blank(start) and is_blank(end):
            if row["label"]:
                raise ValueError(f"label {row['label']!r} without start and end")
            return None
        if is_blank(start) or is_blank(end):
            raise ValueError("end without start" if is_blank(start) else "start without end")
        first, last = (self.cells.time(text, per_second) for text in (start, end))
        self._segments += 1
        self._swapped += last < first
        return first, last, row["label"]


def encode(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a table: one row per segment, and one per video without any."""
    rows = [row for video in videos for row in _written_rows(video)]
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


def _written_rows(video: Video) -> Iterator[dict[str, str]]:
    facts = {key: str(value) for key, value in written_facts(video).items()}
    facts["video"] = escaped_id(facts["video"])
    empty = True
    for start, end, label, score in scored_instances(video):
        row = {**facts, "start": repr(start), "end": repr(end), "label": label}
        yield row if score is None else {**row, "score": repr(score)}
        empty = False
    if empty:
        yield facts
