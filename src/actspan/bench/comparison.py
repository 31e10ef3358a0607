"""Comparison of measured systems: headlines, end-to-end rates, steps, and a limit on slowdown.

A system is a result of `actspan bench` or the logs of one tool. The headline rate of a card is the
interface rate of one chip (the runtime's call alone) times its chips. TEM and PEM run in sequence,
so BSN = 1 / (1 / TEM + 1 / PEM).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from actspan.bench.logs import is_log, read_log
from actspan.bench.logs.text import Log
from actspan.bench.records import SamplesPerSecond, Scope, Stage
from actspan.core.errors import BenchError
from actspan.core.files import folder_kind, similar_path
from actspan.jobs.run import RUN_FILE

_SUFFIXES = (".txt", ".log", ".json", ".csv", ".out")
_FIRST = ("tem", "pem", "bsn")  # in tables

Key = tuple[str, str, int | None]  # name, scope and batch of a stage
Rates = dict[tuple[str, int | None], SamplesPerSecond]  # by name and batch


@dataclass(frozen=True, slots=True)
class System:
    """The logs of one system, of which no two measure the same stage."""

    name: str
    logs: tuple[Log, ...]
    left_out: tuple[Path, ...] = ()  # files of a folder that are not logs

    def __post_init__(self) -> None:
        first: dict[Key, Log] = {}
        for log in self.logs:
            for stage in log.stages:
                other = first.setdefault((stage.name, stage.scope, stage.batch), log)
                if other is not log:
                    raise BenchError(
                        f"{log.path} and {other.path} both measure {stage.name}, batch "
                        f"{stage.batch or 'unknown'}: compare them as two, NAME=FILE each"
                    )

    @property
    def stages(self) -> list[Stage]:
        """All measured stages."""
        return [stage for log in self.logs for stage in log.stages]


@dataclass(frozen=True, slots=True)
class Row:
    """One rate of every system; None where it was not measured."""

    name: str  # tem, pem, bsn, or a step
    scope: Scope
    batch: int | None
    rates: tuple[SamplesPerSecond | None, ...]

    @property
    def ratios(self) -> tuple[float | None, ...]:
        """Rate of each later system divided by that of the first: 2 is twice as fast."""
        first = self.rates[0]
        return tuple(
            None if rate is None or first is None else rate / first for rate in self.rates[1:]
        )


@dataclass(frozen=True, slots=True)
class Note:
    """A remark about a system or a file."""

    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compared systems."""

    systems: tuple[System, ...]
    chips: int  # per NPU card
    headlines: tuple[Row, ...]  # interface rates of a card
    interface: tuple[Row, ...]  # of one chip or process, like the following
    measured: tuple[Row, ...]  # end-to-end rates
    steps: tuple[Row, ...]
    notes: tuple[Note, ...]


def read_systems(sources: Sequence[str]) -> tuple[System, ...]:
    """Read systems from `PATH` or `NAME=PATH`; paths with the same NAME make one system.

    A folder is a system of all logs in it and below it; other files are left out. A file that
    cannot be read, a folder without logs or a stage that is measured twice is a `BenchError`.
    """
    plain = [Path(source) for source in sources]
    named: dict[str, list[Path]] = {}
    for source, path in zip(sources, plain, strict=True):
        name, mark, rest = source.partition("=")
        if mark and name and not path.exists():
            named.setdefault(name, []).append(Path(rest))
        else:
            named.setdefault(_short_name(path, plain), []).append(path)
    return tuple(_read_system(name, paths) for name, paths in named.items())


def _short_name(path: Path, among: Iterable[Path]) -> str:
    """Return a file's stem or a folder's name, with parents where needed to make it unique."""

    def parts(path: Path) -> tuple[str, ...]:
        whole = Path(os.path.realpath(path))  # also of a loop of links
        return whole.parts if whole.is_dir() else whole.with_suffix("").parts

    own_parts = parts(path)
    others = {parts(other) for other in among} - {own_parts}
    for count in range(1, len(own_parts)):
        if all(other[-count:] != own_parts[-count:] for other in others):
            return "/".join(own_parts[-count:])
    return str(path)


