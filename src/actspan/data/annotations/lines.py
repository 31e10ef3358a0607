"""Lines of a table as cells: encoding, separator, quotes, comments, lines above the header."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import StringIO
from itertools import islice
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.core.files import read_text
from actspan.core.limits import DOCUMENT
from actspan.core.wording import counted
from actspan.data.annotations import events
from actspan.data.annotations.base import Hints
from actspan.data.annotations.columns import Columns, Line, is_header

_PREAMBLE = 100  # lines that may be above a header
_COMMENT = "#"


@dataclass(slots=True)
class Places:
    """Number of rows with a common property, and the place of the first."""

    what: str
    count: int = 0
    first: str = ""

    def add(self, place: str) -> None:
        """Count a row."""
        self.first = self.first or place
        self.count += 1

    def notes(self, path: Path) -> tuple[str, ...]:
        """Return one note, or nothing if no row was counted."""
        if not self.count:
            return ()
        rows = f"{self.count:,} rows have" if self.count > 1 else "1 row has"
        return (f"{path}: {rows} {self.what} (first: line {self.first.rpartition(':')[2]})",)


class Table:
    """Lines of a table. They are read twice if only the content shows what a column means.

    Raises
    ------
    AnnotationError
        It cannot be read, is empty, or a quote is not closed.
    """

    def __init__(self, path: Path, hints: Hints) -> None:
        self._path = path
        self._text = _text_of(path)
        lines = islice(StringIO(self._text, newline=""), _PREAMBLE)
        filled = [line for line in lines if line.strip()]
        top = next((line for line in filled if not line.startswith(_COMMENT)), "".join(filled[:1]))
        self.separator = max(",;\t|", key=top.count)
        self._broken = Places("cells with a line break")
        self._comments = 0
        first = [cells for _, cells in islice(self._lines(), _PREAMBLE)]
        if not first:
            raise AnnotationError(f"{path}: empty; a row per segment is needed")
        headers = (i for i, cells in enumerate(first) if is_header(path, cells, hints.columns))
        rows = (i for i, cells in enumerate(first) if not _is_comment(cells))
        header = next(headers, None)
        self._above = header or 0
        self.head = first[next(rows, 0) if header is None else header]
        self._events = events.fits(self.head)
        if self._events:
            self.head = [*self.head, events.START, events.END]

    def below(self, columns: Columns) -> Iterator[Line]:
        """Return the rows: all lines except comments, the header and what is above it."""
        lines = islice(self._lines(), self._above + bool(columns.head), None)
        rows = self._without_comments(lines)
        return events.as_segments(columns.head[:-2], rows) if self._events else rows

    def with_used(self, columns: Columns) -> Columns:
        """Return the columns, with those by which events were joined marked as used."""
        if not self._events:
            return columns
        return replace(columns, noted=columns.noted.union(events.used(columns.head)))

    def notes(self) -> tuple[str, ...]:
        """Return notes about lines that are not rows, and about cells of several lines."""
        notes = []
        if self._above:
            above = counted(self._above, "line")
            notes.append(f"{self._path}: ignored {above} above the header")
        if self._comments:
            comments = counted(self._comments, "comment")
            notes.append(f"{self._path}: ignored {comments} (rows that start with {_COMMENT})")
        return (*notes, *self._broken.notes(self._path))

    def _without_comments(self, lines: Iterator[Line]) -> Iterator[Line]:
        self._comments = 0
        for line in lines:
            if _is_comment(line[1]):
                self._comments += 1
            else:
                yield line

    def _lines(self) -> Iterator[Line]:
        """Yield place and cells of every line that is not blank."""
        self._broken = Places(self._broken.what)
        drawn: list[str] = []
        lines = _kept(StringIO(self._text, newline=""), drawn)
        reader = csv.reader(lines, delimiter=self.separator)
        while True:
            place = f"{self._path}:{reader.line_num + 1}"
            drawn.clear()
            try:
                cells = next(reader, None)
            except csv.Error as error:
                if len(drawn) > 1:
                    raise _open_quote(place) from error
                raise AnnotationError(f"{place}: not a table: {error}") from error
            if cells is None:
                return
            if len(drawn) > 1:
                self._require_closed(place, drawn)
                self._broken.add(place)
            if any(cell.strip() for cell in cells):
                yield place, [cell.strip() for cell in cells]

    def _require_closed(self, place: str, lines: list[str]) -> None:
        """Raise AnnotationError unless a row of several lines closes its quotes at cells' ends."""
        try:
            for _ in csv.reader(lines, delimiter=self.separator, strict=True):
                pass
        except csv.Error as error:
            raise _open_quote(place) from error


def _text_of(path: Path) -> str:
    try:
        return read_text(path, DOCUMENT, "utf-8-sig")
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        wide = error.object[:2] in (b"\xff\xfe", b"\xfe\xff")
        line = error.object.count(b"\n", 0, error.start) + 1
        found = "UTF-16" if wide else f"not UTF-8 text (byte {error.object[error.start]:#04x})"
        raise AnnotationError(
            f"{path}:{line}: {found}: save it as CSV UTF-8, as spreadsheets call it"
        ) from error


def _kept(lines: Iterator[str], drawn: list[str]) -> Iterator[str]:
    """Yield lines, and add each to `drawn`."""
    for line in lines:
        drawn.append(line)
        yield line


def _is_comment(cells: list[str]) -> bool:
    return cells[0].startswith(_COMMENT)


def _open_quote(place: str) -> AnnotationError:
    return AnnotationError(
        f"{place}: a quote is opened and not closed: close it, or write a quote of the text twice"
    )
