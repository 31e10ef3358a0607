"""Lines of a table: separators, quotes, comments, what is above the header, joined events."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from itertools import islice
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.core.wording import counted
from actspan.data.annotations.annotation_set import ReadOptions, Source, text_of
from actspan.data.annotations.fields import NAMES, normalized, place_of
from actspan.data.annotations.table_columns import Columns, is_header

Line = tuple[str, list[str]]  # place (file and line) and cells

_PREAMBLE = 100  # lines that may be above a header
_COMMENT = "#"
# BORIS writes one row for the start and one for the end of a segment; a column says which.
_STATES = ("status", "behaviortype")
_EVENT_KEYS = ("observationid", "subject", *NAMES["video"], "behavior", "behaviour")
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


class Table:
    """Lines of a table. They are read twice if only the content shows what a column means.

    Raises AnnotationError if it cannot be read, is empty, or a quote is not closed.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._text = text_of(path, "CSV UTF-8, as spreadsheets call it")
        lines = islice(StringIO(self._text, newline=""), _PREAMBLE)
        filled = [line for line in lines if line.strip()]
        top = next((line for line in filled if not line.startswith(_COMMENT)), "".join(filled[:1]))
        self.separator = max(",;\t|", key=top.count)
        self._unusual: dict[str, tuple[int, str]] = {}  # rows: number and place of the first
        self._comments = 0
        first = [cells for _, cells in islice(self._lines(), _PREAMBLE)]
        if not first:
            raise AnnotationError(f"{path}: empty; a row per segment is needed")
        headers = (i for i, cells in enumerate(first) if is_header(path, cells, options.columns))
        rows = (i for i, cells in enumerate(first) if not cells[0].startswith(_COMMENT))
        header = next(headers, None)
        self._above = header or 0
        self.head = first[next(rows, 0) if header is None else header]
        names = set(map(normalized, self.head))
        has_states = "time" in names and not names.isdisjoint(_STATES)
        self._has_events = has_states and "start" not in names
        if self._has_events:
            self.head = [*self.head, "start", "end"]

    def below(self, columns: Columns) -> Iterator[Line]:
        """Return the rows: all lines except comments, the header and what is above it."""
        rows = self._rows(self._above + bool(columns.head))
        return _joined_events(columns.head[:-2], rows) if self._has_events else rows

    def used(self) -> set[int]:
        """Return the columns by which events were joined."""
        names = enumerate(map(normalized, self.head if self._has_events else ()))
        return {i for i, name in names if name in ("time", *_STATES)}

    def notes(self) -> Iterator[str]:
        """Yield notes about lines that are not rows, and about unusual rows."""
        if self._above:
            yield f"{self._path}: ignored {counted(self._above, 'line')} above the header"
        if self._comments:
            comments = counted(self._comments, "comment")
            yield f"{self._path}: ignored {comments} (rows that start with {_COMMENT})"
        for what, (count, first) in self._unusual.items():
            rows = f"{count:,} rows have" if count > 1 else "1 row has"
            yield f"{self._path}: {rows} {what} (first: line {first.rpartition(':')[2]})"

    def count(self, what: str, place: str) -> None:
        """Count a row that has something unusual in the current reading."""
        count, first = self._unusual.get(what, (0, place))
        self._unusual[what] = count + 1, first

    def _rows(self, first: int) -> Iterator[Line]:
        self._comments = 0
        for line in islice(self._lines(), first, None):
            if line[1][0].startswith(_COMMENT):
                self._comments += 1
            else:
                yield line

    def _lines(self) -> Iterator[Line]:
        """Yield place and cells of every line that is not blank."""
        self._unusual = {}
        drawn: list[str] = []  # lines of the file that the current row takes

        def lines() -> Iterator[str]:
            for line in StringIO(self._text, newline=""):
                drawn.append(line)
                yield line

        reader = csv.reader(lines(), delimiter=self.separator)
        while True:
            place = f"{self._path}:{reader.line_num + 1}"
            drawn.clear()
            try:
                cells = next(reader, None)
                if len(drawn) > 1:  # such a row has to close its quotes at the ends of cells
                    list(csv.reader(drawn, delimiter=self.separator, strict=True))
            except csv.Error as error:
                if len(drawn) == 1:
                    raise AnnotationError(f"{place}: not a table: {error}") from error
                raise AnnotationError(
                    f"{place}: a quote is opened and not closed: close it, or write a quote of the "
                    "text twice"
                ) from error
            if cells is None:
                return
            if len(drawn) > 1:
                self.count("cells with a line break", place)
            if any(cell.strip() for cell in cells):
                yield place, [cell.strip() for cell in cells]


def _joined_events(head: Sequence[str], lines: Iterable[Line]) -> Iterator[Line]:
    """Yield rows of segments: the rows of events with two more cells, start and end.

    Each STOP is joined to the last START of the same behavior, subject, video and observation. A
    row without a partner keeps its only time.
    """
    names = [normalized(name) for name in head]
    time, state = names.index("time"), place_of(names, _STATES)
    assert state is not None
    keys = [i for i, name in enumerate(names) if name in _EVENT_KEYS]
    waiting: dict[tuple[str, ...], Line] = {}  # starts without a stop yet, with an empty end
    for place, row in lines:
        cells = [*row, *[""] * (len(head) - len(row))][: len(head)]
        key = tuple(cells[i] for i in keys)
        match cells[state].upper():
            case "START":
                if key in waiting:
                    yield waiting[key]
                waiting[key] = (place, [*cells, cells[time], ""])
            case "STOP" if key in waiting:
                first, started = waiting.pop(key)
                yield first, [*started[:-1], cells[time]]
            case "STOP":
                yield place, [*cells, "", cells[time]]
            case _:  # POINT: an event without a length
                yield place, [*cells, cells[time], cells[time]]
    yield from waiting.values()
