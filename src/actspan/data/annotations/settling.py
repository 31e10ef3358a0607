"""Meanings of columns that only the content shows: label, and duration of video or segment."""

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

_SAMPLE = 10_000  # rows that are examined to find out what a column means
# Seconds per unit. The length of a frame is unknown.
_SECONDS: dict[Unit, float] = {"seconds": 1.0, "milliseconds": 0.001, "frames": math.nan}


def settle(path: Path, columns: Columns, lines: Iterable[Line]) -> Columns:
    """Return the columns with the label column, and the duration's owner, found from the content.

    Parameters
    ----------
    lines : iterable of Line
        The table below its header; not read if the names are sufficient.
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
    """Return the columns without one that gives the length of segments."""
    place = columns.places[role]
    places = {other: i for other, i in columns.places.items() if other != role}
    return replace(columns, places=places).with_note(
        f"{path}: column {columns.name(place)} is the length of segments, and not taken as the "
        "video's",
        place,
    )


def _of_facts(columns: Columns) -> Columns:
    """Return the columns of a table without times: no label, and `count` means frames."""
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
    """Contents of the columns that could be the label."""

    def __init__(self, candidates: Sequence[int]) -> None:
        self._candidates = candidates
        self._rows = 0
        self._filled: Counter[int] = Counter()
        self._worded: Counter[int] = Counter()
        self._values: dict[int, set[str]] = {place: set() for place in candidates}

    def see(self, cells: Sequence[str]) -> None:
        """Add a row."""
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
        """Return the columns with a label: the first column of words, or the first filled one."""
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
        """Return whether most of the filled cells of a column are words."""
        return 2 * self._worded[place] > self._filled[place]

    def _is_verdict(self, place: int, name: str) -> bool:
        return (
            plain(name) == "label"
            and not self._worded[place]
            and bool(self._values[place])
            and self._values[place] <= {"1", "-1"}
        )


class _Durations:
    """Check of durations: those of segments equal end - start, or are impossible for videos."""

    def __init__(self, places: Mapping[str, int], unit: float) -> None:
        self._unit = unit  # unit of start and end, in seconds
        roles = ("video", "start", "end", "duration")
        self._places = [places[role] for role in roles if role in places]
        self._of_video: dict[str, float] = {}
        self._rows = self._short = 0
        self._varies = False
        self._difference = self._latest_start = 0.0

    def see(self, cells: Sequence[str]) -> None:
        """Add a row, if it has all three numbers."""
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
        """Return whether the durations are impossible for videos, but possible for segments."""
        # A video lasts at least until its last segment's end, so it exceeds end - start by the
        # start.
        equal = any(self._difference <= x and self._latest_start > 2 * x for x in (0.011, 0.51))
        return equal or (self._varies and 2 * self._short > self._rows)


class _Frames:
    """Check of frame counts: those of segments equal end - start, or vary within a video."""

    def __init__(self, places: Mapping[str, int], unit: Unit) -> None:
        roles = ("video", "start", "end", "frames")
        self._places = [places[role] for role in roles if role in places]
        self._counts_frames = unit == "frames"
        self._of_video: dict[str, set[float]] = {}
        self._rows: Counter[str] = Counter()
        self._difference = self._latest_start = 0.0

    def see(self, cells: Sequence[str]) -> None:
        """Add a row, if it has all three numbers."""
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
        """Return whether the counts belong to segments: most videos would have several counts."""
        several = [video for video, rows in self._rows.items() if rows > 1]
        varied = sum(len(self._of_video[video]) > 1 for video in several)
        equal = self._counts_frames and self._difference <= 1 and self._latest_start > 2
        return equal or 2 * varied > len(several)
