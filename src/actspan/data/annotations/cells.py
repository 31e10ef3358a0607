"""Ids, labels and numbers from the cells of a table, without the additions of spreadsheets.

A decimal comma is read as a point. If commas also separate cells and all quoted numbers look like
`1,234`, they may be thousands: they are refused.
"""

from __future__ import annotations

import re
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.core.wording import counted
from actspan.data.annotations.base import number, seconds
from actspan.data.annotations.columns import is_blank, point
from actspan.data.names import Ignored

# Copied text contains zero-width spaces and direction marks, which nobody sees.
_UNSEEN = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff]")
_QUOTES = ("'", "`", "\u2018")
_NO_LABEL = frozenset({"nan", "na", "n/a", "<na>", "null"})  # as written by pandas and R
_TOTALS = frozenset({"total", "totals", "subtotal", "grand total", "sum", "mean", "average"})
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+")


class Cells:
    """Reader of cells, which counts what it changed or ignored.

    Attributes
    ----------
    clocks : set of str
        Which of "times" and "durations" a cell writes as a clock.
    """

    def __init__(self, path: Path, separator: str) -> None:
        self.clocks: set[str] = set()
        self.comma_separates = separator == ","  # then a comma in a number has to be quoted
        self._path = path
        self._thousands, self._decimals = 0, False
        self._example = ""
        self._ignored, self._unseen, self._quoted = Ignored(), 0, 0

    def video(self, text: str) -> str:
        """Return an id without invisible characters and without single quotes around it."""
        if not text.isascii() and _UNSEEN.search(text):
            text = _UNSEEN.sub("", text).strip()
            self._unseen += 1
        if len(text) > 2 and text[0] in _QUOTES and text[-1] in ("'", "`", "\u2019"):
            text = text[1:-1].strip()
            self._quoted += 1
        return text

    def label(self, text: str) -> str:
        """Return a label; "" for the markers that pandas and R write for a missing one."""
        if text.lower() in _NO_LABEL:
            self._ignored.add("labels that stand for none", text)
            return ""
        return text

    def is_total(self, video: str, label: str) -> bool:
        """Return whether a row is a total of others, and count it."""
        found = not label and video.lower() in _TOTALS
        if found:
            self._ignored.add("rows that are totals", video)
        return found

    def time(self, text: str) -> tuple[float, bool]:
        """Return a time, and whether it is a clock and thus in seconds; raise ValueError."""
        if text.isascii() and text.replace(".", "", 1).isdigit():  # nearly all times are like this
            return float(text), False
        return seconds(self._point(text)), self._is_clock(text, "times")

    def duration(self, text: str) -> float | None:
        """Return a duration, or None for an empty cell; raise TypeError or ValueError."""
        if is_blank(text):
            return None
        self._is_clock(text, "durations")
        return number(seconds(self._point(text)), "duration")

    def positive(self, text: str, role: str) -> float | None:
        """Return a positive number, or None for an empty cell; raise TypeError or ValueError."""
        return None if is_blank(text) else number(self._point(text), role)

    def require_decimals(self) -> None:
        """Raise AnnotationError if commas within numbers may separate thousands."""
        if self._thousands and not self._decimals:
            numbers = counted(self._thousands, "number")
            raise AnnotationError(
                f"{self._path}: {numbers} like {self._example!r}: thousands or decimals? write "
                f"{self._example.replace(',', '')} or {self._example.replace(',', '.')}"
            )

    def notes(self) -> tuple[str, ...]:
        """Return notes about what was removed and what was ignored."""
        lines = [
            f"{self._path}: dropped {what} ids of {counted(count, 'row')}"
            for count, what in (
                (self._unseen, "zero-width characters in"),
                (self._quoted, "single quotes around"),
            )
            if count
        ]
        return (*lines, *self._ignored.notes(self._path))

    def _is_clock(self, text: str, what: str) -> bool:
        if ":" in text:
            self.clocks.add(what)
            return True
        return False

    def _point(self, text: str) -> str:
        if "," in text and self.comma_separates:
            if _THOUSANDS.fullmatch(text):
                self._thousands += 1
                self._example = self._example or text
            else:
                self._decimals = True
        return point(text)


def escaped_id(name: str) -> str:
    """Return the id with `v_` before it if it would otherwise not be read back unchanged."""
    bare = name.startswith("#") or name.lower() in _TOTALS or name[:1] in _QUOTES
    return f"v_{name}" if bare else name
