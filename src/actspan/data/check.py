"""Find everything that is wrong with a dataset before work starts (one pass, on all cores)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import inf, isnan
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import DTypeLike

from actspan.config import FeatureSpec
from actspan.data.dataset import Dataset
from actspan.data.problems import Loss, Problem, stop_on_errors, stop_with_none_left
from actspan.data.readers import read_array
from actspan.data.store import Packed
from actspan.data.timebase import SnippetGrid, infer_grid, snippet_grid
from actspan.errors import FeatureError
from actspan.parallel import map_ordered
from actspan.types import Video

Progress = Callable[[int, int], None]  # (videos done, videos in all)

_UNKNOWN = -1  # rows of a video in a store elsewhere, which are not fetched to be counted
_ROWS = 4096  # looked at at a time, so that a day's recording takes no more memory than an hour's
_SLACK_SECONDS, _SLACK_SHARE = 1.0, 0.01  # how far a segment may pass the end and be clipped


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look at a feature file told."""

    video: Video
    shape: tuple[int, ...] = ()
    grid: SnippetGrid | None = None  # where it was settled before: in a store
    header: bool = False  # a CSV: rows are snippets whatever the counts
    problem: Problem | None = None


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
    seen = list(_look_at_all(dataset, np.dtype(dtype), progress))
    problems += [look.problem for look in seen if look.problem]
    good = [look for look in seen if look.problem is None]
    spec, notes = dataset.spec, list(dataset.assumptions)
    if good:
        spec, wrong = _settle(dataset, good, channels)
        problems += wrong
        bad = {p.video for p in wrong}
        good = [look for look in good if look.video.id not in bad]
        if dataset.packing is None:
            spec, note = _settle_grid(spec, good)
            notes += note
        problems += _grid_problems(dataset, spec, good)
    if on_error == "fail":
        stop_on_errors(problems)
    lost = {p.video for p in problems if p.loss is Loss.VIDEO}
    videos = [_without_bad_segments(look.video) for look in good if look.video.id not in lost]
    if not videos:
        stop_with_none_left(problems or [_nothing(dataset)], len(dataset))
    return replace(
        dataset,
        videos=tuple(videos),
        spec=spec,
        assumptions=tuple(notes),
        problems=tuple(problems),
    )


def _nothing(dataset: Dataset) -> Problem:
    return Problem("", str(dataset.path), "no videos", "check the folder and the subset")


def good_segments(video: Video) -> np.ndarray:
    """Which segments have a length and lie in their video, (M,) bool."""
    latest = inf if isnan(video.duration) else video.duration
    slack = max(_SLACK_SECONDS, _SLACK_SHARE * latest)
    # plain numbers: videos have few segments, and a dataset may have many videos
    good = [
        0 <= start < end < inf and start < latest and end <= latest + slack
        for start, end in video.segments.tolist()
    ]
    return np.array(good, dtype=bool)


def _without_bad_segments(video: Video) -> Video:
    good = good_segments(video)
    if good.all():
        return video
    labels = tuple(label for label, keep in zip(video.labels, good, strict=True) if keep)
    return replace(video, segments=video.segments[good], labels=labels)


def _segment_problems(dataset: Dataset) -> Iterator[Problem]:
    for video in dataset.videos:
        for start, end in video.segments[~good_segments(video)].tolist():
            what = "zero length" if start == end else "ends before it starts"
            if end > start or not np.isfinite(end - start):
                what = f"outside the video, which lasts {video.duration:g} s"
            problem = f"segment [{start:g}, {end:g}]: {what}"
            remedy = "mend the annotation, or remove it"
            yield Problem(video.id, str(dataset.path), problem, remedy, Loss.SEGMENT)


def _orphans(dataset: Dataset) -> Iterator[Problem]:
    """Features of videos that no annotation names (in any subset)."""
    told = {p.video for p in dataset.problems if p.loss is Loss.VIDEO}  # a bad entry
    for name, entry in dataset.entries.items():
        if name not in dataset.annotated and name not in told:
            remedy = "annotate the video, or remove the file"
            yield Problem(name, str(entry), "features without annotation", remedy, Loss.FILE)


