"""Headline rates: of a card with several chips, and of TEM and PEM in sequence.

A card's rate is the interface rate of one chip times its chips. An interface rate counts the
runtime's call alone: 1000 / mean milliseconds x batch. TEM and PEM run in sequence, so
BSN = 1 / (1 / TEM + 1 / PEM).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actspan.bench.result import SamplesPerSecond, Stage
from actspan.bench.sides import Side

__all__ = ["Place", "combined", "headlines", "in_order", "measured"]

_NETS = ("tem", "pem")
_ORDER = (*_NETS, "bsn")

Place = tuple[str, int | None]  # name and batch of a figure


def in_order(places: Iterable[Place]) -> list[Place]:
    """Sort by batch, then TEM, PEM, BSN, and the others in given order; drop duplicates."""
    rank = {name: i for i, name in enumerate(_ORDER)}
    once = dict.fromkeys(places)
    return sorted(once, key=lambda place: (place[1] or 0, rank.get(place[0], len(rank))))


def combined(*rates: SamplesPerSecond) -> SamplesPerSecond:
    """Return the rate of work that is done in sequence."""
    return SamplesPerSecond(1 / sum(1 / rate for rate in rates))


def headlines(side: Side, *, chips: int = 1) -> dict[Place, SamplesPerSecond]:
    """Return rates per card by (name, batch), with BSN where TEM and PEM are known.

    Parameters
    ----------
    chips : int
        Chips per card, for NPUs whose logs are of one chip (backend `ascend`).
    """
    rates = {
        (stage.name, stage.batch): SamplesPerSecond(rate * _chips(stage, chips))
        for stage, rate in _rates(side, "interface")
    }
    return _with_bsn(rates)


def measured(side: Side) -> dict[Place, SamplesPerSecond]:
    """Return measured end-to-end rates by (name, batch), of one chip or process."""
    rates = {(stage.name, stage.batch): rate for stage, rate in _rates(side, "end-to-end")}
    return _with_bsn(rates)


def _chips(stage: Stage, chips: int) -> int:
    return chips if stage.backend == "ascend" else 1


def _rates(side: Side, scope: str) -> Iterator[tuple[Stage, SamplesPerSecond]]:
    for stage in side.stages.values():
        if stage.scope == scope and stage.samples_per_second is not None:
            yield stage, stage.samples_per_second


def _with_bsn(rates: dict[Place, SamplesPerSecond]) -> dict[Place, SamplesPerSecond]:
    """Add the rate of BSN where it was not measured itself."""
    whole = {
        ("bsn", batch): combined(*(rates[net, batch] for net in _NETS))
        for batch in dict.fromkeys(batch for _, batch in rates)
        if all((net, batch) in rates for net in _NETS)
    }
    rates = whole | rates
    return {place: rates[place] for place in in_order(rates)}
