"""What the steps share: work on all cores in order, files of an input, and the figures."""

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

from actspan.data.problems import Problem
from actspan.parallel import map_ordered
from actspan.staged.table import Item
from actspan.types import Float32, Float64

T = TypeVar("T")
Result = TypeVar("Result")

OnError = Literal["fail", "skip"]
Report = Callable[[str, int, int], None]  # (what, done, in all)


@dataclass(frozen=True, slots=True)
class Done:
    """What a step did, in figures.

    Attributes
    ----------
    out : Path
        What it wrote.
    inputs, videos : int
        Inputs of the network, and the videos that they are of.
    seconds : float
        Of the work itself, after the check.
    problems : tuple of Problem
        What was left out, and notes.
    assumptions : tuple of str
    """

    out: Path
    inputs: int
    videos: int
    seconds: float
    problems: tuple[Problem, ...] = ()
    assumptions: tuple[str, ...] = ()


class Tally:
    """Counts what a step has done, tells the caller, and sums it up in the end."""

    def __init__(self, what: str, videos: int, report: Report | None) -> None:
        self._what, self._total, self._report = what, videos, report
        self._begin = perf_counter()
        self.inputs = self.videos = 0

    def count(self, item: Item) -> None:
        """One more input; progress is told in videos."""
        self.inputs += 1
        self.videos += item.ends_video
        if self._report and item.ends_video:
            self._report(self._what, self.videos, self._total)

    def done(
        self, out: Path, problems: Iterable[Problem] = (), assumptions: Iterable[str] = ()
    ) -> Done:
        """The figures."""
        seconds = perf_counter() - self._begin
        return Done(out, self.inputs, self.videos, seconds, tuple(problems), tuple(assumptions))


def in_parallel(function: Callable[[T], Result], items: Iterable[T]) -> Iterator[Result]:
    """Apply `function` on all cores; results come in order, few wait at a time."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads, thread_name_prefix="actspan") as pool:
        yield from map_ordered(pool, function, items, ahead=8 * threads)


def make_folders(parent: Path, *names: str) -> None:
    """Make a folder and folders in it."""
    for name in names:
        (parent / name).mkdir(parents=True)


def write_array(path: Path, array: NDArray[Any]) -> bytes:
    """Write an array's values, row by row and without a header; returns what was written."""
    data = np.ascontiguousarray(array).tobytes()
    path.write_bytes(data)
    return data


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `.npy`."""
    stream = io.BytesIO()  # NumPy's own writing to a file hides why it failed
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    path.write_bytes(stream.getbuffer())


def write_csv(path: Path, columns: Mapping[str, Float32 | Float64]) -> bytes:
    """Write columns with the shortest digits that give the same numbers back."""
    import pyarrow as pa
    from pyarrow import csv

    table = pa.table(dict(columns))
    sink = pa.BufferOutputStream()
    sink.write((",".join(columns) + "\n").encode())  # pyarrow would put the names in quotes
    csv.write_csv(table, sink, csv.WriteOptions(include_header=False))
    data: bytes = sink.getvalue().to_pybytes()
    path.write_bytes(data)
    return data
