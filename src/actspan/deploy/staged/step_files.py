"""Shared parts of the steps of a stage: figures, parallel work, and files of an input."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Float32, Float64
from actspan.deploy.staged.stage import Item, table_writer

OnError = Literal["fail", "skip"]
T = TypeVar("T")
Result = TypeVar("Result")


@dataclass(slots=True)
class StepReport:
    """Figures of a step, counted while it runs.

    Attributes
    ----------
    name : str
        Name of the step for progress, which is counted in videos.
    total : int
        Videos to come.
    out : Path
        File or folder that the step writes.
    inputs, videos : int
        Number of inputs of the network, and of their videos.
    seconds : float
        Wall time of the work, after the check.
    problems : tuple of Problem
        Problems of skipped videos, and notes.
    notes : tuple of str
    """

    name: str
    total: int
    out: Path
    progress: Progress = no_progress
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    inputs: int = 0
    videos: int = 0
    begin: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0

    def count(self, item: Item) -> None:
        """Count one more finished input."""
        self.inputs += 1
        self.videos += item.ends_video
        self.seconds = time.perf_counter() - self.begin
        if item.ends_video:
            self.progress(self.name, self.videos, self.total)


def in_parallel(function: Callable[[T], Result], items: Iterable[T]) -> Iterator[Result]:
    """Apply `function` on all cores; results come in order, and few are held in memory."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads, thread_name_prefix="actspan") as pool:
        yield from map_ordered(pool, function, items, ahead=8 * threads)


def write_items(
    folder: Path,
    work: Callable[[Any], Item],
    items: Iterable[Any],
    report: StepReport,
    made_from: str = "",
) -> None:
    """Write the files and the table of a folder, on all cores."""
    with table_writer(folder, made_from) as table:
        for item in in_parallel(work, items):
            table.add(item)
            report.count(item)


def make_folders(parent: Path, *names: str) -> None:
    """Make folders in a folder, which is made if needed."""
    for name in names:
        (parent / name).mkdir(parents=True)


def write_array(path: Path, array: NDArray[Any]) -> bytes:
    """Write an array's values, row by row and without a header; return the bytes."""
    data = np.ascontiguousarray(array).tobytes()
    path.write_bytes(data)
    return data


def write_csv(path: Path, columns: Mapping[str, Float32 | Float64]) -> bytes:
    """Write columns as CSV with the shortest digits that round-trip; return the bytes."""
    import pyarrow as pa
    from pyarrow import csv

    sink = pa.BufferOutputStream()
    sink.write((",".join(columns) + "\n").encode())  # pyarrow would put the names in quotes
    csv.write_csv(pa.table(dict(columns)), sink, csv.WriteOptions(include_header=False))
    data: bytes = sink.getvalue().to_pybytes()
    path.write_bytes(data)
    return data
