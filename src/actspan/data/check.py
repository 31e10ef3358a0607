"""Check of a whole dataset before work starts: every file is read once, on all cores."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from actspan.config.stages import FeatureSpec
from actspan.core.errors import FeatureError
from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Float64
from actspan.core.wording import counted
from actspan.data.dataset import Dataset
from actspan.data.faults import annotation_problems, damaged_features, feature_problems, no_features
from actspan.data.features import Entry, read_table
from actspan.data.instances import after_features, late_ends
from actspan.data.layout import (
    FileCheck,
    channels_error,
    channels_problems,
    spec_error,
    vote_layout,
    without_first_columns,
)
from actspan.data.shards import PackedFeatures
from actspan.data.time_conflicts import compare_times, require_right_times
from actspan.data.timebase import SPEC_FILE, infer_grid, other_stride, snippet_grid, times_apart
from actspan.data.videos import good_segments

_ROWS = 4096  # rows checked at a time, so that memory does not grow with the recording


def check_dataset(
    dataset: Dataset,
    *,
    channels: int | None = None,
    dtype: DTypeLike = np.float32,
    on_error: Literal["fail", "skip"] = "fail",
    uses_instances: bool = False,
    trained_on: FeatureSpec | None = None,
    progress: Progress = no_progress,
) -> Dataset:
    """Check annotations and every feature file; determine layout, channels and snippet grid.

    All features are read once. The check finds missing, extra, repeated, empty, truncated and
    non-finite files, wrong channels or layout, and segments without length or outside their video.
    Features of a store were checked when they were packed, and are not read again. A fault that
    most files share is one problem. Bad instances are skipped, and stop the work only if they are
    the majority.

    Parameters
    ----------
    channels : int, optional
        Channels that the model expects.
    dtype : dtype
        Type in which features will be stored: larger values are problems.
    on_error : "fail" or "skip"
        Raise with all problems, or skip the bad data.
    uses_instances : bool
        Whether instances are used. Then times in another unit than seconds are refused, and every
        bad instance is a problem; otherwise faults of annotations are notes, one per kind.
    trained_on : FeatureSpec, optional
        Spec of the model's training features; a clearly different stride is noted.

    Returns
    -------
    Dataset
        The usable part; `problems` lists skipped data, `notes` what was assumed.

    Raises
    ------
    DatasetError, FeatureError, AnnotationError
        There are problems and `on_error` is "fail", or no video is left; the layout is unclear or
        dataset.toml contradicts most files; instances are used and their times are not in seconds.
    """
    check = _check_files if dataset.packing is None else _check_store
    checked = check(dataset, channels, np.dtype(dtype), progress)
    path, videos, spec = dataset.path, dataset.videos, checked.spec
    spans, steps = checked.times.T
    conflict, gaps, faults = None, list[Problem](), list[Problem]()
    if times_apart(videos, spans, steps).any():
        conflict, gaps = compare_times(videos, spans, steps, spec, path)
    if uses_instances:
        require_right_times(videos, spans, spec, path, conflict)
    good = good_segments(videos, spans)
    if dataset.problems or not good.all():
        faults = annotation_problems(
            dataset, spans, uses_instances=uses_instances, conflict=conflict
        )
    if checked.problems or dataset.entries.keys() - dataset.known.indices.keys():
        faults += feature_problems(dataset, checked.problems)
    problems = [*faults, *gaps]
    skipped = {p.video for p in problems if p.skipped is Skipped.VIDEO}
    usable = np.flatnonzero(checked.is_usable).tolist()
    indices = [p for p in usable if videos.ids[p] not in skipped]
    if len(indices) < len(videos):
        videos, spans = videos.select(indices), spans[indices]
        good = good_segments(videos, spans)
    if on_error == "fail" and problems:
        # Bad instances stop the work only if they are the majority.
        bad, n_good = sum(p.skipped is Skipped.SEGMENT for p in problems), int(good.sum())
        stopping = [p for p in problems if bad > n_good or p.skipped is not Skipped.SEGMENT]
        raise_errors(stopping, leaves_something=bool(videos) and (n_good > 0 or not uses_instances))
    if not videos:
        nothing = Problem("", str(path), "no videos", "check the folder and the subset")
        raise_nothing_left(problems or [nothing], len(dataset))
    notes = checked.notes
    if uses_instances:
        late = late_ends(videos)
        used = f"{late}: used up to its end" if late else ""
        notes += filter(None, [used, after_features(videos, spans)])
    if trained_on is not None and conflict is None:
        notes += filter(None, [other_stride(trained_on, spec, videos)])
    return replace(
        dataset,
        videos=videos if good.all() else videos.with_instances(good),
        spec=spec,
        notes=(*dataset.notes, *notes),
        problems=tuple(problems),
    )


class _CheckedFeatures(NamedTuple):
    """Results of checking the features of V videos."""

    spec: FeatureSpec
    notes: list[str]
    problems: list[Problem]
    is_usable: NDArray[np.bool_]  # (V,)
    # (V, 2) seconds that features cover, and the larger of stride and length; NaN if unknown
    times: Float64


def _check_files(
    dataset: Dataset, channels: int | None, dtype: np.dtype[Any], progress: Progress
) -> _CheckedFeatures:
    videos, checks, problems = dataset.videos, list[FileCheck](), list[Problem]()
    times, is_usable = np.full((len(videos), 2), np.nan), np.zeros(len(videos), bool)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        check_file = partial(_check_file, dataset, dtype)
        results = map_ordered(pool, check_file, range(len(videos)), ahead=64)
        for done, check in enumerate(results, start=1):
            progress("check", done, len(videos))
            if isinstance(check, Problem):
                problems.append(check)
            else:
                checks.append(check)
    if not checks:
        return _CheckedFeatures(dataset.spec, [], problems, is_usable, times)
    spec, notes, checks, others = complete_spec(dataset, checks, channels)
    problems += others
    for check in checks:
        video, snippets = videos[check.video_index], check.shape[1 if spec.layout == "CT" else 0]
        try:
            grid = snippet_grid(video, spec, snippets)
        except FeatureError as error:
            what, _, remedy = str(error).removeprefix(f"{video.id}: ").partition("; ")
            problems.append(Problem(video.id, str(dataset.path), what, remedy))
            continue
        is_usable[check.video_index] = True
        times[check.video_index] = grid.stride * snippets, max(grid.stride, grid.length)
    if constant := sum(check.is_constant for check in checks):
        notes.append(f"all values are the same in {constant} of {counted(len(checks), 'file')}")
    dropped = Counter(check.dropped for check in checks if check.dropped)
    notes += [f"dropped from {counted(n, 'CSV file')}: {what}" for what, n in dropped.items()]
    return _CheckedFeatures(spec, notes, problems, is_usable, times)


def _check_file(dataset: Dataset, dtype: np.dtype[Any], index: int) -> FileCheck | Problem:
    """Read the features of a video; return their properties, or what is wrong."""
    name = dataset.videos.ids[index]
    entry = dataset.entries.get(name)
    if entry is None:
        return no_features(dataset, name)
    assert isinstance(entry, Entry)
    try:
        table = read_table(entry, mapped=True)
        what, is_constant = _check_values(table.values, dtype)
    except FeatureError as error:
        what = str(error).removeprefix(f"{entry}: ").removeprefix(f"{entry.path}: ")
    if what:
        return damaged_features(name, str(entry), what)
    return FileCheck(index, table.values.shape, *table[1:], is_constant)


def _check_values(array: NDArray[Any], dtype: np.dtype[Any]) -> tuple[str, bool]:
    """Return what is wrong with an array's values, or "", and whether all are the same."""
    infinite = large = 0
    first, is_constant = array[0, 0], array.size > 1
    for row in range(0, len(array), _ROWS):
        block = array[row : row + _ROWS]
        with np.errstate(over="ignore"):
            kept = block.astype(dtype, copy=False)
        if bad := int(np.count_nonzero(~np.isfinite(kept))):
            infinite += int(np.count_nonzero(~np.isfinite(block)))
            large += bad
        is_constant = is_constant and bool((block[0] == first).all() and (block == first).all())
    if infinite:
        return f"{counted(infinite, 'value')} NaN or infinite", False
    if large:
        limit = np.finfo(dtype).max
        return f"{counted(large, 'value')} beyond {limit:g}, too large for {dtype}", False
    return "", is_constant


