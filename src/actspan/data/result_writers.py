"""Writers of proposals and detections: the result's JSON, or a table (CSV, Parquet)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from actspan.core.errors import ResultError
from actspan.core.files import atomic_file
from actspan.core.types import Proposals
from actspan.data.result_files import VERSION

_START = b'{"version": "%s", "results": {' % VERSION.encode()
_COLUMNS = ("video", "start", "end", "score")
_LABELLED = (*_COLUMNS, "label")
_START_SIZE = 4096  # bytes of a file that show whether it is a result
_GROUP = 1 << 17  # rows that are collected per row group of a Parquet file


@contextmanager
def result_writer(path: Path | str, *, labelled: bool = False) -> Iterator[ResultWriter]:
    """Open a result file; it appears, or replaces an older one, only if the block succeeds.

    The suffixes .csv and .parquet give tables with one row per segment, others the result's JSON.
    With `labelled`, each segment gets a label, and tables have the column `label`. Memory does not
    grow with the number of proposals. Raises ActSpanError if the file cannot be written.

    Examples
    --------
    >>> with result_writer("result.json") as writer:  # doctest: +SKIP
    ...     writer.add("video_1", Proposals([12.5], [60.0], [0.9]))
    """
    path = Path(path)
    kinds = {".csv": _CsvWriter, ".parquet": _ParquetWriter}
    with atomic_file(path) as stream:
        writer = kinds.get(path.suffix.lower(), ResultWriter)(path, stream, labelled)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()


class ResultWriter:
    """Writer of results, video by video; made by `result_writer`."""

    def __init__(self, path: Path, stream: IO[bytes], labelled: bool) -> None:
        self._path, self._stream = path, stream
        self._columns = _LABELLED if labelled else _COLUMNS
        self._written: set[str] = set()
        self._start()

    def add(self, video_id: str, proposals: Proposals, labels: Sequence[str] | None = None) -> None:
        """Write one video's proposals in seconds, with one label each if `labels` are given.

        Raises ResultError if the video was added before, or a value is NaN or infinite.
        """
        if video_id in self._written:
            raise ResultError(f"{self._path}: video {video_id!r} is written twice")
        columns = (proposals.start, proposals.end, proposals.score)
        if not all(np.isfinite(column).all() for column in columns):
            raise ResultError(f"{self._path}: video {video_id!r}: NaN or infinity in its proposals")
        self._write(video_id, [column.tolist() for column in columns], labels)
        self._written.add(video_id)

    def finish(self) -> None:
        """Write what follows the last video."""
        self._stream.write(b'}, "external_data": {}}\n')

    def close(self) -> None:
        """Free the resources."""

    def _start(self) -> None:
        self._stream.write(_START)

    def _write(self, video: str, columns: list[list[float]], labels: Sequence[str] | None) -> None:
        entries: list[dict[str, Any]] = [
            {"score": score, "segment": (start, end)}
            for start, end, score in zip(*columns, strict=True)
        ]
        if labels is not None:
            for entry, label in zip(entries, labels, strict=True):
                entry["label"] = label
        separator = b", " if self._written else b""
        key = msgspec.json.encode(video)
        self._stream.write(b"%s%s: %s" % (separator, key, msgspec.json.encode(entries)))


class _CsvWriter(ResultWriter):
    def _start(self) -> None:
        self._stream.write(",".join(self._columns).encode() + b"\n")

    def _write(self, video: str, columns: list[list[float]], labels: Sequence[str] | None) -> None:
        text = io.StringIO()
        values = [[video] * len(columns[0]), *columns, *([] if labels is None else [labels])]
        csv.writer(text, lineterminator="\n").writerows(zip(*values, strict=True))
        self._stream.write(text.getvalue().encode())

    def finish(self) -> None:
        """Write nothing."""


class _ParquetWriter(ResultWriter):
    def _start(self) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        texts = ("video", "label")
        self._schema = pa.schema(
            [(name, pa.string() if name in texts else pa.float64()) for name in self._columns]
        )
        self._table = ParquetWriter(self._stream, self._schema)
        self._rows: dict[str, list[Any]] = {name: [] for name in self._columns}

    def _write(self, video: str, columns: list[list[float]], labels: Sequence[str] | None) -> None:
        values: list[list[Any]] = [[video] * len(columns[0]), *columns, list(labels or ())]
        for name, column in zip(self._columns, values, strict=False):  # labels come last
            self._rows[name] += column
        if len(self._rows["video"]) >= _GROUP:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        self._table.write_table(pa.table(self._rows, self._schema))
        self._rows = {name: [] for name in self._columns}

    def finish(self) -> None:
        """Write the remaining rows."""
        self._write_group()

    def close(self) -> None:
        """Write the end of the file."""
        self._table.close()


def write_result(path: Path | str, proposals: Mapping[str, Proposals]) -> None:
    """Write the proposals of many videos, in seconds; raise as `result_writer` and `add` do."""
    with result_writer(path) as writer:
        for video, found in proposals.items():
            writer.add(video, found)


def check_answer_target(path: Path, inputs: Iterable[Path], *, replace: bool) -> None:
    """Raise ResultError if writing a result would replace another file, before any work is done.

    The folder must exist. Files and folders of `inputs`, and their content, are never replaced;
    other files only with `replace`, unless they are results.
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
    if not replace and not _is_result_file(path):
        raise ResultError(
            f"{path}: exists and is not a result of ActSpan; choose another, or replace it with "
            "--force"
        )


def _is_result_file(path: Path) -> bool:
    """Return whether a file looks like the output of a `result_writer` with its suffix."""
    if not path.is_file() or not path.stat().st_size:  # a device, or an empty file
        return True
    if path.suffix.lower() == ".parquet":
        return _parquet_columns(path) in (_COLUMNS, _LABELLED)
    with path.open("rb") as stream:
        start = stream.read(_START_SIZE)
    if path.suffix.lower() == ".csv":
        header = start.partition(b"\n")[0].decode(errors="replace")
        return tuple(header.split(",")) in (_COLUMNS, _LABELLED)
    # A score file for --labels-from has scores without segments.
    return start.startswith(_START) and (b'"score":' not in start or b'"segment":' in start)


def _parquet_columns(path: Path) -> tuple[str, ...]:
    import pyarrow as pa
    from pyarrow.parquet import read_schema

    try:
        return tuple(read_schema(path).names)
    except pa.ArrowException:
        return ()
