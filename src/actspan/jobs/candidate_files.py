"""Candidates of a run on disk: the rows of all videos, and an index of them.

    candidates.npy    (P,) records: start, end, start_score, end_score, confidence[, score]
    candidates.csv    video, offset, seconds, first, rows: one line per video or window

Position p of a part corresponds to the second offset + p * seconds of its video. The rows of a part
are first, ..., first + rows - 1; parts follow each other without gaps. Candidates of BSN are stored
without their score, which is start score x end score.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import ResultError
from actspan.core.files import atomic_file, read_text
from actspan.core.limits import DOCUMENT
from actspan.core.segments import Proposals
from actspan.core.types import Float32
from actspan.data.array_files import map_npy

if TYPE_CHECKING:  # its kernels are not needed to read
    from actspan.pipeline.outcomes import Outcome

CANDIDATES, INDEX = "candidates.npy", "candidates.csv"
_COLUMNS = (
    ("start", "<f8"),
    ("end", "<f8"),
    ("start_score", "<f4"),
    ("end_score", "<f4"),
    ("confidence", "<f4"),
)
RECORD = np.dtype([*_COLUMNS])
SCORED_RECORD = np.dtype([*_COLUMNS, ("score", "<f4")])  # the product that BMN makes in float32

_RECORDS = (RECORD, SCORED_RECORD)


class Part(NamedTuple):
    """The candidates of one video, or of one window of it: an entry of the index."""

    video: str
    offset: float
    seconds: float  # position p corresponds to offset + p * seconds
    first: int
    rows: int


class Candidates(NamedTuple):
    """Candidates that a network scored, of one video or of one window of it."""

    video: str
    offset: float
    seconds: float  # position p corresponds to offset + p * seconds
    proposals: Proposals  # N candidates, positions, in the order of the run
    confidence: Float32  # the network's scores, (N,)


def record_of(outcome: Outcome) -> np.dtype[Any]:
    """Return the columns of an outcome's candidates, and their types."""
    return SCORED_RECORD if outcome.own_scores else RECORD


def columns_of(outcome: Outcome) -> dict[str, NDArray[Any]]:
    """Return the columns of an outcome's candidates by name."""
    record = record_of(outcome)
    found = {name: getattr(outcome.candidates, name, None) for name in record.names or ()}
    found["confidence"] = outcome.confidence
    return {name: np.asarray(column, record[name]) for name, column in found.items()}


def from_columns(
    columns: Mapping[str, NDArray[Any]], video: str | None = None
) -> tuple[Proposals, Float32]:
    """Return candidates, and their confidence, from the columns of `columns_of`."""
    start_score, end_score = columns["start_score"], columns["end_score"]
    score = columns.get("score")
    if score is None:
        score = start_score.astype(np.float64) * end_score
    ends = columns["start"], columns["end"]
    proposals = Proposals(*ends, score, start_score, end_score, unit="fraction", video=video)
    return proposals, columns["confidence"]


@contextmanager
def candidate_writer(folder: Path) -> Iterator[Callable[[Outcome], None]]:
    """Open the files in a folder; yield the function that appends a video or the next window."""
    with atomic_file(folder / CANDIDATES) as rows, atomic_file(folder / INDEX) as index:
        index.write(",".join(Part._fields).encode() + b"\n")
        total, record = 0, RECORD

        def write_header() -> None:
            # NumPy pads a header, so that its size is the same for any number of rows.
            header = {"descr": record.descr, "fortran_order": False, "shape": (total,)}
            np.lib.format.write_array_header_1_0(rows, header)

        def add(outcome: Outcome) -> None:
            nonlocal total, record
            if rows.tell() == 0:
                record = record_of(outcome)  # the same for all videos of a model
                write_header()
            table = np.empty(len(outcome.candidates), record)
            for name, column in columns_of(outcome).items():
                table[name] = column
            rows.write(table.tobytes())
            part = Part(outcome.id, outcome.offset, outcome.seconds, total, len(table))
            line = io.StringIO()
            csv.writer(line, lineterminator="\n").writerow(part)
            index.write(line.getvalue().encode())
            total += len(table)

        yield add
        rows.seek(0)
        write_header()


def map_candidates(path: Path) -> NDArray[Any]:
    """Return the records of a file, (P,), mapped into memory.

    Raises ResultError if the file is missing or damaged, or contains something else.
    """
    try:
        table = map_npy(path, _RECORDS)
        if table.dtype not in _RECORDS or table.ndim != 1:
            raise ValueError("its columns are not those of candidates")
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: cannot be read: {error}") from error
    return table


def read_index(path: Path) -> list[Part]:
    """Read the index of candidates; raise ResultError if it is missing or damaged."""
    try:
        header, *lines = csv.reader(io.StringIO(read_text(path, DOCUMENT), newline=""), strict=True)
        if tuple(header) != Part._fields:
            raise ValueError(f"columns {', '.join(Part._fields)} are needed")
        parts = [_part(*line) for line in lines]
        total = 0
        for part in parts:
            if part.first != total or part.rows < 0:
                raise ValueError(f"the rows of {part.video!r} do not follow those before")
            total += part.rows
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise ResultError(f"{path}: cannot be read: {error}") from error
    return parts


def _part(video: str, offset: str, seconds: str, first: str, rows: str) -> Part:
    part = Part(video, float(offset), float(seconds), int(first), int(rows))
    if not (isfinite(part.offset) and isfinite(part.seconds)):
        raise ValueError(f"the times of {video!r} are not finite")
    return part


def read_candidates(path: Path, parts: Iterable[Part]) -> Iterator[Candidates]:
    """Yield the candidates of parts from their file; raise ResultError if it is damaged."""
    table = map_candidates(path)
    for part in parts:
        found = table[part.first : part.first + part.rows]
        if len(found) != part.rows:
            raise ResultError(f"{path}: cannot be read: it has fewer rows than {INDEX} says")
        columns = {name: np.ascontiguousarray(found[name]) for name in table.dtype.names or ()}
        proposals, confidence = from_columns(columns, part.video)
        yield Candidates(part.video, part.offset, part.seconds, proposals, confidence)