def complete_spec(
    dataset: Dataset, checks: list[FileCheck], expected: int | None
) -> tuple[FeatureSpec, list[str], list[FileCheck], list[Problem]]:
    """Return the spec with layout, channels and grid, notes, files that fit, and other problems.

    `checks` has at least one file; `expected` are the model's channels. Raises FeatureError if the
    layout is unclear, dataset.toml contradicts most files, or the model has other channels.
    """
    declared, videos = dataset.spec, dataset.videos
    if declared.layout != "CT" and any(check.first_column for check in checks):
        checks = without_first_columns(checks, declared.channels or expected)
    channels = declared.channels or expected
    layout = declared.layout or vote_layout(dataset, checks, channels)
    axis = 1 if layout == "TC" else 0
    sizes = Counter(check.shape[axis] for check in checks)
    common = max(sorted(sizes), key=sizes.__getitem__)
    if (
        declared.channels is None
        and 2 * sizes[common] > len(checks)
        and expected not in (None, common)
    ):
        raise channels_error(dataset, common, expected, checks)
    channels = channels or common
    if 2 * sizes[channels] < len(checks) and (len(checks) > 1 or len(videos) == 1):
        shapes = [check.shape for check in checks]
        if what := spec_error(shapes, layout, channels, expected, declared):
            raise FeatureError(f"{dataset.path / SPEC_FILE}: {what}")
    if expected not in (None, channels):
        raise channels_error(dataset, channels, expected, checks)
    spec = msgspec.structs.replace(declared, channels=channels, layout=layout)
    good = [check for check in checks if check.shape[axis] == channels]
    problems = channels_problems(dataset, checks, axis, channels) if len(good) < len(checks) else []
    videos, notes = videos.select(check.video_index for check in good), list[str]()
    has_stride = spec.stride_frames is not None or spec.stride_seconds is not None
    if good and ("feature_frames" in videos.given or not has_stride):
        spec, notes = infer_grid(videos, [check.shape[1 - axis] for check in good], spec)
    return spec, notes, good, problems


