"""A general reader of numbers in CSV: quotes, spaces, missing values, and errors that explain."""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Collection, Iterator
from math import nan

import numpy as np

from actspan.core.types import Float64
from actspan.core.wording import counted
from actspan.data.array_files import ContentError

_MISSING = {"", "na", "n/a", "#n/a", "null", "none"}
_DECIMAL_COMMA = re.compile(r"-?\d*,\d+")


def read_numbers(text: bytes, *, has_header: bool) -> Float64:
    """Return the rows of a table in UTF-8, (T, C); NaN where a field is empty or missing.

    Raises ValueError if the text is not a table, and ContentError if a field is not a number.
    """
    rows = _rows(text)
    if has_header:
        next(rows, None)
    return _numbers(rows)


def read_columns(text: bytes, names: Collection[str]) -> list[Float64]:
    """Return named columns of a table with a header, (T,) each; others may contain anything.

    Raises KeyError if a column is missing, and otherwise like `read_numbers`.
    """
    rows = _rows(text)
    header = next(rows, [])
    if missing := [name for name in names if name not in header]:
        raise KeyError(missing[0])
    places = [header.index(name) for name in names]
    table = _numbers([row[place] for place in places] for row in rows)
    return [table[:, i] if len(table) else np.empty(0) for i in range(len(places))]


def _rows(text: bytes) -> Iterator[list[str]]:
    """Yield the rows that are not empty; raise ValueError if one has another number of fields."""
    lines = csv.reader(io.StringIO(text.decode("utf-8-sig"), newline=""), strict=True)
    width = 0
    try:
        for row in lines:
            if not row:
                continue
            width = width or len(row)
            if len(row) != width:
                raise ValueError(
                    f"line {lines.line_num} has {counted(len(row), 'field')}, others {width}"
                )
            yield row
    except csv.Error as error:
        raise ValueError(f"line {lines.line_num}: {error}") from error


def _numbers(rows: Iterator[list[str]]) -> Float64:
    values, width = array("d"), 0  # a row is 8 bytes per field as soon as it is read
    for row in rows:
        values.extend(map(_number, row))
        width = len(row)
    return np.frombuffer(values, np.float64).reshape(-1, width) if width else np.empty((0, 0))


def _number(field: str) -> float:
    try:
        if "_" not in field:  # of which Python makes groups of digits
            return float(field)
    except ValueError:
        if field.strip().lower() in _MISSING:
            return nan
    if _DECIMAL_COMMA.fullmatch(field.strip()):
        raise ContentError("numbers have decimal commas, and so have fields")
    raise ContentError(f"{field[:40]!r} is not a number")
