"""Compiled parser for plain CSV tables, five times as fast as a general reader.

Features have hundreds of columns and few rows, and a general reader spends more time on columns
than on numbers. This parser walks through the text once. Text that is not plain (quotes, spaces,
missing values, words) and numbers whose rounding is in doubt are left to the general reader.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actspan.core.kernels import inlined, kernel
from actspan.core.types import Float32

Text = NDArray[np.uint8]

_NEWLINE, _RETURN, _COMMA, _PLUS, _MINUS, _POINT, _E = b"\n\r,+-.e"
_LOWER_CASE = 32  # the bit by which e and E differ
_ROOM = 10**17  # a mantissa this large takes no further digit; float64 stores 16
_POWERS = np.array([float(f"1e{n}") for n in range(46)])
# Relative error: mantissa, power and quotient are each rounded to float64, by at most 2^-53.
_DOUBT = 2.0**-49


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
    begin = at + negative
    at, mantissa, exponent = _digits(text, begin, 0)
    plain = at > begin
    if text[at] == _POINT:
        begin = at + 1
        at, mantissa, dropped = _digits(text, begin, mantissa)
        plain &= at > begin
        exponent += dropped - (at - begin)
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
    begin = at + (negative or text[at] == _PLUS)
    at, power, _ = _digits(text, begin, 0)
    return (at if at > begin else -1), (-power if negative else power)


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
