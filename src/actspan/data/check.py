"""Find everything that is wrong with a dataset before work starts (one pass, on all cores)."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from actspan.config import FeatureSpec
from actspan.data.dataset import Dataset
from actspan.data.problems import Loss, Problem, stop_on_errors, stop_with_none_left
from actspan.data.readers import Entry, read_array
from actspan.data.store import Packed
from actspan.data.timebase import SnippetGrid, infer_grid, snippet_grid
from actspan.data.videos import Videos
from actspan.errors import FeatureError
from actspan.parallel import map_ordered
from actspan.types import Video
from actspan.wording import counted

Progress = Callable[[int, int], None]  # (videos done, videos in all)

_UNKNOWN = -1  # rows of a video in a store elsewhere, which are not fetched to be counted
_ROWS = 4096  # looked at at a time, so that a day's recording takes no more memory than an hour's
_SLACK_SECONDS, _SLACK_SHARE = 1.0, 0.01  # how far a segment may pass the end and be clipped


class _Seen(NamedTuple):
    """What one look at a feature file told."""

    place: int  # of its video
    shape: tuple[int, ...] = ()
    header: bool = False  # a CSV: rows are snippets whatever the counts
    problem: Problem | None = None


class _Examined(NamedTuple):
    """What all features together told."""

    spec: FeatureSpec
    notes: list[str]
    problems: list[Problem]
    places: Sequence[int]  # of the videos that can be used, as far as features go


def check_dataset(
    dataset: Dataset,
    *,
    channels: int | None = None,
    dtype: DTypeLike = np.float32,
    on_error: Literal["fail", "skip"] = "fail",
    progress: Progress | None = None,
) -> Dataset:
    """Check annotations and every feature file; settle layout, channels and snippet grid.

    Reads all features once: missing, extra, repeated, empty, truncated and non-finite files,
    wrong channels or layout, segments without length or outside their video. Features of a store
    were read when they were packed, and are not read again.

    Parameters
    ----------
    channels : int, optional
        What the model expects.
    dtype : dtype
        What features will be kept as: larger values are problems.
    on_error : "fail" or "skip"
        Raise with all findings, or go on without what is bad.
    progress : callable, optional
        Told (videos looked at, videos in all).

    Returns
    -------
    Dataset
        Fit for use; `problems` lists what was left out and what is only worth a note,
        `assumptions` what was taken for granted.

    Raises
    ------
    DatasetError
        There are problems and `on_error` is "fail", or nothing is left.
    FeatureError
        Nothing tells (T, C) from (C, T).
    """
    problems = [*dataset.problems, *_segment_problems(dataset), *_orphans(dataset)]
    examine = _examine_files if dataset.packing is None else _examine_store
    found = examine(dataset, channels, np.dtype(dtype), progress)
    problems += found.problems
    if on_error == "fail":
        stop_on_errors(problems)
    lost = {p.video for p in problems if p.loss is Loss.VIDEO}
    ids = dataset.videos.ids
    videos = dataset.videos.select(place for place in found.places if ids[place] not in lost)
    if not videos:
        stop_with_none_left(problems or [_nothing(dataset)], len(dataset))
    return replace(
        dataset,
        videos=_without_bad_segments(videos),
        spec=found.spec,
        assumptions=(*dataset.assumptions, *found.notes),
        problems=tuple(problems),
    )


def _nothing(dataset: Dataset) -> Problem:
    return Problem("", str(dataset.path), "no videos", "check the folder and the subset")


def good_segments(videos: Videos) -> NDArray[np.bool_]:
    """Which segments have a length and lie in their video, (M,) bool."""
    start, end = videos.segments.T
    latest = np.repeat(videos.durations, videos.counts)
    latest[np.isnan(latest)] = inf
    slack = np.maximum(_SLACK_SECONDS, _SLACK_SHARE * latest)
    good: NDArray[np.bool_] = (
        (start >= 0) & (start < end) & (end < inf) & (start < latest) & (end <= latest + slack)
    )
    return good


def _without_bad_segments(videos: Videos) -> Videos:
    good = good_segments(videos)
    return videos if good.all() else videos.with_instances(good)


def _segment_problems(dataset: Dataset) -> Iterator[Problem]:
    videos = dataset.videos
    bad = np.flatnonzero(~good_segments(videos))
    places = np.searchsorted(videos.offsets, bad, side="right") - 1
    for place, (start, end) in zip(places.tolist(), videos.segments[bad].tolist(), strict=True):
        what = "zero length" if start == end else "ends before it starts"
        if end > start or not np.isfinite(end - start):
            what = f"outside the video, which lasts {videos.durations[place]:g} s"
        problem = f"segment [{start:g}, {end:g}]: {what}"
        remedy = "mend the annotation, or remove it"
        yield Problem(videos.ids[place], str(dataset.path), problem, remedy, Loss.SEGMENT)


def _orphans(dataset: Dataset) -> Iterator[Problem]:
    """Features of videos that no annotation names (in any subset)."""
    told = {p.video for p in dataset.problems if p.loss is Loss.VIDEO}  # a bad entry
    for name in sorted(dataset.entries.keys() - set(dataset.known.ids) - told):
        remedy = "annotate the video, or remove the file"
        file = str(dataset.entries[name])
        yield Problem(name, file, "features without annotation", remedy, Loss.FILE)


def _examine_files(
    dataset: Dataset, channels: int | None, dtype: np.dtype[Any], progress: Progress | None
) -> _Examined:
    seen = list(_look_at_all(dataset, dtype, progress))
    problems = [look.problem for look in seen if look.problem]
    good = [look for look in seen if look.problem is None]
    if not good:
        return _Examined(dataset.spec, [], problems, [])
    spec, wrong = _settle(dataset, good, channels)
    problems += wrong
    bad = {problem.video for problem in wrong}
    good = [look for look in good if dataset.videos.ids[look.place] not in bad]
    spec, notes = _settle_grid(dataset, spec, good)
    for look in good:
        problems += _grid_problems(dataset, spec, dataset.videos[look.place], _snippets(look, spec))
    return _Examined(spec, notes, problems, [look.place for look in good])


def _examine_store(
    dataset: Dataset, channels: int | None, dtype: np.dtype[Any], progress: Progress | None
) -> _Examined:
    """Nothing is read but what was checked for a larger type, and nothing is held of a video."""
    assert dataset.packing is not None
    known = np.can_cast(dataset.packing.dtype, dtype)
    problems, places = [], array("q")
    videos = zip(dataset.videos.ids, dataset.videos.durations.tolist(), strict=True)
    for place, (name, duration) in enumerate(videos):
        entry = dataset.entries.get(name)
        if entry is None:
            problems.append(_no_features(dataset, name))
        else:
            assert isinstance(entry, Packed)
            what = "" if known else _bad_values(entry.values, dtype)
            if what:
                problems.append(_damaged(name, entry, what))
            else:
                if (shape := entry.shape) is not None:
                    problems += _gap(dataset, name, duration, entry.grid, shape[0])
                places.append(place)
        if progress:
            progress(place + 1, len(dataset))
    if places:
        _require_channels(dataset, dataset.spec.channels, channels)
    return _Examined(dataset.spec, [], problems, places)


def _look_at_all(
    dataset: Dataset, dtype: np.dtype[Any], progress: Progress | None
) -> Iterator[_Seen]:
    look_at = partial(_look_at, dataset, dtype)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = map_ordered(pool, look_at, range(len(dataset)), ahead=64)
        for done, look in enumerate(looks, start=1):
            if progress:
                progress(done, len(dataset))
            yield look


def _look_at(dataset: Dataset, dtype: np.dtype[Any], place: int) -> _Seen:
    name = dataset.videos.ids[place]
    entry = dataset.entries.get(name)
    if entry is None:
        return _Seen(place, problem=_no_features(dataset, name))
    assert isinstance(entry, Entry)
    try:
        values = read_array(entry, mapped=True)
        what = _bad_values(values, dtype)
    except FeatureError as error:
        what = str(error).removeprefix(f"{entry}: ").removeprefix(f"{entry.path}: ")
    if what:
        return _Seen(place, problem=_damaged(name, entry, what))
    return _Seen(place, values.shape, header=entry.path.suffix == ".csv")


def _damaged(name: str, entry: Entry | Packed, what: str) -> Problem:
    return Problem(name, str(entry), what, "extract its features again")


def _no_features(dataset: Dataset, name: str) -> Problem:
    why = None if dataset.packing is None else dataset.packing.left_out.get(name)
    what = "no features" if why is None else f"left out when the dataset was packed: {why}"
    remedy = "extract its features, or remove it from the annotations"
    return Problem(name, str(dataset.path), what, remedy)


def _bad_values(array: np.ndarray, dtype: np.dtype[Any]) -> str:
    """What is wrong with an array's values, or nothing."""
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


