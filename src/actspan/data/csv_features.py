"""Features as CSV: separators, headers, columns of row numbers or times, and a compiled parser.

Features have hundreds of columns and few rows, and a general reader spends more time on columns
than on numbers. The parser walks through plain text once, five times as fast. Other text (quotes,
spaces, missing values, words) and numbers whose rounding is in doubt are left to a general reader.
Import this module late: loading the compiler takes longer than many jobs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actspan.core.files import read_bytes
from actspan.core.kernels import inlined, kernel
from actspan.core.limits import DOCUMENT
from actspan.core.types import Float32
from actspan.core.wording import counted
from actspan.data.array_files import ContentError
from actspan.data.csv_numbers import read_numbers

Text = NDArray[np.uint8]

_BOM = b"\xef\xbb\xbf"
_TIMES = {"frame", "frames", "index", "seconds", "t", "time", "timestamp"}  # in lower case
_ROW_NUMBERS = {"", "unnamed: 0", "index"}  # names that pandas gives to columns of row numbers
ROW_NUMBERS = "a first column of row numbers"
TIMES = "a first column of times"
_UNEVEN = 0.02  # of a step: what rounding of times leaves
# Of the parser:
_NEWLINE, _RETURN, _COMMA, _PLUS, _MINUS, _POINT, _E = b"\n\r,+-.e"
_LOWER_CASE = 32  # the bit by which e and E differ
_ROOM = 10**17  # a mantissa this large takes no further digit; float64 stores 16
_POWERS = np.array([float(f"1e{n}") for n in range(46)])
# Relative error: mantissa, power and quotient are each rounded to float64, by at most 2^-53.
_DOUBT = 2.0**-49


def read_csv(path: Path) -> tuple[Float32, str]:
    """Return one row per snippet, and a text that says which header or column was dropped.

    A first row that is not numeric is a header. Without a header, a single file does not show that
    its first column is not a feature; `first_column` helps if the other files are known.
    """
    text, first = _with_commas(read_bytes(path, DOCUMENT))
    has_header = _is_numbered(first) or not all(map(_is_number, first))
    start = (text.find(b"\n") + 1 or len(text)) if has_header else 0
    table = parse_table(np.frombuffer(text, np.uint8)[start:], len(first))
    if table is None:
        table = _read_any(text, has_header)
    dropped = ["the header 0, 1, 2, ..."] if _is_numbered(first) else []
    if has_header and table.shape[1] > 1:
        name = first[0].lower()
        if name in _ROW_NUMBERS and counts_rows(table):
            dropped.append(ROW_NUMBERS)
            table = table[:, 1:]
        elif name in _TIMES and (np.diff(table[:, 0]) > 0).all():
            dropped.append(f"a first column {first[0]!r}, which counts up")
            table = table[:, 1:]
    return table, " and ".join(dropped)


def _with_commas(text: bytes) -> tuple[bytes, list[str]]:
    """Return a table with commas between fields, and the fields of its first row."""
    line = text[: text.find(b"\n") + 1 or len(text)].removeprefix(_BOM).rstrip(b"\r\n")
    separator = _separator(line.strip(b" "))
    if separator != b",":  # then commas are decimal commas
        text, line = (t.replace(b",", b".").replace(separator, b",") for t in (text, line))
    return text, [field.strip('"') for field in line.decode(errors="replace").split(",")]


def _separator(line: bytes) -> bytes:
    """Return the separator of fields; if it is not a comma, decimals may have commas.

    numpy.savetxt writes spaces, and spreadsheets of many countries semicolons.
    """
    if b";" in line:
        return b";"
    for mark in (b"\t", b" "):
        parts = line.replace(b",", b".").split(mark)
        if len(parts) > 1 and (b"," not in line or all(map(_is_number, parts))):
            return mark
    return b","


def _is_numbered(fields: list[str]) -> bool:
    """Return whether fields are 0, 1, 2, ..., which pandas writes for columns without names."""
    return len(fields) > 2 and fields == [str(i) for i in range(len(fields))]


def _is_number(text: str | bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def first_column(table: Float32) -> str:
    """Return `ROW_NUMBERS` or `TIMES` if the first of several columns may be that; else ""."""
    if counts_rows(table):
        return ROW_NUMBERS
    return TIMES if _rises_evenly(table) else ""


def counts_rows(table: Float32) -> bool:
    """Return whether the first of several columns counts the rows, starting at 0 or 1."""
    if table.shape[1] < 2 or not len(table) or table[0, 0] not in (0, 1):
        return False
    return np.array_equal(table[:, 0], table[0, 0] + np.arange(len(table)))


def _rises_evenly(table: Float32) -> bool:
    """Return whether the first of several columns rises in even steps, from 0 or one step on."""
    if table.shape[1] < 2 or len(table) < 2:
        return False
    times = table[:, 0].astype(np.float64)
    step = (times[-1] - times[0]) / (len(times) - 1)
    if not 0 <= times[0] <= step * (1 + _UNEVEN) or not step > 0:
        return False
    even = times[0] + step * np.arange(len(times))
    return bool((np.abs(times - even) <= _UNEVEN * step).all())


def _read_any(text: bytes, has_header: bool) -> Float32:
    """Read a table with the general reader; raise ContentError if a value is missing."""
    values = read_numbers(text, has_header=has_header)
    if np.isnan(values).any():
        raise ContentError(f"{counted(int(np.isnan(values).sum()), 'field')} empty or NaN")
    return values.astype(np.float32)


def parse_table(text: Text, columns: int) -> Float32 | None:
    """Return rows of numbers that are separated by commas.

    Parameters
    ----------
    text : (n,) uint8
        The rows, without a header.
    columns : int

    Returns
    -------
    (T, columns) float32, or None
        Each number rounded to float64, then to float32; None where the text is not plain.
    """
    if len(text) and text[-1] != _NEWLINE:
        text = np.append(text, np.uint8(_NEWLINE))
    rows = int(np.count_nonzero(text == _NEWLINE))
    if 2 * rows * columns > len(text):  # no room for a digit and a separator each
        return None
    table = np.empty((rows, columns), np.float32)
    return table if _parse(text, table) else None


@kernel
def _parse(text: Text, table: Float32) -> bool:
    """Fill a table with one row per line; return False if the text is not plain."""
    at = 0  # stays within the text: no step passes a line end, and every row has one
    rows, columns = table.shape
    for row in range(rows):
        for column in range(columns):
            at, value = _number(text, at)
            # The exact number is between these two. If they round to the same value, so does it.
            low, high = np.float32(value * (1 - _DOUBT)), np.float32(value * (1 + _DOUBT))
            if at < 0 or low != high:
                return False
            table[row, column] = low
            if column + 1 < columns:
                if text[at] != _COMMA:
                    return False
                at += 1
        at += text[at] == _RETURN
        if text[at] != _NEWLINE:
            return False
        at += 1
    return True


@inlined
def _number(text: Text, at: int) -> tuple[int, float]:
    """Return where a number ends, and its value; -1 if there is no plain number."""
    negative = text[at] == _MINUS
    start = at + negative
    at, mantissa, exponent = _digits(text, start, 0)
    plain = at > start
    if text[at] == _POINT:
        start = at + 1
        at, mantissa, dropped = _digits(text, start, mantissa)
        plain &= at > start
        exponent += dropped - (at - start)
    if text[at] | _LOWER_CASE == _E:
        at, power = _exponent(text, at + 1)
        plain &= at >= 0
        exponent += power
    if not plain or abs(exponent) >= len(_POWERS):
        return -1, 0.0
    value = mantissa * _POWERS[exponent] if exponent > 0 else mantissa / _POWERS[-exponent]
    return at, -value if negative else value


@inlined
def _exponent(text: Text, at: int) -> tuple[int, int]:
    """Return where a power of ten ends, and the power; -1 if there is none."""
    negative = text[at] == _MINUS
    start = at + (negative or text[at] == _PLUS)
    at, power, _ = _digits(text, start, 0)
    return (at if at > start else -1), (-power if negative else power)


@inlined
def _digits(text: Text, at: int, mantissa: int) -> tuple[int, int, int]:
    """Return where digits end, the mantissa with them, and how many digits had no room."""
    dropped = 0
    while True:
        digit = int(text[at]) - 48
        if digit < 0 or digit > 9:
            return at, mantissa, dropped
        if mantissa < _ROOM:
            mantissa = mantissa * 10 + digit
        else:
            dropped += 1
        at += 1
