"""Outputs of a device (dumps), with their checks."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np

from actspan.core.errors import StageError
from actspan.core.files import read_text
from actspan.core.limits import DOCUMENT
from actspan.core.problems import Problem, Skipped
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Float32
from actspan.core.wording import counted
from actspan.deploy.deploy_requests import StagedNet
from actspan.deploy.staged.stage import Item, Stage, Table
from actspan.deploy.staged.step_files import in_parallel
from actspan.model.nets import FORMS

RECORD = "inputs.csv"  # lists the inputs of the dumps; written by `staged run` and by the script
SUFFIX = "_1.bin"  # of the guide's benchmark tool; ais_bench counts outputs from 0: _0.bin

_CLOCK = 2.0  # seconds; coarsest resolution of file times in use
_ALIKE = 1e-3  # largest difference of outputs for the same row, on the least exact device
_NUMBER = re.compile(r"\d+(?=\D*$)")  # the last one of a suffix


@dataclass(frozen=True, slots=True)
class Dumps:
    """A folder of dumps, float32: one file per input and output of the network.

    `suffix` is that of the first output: `<input><suffix>`. The others count on: `_2.bin`, `_3.bin`
    after `_1.bin`.
    """

    folder: Path
    suffix: str = SUFFIX

    def suffix_of(self, output: int) -> str:
        """Return the suffix of an output, counted from 0; raise StageError if it has no number."""
        if output == 0:
            return self.suffix
        number = _NUMBER.search(self.suffix)
        if number is None:
            raise StageError(
                f"suffix {self.suffix!r}: the network has several outputs, which a number counts; "
                f"give the suffix of the first one, such as {SUFFIX}"
            )
        counted_on = str(int(number[0]) + output)
        return self.suffix[: number.start()] + counted_on + self.suffix[number.end() :]

    def path(self, item: Item, output: int = 0) -> Path:
        """Return the path of the dump of an input."""
        return self.folder / f"{item.name}{self.suffix_of(output)}"

    def read(self, item: Item, output: int = 0) -> Float32:
        """Read the dump of an input, flat."""
        values: Float32 = np.fromfile(self.path(item, output), dtype=np.float32)
        return values

    def files(self, outputs: int) -> dict[str, str]:
        """Return the names of dumps, with the names of their inputs, of a number of outputs.

        Raise StageError if there are none.
        """
        if not self.folder.is_dir():
            raise StageError(
                f"{self.folder}: no such folder: run the network on the inputs first, "
                "or say where its dumps are (--dumps)"
            )
        files = sorted(p.name for p in self.folder.iterdir())
        suffixes = [self.suffix_of(output) for output in range(outputs)]
        found = {f: f.removesuffix(end) for end in suffixes for f in files if f.endswith(end)}
        if not found:
            examples = ", ".join(files[:3]) or "nothing"
            other = SUFFIX if self.suffix == "_0.bin" else "_0.bin"
            raise StageError(
                f"{self.folder}: no file ends in {self.suffix}; there is: {examples}. "
                f"Dumps must be binary (-output_binary=True); say how they end (--suffix {other}), "
                "or where they are (--dumps)"
            )
        return found

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


def check_dumps(
    stage: Stage, net: StagedNet, table: Table, dumps: Dumps, progress: Progress = no_progress
) -> list[Problem]:
    """Check all dumps before they are used, and return their problems, one per input at most.

    A dump may be missing, without an input, of a wrong size, of the other network or output, not
    finite, not in [0, 1], older than its input, or made from a different input. Raise StageError if
    there are no dumps.
    """
    files, problems = dumps.files(len(FORMS[net].outputs)), []
    look = partial(_item_problem, stage, net, dumps, set(files), dumps.record())
    for done, problem in enumerate(in_parallel(look, table.items), start=1):
        if problem is not None:
            problems.append(problem)
        progress("check", done, len(table.items))
    known = {item.name for item in table.items}
    strangers = {name: file for file, name in files.items() if name not in known}
    for name, file in sorted(strangers.items()):
        remedy = "remove it; or it is of another stage: give the folder of this one's (--dumps)"
        what = "dump of no input of this stage"
        problems.append(Problem(name, str(dumps.folder / file), what, remedy, Skipped.FILE))
    return problems


def _item_problem(
    stage: Stage, net: StagedNet, dumps: Dumps, files: set[str], record: dict[str, int], item: Item
) -> Problem | None:
    """Return the first problem of the dumps of an input; None if all can be used."""
    for output in range(len(FORMS[net].outputs)):
        path, remedy = dumps.path(item, output), "run the network on its input again"
        if path.name not in files:
            return Problem(item.video, str(path), "missing", "run the network on its input")
        try:
            info = path.stat()
            what = _stale(item, info.st_mtime, record)
            if info.st_size != 4 * stage.output_sizes(net)[output]:
                what, remedy = _wrong_size(stage, net, dumps, output, info.st_size)
            elif not what:
                what = _bad_values(net, dumps.read(item, output), item)
        except OSError as error:
            what, remedy = f"cannot be read: {error.strerror}", "check its permissions"
        if what:
            return Problem(item.video, str(path), what, remedy)
    return None


def _wrong_size(
    stage: Stage, net: StagedNet, dumps: Dumps, output: int, size: int
) -> tuple[str, str]:
    """Return the problem of a wrong size in bytes, and its remedy."""
    sizes = [4 * values for values in stage.output_sizes(net)]
    what = f"{size} bytes, {sizes[output]} expected"
    for other in stage.nets - {net}:
        if size in [4 * values for values in stage.output_sizes(other)]:
            remedy = f"give the folder of {net.upper()}'s dumps (--dumps)"
            return f"{what}: a dump of {other.upper()}?", remedy
    if size in sizes:
        names = FORMS[net].outputs
        return f"{what}: output {names[sizes.index(size)]!r}?", (
            f"outputs are {', '.join(names)}, in this order; say how dumps of the first one end "
            f"(--suffix, now {dumps.suffix})"
        )
    if 2 * size == sizes[output]:
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
    real = values[: item.rows] if net == "pem" else values
    bad = np.count_nonzero(~np.isfinite(real))
    if bad:
        return f"{counted(int(bad), 'value')} NaN or infinite"
    if real.size and not (real.min() >= 0 and real.max() <= 1):
        return f"values from {real.min():.4g} to {real.max():.4g}: no probabilities"
    padding = values[item.rows :] if net == "pem" else values[:0]
    if padding.size and not np.ptp(padding) <= _ALIKE:  # padding gives equal outputs
        return f"rows after the {item.rows} real ones differ: made from another input?"
    return ""
