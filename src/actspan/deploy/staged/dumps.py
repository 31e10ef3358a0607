"""Outputs that a device's runner wrote (dumps), and checks of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np

from actspan.core.errors import StageError
from actspan.core.files import read_text
from actspan.core.limits import DOCUMENT
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.types import Float32
from actspan.core.wording import counted
from actspan.deploy.staged.stage import STAGED_NETS, Stage, StagedNet
from actspan.deploy.staged.table import Item, Table
from actspan.deploy.staged.work import OnError, Report, in_parallel

RECORD = "inputs.csv"  # lists the inputs of the dumps; written by `staged run` and by the script
SUFFIX = "_1.bin"  # of the guide's benchmark tool; ais_bench counts outputs from 0: _0.bin

_CLOCK = 2.0  # seconds; coarsest resolution of file times in use
_ALIKE = 1e-3  # largest difference of outputs for the same row, on the least exact device


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
        """Return the names of the inputs that have dumps.

        Raises
        ------
        StageError
            The folder does not exist, or has no dumps.
        """
        if not self.folder.is_dir():
            raise StageError(
                f"{self.folder}: there is no such folder: run the network over the inputs first, "
                "or say where its dumps are (--dumps)"
            )
        files = sorted(p.name for p in self.folder.iterdir())
        names = {f.removesuffix(self.suffix) for f in files if f.endswith(self.suffix)}
        if not names:
            there = ", ".join(files[:3]) or "nothing"
            raise StageError(
                f"{self.folder}: no file ends in {self.suffix}; there is: {there}. Dumps must be "
                "binary (-output_binary=True); say how they end (--suffix _0.bin), or where they "
                "are (--dumps)"
            )
        return names

    def record(self) -> dict[str, int]:
        """Read the CRC-32 of the input of each dump, if the runner recorded it.

        Raises
        ------
        StageError
            The record is damaged.
        """
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
    stage: Stage, net: StagedNet, table: Table, dumps: Dumps, report: Report | None
) -> list[Problem]:
    """Check all dumps before they are used, and return their problems.

    A dump may be missing, without an input, of a wrong size, of the other network, not finite, not
    in [0, 1], older than its input, or made from a different input.

    Raises
    ------
    StageError
        There are no dumps.
    """
    names, checker = dumps.names(), _Checker(stage, net, dumps, dumps.record())
    problems = []
    for done, found in enumerate(in_parallel(partial(checker.look, names), table.items), start=1):
        if found is not None:
            problems.append(found)
        if report:
            report("check", done, len(table.items))
    return [*problems, *_strangers(names, table, dumps)]


def settle(items: Sequence[Item], problems: Sequence[Problem], on_error: OnError) -> list[Item]:
    """Return the items of videos without problems; one bad window excludes its recording.

    Raises
    ------
    DatasetError
        There are problems and `on_error` is "fail", or nothing is left.
    """
    lost = {p.video for p in problems if p.skipped is Skipped.VIDEO}
    left = [item for item in items if item.video not in lost]
    if on_error == "fail":
        raise_errors(problems, leaves_something=bool(left))
    if not left:
        raise_nothing_left(problems, len({item.video for item in items}))
    return left


def _strangers(names: set[str], table: Table, dumps: Dumps) -> Iterator[Problem]:
    for name in sorted(names - {item.name for item in table.items}):
        remedy = "remove it; or it is of another stage: give the folder of this one's (--dumps)"
        file = str(dumps.folder / f"{name}{dumps.suffix}")
        yield Problem(name, file, "dump of no input of this stage", remedy, Skipped.FILE)


@dataclass(frozen=True, slots=True)
class _Checker:
    stage: Stage
    net: StagedNet
    dumps: Dumps
    record: dict[str, int]

    def look(self, names: set[str], item: Item) -> Problem | None:
        """Return the problem of one dump, if any."""
        path = self.dumps.path(item)
        if item.name not in names:
            return Problem(item.video, str(path), "missing", "run the network on its input")
        try:
            what, remedy = self._content(path, item)
        except OSError as error:
            what, remedy = f"cannot be read: {error.strerror}", "look at its permissions"
        return Problem(item.video, str(path), what, remedy) if what else None

    def _content(self, path: Path, item: Item) -> tuple[str, str]:
        what, remedy = self._size(path.stat().st_size)
        if what:
            return what, remedy
        what = self._age(path, item) or self._values(self.dumps.read(item), item)
        return what, "run the network on its input again"

    def _size(self, size: int) -> tuple[str, str]:
        """Return the problem of a size in bytes, and its remedy; empty if there is none."""
        expected = 4 * self.stage.values(self.net)
        if size == expected:
            return "", ""
        what = f"{size} bytes, {expected} expected"
        for other in STAGED_NETS:
            if other != self.net and size == 4 * self.stage.values(other):
                remedy = f"give the folder of {self.net.upper()}'s dumps (--dumps)"
                return f"{what}: a dump of {other.upper()}?", remedy
        if 2 * size == expected:
            return f"{what}: float16?", "have the network compiled with float32 outputs"
        return what, "run the network on its input again"

    def _values(self, values: Float32, item: Item) -> str:
        real = values if self.net == "tem" else values[: item.rows]
        bad = np.count_nonzero(~np.isfinite(real))
        if bad:
            return f"{counted(int(bad), 'value')} NaN or infinite"
        if real.size and not (real.min() >= 0 and real.max() <= 1):
            return f"values from {real.min():.4g} to {real.max():.4g}: no probabilities"
        padding = values[item.rows :] if self.net == "pem" else values[:0]
        if padding.size and not np.ptp(padding) <= _ALIKE:  # padding gives equal outputs
            return f"rows after the {item.rows} real ones differ: made from another input?"
        return ""

    def _age(self, path: Path, item: Item) -> str:
        made_from = self.record.get(item.name)
        if made_from is not None:
            return "" if made_from == item.crc32 else "stale: made from another input than is there"
        if path.stat().st_mtime < item.since - _CLOCK:
            return "stale: older than its input"
        return ""
