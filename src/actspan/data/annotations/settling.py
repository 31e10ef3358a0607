"""What only the content of a table shows about its columns: which is the label, whose duration."""

from __future__ import annotations

import math
from collections import Counter
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
    asks_frames = "frames" in columns.places
    if not (asks_label or asks_duration or asks_frames):
        return (
            columns if columns.labels or "label" in columns.places else _unlabelled(path, columns)
        )
    labels = _Labels(columns.labels if asks_label else ())
    durations = _Durations(columns.places if asks_duration else {}, _SECONDS[columns.unit])
    frames = _Frames(columns.places if asks_frames else {}, columns.unit)
    for _, cells in islice(lines, _SAMPLE):
        labels.see(cells)
        durations.see(cells)
        frames.see(cells)
    if asks_duration and durations.are_lengths():
        columns = _of_segments(path, columns, "duration")
    if asks_frames and frames.are_lengths():
        columns = _of_segments(path, columns, "frames")
    if asks_label:
        return labels.choose(path, columns)
    return columns if "label" in columns.places else _unlabelled(path, columns)


def _of_segments(path: Path, columns: Columns, role: str) -> Columns:
    """Return the columns without one that says the length of segments."""
    place = columns.places[role]
    places = {other: i for other, i in columns.places.items() if other != role}
    return replace(columns, places=places).with_note(
        f"{path}: column {columns.name(place)} is the length of segments, and not taken as the "
        "video's",
        place,
    )


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
        self._rows = 0
        self._filled: Counter[int] = Counter()
        self._worded: Counter[int] = Counter()
        self._values: dict[int, set[str]] = {place: set() for place in candidates}

    def see(self, cells: Sequence[str]) -> None:
        """Take a row into account."""
        self._rows += 1
        for place in self._candidates:
            if place >= len(cells) or not cells[place]:
                continue
            self._filled[place] += 1
            if not math.isfinite(time_of(cells[place])):
                self._worded[place] += 1
            elif len(self._values[place]) < 3:
                self._values[place].add(cells[place])

    def choose(self, path: Path, columns: Columns) -> Columns:
        """Return the columns with the first of words as label, else the first that holds any."""
        first = next((i for i in self._candidates if self._filled[i]), self._candidates[0])
        common = (i for i in self._candidates if 2 * self._worded[i] > self._rows)
        chosen = first if self._is_words(first) else next(common, first)
        columns = replace(columns, places={**columns.places, "label": chosen})
        name, others = columns.name(chosen), [i for i in columns.labels if i != chosen]
        verdict = next((i for i in others if self._is_verdict(i, columns.head[i])), None)
        rivals = [i for i in others if i != verdict and plain(columns.head[i]) not in LABEL_NUMBERS]
        if rivals:
            names = " or ".join(map(columns.name, rivals))
            columns = columns.with_note(
                f"{path}: the label is column {name}; it could be {names} (--label-column)", *rivals
            )
        if not self._is_words(chosen) and self._values[chosen]:
            columns = columns.with_note(f"{path}: labels are numbers (column {name})")
        return replace(columns, verdict=verdict)

    def _is_words(self, place: int) -> bool:
        """Return whether most of the cells of a column that are filled are words."""
        return 2 * self._worded[place] > self._filled[place]

    def _is_verdict(self, place: int, name: str) -> bool:
        return (
            plain(name) == "label"
            and not self._worded[place]
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


class _Frames:
    """Whether numbers of frames are those of segments: equal to end - start, or of no video."""

    def __init__(self, places: Mapping[str, int], unit: Unit) -> None:
        roles = ("video", "start", "end", "frames")
        self._places = [places[role] for role in roles if role in places]
        self._counts_frames = unit == "frames"
        self._of_video: dict[str, set[float]] = {}
        self._rows: Counter[str] = Counter()
        self._difference = self._latest_start = 0.0

    def see(self, cells: Sequence[str]) -> None:
        """Take a row into account, if it has all three numbers."""
        if len(self._places) < 4 or len(cells) <= max(self._places):
            return
        video = cells[self._places[0]]
        start, end, frames = (time_of(cells[place]) for place in self._places[1:])
        if not math.isfinite(start + end + frames):
            return
        self._rows[video] += 1
        self._of_video.setdefault(video, set()).add(frames)
        self._difference = max(self._difference, abs(end - start - frames))
        self._latest_start = max(self._latest_start, start)

    def are_lengths(self) -> bool:
        """Return whether they cannot be the videos', because most videos would have several."""
        several = [video for video, rows in self._rows.items() if rows > 1]
        varied = sum(len(self._of_video[video]) > 1 for video in several)
        equal = self._counts_frames and self._difference <= 1 and self._latest_start > 2
        return equal or 2 * varied > len(several)
