"""Ids, labels and numbers from the cells of a table, without the additions of spreadsheets.

A decimal comma is read as a point. If commas also separate cells and all quoted numbers look like
`1,234`, they may be thousands: they are refused.
"""

from __future__ import annotations

import re
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.core.wording import counted
from actspan.data.annotations.annotation_set import number, seconds
from actspan.data.annotations.table_columns import is_blank, with_point
from actspan.data.names import Ignored

# Copied text contains zero-width spaces and direction marks, which nobody sees.
_UNSEEN = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff]")
_QUOTES = ("'", "`", "\u2018")
_NO_LABEL = frozenset({"nan", "na", "n/a", "<na>", "null"})  # as written by pandas and R
_TOTALS = frozenset({"total", "totals", "subtotal", "grand total", "sum", "mean", "average"})
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+")


class CellReader:
    """Reader of cells, which counts what it changed or ignored.

    Attributes
    ----------
    clocks : set of str
        Which of "times" and "durations" a cell writes as a clock.
    comma_separates : bool
        Whether commas separate cells, so that a comma in a number has to be quoted.
    """

    def __init__(self, path: Path, separator: str, ignored: Ignored) -> None:
        self.clocks: set[str] = set()
        self.comma_separates = separator == ","
        self._path, self._ignored = path, ignored
        self._thousands, self._example, self._decimals = 0, "", False
        self._unseen = self._quoted = 0

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

    def time(self, text: str, units_per_second: float) -> float:
        """Return a time in seconds, from a number of units or a clock; raise ValueError."""
        if text.isascii() and text.replace(".", "", 1).isdigit():  # nearly all times are like this
            return float(text) / units_per_second
        time = seconds(self._with_point(text))
        return time if self._is_clock(text, "times") else time / units_per_second

    def duration(self, text: str) -> float | None:
        """Return a duration, or None for an empty cell; raise TypeError or ValueError."""
        if is_blank(text):
            return None
        self._is_clock(text, "durations")
        return number(seconds(self._with_point(text)), "duration")

    def positive(self, text: str, role: str) -> float | None:
        """Return a positive number, or None for an empty cell; raise TypeError or ValueError."""
        return None if is_blank(text) else number(self._with_point(text), role)

    def require_decimals(self) -> None:
        """Raise AnnotationError if commas within numbers may separate thousands."""
        if self._thousands and not self._decimals:
            numbers = counted(self._thousands, "number")
            raise AnnotationError(
                f"{self._path}: {numbers} like {self._example!r}: thousands or decimals? write "
                f"{self._example.replace(',', '')} or {self._example.replace(',', '.')}"
            )

    def notes(self) -> list[str]:
        """Return notes about what was removed from ids."""
        removed = ("zero-width characters in", self._unseen), ("single quotes around", self._quoted)
        return [
            f"{self._path}: dropped {what} ids of {counted(count, 'row')}"
            for what, count in removed
            if count
        ]

    def _is_clock(self, text: str, what: str) -> bool:
        if ":" in text:
            self.clocks.add(what)
        return ":" in text

    def _with_point(self, text: str) -> str:
        if "," in text and self.comma_separates:
            if _THOUSANDS.fullmatch(text):
                self._thousands += 1
                self._example = self._example or text
            else:
                self._decimals = True
        return with_point(text)


def escaped_id(name: str) -> str:
    """Return the id with `v_` before it if it would otherwise not be read back unchanged."""
    changes = name.startswith("#") or name.lower() in _TOTALS or name[:1] in _QUOTES
    return f"v_{name}" if changes else name