def _settle(
    dataset: Dataset, seen: list[_Seen], expected: int | None
) -> tuple[FeatureSpec, list[Problem]]:
    """Layout and channels of the whole set, and the files that do not fit them."""
    spec = dataset.spec
    channels = spec.channels or expected
    layout = spec.layout or _vote(seen, channels)
    if layout is None:
        raise FeatureError(
            f"{dataset.path}: cannot tell whether features are (T, C) or (C, T): write "
            'dataset.toml with [features] channels = ..., or layout = "TC" or "CT"'
        )
    axis = 1 if layout == "TC" else 0
    counts = [look.shape[axis] for look in seen]
    channels = channels or max(set(counts), key=counts.count)
    _require_channels(dataset, channels, expected)
    settled = msgspec.structs.replace(spec, channels=channels, layout=layout)
    misfits = [look for look in seen if look.shape[axis] != channels]
    return settled, [_misfit(dataset, look, axis, channels) for look in misfits]


def _require_channels(dataset: Dataset, channels: int | None, expected: int | None) -> None:
    if expected is not None and expected != channels:
        raise FeatureError(
            f"{dataset.path}: features have {channels} channels, but the model expects {expected}; "
            "use a model that was trained on such features"
        )


def _vote(seen: list[_Seen], channels: int | None) -> Literal["TC", "CT"] | None:
    """What the layout must be for most files to have the known channels."""
    if all(look.header for look in seen):
        return "TC"
    if channels is None:
        return None
    rows = sum(look.shape[1] == channels for look in seen)
    columns = sum(look.shape[0] == channels for look in seen)
    return "CT" if columns > rows else "TC"


