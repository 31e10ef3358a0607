"""Notes about readable annotations that may be mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from actspan.core.wording import counted, listed
from actspan.data.names import composed
from actspan.data.videos import Videos

_FRAME = 0.02  # seconds; no action is shorter, but times given as fractions of a day are
_NAMED = 12  # labels that one line lists


def doubts(videos: Videos, path: Path) -> tuple[str, ...]:
    """Return notes about instances that occur twice, and labels that are nearly equal."""
    return (*_twice(videos, path), *_nearly_same(videos, path))


def fractions_of_a_day(videos: Videos, path: Path) -> tuple[str, ...]:
    """Return a note if most instances are too short for seconds, as Excel's times of day are."""
    lengths = np.diff(videos.segments)
    if not len(lengths) or not 2 * int((lengths < _FRAME).sum()) > len(lengths):
        return ()
    return (
        f"{path}: most instances are shorter than {_FRAME:g} s: are their times fractions of a "
        "day? format the cells as numbers of seconds, and save the table again",
    )


def _twice(videos: Videos, path: Path) -> Iterator[str]:
    start, end = videos.segments.T
    video = np.repeat(np.arange(len(videos)), videos.counts)
    order = np.lexsort((end, start, video))
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for column in (video, start, end):
        same &= column[order[1:]] == column[order[:-1]]
    if not same.any():
        return
    alike = np.union1d(order[:-1][same], order[1:][same]).tolist()
    keys = Counter((video.item(i), start.item(i), end.item(i), videos.labels[i]) for i in alike)
    count = sum(number - 1 for number in keys.values())
    if count:
        names = dict.fromkeys(videos.ids[key[0]] for key, number in keys.items() if number > 1)
        are = "instances are" if count > 1 else "instance is"
        yield (
            f"{path}: {count:,} {are} there twice, with the same video, times and label: "
            f"{counted(len(names), 'video')} ({listed(names)})"
        )


def _nearly_same(videos: Videos, path: Path) -> Iterator[str]:
    variants: dict[str, list[str]] = {}
    for label in dict.fromkeys(videos.labels):
        variants.setdefault(" ".join(composed(label).casefold().split()), []).append(label)
    groups = [" and ".join(map(repr, labels)) for labels in variants.values() if len(labels) > 1]
    if groups:
        yield (
            f"{path}: labels that differ only in capitals, blanks or Unicode form are "
            f"different classes: {listed(groups, _NAMED)}"
        )
