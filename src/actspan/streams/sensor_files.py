"""CSV and Parquet files as batches of numbers, with pyarrow, in bounded memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from actspan.core.errors import VideoError, require_installed
from actspan.core.files import check_expansion, check_size
from actspan.core.types import Float64

_BLOCK = 4 * 2**20  # bytes of a CSV file per batch; no line may be longer
_ROWS = 65_536  # rows of a Parquet file per batch
_HEAD = 65_536  # bytes in which the separator is searched
_SEPARATORS = ",;\t|"
Type = Literal["number", "clock", "text"]  # clock: dates and times of day


class Column(NamedTuple):
    """A column of a table."""

    name: str
    type: Type


class Batch(NamedTuple):
    """Some rows of a table."""

    values: Float64  # (n, C); NaN where a cell is empty
    times: Float64 | None  # (n,), NaN where there is none; None unless a column was requested
    is_clock: bool  # times are nanoseconds, and not numbers of the table


class SensorFile(AbstractContextManager["SensorFile"]):
    """An open table: its columns, and its rows in batches.

    Attributes
    ----------
    rows : int or None
        Number of rows, if the file says it.
    skipped : int
        Number of rows that were skipped so far, because they have too many or too few cells.
    """

    columns: tuple[Column, ...] = ()
    rows: int | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped = 0

    def batches(self, columns: Sequence[str], time: str | None) -> Iterator[Batch]:
        """Yield the rows in order; raise VideoError if the file is damaged."""
        types = {column.name: column.type for column in self.columns}
        names = list(dict.fromkeys([*columns, *([] if time is None else [time])]))
        origin = None  # of nanoseconds, which float64 cannot hold
        with _table_errors(self.path):
            for batch in self._record_batches(names):
                table = {n: batch.column(i) for i, n in enumerate(batch.schema.names)}
                values = np.empty((batch.num_rows, len(columns)))
                for place, name in enumerate(columns):
                    values[:, place] = _numbers(table[name])
                if time is None:
                    yield Batch(values, None, is_clock=False)
                elif types[time] == "clock":
                    times, origin = _nanoseconds(table[time], origin)
                    yield Batch(values, times, is_clock=True)
                else:
                    yield Batch(values, _numbers(table[time]), is_clock=False)

    @abstractmethod
    def _record_batches(self, names: Sequence[str]) -> Iterator[Any]:
        """Yield the columns with these names, as record batches."""

    def close(self) -> None:
        """Close the file. Closing twice is allowed."""

    def __exit__(self, *details: object) -> None:
        self.close()


class _CsvFile(SensorFile):
    """A text file of separated cells."""

    def __init__(self, path: Path) -> None:
        from pyarrow import csv

        super().__init__(path)
        self._csv = csv
        self._comments, self._separator, self._decimal, has_header = _read_form(path)
        self._read = csv.ReadOptions(
            block_size=_BLOCK,
            skip_rows=self._comments,
            autogenerate_column_names=not has_header,
            use_threads=False,
        )
        with _table_errors(path), self._open(csv.ConvertOptions(decimal_point=self._decimal)) as f:
            found = f.schema
            names = found.names  # which may not be UTF-8
        if len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise VideoError(f"{path}: two columns are named {twice!r}", "rename one of the two")
        self._types = {n: found.field(i).type for i, n in enumerate(names)}
        self.columns = tuple(Column(n, _type_of(t)) for n, t in self._types.items())

    def _open(self, convert: Any) -> Any:
        def skip(row: Any) -> str:
            self.skipped += 1
            return "skip"

        parse = self._csv.ParseOptions(delimiter=self._separator, invalid_row_handler=skip)
        return self._csv.open_csv(
            str(self.path), read_options=self._read, parse_options=parse, convert_options=convert
        )

    def _record_batches(self, names: Sequence[str]) -> Iterator[Any]:
        import pyarrow as pa

        types = {n: self._wide(self._types[n]) for n in names if n in self._types}
        convert = self._csv.ConvertOptions(
            include_columns=list(names),
            column_types={n: t or pa.float64() for n, t in types.items()},
            decimal_point=self._decimal,
        )
        self.skipped = 0
        with self._open(convert) as reader:
            yield from reader

    def _wide(self, found: Any) -> Any:
        """Return the type of a clock, with nanoseconds, which later rows may have; else None."""
        import pyarrow as pa

        if pa.types.is_timestamp(found):
            return pa.timestamp("ns", tz=found.tz)
        if pa.types.is_time(found):
            return pa.time64("ns")
        return None


class _ParquetFile(SensorFile):
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        super().__init__(path)
        with _table_errors(path):
            check_size(path)
            self._file = parquet.ParquetFile(path)
            found, self.rows = self._file.schema_arrow, self._file.metadata.num_rows
            self.columns = tuple(Column(field.name, _type_of(field.type)) for field in found)

    def _record_batches(self, names: Sequence[str]) -> Iterator[Any]:
        groups = [self._file.metadata.row_group(i) for i in range(self._file.num_row_groups)]
        for group in groups:
            columns = [group.column(i) for i in range(group.num_columns)]
            used = [c for c in columns if c.path_in_schema.split(".")[0] in names]
            stored = min(sum(c.total_compressed_size for c in used), self.path.stat().st_size)
            check_expansion(stored, sum(column.total_uncompressed_size for column in used))
        yield from self._file.iter_batches(_ROWS, columns=list(names), use_threads=False)

    def close(self) -> None:
        """Close the file. Closing twice is allowed."""
        self._file.close()


def open_table(path: Path) -> SensorFile:
    """Open a table; raise VideoError if it is missing, empty, or not a table."""
    require_installed("pyarrow", extra="arrow", purpose="reading a table")
    try:
        check_size(path)
        if not path.is_file():
            raise VideoError(f"{path}: no such file")
        if not path.stat().st_size:
            raise VideoError(f"{path}: the file is empty")
        with path.open("rb") as stream:
            is_parquet = stream.read(4) == b"PAR1"
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror}") from error
    if path.suffix.lower() in (".parquet", ".pq") and not is_parquet:
        raise VideoError(f"{path}: not a Parquet file")
    return _ParquetFile(path) if is_parquet else _CsvFile(path)


@contextmanager
def _table_errors(path: Path) -> Iterator[None]:
    """Raise VideoError, of one line with the name of the file, for what pyarrow raises."""
    import pyarrow as pa

    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        lines = str(error).splitlines()
        raise VideoError(f"{path}: cannot be read: {lines[0] if lines else 'damaged'}") from error


def _read_form(path: Path) -> tuple[int, str, str, bool]:
    """Return lines of comments, separator, decimal point, and whether there is a header."""
    with path.open("rb") as stream:
        lines = stream.read(_HEAD).decode("utf-8", errors="replace").splitlines()
    comments = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    first, *others = lines[comments : comments + 2] or [""]
    separator = max(_SEPARATORS, key=first.count)
    second = others[0] if others else ""
    decimal = "," if separator != "," and "," in second and "." not in second else "."
    cells = [cell.strip().strip('"').lstrip("\ufeff") for cell in first.split(separator)]
    is_header = not all(_is_number(cell.replace(decimal, ".")) for cell in cells)
    return comments, separator, decimal, is_header


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _type_of(found: Any) -> Type:
    import pyarrow as pa

    types = pa.types
    if types.is_timestamp(found) or types.is_time(found):
        return "clock"
    # An empty column may get values later.
    numbers = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    is_number = any(check(found) for check in numbers) or types.is_null(found)
    return "number" if is_number else "text"


def _numbers(column: Any) -> Float64:
    import pyarrow as pa
    from pyarrow import compute

    plain = compute.cast(column, pa.float64(), safe=False)
    return np.asarray(np.from_dlpack(compute.fill_null(plain, float("nan"))), dtype=np.float64)


def _nanoseconds(column: Any, origin: int | None) -> tuple[Float64, int | None]:
    """Return times of day or dates as nanoseconds from the first one, and that one."""
    import pyarrow as pa
    from pyarrow import compute

    kind = column.type
    wide = pa.timestamp("ns", tz=kind.tz) if pa.types.is_timestamp(kind) else pa.time64("ns")
    whole = compute.cast(compute.cast(column, wide), pa.int64())
    known = np.from_dlpack(compute.cast(compute.is_valid(whole), pa.uint8())).astype(bool)
    times = np.from_dlpack(compute.fill_null(whole, 0))
    if origin is None and known.any():
        origin = int(times[known.argmax()])
    return np.where(known, (times - (origin or 0)).astype(np.float64), np.nan), origin
