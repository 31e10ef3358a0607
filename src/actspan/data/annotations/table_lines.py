"""Lines and cells of a table: separators, quotes, comments, and additions of spreadsheets.

A decimal comma is read as a point. If commas also separate cells and all quoted numbers look like
`1,234`, they may be thousands: they are refused.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from itertools import islice
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.core.wording import counted
from actspan.data.annotations.annotation_set import ReadOptions, text_of
from actspan.data.annotations.fields import NAMES, normalized, number, place_of, seconds
from actspan.data.annotations.table_columns import Columns, is_header, with_point
from actspan.data.annotations.video_builder import VideoBuilder

Line = tuple[str, list[str]]  # place (file and line) and cells

_BLANKS = {"na", "n/a", "nan", "none", "null", "-"}  # as spreadsheets and R mark empty numbers
_PREAMBLE = 100  # lines that may be above a header
_COMMENT = "#"
# Tables of BORIS have one row for the start and one for the end of a segment, told by a state.
_STATES = ("status", "behaviortype")
_EVENT_KEYS = ("observationid", "subject", *NAMES["video"], "behavior", "behaviour")

# Copied text contains zero-width spaces and direction marks, which nobody sees.
_UNSEEN = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff]")
_QUOTES = ("'", "`", "\u2018")
_NO_LABEL = frozenset({"nan", "na", "n/a", "<na>", "null"})  # as written by pandas and R
TOTALS = frozenset({"total", "totals", "subtotal", "grand total", "sum", "mean", "average"})
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+")


class RowCounts:
    """Numbers of rows that have something unusual, and the place of the first."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[int, str]] = {}  # count and first place

    def add(self, what: str, place: str) -> None:
        """Count a row."""
        count, first = self._places.get(what, (0, place))
        self._places[what] = count + 1, first

    def notes(self, path: Path) -> Iterator[str]:
        """Yield one note per kind."""
        for what, (count, first) in self._places.items():
            rows = f"{count:,} rows have" if count > 1 else "1 row has"
            yield f"{path}: {rows} {what} (first: line {first.rpartition(':')[2]})"


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
        self.counts = RowCounts()  # of the latest reading
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
        yield from self.counts.notes(self._path)

    def _rows(self, first: int) -> Iterator[Line]:
        self._comments = 0
        for line in islice(self._lines(), first, None):
            if line[1][0].startswith(_COMMENT):
                self._comments += 1
            else:
                yield line

    def _lines(self) -> Iterator[Line]:
        """Yield place and cells of every line that is not blank."""
        self.counts = RowCounts()
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
                self.counts.add("cells with a line break", place)
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


class CellReader:
    """Reader of cells, which counts what it changed or ignored."""

    def __init__(self, builder: VideoBuilder, separator: str) -> None:
        self.comma_separates = separator == ","  # then commas in numbers are quoted
        self._path, self._ignored, self._clocks = builder.path, builder.ignored, builder.clocks
        self._changed: Counter[str] = Counter()  # ids from which something was removed
        self._thousands: list[str] = []  # numbers as 1,234
        self._has_decimals = False

    def video(self, text: str) -> str:
        """Return an id without invisible characters and without single quotes around it."""
        if not text.isascii() and _UNSEEN.search(text):
            text = _UNSEEN.sub("", text).strip()
            self._changed["zero-width characters in"] += 1
        if len(text) > 2 and text[0] in _QUOTES and text[-1] in ("'", "`", "\u2019"):
            text = text[1:-1].strip()
            self._changed["single quotes around"] += 1
        return text

    def label(self, text: str) -> str:
        """Return a label; "" for the markers that pandas and R write for a missing one."""
        if text.lower() not in _NO_LABEL:
            return text
        self._ignored["labels that mean none", text] += 1
        return ""

    def time(self, text: str, units_per_second: float) -> float:
        """Return a time in seconds, from a number of units or a clock; raise ValueError."""
        if text.isascii() and text.replace(".", "", 1).isdigit():  # nearly all times are like this
            return float(text) / units_per_second
        time = seconds(self._with_point(text))
        if ":" in text:
            self._clocks.add("times")
            return time
        return time / units_per_second

    def positive(self, text: str, role: str) -> float | None:
        """Return a positive number, or None for an empty cell; a duration may be a clock.

        Raises TypeError or ValueError.
        """
        if is_blank(text):
            return None
        if ":" in text and role == "duration":
            self._clocks.add("durations")
        text = self._with_point(text)
        return number(seconds(text) if role == "duration" else text, role)

    def require_decimals(self) -> None:
        """Raise AnnotationError if commas within numbers may separate thousands."""
        if self._thousands and not self._has_decimals:
            example = self._thousands[0]
            raise AnnotationError(
                f"{self._path}: {counted(len(self._thousands), 'number')} like {example!r}: "
                f"thousands or decimals? write {example.replace(',', '')} or "
                f"{example.replace(',', '.')}"
            )

    def notes(self) -> list[str]:
        """Return notes about what was removed from ids."""
        return [
            f"{self._path}: dropped {what} ids of {counted(count, 'row')}"
            for what, count in self._changed.items()
        ]

    def _with_point(self, text: str) -> str:
        if "," in text and self.comma_separates:
            if _THOUSANDS.fullmatch(text):
                self._thousands.append(text)
            else:
                self._has_decimals = True
        return with_point(text)


def is_blank(text: str) -> bool:
    """Return whether a number's cell is empty, or marked as empty."""
    return not text or text.lower() in _BLANKS


def escaped_id(name: str) -> str:
    """Return the id with `v_` before it if it would otherwise not be read back unchanged."""
    changes = name.startswith("#") or name.lower() in TOTALS or name[:1] in _QUOTES
    return f"v_{name}" if changes else name
