"""Features as CSV: what separates the fields, headers, and row numbers that pandas adds."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.data.csv_numbers import parse_table
from actspan.data.npy import ContentError
from actspan.files import read_bytes
from actspan.limits import DOCUMENT
from actspan.wording import counted

_BOM = b"\xef\xbb\xbf"
_SEPARATORS = (b",", b";", b"\t", b" ")  # of a CSV file; numpy.savetxt writes blanks
_ROW_NUMBERS = {"", "Unnamed: 0", "index"}  # names that pandas gives to them


class _Csv(NamedTuple):
    """A table's text with commas between fields, its first row, and what that row shows."""

    text: bytes
    first: list[str]
    has_header: bool
    has_row_numbers: bool  # the first column may be one that pandas adds

    @property
    def rows(self) -> NDArray[np.uint8]:
        """Return the bytes below the header."""
        begin = (self.text.find(b"\n") + 1 or len(self.text)) if self.has_header else 0
        return np.frombuffer(self.text, np.uint8)[begin:]


def _open_csv(text: bytes) -> _Csv:
    """Find what separates the fields, and whether the first row is a header."""
    line = text[: text.find(b"\n") + 1 or len(text)].removeprefix(_BOM).rstrip(b"\r\n")
    separator = next((mark for mark in _SEPARATORS if mark in line.strip()), b",")
    if separator != b",":
        text, line = text.replace(separator, b","), line.replace(separator, b",")
    fields = [field.strip('"') for field in line.decode(errors="replace").split(",")]
    has_header = _is_numbered(fields) or not all(map(_is_number, fields))
    has_row_numbers = has_header and len(fields) > 1 and fields[0] in _ROW_NUMBERS
    return _Csv(text, fields, has_header, has_row_numbers)


def _is_numbered(fields: list[str]) -> bool:
    """Return whether fields are 0, 1, 2, ..., which pandas writes for columns without names."""
    return len(fields) > 2 and fields == [str(i) for i in range(len(fields))]


def read_csv(path: Path) -> tuple[NDArray[np.float32], str]:
    """Read a row per snippet without what pandas adds; also return words for what that was.

    A first row that is not numeric is a header.
    """
    csv = _open_csv(read_bytes(path, DOCUMENT))
    table = parse_table(csv.rows, len(csv.first))
    if table is None:
        table = read_any_csv(csv.text, csv.first, csv.has_header)
    dropped = ["the header 0, 1, 2, ..."] if _is_numbered(csv.first) else []
    if csv.has_row_numbers and np.array_equal(table[:, 0], np.arange(len(table))):
        table = table[:, 1:]
        dropped.append("a first column of row numbers")
    return table, " and ".join(dropped)


def read_any_csv(text: bytes, first: list[str], is_header: bool) -> NDArray[np.float32]:
    """Read a table by a general reader: quotes, blanks, and words for what is wrong."""
    import pyarrow as pa
    from pyarrow import csv

    names = first if is_header else [f"f{i}" for i in range(len(first))]
    options = csv.ReadOptions(autogenerate_column_names=not is_header, use_threads=False)
    # columns of a given type are read four times as fast as others
    given = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float64()))
    try:
        table = csv.read_csv(pa.BufferReader(text), read_options=options, convert_options=given)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    for column in table.schema:
        if column.type not in (pa.float64(), pa.int64()):
            raise ContentError(f"column {column.name} holds {column.type}, not numbers")
    if not table.num_rows:
        return np.empty((0, table.num_columns), np.float32)
    (batch,) = table.combine_chunks().to_batches()
    values: NDArray[np.float64] = batch.to_tensor(null_to_nan=True).to_numpy()
    if np.isnan(values).any():
        raise ContentError(f"{counted(int(np.isnan(values).sum()), 'field')} empty or NaN")
    return values.astype(np.float32)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
