"""Shared parts of the steps: parallel work, files of an input, and figures."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem
from actspan.core.types import Float32, Float64
from actspan.deploy.staged.table import Item

T = TypeVar("T")
Result = TypeVar("Result")

OnError = Literal["fail", "skip"]
Report = Callable[[str, int, int], None]  # (what, done, in all)


@dataclass(frozen=True, slots=True)
class Done:
    """Figures of a finished step.

    Attributes
    ----------
    out : Path
        File or folder that the step wrote.
    inputs, videos : int
        Number of inputs of the network, and of their videos.
    seconds : float
        Wall time of the work, after the check.
    problems : tuple of Problem
        Problems of skipped videos, and notes.
    notes : tuple of str
    """

    out: Path
    inputs: int
    videos: int
    seconds: float
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


class Tally:
    """A counter of the progress of a step, which reports it and returns the figures."""

    def __init__(self, what: str, videos: int, report: Report | None) -> None:
        self._what, self._total, self._report = what, videos, report
        self._begin = perf_counter()
        self.inputs = self.videos = 0

    def count(self, item: Item) -> None:
        """Count one more input; progress is reported in videos."""
        self.inputs += 1
        self.videos += item.ends_video
        if self._report and item.ends_video:
            self._report(self._what, self.videos, self._total)

    def done(self, out: Path, problems: Iterable[Problem] = (), notes: Iterable[str] = ()) -> Done:
        """Return the figures of the step."""
        seconds = perf_counter() - self._begin
        return Done(out, self.inputs, self.videos, seconds, tuple(problems), tuple(notes))


def in_parallel(function: Callable[[T], Result], items: Iterable[T]) -> Iterator[Result]:
    """Apply `function` on all cores; results come in order, and few are held in memory."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads, thread_name_prefix="actspan") as pool:
        yield from map_ordered(pool, function, items, ahead=8 * threads)


def make_folders(parent: Path, *names: str) -> None:
    """Make folders in a folder, which is made if needed."""
    for name in names:
        (parent / name).mkdir(parents=True)


def write_array(path: Path, array: NDArray[Any]) -> bytes:
    """Write an array's values, row by row and without a header; return the bytes."""
    data = np.ascontiguousarray(array).tobytes()
    path.write_bytes(data)
    return data


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `.npy`."""
    stream = io.BytesIO()  # NumPy's own writing to a file hides the reason of a failure
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    path.write_bytes(stream.getbuffer())


def write_csv(path: Path, columns: Mapping[str, Float32 | Float64]) -> bytes:
    """Write columns as CSV with the shortest digits that round-trip; return the bytes."""
    import pyarrow as pa
    from pyarrow import csv

    table = pa.table(dict(columns))
    sink = pa.BufferOutputStream()
    sink.write((",".join(columns) + "\n").encode())  # pyarrow would put the names in quotes
    csv.write_csv(table, sink, csv.WriteOptions(include_header=False))
    data: bytes = sink.getvalue().to_pybytes()
    path.write_bytes(data)
    return data
