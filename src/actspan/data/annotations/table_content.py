"""Meanings of columns that only the content shows: label, and duration of video or segment."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from actspan.data.annotations.role_names import LABEL_NUMBERS, normalized
from actspan.data.annotations.table_columns import Columns, time_of
from actspan.data.annotations.table_lines import Line

_SAMPLE = 10_000  # rows that are examined to find out what a column means
_SECONDS = {"seconds": 1.0, "milliseconds": 0.001, "frames": math.nan}  # per unit


def resolve_columns(path: Path, columns: Columns, lines: Iterable[Line]) -> Columns:
    """Return the columns with the label column, and the duration's owner, found from the content.

    `lines` are those below the header; they are not read if the names are sufficient.
    """
    if not columns.has_times:
        return _of_facts(columns)
    by_content = [role for role in ("duration", "frames") if role in columns.places]
    if "duration" in columns.given and "duration" in by_content:
        by_content.remove("duration")
    candidates = () if "label" in columns.given else columns.labels
    if by_content or candidates:
        labels = _Labels(candidates)
        lengths = [_Lengths(columns, role) for role in by_content]
        for _, cells in islice(lines, _SAMPLE):
            labels.add(cells)
            for length in lengths:
                length.add(cells)
        for role, length in zip(by_content, lengths, strict=True):
            if length.are_of_segments():
                columns = _without(path, columns, role)
        if candidates:
            return labels.chosen(path, columns)
    if "label" in columns.places or not columns.head:
        return columns
    return columns.with_note(
        f"{path}: no column of labels is known by name, so instances have none; "
        "--label-column names it"
    )


def _without(path: Path, columns: Columns, role: str) -> Columns:
    """Return the columns without one that gives the length of segments."""
    note = (
        f"{path}: column {columns.name(role)} is the length of segments, and not taken as the "
        "video's"
    )
    places = {other: i for other, i in columns.places.items() if other != role}
    return replace(columns, places=places).with_note(note, columns.places[role])


def _of_facts(columns: Columns) -> Columns:
    """Return the columns of a table without times: no label, and `count` means frames."""
    places = {role: i for role, i in columns.places.items() if role != "label"}
    names = [normalized(name) for name in columns.head]
    if "count" in names:
        places.setdefault("frames", names.index("count"))
    return replace(columns, places=places, labels=())


class _Labels:
    """Contents of the columns that could be the label."""

    def __init__(self, candidates: Sequence[int]) -> None:
        self._candidates = candidates
        self._rows = 0
        self._filled: Counter[int] = Counter()
        self._worded: Counter[int] = Counter()
        self._values: dict[int, set[str]] = {place: set() for place in candidates}

    def add(self, cells: Sequence[str]) -> None:
        self._rows += 1
        for place in self._candidates:
            if place >= len(cells) or not cells[place]:
                continue
            self._filled[place] += 1
            if not math.isfinite(time_of(cells[place])):
                self._worded[place] += 1
            elif len(self._values[place]) < 3:
                self._values[place].add(cells[place])

    def chosen(self, path: Path, columns: Columns) -> Columns:
        """Return the columns with a label: the first column of words, or the first filled one."""
        first = next((i for i in self._candidates if self._filled[i]), self._candidates[0])
        common = (i for i in self._candidates if 2 * self._worded[i] > self._rows)
        chosen = first if self._is_words(first) else next(common, first)
        columns = replace(columns, places={**columns.places, "label": chosen})
        name, others = columns.name(chosen), [i for i in columns.labels if i != chosen]
        verdict = next((i for i in others if self._is_verdict(i, columns.head[i])), None)
        numbers = {i for i in others if normalized(columns.head[i]) in LABEL_NUMBERS}
        rivals = [i for i in others if i != verdict and i not in numbers]
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
        is_number = not self._worded[place] and bool(self._values[place])
        return normalized(name) == "label" and is_number and self._values[place] <= {"1", "-1"}


class _Lengths:
    """Check of durations or frame counts, which may belong to videos or to segments."""

    def __init__(self, columns: Columns, role: str) -> None:
        self._are_frames, self._unit = role == "frames", columns.unit
        roles: Mapping[str, int] = columns.places
        self._places = [roles[name] for name in ("video", "start", "end", role) if name in roles]
        self._of_video: dict[str, set[float]] = {}
        self._rows: Counter[str] = Counter()
        self._short = 0
        self._difference = self._latest_start = 0.0

    def add(self, cells: Sequence[str]) -> None:
        """Add a row, if it has all three numbers."""
        if len(self._places) < 4 or len(cells) <= max(self._places):
            return
        start, end, length = (time_of(cells[place]) for place in self._places[1:])
        if not self._are_frames:
            start, end = start * _SECONDS[self._unit], end * _SECONDS[self._unit]
        if not math.isfinite(start + end + length):
            return
        video = cells[self._places[0]]
        self._rows[video] += 1
        self._of_video.setdefault(video, set()).add(length)
        self._short += length < end
        self._difference = max(self._difference, abs(end - start - length))
        self._latest_start = max(self._latest_start, start)

    def are_of_segments(self) -> bool:
        """Return whether the lengths are impossible for videos, but possible for segments.

        A video lasts at least until its last segment's end, so it exceeds end - start by the
        start. Lengths of segments also vary within a video.
        """
        varied = sum(len(lengths) > 1 for lengths in self._of_video.values())
        if self._are_frames:
            several = sum(rows > 1 for rows in self._rows.values())
            is_close = self._difference <= 1 and self._latest_start > 2
            return (self._unit == "frames" and is_close) or 2 * varied > several
        equal = any(self._difference <= x and self._latest_start > 2 * x for x in (0.011, 0.51))
        return equal or (varied > 0 and 2 * self._short > self._rows.total())
