"""Check of a whole dataset before work starts: every file is read once, on all cores."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from actspan.config.stages import FeatureSpec
from actspan.core.errors import FeatureError
from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Float64
from actspan.core.wording import counted
from actspan.data.csv_features import counter
from actspan.data.dataset import Dataset
from actspan.data.faults import annotation_faults, left_out_note, missing_features
from actspan.data.feature_readers import read_array, read_noted
from actspan.data.instances import after_features, late_ends
from actspan.data.layout import FileCheck, complete_spec, require_channels
from actspan.data.store.shards import Packed
from actspan.data.time_conflicts import compare_times, require_right_times, times_apart
from actspan.data.timebase import SnippetGrid, other_stride, snippet_grid
from actspan.data.videos import good_segments

_ROWS = 4096  # rows checked at a time, so that memory does not grow with the recording
_REMEDIES = {
    "too large for float16": "keep numbers of float32 (--dtype)",
    "decimal commas": "write decimal points, or semicolons between fields",
    ",), but a filled": "reshape it to (T, 1), if it has one number per snippet",
}


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
    found = check(dataset, channels, np.dtype(dtype), progress)
    path, videos, spans = dataset.path, dataset.videos, found.spans
    conflict, gaps, faults = None, list[Problem](), list[Problem]()
    if times_apart(videos, spans, found.steps).any():
        conflict, gaps = compare_times(videos, spans, found.steps, found.spec, path)
    if uses_instances:
        require_right_times(videos, spans, found.spec, path, conflict)
    good = good_segments(videos, spans)
    if dataset.problems or not good.all():
        faults = annotation_faults(dataset, spans, uses_instances=uses_instances, conflict=conflict)
    if found.problems or dataset.entries.keys() - dataset.known.places.keys():
        faults += _feature_problems(dataset, found.problems)
    problems = [*faults, *gaps]
    skipped = {p.video for p in problems if p.skipped is Skipped.VIDEO}
    usable = np.flatnonzero(found.is_usable).tolist()
    places = [p for p in usable if videos.ids[p] not in skipped]
    if len(places) < len(videos):
        videos, spans = videos.select(places), spans[places]
        good = good_segments(videos, spans)
    if on_error == "fail" and problems:
        # Bad instances stop the work only if they are the majority.
        bad, n_good = sum(p.skipped is Skipped.SEGMENT for p in problems), int(good.sum())
        stopping = [p for p in problems if bad > n_good or p.skipped is not Skipped.SEGMENT]
        raise_errors(stopping, leaves_something=bool(videos) and (n_good > 0 or not uses_instances))
    if not videos:
        nothing = Problem("", str(path), "no videos", "check the folder and the subset")
        raise_nothing_left(problems or [nothing], len(dataset))
    notes = found.notes
    if uses_instances:
        late = late_ends(videos)
        used = f"{late}: used up to its end" if late else ""
        notes += filter(None, [used, after_features(videos, spans)])
    if trained_on is not None and conflict is None:
        notes += filter(None, [other_stride(trained_on, found.spec, videos)])
    return replace(
        dataset,
        videos=videos if good.all() else videos.with_instances(good),
        spec=found.spec,
        notes=(*dataset.notes, *notes),
        problems=tuple(problems),
    )


def _feature_problems(dataset: Dataset, found: list[Problem]) -> list[Problem]:
    """Return the problems with features; they get one cause if most videos lack features."""
    # Videos that were already skipped have a bad entry, or a file that is not read.
    reported = {p.video for p in dataset.problems if p.skipped is Skipped.VIDEO}
    problems = [problem for problem in found if problem.video not in reported]
    unannotated = sorted(dataset.entries.keys() - set(dataset.known.ids) - reported)
    absent = {p.video for p in problems} - dataset.entries.keys()
    if absent:
        cause, cure = missing_features(dataset.videos, dataset.entries, unannotated, dataset.path)
        if cause:
            unannotated = []
            problems = [
                replace(p, problem=cause, remedy=cure) if p.video in absent else p for p in problems
            ]
    what, remedy = "features without annotation", "add annotations, or remove the features"
    return [
        *(Problem(s, str(dataset.entries[s]), what, remedy, Skipped.FILE) for s in unannotated),
        *problems,
    ]


class _Found(NamedTuple):
    """Results of checking all features of V videos."""

    spec: FeatureSpec
    notes: list[str]
    problems: list[Problem]
    is_usable: NDArray[np.bool_]  # (V,)
    spans: Float64  # (V,) seconds that features cover; NaN if unknown
    steps: Float64  # (V,) the larger of stride and length, seconds; NaN if unknown

    @classmethod
    def of(cls, dataset: Dataset) -> _Found:
        """Return results without any usable video."""
        spans, steps = np.full((2, len(dataset)), np.nan)
        return cls(dataset.spec, [], [], np.zeros(len(dataset), dtype=bool), spans, steps)

    def add(self, place: int, grid: SnippetGrid, snippets: int) -> None:
        """Add a usable video by its place in the dataset."""
        self.is_usable[place] = True
        self.spans[place] = grid.stride * snippets
        self.steps[place] = max(grid.stride, grid.length)


def _check_files(
    dataset: Dataset, channels: int | None, dtype: np.dtype[Any], progress: Progress
) -> _Found:
    found, checks = _Found.of(dataset), []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        check_file = partial(_check_file, dataset, dtype)
        results = map_ordered(pool, check_file, range(len(dataset)), ahead=64)
        for done, check in enumerate(results, start=1):
            progress("check", done, len(dataset))
            if check.problem is None:
                checks.append(check)
            else:
                found.problems.append(check.problem)
    if not checks:
        return found
    spec, notes, checks, problems = complete_spec(dataset, checks, channels)
    found.problems.extend(problems)
    for check in checks:
        video, snippets = dataset.videos[check.place], check.snippets(spec)
        try:
            found.add(check.place, snippet_grid(video, spec, snippets), snippets)
        except FeatureError as error:
            what, _, remedy = str(error).removeprefix(f"{video.id}: ").partition("; ")
            found.problems.append(Problem(video.id, str(dataset.path), what, remedy))
    dropped = Counter(check.dropped for check in checks if check.dropped)
    if constant := sum(check.is_constant for check in checks):
        notes.append(f"all values are the same in {constant} of {counted(len(checks), 'file')}")
    notes += [f"dropped from {counted(n, 'CSV file')}: {what}" for what, n in dropped.items()]
    return found._replace(spec=spec, notes=notes)


def _check_file(dataset: Dataset, dtype: np.dtype[Any], place: int) -> FileCheck:
    name = dataset.videos.ids[place]
    entry = dataset.entries.get(name)
    if entry is None:
        return FileCheck(place, problem=_no_features(dataset, name))
    assert not isinstance(entry, Packed)
    is_csv, is_constant = entry.is_csv, False
    try:
        values, dropped = read_noted(entry, mapped=True)
        what, is_constant = _check_values(values, dtype)
    except FeatureError as error:
        what = str(error).removeprefix(f"{entry}: ").removeprefix(f"{entry.path}: ")
    if what:
        return FileCheck(place, problem=_damaged(name, str(entry), what))
    column = counter(values) if is_csv else ""
    return FileCheck(place, values.shape, is_csv, None, dropped, column, is_constant)


def _check_values(array: NDArray[Any], dtype: np.dtype[Any]) -> tuple[str, bool]:
    """Return what is wrong with an array's values, or "", and whether all are the same."""
    infinite = large = 0
    first, is_constant = array[0, 0], array.size > 1
    for begin in range(0, len(array), _ROWS):
        block = array[begin : begin + _ROWS]
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


