"""List of videos: filtered, sorted and split into pages on the server."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from actspan.server.browse.judging import Figures
from actspan.server.browse.library import Library

Order = Literal["source", "id", "seconds", "instances", "proposals", "score", "auc", "difference"]
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filter and order of the list.

    Attributes
    ----------
    find : str
        Text that the id or a label contains; case is ignored.
    missed : bool
        Keep only videos of which some run misses an instance at the lowest threshold.
    corrected : bool
        Keep only videos that were corrected.
    order : str
        Sort key; videos that lack it come last.
    descending : bool
    """

    find: str = ""
    missed: bool = False
    corrected: bool = False
    order: Order = "source"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class RunRow:
    """Result of one run on a video: number of proposals, best score, and evaluation."""

    proposals: int
    score: float | None
    figures: Figures | None


@dataclass(frozen=True, slots=True)
class Row:
    """Video of the list; `seconds` is NaN if the ground truth does not give it."""

    id: str
    seconds: float
    labels: tuple[str, ...]
    has_media: bool
    corrected: bool
    runs: tuple[RunRow, ...]


def list_rows(library: Library, wanted: Wanted, corrected: frozenset[str]) -> list[str]:
    """Return the ids of the videos that match, in order."""
    find = wanted.find.strip().casefold()
    chosen = [
        name
        for name in library.ids
        if _fits(library, name, find)
        and (not wanted.corrected or name in corrected)
        and (not wanted.missed or _misses(library, name))
    ]
    if wanted.order == "source":
        return chosen[::-1] if wanted.descending else chosen
    key = _KEYS[wanted.order]
    keys = {name: key(library, name) for name in chosen}
    having = [name for name in chosen if keys[name] is not None]
    lacking = [name for name in chosen if keys[name] is None]
    return sorted(having, key=keys.__getitem__, reverse=wanted.descending) + lacking


def make_row(library: Library, name: str, corrected: frozenset[str]) -> Row:
    """Return the row of the list for a video."""
    video = library.video(name)
    return Row(
        id=name,
        seconds=video.duration,
        labels=video.labels,
        has_media=name in library.media,
        corrected=name in corrected,
        runs=tuple(_run_row(library, r, name) for r in range(len(library.runs))),
    )


def _run_row(library: Library, run: int, name: str) -> RunRow:
    found = library.runs[run].result.get(name)
    count = 0 if found is None else len(found)
    best = None if found is None or not count else float(found.score.max())
    return RunRow(count, best, library.judge.figures(run, name))


def _fits(library: Library, name: str, find: str) -> bool:
    if find in name.casefold():
        return True
    video = library.truth.get(name)
    return video is not None and any(find in label.casefold() for label in video.labels)


def _all_figures(library: Library, name: str) -> list[Figures]:
    found = (library.judge.figures(run, name) for run in range(len(library.runs)))
    return [figures for figures in found if figures is not None]


def _misses(library: Library, name: str) -> bool:
    return any(figures.missed for figures in _all_figures(library, name))


def _natural(_: Library, name: str) -> list[Any]:
    """Return a sort key that puts `video9` before `video10`; every second part is a number."""
    return [int(p) if i % 2 else p for i, p in enumerate(_DIGITS.split(name.casefold()))]


def _seconds(library: Library, name: str) -> float | None:
    seconds = library.video(name).duration
    return None if math.isnan(seconds) else seconds


def _first(library: Library, name: str) -> RunRow | None:
    return _run_row(library, 0, name) if library.runs else None


def _proposals(library: Library, name: str) -> int | None:
    first = _first(library, name)
    return None if first is None else first.proposals


def _score(library: Library, name: str) -> float | None:
    first = _first(library, name)
    return None if first is None else first.score


def _auc(library: Library, name: str) -> float | None:
    """Return the mean AUC over the runs."""
    found = _all_figures(library, name)
    return sum(f.auc for f in found) / len(found) if found else None


def _difference(library: Library, name: str) -> float | None:
    """Return the difference between the highest and the lowest AUC of the runs."""
    found = [figures.auc for figures in _all_figures(library, name)]
    return max(found) - min(found) if len(found) > 1 else None


_KEYS: dict[str, Callable[[Library, str], Any]] = {
    "id": _natural,
    "seconds": _seconds,
    "instances": lambda library, name: len(library.video(name).segments),
    "proposals": _proposals,
    "score": _score,
    "auc": _auc,
    "difference": _difference,
}