def _misfit(dataset: Dataset, look: _Seen, axis: int, channels: int) -> Problem:
    remedy = f"extract its features again, with the network that gives {channels} channels"
    what = f"{look.shape[axis]} channels, {channels} expected"
    if look.shape[1 - axis] == channels:
        what = f"layout turned round: shape {look.shape}, {channels} channels"
        remedy = "transpose the file"
    name = dataset.videos.ids[look.place]
    return Problem(name, str(dataset.entries[name]), what, remedy)


def _settle_grid(
    dataset: Dataset, spec: FeatureSpec, seen: list[_Seen]
) -> tuple[FeatureSpec, list[str]]:
    if spec.stride_frames is not None or spec.stride_seconds is not None or not seen:
        return spec, []
    videos = dataset.videos.select(look.place for look in seen)
    settled, note = infer_grid(videos, [_snippets(look, spec) for look in seen], spec)
    return settled, [note]


def _snippets(look: _Seen, spec: FeatureSpec) -> int:
    return look.shape[1] if spec.layout == "CT" else look.shape[0]


def _grid_problems(
    dataset: Dataset, spec: FeatureSpec, video: Video, snippets: int
) -> Iterator[Problem]:
    try:
        grid = snippet_grid(video, spec, snippets)
    except FeatureError as error:
        remedy = "give stride_seconds, or fps"
        yield Problem(video.id, str(dataset.path), str(error), remedy)
        return
    yield from _gap(dataset, video.id, video.duration, grid, snippets)


def _gap(
    dataset: Dataset, name: str, duration: float, grid: SnippetGrid, snippets: int
) -> Iterator[Problem]:
    """Whether features and annotation are as long as each other."""
    stride, length = grid.stride, grid.length
    gap = abs(stride * snippets - duration)
    if gap > max(0.1 * duration, 2 * max(stride, length)):
        what = f"features cover {stride * snippets:.1f} s of {duration:.1f} s"
        remedy = "check the stride in dataset.toml"
        yield Problem(name, str(dataset.entries[name]), what, remedy, Loss.NOTHING)
