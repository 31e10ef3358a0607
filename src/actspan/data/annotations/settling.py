"""What only the content of a table shows about its columns: which is the label, whose duration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from actspan.data.annotations.base import Unit
from actspan.data.annotations.column_names import LABEL_NUMBERS, plain
from actspan.data.annotations.columns import Columns, Line, time_of

_SAMPLE = 10_000  # rows that are looked at for what a column means
# seconds per unit; the length of a frame is not known
_SECONDS: dict[Unit, float] = {"seconds": 1.0, "milliseconds": 0.001, "frames": math.nan}


def settle(path: Path, columns: Columns, lines: Iterable[Line]) -> Columns:
    """Return the columns with what only their content shows: which is the label, whose duration.

    Parameters
    ----------
    lines : iterable of Line
        The table below its header; not drawn where names leave no question.
    """
    if not columns.has_times:
        return _of_facts(columns)
    asks_label = "label" not in columns.given and len(columns.labels) > 0
    asks_duration = "duration" in columns.places and "duration" not in columns.given
    if not (asks_label or asks_duration):
        return (
            columns if columns.labels or "label" in columns.places else _unlabelled(path, columns)
        )
    labels = _Labels(columns.labels if asks_label else ())
    durations = _Durations(columns.places if asks_duration else {}, _SECONDS[columns.unit])
    for _, cells in islice(lines, _SAMPLE):
        labels.see(cells)
        durations.see(cells)
    if asks_duration and durations.are_lengths():
        place = columns.places["duration"]
        places = {role: i for role, i in columns.places.items() if role != "duration"}
        columns = replace(columns, places=places).with_note(
            f"{path}: column {columns.name(place)} is the length of segments, and not taken as the "
            "video's",
            place,
        )
    if asks_label:
        return labels.choose(path, columns)
    return columns if "label" in columns.places else _unlabelled(path, columns)


def _of_facts(columns: Columns) -> Columns:
    """Return the columns of a table without times: labels have no place, `count` is of frames."""
    places = {role: i for role, i in columns.places.items() if role != "label"}
    names = [plain(name) for name in columns.head]
    if "frames" not in places and "count" in names:
        places["frames"] = names.index("count")
    return replace(columns, places=places, labels=())


def _unlabelled(path: Path, columns: Columns) -> Columns:
    if not columns.head:
        return columns
    return columns.with_note(
        f"{path}: no column of labels is known by name, so instances have none; "
        "--label-column names it"
    )


class _Labels:
    """What the columns hold that could be the label."""

    def __init__(self, candidates: Sequence[int]) -> None:
        self._candidates = candidates
        self._words: set[int] = set()
        self._values: dict[int, set[str]] = {place: set() for place in candidates}

    def see(self, cells: Sequence[str]) -> None:
        """Take a row into account."""
        for place in self._candidates:
            if place in self._words or place >= len(cells) or not cells[place]:
                continue
            if math.isfinite(time_of(cells[place])):
                if len(self._values[place]) < 3:
                    self._values[place].add(cells[place])
            else:
                self._words.add(place)

    def choose(self, path: Path, columns: Columns) -> Columns:
        """Return the columns with the first of words as label, else the first."""
        chosen = next((i for i in self._candidates if i in self._words), self._candidates[0])
        columns = replace(columns, places={**columns.places, "label": chosen})
        name, others = columns.name(chosen), [i for i in columns.labels if i != chosen]
        verdict = next((i for i in others if self._is_verdict(i, columns.head[i])), None)
        rivals = [i for i in others if i != verdict and plain(columns.head[i]) not in LABEL_NUMBERS]
        if rivals:
            names = " or ".join(map(columns.name, rivals))
            columns = columns.with_note(
                f"{path}: the label is column {name}; it could be {names} (--label-column)", *rivals
            )
        if chosen not in self._words and self._values[chosen]:
            columns = columns.with_note(f"{path}: labels are numbers (column {name})")
        return replace(columns, verdict=verdict)

    def _is_verdict(self, place: int, name: str) -> bool:
        return (
            plain(name) == "label"
            and place not in self._words
            and bool(self._values[place])
            and self._values[place] <= {"1", "-1"}
        )


class _Durations:
    """Whether durations are those of segments: equal to end - start, or otherwise impossible."""

    def __init__(self, places: Mapping[str, int], unit: float) -> None:
        self._unit = unit  # of start and end, in seconds
        roles = ("video", "start", "end", "duration")
        self._places = [places[role] for role in roles if role in places]
        self._of_video: dict[str, float] = {}
        self._rows = self._short = 0
        self._varies = False
        self._difference = self._latest_start = 0.0

    def see(self, cells: Sequence[str]) -> None:
        """Take a row into account, if it has all three numbers."""
        if len(self._places) < 4 or len(cells) <= max(self._places):
            return
        video = cells[self._places[0]]
        start, end, duration = (time_of(cells[place]) for place in self._places[1:])
        start, end = start * self._unit, end * self._unit
        if not math.isfinite(start + end + duration):
            return
        self._rows += 1
        self._short += duration < end
        self._varies |= self._of_video.setdefault(video, duration) != duration
        self._difference = max(self._difference, abs(end - start - duration))
        self._latest_start = max(self._latest_start, start)

    def are_lengths(self) -> bool:
        """Return whether no video can have these durations, but segments can."""
        # a video reaches to its last segment's end, so it exceeds end - start by start at least
        equal = any(self._difference <= x and self._latest_start > 2 * x for x in (0.011, 0.51))
        return equal or (self._varies and 2 * self._short > self._rows)
