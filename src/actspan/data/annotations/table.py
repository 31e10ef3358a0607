"""Annotations as a table: one row per segment, with columns found by their names.

`video,start,end,label` and optionally `subset,duration,fps,frames` (of the video, not of the
segment); scored instances are written with a column `score`. A row without start and end mentions a
video without instances, or only gives its duration. Separators are commas, semicolons (also with
decimal commas), tabs or bars. `table_columns` finds what each column means.

A decimal comma is read as a point. If commas also separate cells and all quoted numbers look like
`1,234`, they may be thousands: they are refused.
"""

from __future__ import annotations

import csv
import re
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
from actspan.data.annotations.fields import TIMES, Facts, number, seconds, written_facts
from actspan.data.annotations.table_columns import (
    Columns,
    find_columns,
    resolve_columns,
    with_point,
)
from actspan.data.annotations.table_lines import Table
from actspan.data.annotations.video_builder import RejectedError, VideoBuilder
from actspan.data.annotations.writing import WriteOptions, scored_instances
from actspan.data.videos import canonical_subset

_WRITTEN = ("video", "start", "end", "label", "subset", "duration", "fps", "frames", "score")
_NO_FACTS = Facts()
_PER_SECOND = {"seconds": 1.0, "milliseconds": 1000.0}
_OPTIONAL = {"fps", "frames", "score"}
_SHORTEST = 0.02  # seconds; no action is shorter, but times given as fractions of a day are

