"""Proposals and detections as tables, one row per segment: CSV and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from actspan.core.errors import ResultError
from actspan.core.files import atomic_file
from actspan.core.types import Proposals
from actspan.data.results import HEAD, ResultWriter

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetWriter

ANSWER_SUFFIXES = (".json", ".csv", ".parquet")
_COLUMNS = ("video", "start", "end", "score")
_LABELLED = (*_COLUMNS, "label")
_HEADERS = (_COLUMNS, _LABELLED)
_HEAD = 4096  # bytes of a file that show whether it is a result
_GROUP = 1 << 17  # rows that are collected per row group of a Parquet file


def answer_writer(path: Path, *, labelled: bool = False) -> ResultWriter:
    """Return the writer for the suffix of a file: .csv, .parquet, or the result's JSON for others.

    Parameters
    ----------
    labelled : bool
        Each segment gets a label; a table then has the column `label`.

    Examples
    --------
    >>> with answer_writer(Path("found.csv")) as writer:  # doctest: +SKIP
    ...     writer.add("video_1", [12.5], [60.0], [0.9])
    """
    kind = {".csv": _CsvWriter, ".parquet": _ParquetWriter}.get(path.suffix.lower())
    return ResultWriter(path) if kind is None else kind(path, labelled)


def check_answer_target(path: Path, inputs: Iterable[Path], *, replace: bool) -> None:
    """Raise if writing a result would replace another file, before any work is done.

    Parameters
    ----------
    inputs : iterable of Path
        Files and folders that the answer is made from: neither they nor what is in them is ever
        replaced.
    replace : bool
        Replace any other file; by default, only results are replaced.

    Raises
    ------
    ResultError
        `path` is such a file, or its folder does not exist.
    """
    if path.is_dir():
        raise ResultError(f"{path}: is a folder; a file is written for {path.suffix}")
    if not path.parent.is_dir():
        raise ResultError(f"{path}: the folder {path.parent} does not exist")
    if not path.exists():
        return
    place = path.resolve()
    if any(place.is_relative_to(one.resolve()) for one in inputs):
        raise ResultError(f"{path}: is part of the input, so it is never replaced; choose another")
    if not replace and not _is_answer(path):
        raise ResultError(
            f"{path}: exists and is not a result of ActSpan; choose another, or replace it with "
            "--force"
        )


def _is_answer(path: Path) -> bool:
    """Return whether a file looks like the output of an `answer_writer` with its suffix."""
    if not path.is_file() or not path.stat().st_size:  # a device, or an empty file
        return True
    if path.suffix.lower() == ".parquet":
        return _parquet_columns(path) in _HEADERS
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if path.suffix.lower() == ".csv":
        return tuple(head.partition(b"\n")[0].decode(errors="replace").split(",")) in _HEADERS
    is_scores = b'"score":' in head and b'"segment":' not in head  # a score file for --labels-from
    return head.startswith(HEAD) and not is_scores


def _parquet_columns(path: Path) -> tuple[str, ...]:
    import pyarrow as pa
    from pyarrow.parquet import read_schema

    try:
        return tuple(read_schema(path).names)
    except pa.ArrowException:
        return ()


class _TableWriter(ResultWriter):
    """A writer of tables instead of the result's JSON: video, start, end, score and maybe label."""

    def __init__(self, path: Path, labelled: bool) -> None:
        super().__init__(path)
        self._file = atomic_file(path)
        self._columns = _LABELLED if labelled else _COLUMNS

    def _columns_of(
        self, video_id: str, proposals: Proposals, labels: Sequence[str] | None
    ) -> dict[str, list[Any]]:
        arrays = (proposals.start, proposals.end, proposals.score)
        values = [[video_id] * len(proposals), *(array.tolist() for array in arrays)]
        return dict(zip(self._columns, [*values, list(labels or ())], strict=False))


class _CsvWriter(_TableWriter):
    def __enter__(self) -> _CsvWriter:
        super().__enter__()
        self._put(",".join(self._columns).encode() + b"\n")
        return self

    def _write(self, video_id: str, proposals: Proposals, labels: Sequence[str] | None) -> None:
        text = io.StringIO()
        columns = self._columns_of(video_id, proposals, labels).values()
        csv.writer(text, lineterminator="\n").writerows(zip(*columns, strict=True))
        self._put(text.getvalue().encode())


class _ParquetWriter(_TableWriter):
    def __enter__(self) -> _ParquetWriter:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        super().__enter__()
        texts = ("video", "label")
        self._schema = pa.schema(
            [(name, pa.string() if name in texts else pa.float64()) for name in self._columns]
        )
        self._table: ParquetWriter = ParquetWriter(self._stream, self._schema)
        self._rows: dict[str, list[Any]] = {name: [] for name in self._columns}
        return self

    def _write(self, video_id: str, proposals: Proposals, labels: Sequence[str] | None) -> None:
        for name, values in self._columns_of(video_id, proposals, labels).items():
            self._rows[name] += values
        if len(self._rows["video"]) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        self._table.write_table(pa.table(self._rows, self._schema))
        self._rows = {name: [] for name in self._columns}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._flush()
            self._table.close()
        except BaseException as failure:
            super().__exit__(type(failure), failure, failure.__traceback__)
            raise
        super().__exit__(kind, error, trace)