def _check_store(
    dataset: Dataset, channels: int | None, dtype: np.dtype[Any], progress: Progress
) -> _CheckedFeatures:
    """Check a store; values are read only if they must fit a smaller type."""
    assert dataset.packing is not None
    fits, problems = np.can_cast(dataset.packing.dtype, dtype), list[Problem]()
    times, is_usable = np.full((len(dataset), 2), np.nan), np.zeros(len(dataset), bool)
    for index, name in enumerate(dataset.videos.ids):
        entry = dataset.entries.get(name)
        if entry is None:
            problems.append(no_features(dataset, name))
        else:
            assert isinstance(entry, PackedFeatures)
            what = "" if fits else _check_values(entry.values, dtype)[0]
            if what:
                problems.append(damaged_features(name, str(entry), what))
            else:
                is_usable[index], times[index] = True, entry.times
        progress("check", index + 1, len(dataset))
    if is_usable.any() and channels not in (None, dataset.spec.channels):
        raise channels_error(dataset, dataset.spec.channels, channels)
    return _CheckedFeatures(dataset.spec, [], problems, is_usable, times)


def measure_spans(dataset: Dataset) -> tuple[Float64, Float64]:
    """Return spans and steps of all videos, (V,), from the shapes of their features alone.

    They are the seconds that features cover, and the larger of stride and length; NaN if unknown.
    Raises FeatureError if a file cannot be opened, or the layout is unknown.
    """
    times, checks = np.full((len(dataset), 2), np.nan), list[FileCheck]()
    for index, name in enumerate(dataset.videos.ids):
        entry = dataset.entries.get(name)
        if isinstance(entry, PackedFeatures):
            times[index] = entry.times
        elif entry is not None:
            table = read_table(entry, mapped=True)
            checks.append(FileCheck(index, table.values.shape, *table[1:]))
    if checks:
        spec, _, checks, _ = complete_spec(dataset, checks, None)
        for index, shape, *_ in checks:
            snippets = shape[1 if spec.layout == "CT" else 0]
            grid = snippet_grid(dataset.videos[index], spec, snippets)
            times[index] = grid.stride * snippets, max(grid.stride, grid.length)
    return times[:, 0], times[:, 1]
