"""Examination of all features of a dataset, on all cores: contents and faults."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from actspan.config.stages import FeatureSpec
from actspan.core.errors import FeatureError
from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem, Skipped
from actspan.core.progress import Progress
from actspan.core.types import Float64
from actspan.core.wording import counted
from actspan.data.csv_features import counter
from actspan.data.dataset import Dataset
from actspan.data.layout import (
    Seen,
    require_channels,
    settle_grid,
    settle_layout,
    snippets_of,
    without_counters,
)
from actspan.data.readers import Entry, read_array, read_noted
from actspan.data.store.shards import Packed
from actspan.data.timebase import SnippetGrid, snippet_grid

_ROWS = 4096  # rows examined at a time, so that memory does not grow with the recording

_REMEDIES = {
    "too large for float16": "keep numbers of float32 (--dtype)",
    "decimal commas": "write decimal points, or semicolons between fields",
    ",), but a filled": "reshape it to (T, 1), if it has one number per snippet",
}


class Examined(NamedTuple):
    """Results of examining all features."""

    spec: FeatureSpec
    notes: list[str]
    problems: list[Problem]
    usable: Usable


class Usable:
    """Videos whose features can be used.

    Attributes
    ----------
    places : sequence of int
        Places of the videos in the dataset.
    """

    def __init__(self) -> None:
        self.places = array("q")
        # Seconds that features cover, and the larger of stride and length; NaN if unknown.
        self._spans, self._steps = array("d"), array("d")

    def add(self, place: int, grid: SnippetGrid | None, snippets: int) -> None:
        """Add a video by its place in the dataset; without a grid its span is unknown."""
        self.places.append(place)
        self._spans.append(np.nan if grid is None else grid.stride * snippets)
        self._steps.append(np.nan if grid is None else max(grid.stride, grid.length))

    def by_place(self, videos: int) -> tuple[Float64, Float64]:
        """Return spans and steps of all videos of the dataset, (V,); NaN for unusable videos."""
        spans, steps = np.full(videos, np.nan), np.full(videos, np.nan)
        places = np.array(self.places, dtype=np.intp)
        spans[places], steps[places] = self._spans, self._steps
        return spans, steps


def examine_files(
    dataset: Dataset, channels: int | None, dtype: np.dtype[Any], progress: Progress
) -> Examined:
    """Read the features of all videos, and determine their spec."""
    seen = list(_look_at_all(dataset, dtype, progress))
    problems = [look.problem for look in seen if look.problem]
    good = [look for look in seen if look.problem is None]
    good = without_counters(good, dataset.spec, channels)
    usable = Usable()
    if not good:
        return Examined(dataset.spec, [], problems, usable)
    spec, wrong = settle_layout(dataset, good, channels)
    problems += wrong
    bad = {problem.video for problem in wrong}
    good = [look for look in good if dataset.videos.ids[look.place] not in bad]
    spec, notes = settle_grid(dataset, spec, good)
    for look in good:
        snippets, video = snippets_of(look, spec), dataset.videos[look.place]
        try:
            usable.add(look.place, snippet_grid(video, spec, snippets), snippets)
        except FeatureError as error:
            what, _, remedy = str(error).removeprefix(f"{video.id}: ").partition("; ")
            problems.append(Problem(video.id, str(dataset.path), what, remedy))
    dropped = Counter(look.dropped for look in good if look.dropped)
    if constant := sum(look.constant for look in good):
        notes.append(f"all values are the same in {constant} of {counted(len(good), 'file')}")
    notes += [f"dropped from {counted(n, 'CSV file')}: {what}" for what, n in dropped.items()]
    return Examined(spec, notes, problems, usable)


def examine_store(
    dataset: Dataset, channels: int | None, dtype: np.dtype[Any], progress: Progress
) -> Examined:
    """Return the results for a store; values are read only if they must fit a smaller type."""
    assert dataset.packing is not None
    known = np.can_cast(dataset.packing.dtype, dtype)
    problems, usable = [], Usable()
    for place, name in enumerate(dataset.videos.ids):
        entry = dataset.entries.get(name)
        if entry is None:
            problems.append(_no_features(dataset, name))
        else:
            assert isinstance(entry, Packed)
            what = "" if known else _bad_values(entry.values, dtype)
            if what:
                problems.append(_damaged(name, entry, what))
            elif (shape := entry.shape) is None:  # in a remote store: not downloaded to be counted
                usable.add(place, None, 0)
            else:
                usable.add(place, entry.grid, shape[0])
        progress("check", place + 1, len(dataset))
    if usable.places:
        require_channels(dataset, dataset.spec.channels, channels)
    return Examined(dataset.spec, [], problems, usable)


def measure(dataset: Dataset) -> tuple[Float64, Float64]:
    """Return spans and steps of all videos, (V,), from the shapes of their features alone.

    Raises
    ------
    FeatureError
        A file cannot be opened, or the layout is unknown.
    """
    usable, seen = Usable(), []
    for place, name in enumerate(dataset.videos.ids):
        entry = dataset.entries.get(name)
        if isinstance(entry, Packed):
            if (shape := entry.shape) is not None:
                usable.add(place, entry.grid, shape[0])
        elif entry is not None:
            array, is_csv = read_array(entry, mapped=True), entry.is_csv
            counts = counter(array) if is_csv else ""
            seen.append(Seen(place, array.shape, header=is_csv, counter=counts))
    if seen:
        seen = without_counters(seen, dataset.spec, None)
        spec, _ = settle_layout(dataset, seen, None)
        spec, _ = settle_grid(dataset, spec, seen)
        for look in seen:
            snippets = snippets_of(look, spec)
            usable.add(
                look.place, snippet_grid(dataset.videos[look.place], spec, snippets), snippets
            )
    return usable.by_place(len(dataset))


def _look_at_all(dataset: Dataset, dtype: np.dtype[Any], progress: Progress) -> Iterator[Seen]:
    look_at = partial(_look_at, dataset, dtype)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = map_ordered(pool, look_at, range(len(dataset)), ahead=64)
        for done, look in enumerate(looks, start=1):
            progress("check", done, len(dataset))
            yield look


def _look_at(dataset: Dataset, dtype: np.dtype[Any], place: int) -> Seen:
    name = dataset.videos.ids[place]
    entry = dataset.entries.get(name)
    if entry is None:
        return Seen(place, problem=_no_features(dataset, name))
    assert isinstance(entry, Entry)
    try:
        values, dropped = read_noted(entry, mapped=True)
        is_csv = entry.is_csv
        what = _bad_values(values, dtype)
    except FeatureError as error:
        what = str(error).removeprefix(f"{entry}: ").removeprefix(f"{entry.path}: ")
    if what:
        return Seen(place, problem=_damaged(name, entry, what))
    return Seen(
        place,
        values.shape,
        header=is_csv,
        dropped=dropped,
        counter=counter(values) if is_csv else "",
        constant=_is_constant(values),
    )


def _is_constant(array: np.ndarray) -> bool:
    """Return whether several values are all the same; the first row is checked first."""
    if array.size < 2 or not (array[0] == array[0, 0]).all():
        return False
    blocks = (array[begin : begin + _ROWS] for begin in range(0, len(array), _ROWS))
    return all(bool((block == array[0, 0]).all()) for block in blocks)


def _damaged(name: str, entry: Entry | Packed, what: str) -> Problem:
    what, _, own = what.partition("; ")
    remedies = (remedy for words, remedy in _REMEDIES.items() if words in what)
    return Problem(name, str(entry), what, own or next(remedies, "extract the features again"))


def _no_features(dataset: Dataset, name: str) -> Problem:
    why = None if dataset.packing is None else dataset.packing.left_out.get(name)
    if why is not None:
        what = f"left out when the dataset was packed: {why}"
        return Problem(
            name, str(dataset.path), what, "pack it again without the fault", Skipped.NOTHING
        )
    remedy = "extract the features, or remove the annotations"
    return Problem(name, str(dataset.path), "no features", remedy)


def _bad_values(array: np.ndarray, dtype: np.dtype[Any]) -> str:
    """Return what is wrong with an array's values, or ""."""
    endless = large = 0
    for begin in range(0, len(array), _ROWS):
        block = array[begin : begin + _ROWS]
        with np.errstate(over="ignore"):
            kept = block.astype(dtype, copy=False)
        bad = int(np.count_nonzero(~np.isfinite(kept)))
        if bad:
            endless += int(np.count_nonzero(~np.isfinite(block)))
            large += bad
    if endless:
        return f"{counted(endless, 'value')} NaN or infinite"
    return (
        f"{counted(large, 'value')} beyond {np.finfo(dtype).max:g}, too large for {dtype}"
        if large
        else ""
    )
