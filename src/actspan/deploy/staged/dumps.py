"""Files of a step: figures, parallel work, and a device's outputs (dumps) with their checks."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.config.base import OnError
from actspan.core.errors import StageError
from actspan.core.files import read_text
from actspan.core.limits import DOCUMENT
from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Float32, Float64
from actspan.core.wording import counted
from actspan.deploy.deploy_requests import StagedNet
from actspan.deploy.staged.stage import STAGED_NETS, Item, Stage, Table, table_writer

RECORD = "inputs.csv"  # lists the inputs of the dumps; written by `staged run` and by the script
SUFFIX = "_1.bin"  # of the guide's benchmark tool; ais_bench counts outputs from 0: _0.bin

_CLOCK = 2.0  # seconds; coarsest resolution of file times in use
_ALIKE = 1e-3  # largest difference of outputs for the same row, on the least exact device

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


@dataclass(frozen=True, slots=True)
class Dumps:
    """A folder of dumps: `<input><suffix>`, float32, one per input."""

    folder: Path
    suffix: str = SUFFIX

    def path(self, item: Item) -> Path:
        """Return the path of the dump of an input."""
        return self.folder / f"{item.name}{self.suffix}"

    def read(self, item: Item) -> Float32:
        """Read the dump of an input, flat."""
        values: Float32 = np.fromfile(self.path(item), dtype=np.float32)
        return values

    def names(self) -> set[str]:
        """Return the names of the inputs that have dumps; raise StageError if there are none."""
        if not self.folder.is_dir():
            raise StageError(
                f"{self.folder}: no such folder: run the network on the inputs first, "
                "or say where its dumps are (--dumps)"
            )
        files = sorted(p.name for p in self.folder.iterdir())
        names = {f.removesuffix(self.suffix) for f in files if f.endswith(self.suffix)}
        if not names:
            examples = ", ".join(files[:3]) or "nothing"
            raise StageError(
                f"{self.folder}: no file ends in {self.suffix}; there is: {examples}. "
                "Dumps must be binary (-output_binary=True); say how they end (--suffix _0.bin), "
                "or where they are (--dumps)"
            )
        return names

    def record(self) -> dict[str, int]:
        """Read the CRC-32 of each dump's input, if recorded; raise StageError if damaged."""
        path = self.folder / RECORD
        if not path.is_file():
            return {}
        try:
            rows = csv.DictReader(StringIO(read_text(path, DOCUMENT), newline=""))
            return {row["input"]: int(row["crc32"]) for row in rows}
        except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
            raise StageError(
                f"{path}: damaged: {error}; run the network again, or remove this file"
            ) from error


def size_problem(item: Item, path: Path, expected: int, remedy: str) -> Problem | None:
    """Return the problem of a file that should have `expected` bytes; None if it has."""
    try:
        size = path.stat().st_size
    except OSError as error:
        return Problem(item.video, str(path), f"cannot be read: {error.strerror}", remedy)
    if size == expected:
        return None
    return Problem(item.video, str(path), f"{size} bytes, {expected} expected", remedy)


def check_dumps(
    stage: Stage, net: StagedNet, table: Table, dumps: Dumps, progress: Progress = no_progress
) -> list[Problem]:
    """Check all dumps before they are used, and return their problems.

    A dump may be missing, without an input, of a wrong size, of the other network, not finite, not
    in [0, 1], older than its input, or made from a different input. Raise StageError if there are
    no dumps.
    """
    names, problems = dumps.names(), []
    look = partial(_dump_problem, stage, net, dumps, names, dumps.record())
    for done, problem in enumerate(in_parallel(look, table.items), start=1):
        if problem is not None:
            problems.append(problem)
        progress("check", done, len(table.items))
    for name in sorted(names - {item.name for item in table.items}):
        remedy = "remove it; or it is of another stage: give the folder of this one's (--dumps)"
        file = str(dumps.folder / f"{name}{dumps.suffix}")
        what = "dump of no input of this stage"
        problems.append(Problem(name, file, what, remedy, Skipped.FILE))
    return problems


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


def _dump_problem(
    stage: Stage, net: StagedNet, dumps: Dumps, names: set[str], record: dict[str, int], item: Item
) -> Problem | None:
    path, remedy = dumps.path(item), "run the network on its input again"
    if item.name not in names:
        return Problem(item.video, str(path), "missing", "run the network on its input")
    try:
        info = path.stat()
        what = _stale(item, info.st_mtime, record)
        if info.st_size != 4 * stage.values(net):
            what, remedy = _wrong_size(stage, net, info.st_size)
        elif not what:
            what = _bad_values(net, dumps.read(item), item)
    except OSError as error:
        what, remedy = f"cannot be read: {error.strerror}", "check its permissions"
    return Problem(item.video, str(path), what, remedy) if what else None


def _wrong_size(stage: Stage, net: StagedNet, size: int) -> tuple[str, str]:
    """Return the problem of a wrong size in bytes, and its remedy."""
    expected = 4 * stage.values(net)
    what = f"{size} bytes, {expected} expected"
    for other in STAGED_NETS:
        if other != net and size == 4 * stage.values(other):
            remedy = f"give the folder of {net.upper()}'s dumps (--dumps)"
            return f"{what}: a dump of {other.upper()}?", remedy
    if 2 * size == expected:
        return f"{what}: float16?", "have the network compiled with float32 outputs"
    return what, "run the network on its input again"


def _stale(item: Item, changed: float, record: dict[str, int]) -> str:
    made_from = record.get(item.name)
    if made_from is not None:
        return (
            "" if made_from == item.crc32 else "stale: made from another input than the present one"
        )
    return "stale: older than its input" if changed < item.since - _CLOCK else ""


def _bad_values(net: StagedNet, values: Float32, item: Item) -> str:
    real = values if net == "tem" else values[: item.rows]
    bad = np.count_nonzero(~np.isfinite(real))
    if bad:
        return f"{counted(int(bad), 'value')} NaN or infinite"
    if real.size and not (real.min() >= 0 and real.max() <= 1):
        return f"values from {real.min():.4g} to {real.max():.4g}: no probabilities"
    padding = values[item.rows :] if net == "pem" else values[:0]
    if padding.size and not np.ptp(padding) <= _ALIKE:  # padding gives equal outputs
        return f"rows after the {item.rows} real ones differ: made from another input?"
    return ""