def _damaged(name: str, entry: str, what: str) -> Problem:
    what, _, own = what.partition("; ")
    remedies = (remedy for words, remedy in _REMEDIES.items() if words in what)
    return Problem(name, entry, what, own or next(remedies, "extract the features again"))


def _no_features(dataset: Dataset, name: str) -> Problem:
    if dataset.packing is not None and name in dataset.packing.left_out:
        return left_out_note(name, str(dataset.path), dataset.packing.left_out[name])
    remedy = "extract the features, or remove the annotations"
    return Problem(name, str(dataset.path), "no features", remedy)


def _check_store(
    dataset: Dataset, channels: int | None, dtype: np.dtype[Any], progress: Progress
) -> _Found:
    """Check a store; values are read only if they must fit a smaller type."""
    assert dataset.packing is not None
    fits, found = np.can_cast(dataset.packing.dtype, dtype), _Found.of(dataset)
    for place, name in enumerate(dataset.videos.ids):
        entry = dataset.entries.get(name)
        if entry is None:
            found.problems.append(_no_features(dataset, name))
        else:
            assert isinstance(entry, Packed)
            what = "" if fits else _check_values(entry.values, dtype)[0]
            if what:
                found.problems.append(_damaged(name, str(entry), what))
            elif (shape := entry.shape) is None:  # in a remote store: not downloaded to be counted
                found.is_usable[place] = True
            else:
                found.add(place, entry.grid, shape[0])
        progress("check", place + 1, len(dataset))
    if found.is_usable.any():
        require_channels(dataset, dataset.spec.channels, channels)
    return found


def measure_spans(dataset: Dataset) -> tuple[Float64, Float64]:
    """Return spans and steps of all videos, (V,), from the shapes of their features alone.

    They are the seconds that features cover, and the larger of stride and length; NaN if unknown.
    Raises FeatureError if a file cannot be opened, or the layout is unknown.
    """
    found, checks = _Found.of(dataset), []
    for place, name in enumerate(dataset.videos.ids):
        entry = dataset.entries.get(name)
        if isinstance(entry, Packed):
            if (shape := entry.shape) is not None:
                found.add(place, entry.grid, shape[0])
        elif entry is not None:
            array = read_array(entry, mapped=True)
            column = counter(array) if entry.is_csv else ""
            checks.append(FileCheck(place, array.shape, entry.is_csv, counter=column))
    if checks:
        spec, _, checks, _ = complete_spec(dataset, checks, None)
        for check in checks:
            snippets = check.snippets(spec)
            grid = snippet_grid(dataset.videos[check.place], spec, snippets)
            found.add(check.place, grid, snippets)
    return found.spans, found.steps
