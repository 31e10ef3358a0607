"""Writers of proposals and detections: the result's JSON, or a table (CSV, Parquet)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from actspan.core.errors import ResultError, require_installed
from actspan.core.files import atomic_file, require_replaceable
from actspan.core.segments import Proposals, require_unit
from actspan.data.result_files import VERSION

_START = b'{"version": "%s", "results": {' % VERSION.encode()
_COLUMNS = ("video", "start", "end", "score")
_LABELLED = (*_COLUMNS, "label")
_START_SIZE = 4096  # bytes of a file that show whether it is a result
_GROUP = 1 << 17  # rows that are collected per row group of a Parquet file


_Write = Callable[[str, list[list[float]], Sequence[str] | None], None]  # of one video


@contextmanager
def result_writer(path: Path | str, *, labelled: bool = False) -> Iterator[ResultWriter]:
    """Open a result file; it appears, or replaces an older one, only if the block succeeds.

    The suffixes .csv and .parquet give tables with one row per segment, others the result's JSON.
    With `labelled`, each segment gets a label, and tables have the column `label`. Memory does not
    grow with the number of proposals. Raises ActSpanError if the file cannot be written.

    Examples
    --------
    >>> with result_writer("result.json") as writer:  # doctest: +SKIP
    ...     writer.add("video_1", Proposals([12.5], [60.0], [0.9], unit="seconds"))
    """
    path = Path(path)
    form = {".csv": _csv_rows, ".parquet": _parquet_rows}.get(path.suffix.lower(), _json_entries)
    with atomic_file(path) as stream, form(stream, _LABELLED if labelled else _COLUMNS) as write:
        yield ResultWriter(path, write)


class ResultWriter:
    """Writer of results, video by video; made by `result_writer`."""

    def __init__(self, path: Path, write: _Write) -> None:
        self._path, self._write = path, write
        self._written: set[str] = set()

    def add(self, video_id: str, proposals: Proposals, labels: Sequence[str] | None = None) -> None:
        """Write one video's proposals in seconds, with one label each if `labels` are given.

        Raises ResultError if the video was added before, or a value is NaN or infinite.
        """
        require_unit(proposals, "seconds", "a result file")
        if video_id in self._written:
            raise ResultError(f"{self._path}: video {video_id!r} is written twice")
        columns = (proposals.start, proposals.end, proposals.score)
        if not all(np.isfinite(column).all() for column in columns):
            raise ResultError(f"{self._path}: video {video_id!r}: NaN or infinity in its proposals")
        self._write(video_id, [column.tolist() for column in columns], labels)
        self._written.add(video_id)


@contextmanager
def _json_entries(stream: IO[bytes], names: tuple[str, ...]) -> Iterator[_Write]:
    before = iter((b"",))

    def write(video: str, columns: list[list[float]], labels: Sequence[str] | None) -> None:
        entries: list[dict[str, Any]] = [
            {"score": score, "segment": (start, end)}
            for start, end, score in zip(*columns, strict=True)
        ]
        if labels is not None:
            for entry, label in zip(entries, labels, strict=True):
                entry["label"] = label
        values = next(before, b", "), msgspec.json.encode(video), msgspec.json.encode(entries)
        stream.write(b"%s%s: %s" % values)

    stream.write(_START)
    yield write
    stream.write(b'}, "external_data": {}}\n')


@contextmanager
def _csv_rows(stream: IO[bytes], names: tuple[str, ...]) -> Iterator[_Write]:
    def write(video: str, columns: list[list[float]], labels: Sequence[str] | None) -> None:
        text = io.StringIO()
        values = [[video] * len(columns[0]), *columns, *([] if labels is None else [labels])]
        csv.writer(text, lineterminator="\n").writerows(zip(*values, strict=True))
        stream.write(text.getvalue().encode())

    stream.write(",".join(names).encode() + b"\n")
    yield write


@contextmanager
def _parquet_rows(stream: IO[bytes], names: tuple[str, ...]) -> Iterator[_Write]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    types = {"video": pa.string(), "label": pa.string()}
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in names])
    rows: dict[str, list[Any]] = {name: [] for name in names}

    def write(video: str, columns: list[list[float]], labels: Sequence[str] | None) -> None:
        values: list[list[Any]] = [[video] * len(columns[0]), *columns, list(labels or ())]
        for name, column in zip(names, values, strict=False):  # labels come last
            rows[name] += column
        if len(rows["video"]) >= _GROUP:
            write_group()

    def write_group() -> None:
        table.write_table(pa.table(rows, schema))
        for column in rows.values():
            column.clear()

    with ParquetWriter(stream, schema) as table:
        yield write
        write_group()


def write_result(path: Path | str, proposals: Mapping[str, Proposals]) -> None:
    """Write the proposals of many videos, in seconds; raise as `result_writer` and `add` do."""
    with result_writer(path) as writer:
        for video, proposals_of_video in proposals.items():
            writer.add(video, proposals_of_video)


def check_answer_target(path: Path, inputs: Iterable[Path], *, replace: bool) -> None:
    """Raise ResultError if writing a result would replace another file, before any work is done.

    The folder must exist. Files and folders of `inputs`, and their content, are never replaced;
    other files only with `replace`, unless they are results. Raises MissingExtraError for Parquet
    without pyarrow.
    """
    if path.suffix.lower() == ".parquet":
        require_installed("pyarrow", extra="arrow", purpose="writing Parquet")
    if path.is_dir():
        raise ResultError(f"{path}: is a folder; a file is written for {path.suffix}")
    require_replaceable(path)
    if not path.parent.is_dir():
        raise ResultError(f"{path}: the folder {path.parent} does not exist")
    if not path.exists():
        return
    place = path.resolve()
    if any(place.is_relative_to(source.resolve()) for source in inputs):
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
        import pyarrow as pa
        from pyarrow.parquet import read_schema

        try:
            return tuple(read_schema(path).names) in (_COLUMNS, _LABELLED)
        except pa.ArrowException:
            return False
    with path.open("rb") as stream:
        start = stream.read(_START_SIZE)
    if path.suffix.lower() == ".csv":
        header = start.partition(b"\n")[0].decode(errors="replace")
        return tuple(header.split(",")) in (_COLUMNS, _LABELLED)
    # A score file for --labels-from has scores without segments.
    return start.startswith(_START) and (b'"score":' not in start or b'"segment":' in start)