def _look_at_all(
    dataset: Dataset, dtype: np.dtype[Any], progress: Progress | None
) -> Iterator[_Seen]:
    look_at = partial(_look_at, dataset, dtype)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if dataset.packing is None:
            looks = map_ordered(pool, look_at, dataset.videos, ahead=64)
        else:  # nothing is read, so there is nothing to share out
            looks = map(look_at, dataset.videos)
        for done, look in enumerate(looks, start=1):
            if progress:
                progress(done, len(dataset))
            yield look


def _look_at(dataset: Dataset, dtype: np.dtype[Any], video: Video) -> _Seen:
    entry = dataset.entries.get(video.id)
    if entry is None:
        return _Seen(video, problem=_no_features(dataset, video.id))
    shape: tuple[int, ...] = ()
    try:
        if isinstance(entry, Packed):
            assert dataset.packing is not None
            shape, what = entry.shape or (_UNKNOWN, dataset.packing.channels), ""
            if not np.can_cast(dataset.packing.dtype, dtype):  # it was checked for a larger type
                what = _bad_values(entry.values, dtype)
        else:
            array = read_array(entry, mapped=True)
            shape, what = array.shape, _bad_values(array, dtype)
    except FeatureError as error:
        what = str(error).removeprefix(f"{entry}: ").removeprefix(f"{entry.path}: ")
    if what:
        problem = Problem(video.id, str(entry), what, "extract its features again")
        return _Seen(video, problem=problem)
    if isinstance(entry, Packed):
        return _Seen(video, shape, entry.grid)
    return _Seen(video, shape, header=entry.path.suffix == ".csv")


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
        return f"{endless} value(s) NaN or infinite"
    return (
        f"{large} value(s) beyond {np.finfo(dtype).max:g}, too large for {dtype}" if large else ""
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
    if expected is not None and expected != channels:
        raise FeatureError(
            f"{dataset.path}: features have {channels} channels, but the model expects {expected}; "
            "use a model that was trained on such features"
        )
    settled = msgspec.structs.replace(spec, channels=channels, layout=layout)
    misfits = [look for look in seen if look.shape[axis] != channels]
    return settled, [_misfit(dataset, look, axis, channels) for look in misfits]


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
    return Problem(look.video.id, str(dataset.entries[look.video.id]), what, remedy)


def _settle_grid(spec: FeatureSpec, seen: list[_Seen]) -> tuple[FeatureSpec, list[str]]:
    if spec.stride_frames is not None or spec.stride_seconds is not None or not seen:
        return spec, []
    snippets = [_snippets(look, spec) for look in seen]
    settled, note = infer_grid([look.video for look in seen], snippets, spec)
    return settled, [note]


def _snippets(look: _Seen, spec: FeatureSpec) -> int:
    return look.shape[1] if spec.layout == "CT" else look.shape[0]


def _grid_problems(dataset: Dataset, spec: FeatureSpec, seen: list[_Seen]) -> Iterator[Problem]:
    for look in seen:
        video, snippets = look.video, _snippets(look, spec)
        try:
            stride, length, _ = look.grid or snippet_grid(video, spec, snippets)
        except FeatureError as error:
            remedy = "give stride_seconds, or fps"
            yield Problem(video.id, str(dataset.path), str(error), remedy)
            continue
        gap = abs(stride * snippets - video.duration)
        if snippets != _UNKNOWN and gap > max(0.1 * video.duration, 2 * max(stride, length)):
            what = f"features cover {stride * snippets:.1f} s of {video.duration:.1f} s"
            remedy = "check the stride in dataset.toml"
            file = str(dataset.entries[video.id])
            yield Problem(video.id, file, what, remedy, Loss.NOTHING)