# Copied text contains zero-width spaces and direction marks, which are invisible.
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff]")
_QUOTES = ("'", "`", "\u2018")
_NO_NUMBER = {"", "na", "n/a", "nan", "none", "null", "-"}  # numbers, in spreadsheets and R
_NO_LABEL = {"nan", "na", "n/a", "<na>", "null"}  # as written by pandas and R
_TOTALS = {"total", "totals", "subtotal", "grand total", "sum", "mean", "average"}
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+")


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read a table; rows that cannot be used become problems with their line numbers."""
    path = source.path
    table = Table(path, options)
    columns = find_columns(path, table.head, options)
    resolve_columns(columns, (cells for _, cells in table.below(columns)))
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
    builder.ignored.update(("columns", name) for name in columns.ignored(table.used()))
    annotations = builder.built("csv", unit=columns.unit)
    notes = [*table.notes(), *columns.notes, *reader.notes(), *annotations.notes]
    lengths = np.diff(annotations.videos.segments)
    too_short = 2 * int((lengths < _SHORTEST).sum()) > len(lengths)  # as Excel's times of day are
    if columns.unit == "seconds" and too_short:
        notes.append(
            f"{path}: most instances are shorter than {_SHORTEST:g} s: are their times fractions "
            "of a day? format the cells as numbers of seconds, and save the table again"
        )
    return replace(annotations, notes=tuple(notes))


class _RowReader:
    """Reader of rows, which counts what it changes or ignores."""

    def __init__(
        self, columns: Columns, options: ReadOptions, table: Table, builder: VideoBuilder
    ) -> None:
        self._columns, self._fps, self._table, self._builder = columns, options.fps, table, builder
        self._commas_separate = table.separator == ","  # then commas in numbers are quoted
        self._width = len(columns.head) or max(columns.places.values()) + 1
        self._has_facts = not columns.places.keys().isdisjoint(Facts._fields)
        self._unnamed = [i for i, name in enumerate(columns.head) if not name]
        self._rows = self._segments = self._swapped = self._negative = 0
        self._widths: Counter[int] = Counter()  # of rows with more cells than the header
        self._sessions: dict[str, set[str]] = {}
        self._changed: Counter[str] = Counter()  # ids from which something was removed
        self._thousands: list[str] = []  # numbers as 1,234
        self._has_decimals = False

    def add(self, place: str, cells: Sequence[str]) -> None:
        """Add a row, or a problem if it cannot be used."""
        if len(cells) != self._width or self._unnamed:
            self._check_width(place, cells)
        row = {role: cells[i] for role, i in self._columns.places.items() if i < len(cells)}
        video, label = self._video(row.get("video", "")), row.get("label", "")
        if label.lower() in _NO_LABEL:
            self._builder.ignored["labels that mean none", label] += 1
            label = ""
        self._rows += 1
        if "session" in row:
            self._sessions.setdefault(row["session"], set()).add(video)
        if row.get("verdict") == "-1":
            self._negative += 1
        elif row.get("kind", "").upper() == "POINT":
            self._builder.ignored["events without a length", label or "(no label)"] += 1
        elif not label and video.lower() in _TOTALS:
            self._builder.ignored["rows that are totals", video] += 1
        else:
            try:
                self._require_width(cells)
                facts = self._facts_of(row) if self._has_facts else _NO_FACTS
                self._builder.add(video, self._instance_of(row, label, facts), facts)
            except (TypeError, ValueError) as error:
                self._builder.reject(video, place, error)

    def require_consistent(self) -> None:
        """Raise AnnotationError if rows show that columns or commas mean something else."""
        path, width = self._builder.path, self._width
        if self._columns.head and 2 * self._widths.total() > self._rows:
            remedy = (
                "are times written with decimal commas, or are there commas in labels? quote such "
                "cells, or separate by semicolons"
                if self._commas_separate
                else "name every column"
            )
            cells = self._widths.most_common(1)[0][0]
            raise AnnotationError(
                f"{path}: rows have {cells} cells and the header {width}: {remedy}"
            )
        if self._swapped > 1 and 2 * self._swapped > self._segments:
            start, end = map(self._columns.name, TIMES)
            raise AnnotationError(
                f"{path}: start and end are swapped in {self._swapped:,} of "
                f"{counted(self._segments, 'row')}: name the columns: --start-column {end} "
                f"--end-column {start}"
            )
        if self._thousands and not self._has_decimals:
            example = self._thousands[0]
            raise AnnotationError(
                f"{path}: {counted(len(self._thousands), 'number')} like {example!r}: thousands or "
                f"decimals? write {example.replace(',', '')} or {example.replace(',', '.')}"
            )

    def notes(self) -> Iterator[str]:
        """Yield notes about rows of HACS Clips and of BORIS, and about changed ids."""
        path, columns = self._builder.path, self._columns
        if "verdict" in columns.places:
            yield (
                f"{path}: the label is column {columns.name('label')}; left out "
                f"{counted(self._negative, 'row')} with -1 in column {columns.name('verdict')}, "
                "which marks clips that are not of the class (HACS Clips)"
            )
        if several := [name for name, videos in self._sessions.items() if len(videos) > 1]:
            yield (
                f"{path}: {counted(len(several), 'observation')} of several media files "
                f"({listed(several)}): BORIS counts their times from the start of the first file; "
                "check them"
            )
        for what, count in self._changed.items():
            yield f"{path}: dropped {what} ids of {counted(count, 'row')}"

    def _check_width(self, place: str, cells: Sequence[str]) -> None:
        if len(cells) < self._width:
            what = "fewer cells than the header, so the last are read as empty"
            self._table.count(what, place)
        unnamed = (cells[i] for i in self._unnamed if i < len(cells))
        beyond = () if self._columns.head else cells[self._width :]
        if any(chain(unnamed, beyond)):
            self._table.count("cells in columns without a name, which were ignored", place)

    def _require_width(self, cells: Sequence[str]) -> None:
        if len(cells) > self._width and self._columns.head and any(cells[self._width :]):
            self._widths[len(cells)] += 1
            what = f"{len(cells)} cells, and the header has {self._width}"
            raise RejectedError(what, "quote cells that contain the separator")

    def _video(self, text: str) -> str:
        """Return an id without invisible characters and without single quotes around it."""
        if not text.isascii() and _INVISIBLE.search(text):
            text = _INVISIBLE.sub("", text).strip()
            self._changed["zero-width characters in"] += 1
        if len(text) > 2 and text[0] in _QUOTES and text[-1] in ("'", "`", "\u2019"):
            text = text[1:-1].strip()
            self._changed["single quotes around"] += 1
        return text

    def _facts_of(self, row: Mapping[str, str]) -> Facts:
        roles = ("frames", "fps", "duration")
        frames, fps, duration = (self._positive(row.get(role, ""), role) for role in roles)
        if "duration" not in self._columns.places and frames and fps:
            duration = frames / fps
        subset = row.get("subset", "")
        return Facts(
            duration=duration,
            subset=None if subset.lower() in _NO_NUMBER else canonical_subset(subset),
            fps=fps,
            frames=None if frames is None else int(frames),
        )

    def _instance_of(self, row: Mapping[str, str], label: str, facts: Facts) -> Instance | None:
        per_second = _PER_SECOND.get(self._columns.unit) or facts.fps
        if per_second is None and facts.frames is not None and facts.duration is not None:
            per_second = facts.frames / facts.duration
        per_second = per_second or self._fps
        if per_second is None:
            raise ValueError("a row in frames without a frame rate: --fps")
        texts = row.get("start", ""), row.get("end", "")
        blank = [text.lower() in _NO_NUMBER for text in texts]
        if all(blank):
            if label:
                raise ValueError(f"label {label!r} without start and end")
            return None
        if any(blank):
            raise ValueError("end without start" if blank[0] else "start without end")
        first, last = (self._time(text, per_second) for text in texts)
        self._segments += 1
        self._swapped += last < first
        return first, last, label

    def _time(self, text: str, units_per_second: float) -> float:
        """Return a time in seconds, from a number of units or a clock; raise ValueError."""
        if text.isascii() and text.replace(".", "", 1).isdigit():  # nearly all times are like this
            return float(text) / units_per_second
        time = seconds(self._with_point(text))
        if ":" in text:
            self._builder.clocks.add("times")
            return time
        return time / units_per_second

    def _positive(self, text: str, role: str) -> float | None:
        """Return a positive number, or None for an empty cell; a duration may be a clock."""
        if text.lower() in _NO_NUMBER:
            return None
        if ":" in text and role == "duration":
            self._builder.clocks.add("durations")
        text = self._with_point(text)
        return number(seconds(text) if role == "duration" else text, role)

    def _with_point(self, text: str) -> str:
        if "," in text and self._commas_separate:
            if _THOUSANDS.fullmatch(text):
                self._thousands.append(text)
            else:
                self._has_decimals = True
        return with_point(text)


def encode(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a table: one row per segment, and one per video without any."""
    rows = [row for video in videos for row in _written_rows(video)]
    used = [c for c in _WRITTEN if c not in _OPTIONAL or any(c in row for row in rows)]
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
    name = facts["video"]
    if name.startswith("#") or name.lower() in _TOTALS or name[:1] in _QUOTES:
        facts["video"] = f"v_{name}"  # so that it is read back unchanged
    instances = list(scored_instances(video))
    for start, end, label, score in instances:
        row = {**facts, "start": repr(start), "end": repr(end), "label": label}
        yield row if score is None else {**row, "score": repr(score)}
    if not instances:
        yield facts
