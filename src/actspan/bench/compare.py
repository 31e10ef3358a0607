"""Comparison of sides: headlines, end-to-end rates, steps, and a limit on slowdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from actspan.bench.headline import Place, headlines, in_order, measured
from actspan.bench.result import SamplesPerSecond
from actspan.bench.sides import Side
from actspan.core.errors import BenchError
from actspan.pipeline.stages import Scope

__all__ = ["Comparison", "Note", "Row", "compare", "slower_rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One rate of every side.

    Attributes
    ----------
    name : str
        `tem`, `pem`, `bsn`, or a step.
    scope : Scope
    batch : int, optional
    rates : tuple of float, optional
        Samples per second, one per side; None where it was not measured.
    """

    name: str
    scope: Scope
    batch: int | None
    rates: tuple[SamplesPerSecond | None, ...]

    @property
    def ratios(self) -> tuple[float | None, ...]:
        """Rate of each later side divided by that of the first: 2 is twice as fast."""
        first = self.rates[0]
        return tuple(
            None if rate is None or first is None else rate / first for rate in self.rates[1:]
        )


@dataclass(frozen=True, slots=True)
class Note:
    """A remark about a side or a file."""

    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compared sides.

    Attributes
    ----------
    sides : tuple of Side
    chips : int
        Chips per NPU card.
    headlines, interface, measured, steps : tuple of Row
        Interface rates of a card; then of one chip or process: interface rates, measured
        end-to-end rates, and other steps.
    notes : tuple of Note
    """

    sides: tuple[Side, ...]
    chips: int
    headlines: tuple[Row, ...]
    interface: tuple[Row, ...]
    measured: tuple[Row, ...]
    steps: tuple[Row, ...]
    notes: tuple[Note, ...]


def compare(sides: Sequence[Side], *, chips: int = 1) -> Comparison:
    """Compare sides; the rates of the others are divided by those of the first.

    Parameters
    ----------
    sides : sequence of Side
        At least one.
    chips : int
        Chips per card, for NPUs whose logs are of one chip.
    """
    return Comparison(
        sides=tuple(sides),
        chips=chips,
        headlines=_rows("interface", [headlines(side, chips=chips) for side in sides]),
        interface=_rows("interface", [headlines(side) for side in sides]),
        measured=_rows("end-to-end", [measured(side) for side in sides]),
        steps=_rows("step", [_steps(side) for side in sides]),
        notes=tuple(note for side in sides for note in _notes(side)),
    )


def _rows(scope: Scope, columns: Sequence[Mapping[Place, SamplesPerSecond]]) -> tuple[Row, ...]:
    """Return a row for every figure that any side has."""
    return tuple(
        Row(name, scope, batch, tuple(column.get((name, batch)) for column in columns))
        for name, batch in in_order(place for column in columns for place in column)
    )


def _steps(side: Side) -> dict[Place, SamplesPerSecond]:
    return {
        (stage.name, stage.batch): stage.samples_per_second
        for stage in side.stages.values()
        if stage.scope == "step" and stage.samples_per_second is not None
    }


def _notes(side: Side) -> Iterator[Note]:
    interface, whole = headlines(side), measured(side)
    lower = [
        f"{name.upper()} {whole[name, batch]:,.1f} at batch {batch or 'unknown'}"
        for (name, batch), rate in interface.items()
        if (name, batch) in whole and whole[name, batch] < rate
    ]
    if lower:
        text = "headlines count the runtime's call alone; measured end to end, in samples/s: "
        yield Note(side.name, text + ", ".join(lower))
    for log in side.logs:
        yield from (Note(str(log.path), text) for text in log.notes)
    for file in side.left_out:
        yield Note(str(file), "left out: not a log of a known tool")


def slower_rows(found: Comparison, limit: float) -> list[tuple[str, Row, float]]:
    """Return rows in which a side takes longer than the first by more than `limit`.

    Returns
    -------
    list of (str, Row, float)
        Name of the side, the row, and the relative extra time: 0.05 is 5 %.

    Raises
    ------
    BenchError
        No row has figures of two sides. A check that compares nothing must not pass.
    """
    judged = [
        (side.name, row, 1 / ratio - 1)
        for row in (*found.headlines, *found.measured, *found.steps)
        for side, ratio in zip(found.sides[1:], row.ratios, strict=True)
        if ratio is not None
    ]
    if not judged:
        raise BenchError(
            "nothing to judge: no two sides measure the same network or step at the same batch "
            "size (write tem or pem, and bs<b>, into the names of logs that do not say)"
        )
    return [(name, row, longer) for name, row, longer in judged if longer > limit]
