"""Tables of events, as BORIS exports them: one row for the start and one for the end of a segment.

The table is converted to one of segments: each STOP is joined to the last START of the same
behavior, subject, video and observation. A row without a partner keeps its only time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from actspan.data.annotations.column_names import KNOWN, plain
from actspan.data.annotations.columns import Line

_STATES = ("status", "behaviortype")
_KEYS = ("observationid", "subject", *KNOWN["video"], "behavior", "behaviour")
START, END = "start", "end"  # names of the added columns


def fits(head: Sequence[str]) -> bool:
    """Return whether a header has one column of times, and one that contains START and STOP."""
    names = set(map(plain, head))
    return "time" in names and not names.isdisjoint(_STATES) and START not in names


def used(head: Sequence[str]) -> Iterator[int]:
    """Yield the indices of the columns of times and of states."""
    return (i for i, name in enumerate(map(plain, head)) if name == "time" or name in _STATES)


def as_segments(head: Sequence[str], lines: Iterable[Line]) -> Iterator[Line]:
    """Yield rows of segments: the rows of events with two more cells, start and end."""
    names = [plain(name) for name in head]
    time = names.index("time")
    state = names.index(next(name for name in _STATES if name in names))
    keys = [i for i, name in enumerate(names) if name in _KEYS]
    waiting: dict[tuple[str, ...], Line] = {}
    for place, row in lines:
        cells = [*row, *[""] * (len(head) - len(row))][: len(head)]
        key, moment = tuple(cells[i] for i in keys), cells[time]
        match cells[state].upper():
            case "START":
                if key in waiting:
                    yield _unfinished(waiting[key], time)
                waiting[key] = (place, cells)
            case "STOP" if key in waiting:
                first, started = waiting.pop(key)
                yield first, [*started, started[time], moment]
            case "STOP":
                yield place, [*cells, "", moment]
            case _:  # POINT: an event without a length
                yield place, [*cells, moment, moment]
    for line in waiting.values():
        yield _unfinished(line, time)


def _unfinished(line: Line, time: int) -> Line:
    place, cells = line
    return place, [*cells, cells[time], ""]