def _read_system(name: str, paths: Iterable[Path]) -> System:
    logs, left_out = [], []
    for path in paths:
        if not path.exists():
            raise BenchError(f"{path}: does not exist{similar_path(path)}")
        if not path.is_dir():
            logs.append(read_log(path))
            continue
        files = sorted(f for f in path.rglob("*") if f.suffix in _SUFFIXES and f.is_file())
        log_files = [file for file in files if is_log(file)]
        if not log_files and (path / RUN_FILE).exists():
            raise BenchError(f"{path} (a run): runs are compared by actspan report A B --out FILE")
        if not log_files:
            raise BenchError(
                f"{path}{folder_kind(path)}: no log of a known tool in this folder or below"
            )
        logs += [read_log(file) for file in log_files]
        left_out += [file for file in files if file not in log_files]
    return System(name, tuple(logs), tuple(left_out))


def compare(systems: Sequence[System], *, chips: int = 1) -> Comparison:
    """Compare systems, at least one; the rates of the others are divided by those of the first.

    `chips` are those of a card, for NPUs whose logs are of one chip (backend `ascend`).
    """
    interface = [_with_bsn(_rates(system, "interface")) for system in systems]
    measured = [_with_bsn(_rates(system, "end-to-end")) for system in systems]
    headlines = [_with_bsn(_rates(system, "interface", chips)) for system in systems]
    return Comparison(
        systems=tuple(systems),
        chips=chips,
        headlines=_rows("interface", headlines),
        interface=_rows("interface", interface),
        measured=_rows("end-to-end", measured),
        steps=_rows("step", [_rates(system, "step") for system in systems]),
        notes=tuple(chain.from_iterable(map(_notes, systems, interface, measured))),
    )


def _rates(system: System, scope: Scope, chips: int = 1) -> Rates:
    return {
        (stage.name, stage.batch): SamplesPerSecond(
            stage.samples_per_second * (chips if stage.backend == "ascend" else 1)
        )
        for stage in system.stages
        if stage.scope == scope and stage.samples_per_second is not None
    }


def combined(*rates: SamplesPerSecond) -> SamplesPerSecond:
    """Return the rate of work that is done in sequence."""
    return SamplesPerSecond(1 / sum(1 / rate for rate in rates))


def _with_bsn(rates: Rates) -> Rates:
    """Return the rates with that of BSN where it was not measured itself."""
    pairs = {batch: [rates.get((net, batch)) for net in ("tem", "pem")] for _, batch in rates}
    whole = {
        ("bsn", batch): combined(tem, pem)
        for batch, (tem, pem) in pairs.items()
        if tem is not None and pem is not None
    }
    return whole | rates


def _rows(scope: Scope, columns: Sequence[Rates]) -> tuple[Row, ...]:
    """Return a row for every figure that any system has: by batch, then TEM, PEM, BSN, others."""
    places = dict.fromkeys(chain.from_iterable(columns))
    return tuple(
        Row(name, scope, batch, tuple(column.get((name, batch)) for column in columns))
        for name, batch in sorted(places, key=_rank)
    )


def _rank(place: tuple[str, int | None]) -> tuple[int, int]:
    name, batch = place
    return batch or 0, _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _notes(system: System, interface: Rates, measured: Rates) -> Iterator[Note]:
    lower = [
        f"{place[0].upper()} {measured[place]:,.1f} at batch {place[1] or 'unknown'}"
        for place in sorted(interface, key=_rank)
        if place in measured and measured[place] < interface[place]
    ]
    if lower:
        text = "headlines count the runtime's call alone; measured end to end, in samples/s: "
        yield Note(system.name, text + ", ".join(lower))
    for log in system.logs:
        yield from (Note(str(log.path), text) for text in log.notes)
    for file in system.left_out:
        yield Note(str(file), "left out: not a log of a known tool")


def slower_rows(comparison: Comparison, limit: float) -> list[tuple[str, Row, float]]:
    """Return the rows in which a system takes longer than the first by more than `limit`.

    A row comes with the name of the system and the relative extra time: 0.05 is 5 %. If no row has
    figures of two systems, a `BenchError` is raised: a check that compares nothing must not pass.
    """
    shared = [
        (system.name, row, 1 / ratio - 1)
        for row in (*comparison.headlines, *comparison.measured, *comparison.steps)
        for system, ratio in zip(comparison.systems[1:], row.ratios, strict=True)
        if ratio is not None
    ]
    if not shared:
        raise BenchError(
            "nothing to compare: no two systems measure the same network or step at the same batch "
            "size (write tem or pem, and bs<b>, into the names of logs that do not say)"
        )
    return [(name, row, longer) for name, row, longer in shared if longer > limit]
