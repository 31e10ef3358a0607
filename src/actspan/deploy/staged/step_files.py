"""Files of a step, its figures, and parallel work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.config.base import OnError
from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.progress import Progress, no_progress
from actspan.core.segments import Proposals
from actspan.core.types import Float32, Float64
from actspan.deploy.staged.stage import Item, Table, table_writer

PROPOSAL_COLUMNS = ("xmin", "xmax", "xmin_score", "xmax_score")  # names of files and columns

T = TypeVar("T")
Result = TypeVar("Result")


@dataclass(slots=True)
class StepReport:
    """Figures of a step, counted while it runs."""

    name: str  # name of the step for progress, which is counted in videos
    total: int  # videos to come
    out: Path  # file or folder that the step writes
    progress: Progress = no_progress
    problems: tuple[Problem, ...] = ()  # problems of skipped videos, and notes
    notes: tuple[str, ...] = ()
    inputs: int = 0  # number of inputs of the network
    videos: int = 0  # number of their videos
    begin: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0  # wall time of the work, after the check

    def count(self, item: Item) -> None:
        """Count one more finished input."""
        self.inputs += 1
        self.videos += item.ends_video
        self.seconds = time.perf_counter() - self.begin
        if item.ends_video:
            self.progress(self.name, self.videos, self.total)


def videos_of(items: Iterable[Item]) -> int:
    """Return the number of videos of some inputs."""
    return sum(item.ends_video for item in items)


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
    with table_writer(folder, made_from) as add:
        for item in in_parallel(work, items):
            add(item)
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
    """Write finite columns as CSV with the shortest digits that round-trip; return the bytes."""
    # `tolist` would give the digits of float64 for float32. The encoder is faster than `str`.
    numbers = [
        column.tolist() if column.dtype == np.float64 else list(map(float, map(str, column)))
        for column in columns.values()
    ]
    rows = msgspec.json.Encoder().encode_lines(zip(*numbers, strict=True))  # [0.1,0.9]
    data = ",".join(columns).encode() + b"\n" + rows.translate(None, b"[]")
    path.write_bytes(data)
    return data


def proposal_columns(proposals: Proposals) -> dict[str, Float64]:
    """Return the columns `PROPOSAL_COLUMNS` of proposals with boundary scores."""
    assert proposals.start_score is not None
    assert proposals.end_score is not None
    values = (proposals.start, proposals.end, proposals.start_score, proposals.end_score)
    return dict(zip(PROPOSAL_COLUMNS, values, strict=True))


def size_problem(item: Item, path: Path, expected: int, remedy: str) -> Problem | None:
    """Return the problem of a file that should have `expected` bytes; None if it has."""
    try:
        size = path.stat().st_size
    except OSError as error:
        return Problem(item.video, str(path), f"cannot be read: {error.strerror}", remedy)
    if size == expected:
        return None
    return Problem(item.video, str(path), f"{size} bytes, {expected} expected", remedy)


def begin_step(
    name: str,
    table: Table,
    problems: Sequence[Problem],
    out: Path,
    on_error: OnError,
    progress: Progress,
) -> tuple[list[Item], StepReport]:
    """Return the items of videos without problems, and the report of a step over them.

    One bad window excludes its recording. Raise DatasetError if there are problems and `on_error`
    is "fail", or if nothing is left.
    """
    bad = {p.video for p in problems if p.skipped is Skipped.VIDEO}
    left = [item for item in table.items if item.video not in bad]
    if on_error == "fail":
        raise_errors(problems, leaves_something=bool(left))
    if not left:
        raise_nothing_left(problems, len({item.video for item in table.items}))
    return left, StepReport(name, videos_of(left), out, progress, tuple(problems))
