"""Find everything that is wrong with a dataset before work starts (one pass, on all cores)."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import DTypeLike

from actspan.config import FeatureSpec
from actspan.data.causes import gaps, missing_features, wrong_spec
from actspan.data.dataset import SPEC_FILE, Dataset
from actspan.data.faults import annotation_faults
from actspan.data.instances import good_segments, late_ends
from actspan.data.problems import Loss, Problem, stop_on_errors, stop_with_none_left
from actspan.data.readers import Entry, read_noted
from actspan.data.store import Packed
from actspan.data.timebase import SnippetGrid, infer_grid, snippet_grid, stride_notes
from actspan.data.times import require_features, require_seconds
from actspan.data.videos import Videos
from actspan.errors import FeatureError
from actspan.parallel import map_ordered
from actspan.types import Float64
from actspan.wording import counted

Progress = Callable[[int, int], None]  # (videos done, videos in all)

_ROWS = 4096  # looked at at a time, so that a day's recording takes no more memory than an hour's


class _Seen(NamedTuple):
    """Findings of one look at a feature file."""

    place: int  # of its video
    shape: tuple[int, ...] = ()
    header: bool = False  # a CSV: rows are snippets whatever the counts
    problem: Problem | None = None
    dropped: str = ""  # from a CSV


class _Examined(NamedTuple):
    """Findings of a look at all features."""

    spec: FeatureSpec
    notes: list[str]
    problems: list[Problem]
    usable: _Usable


class _Usable:
    """Videos that can be used, as far as features go.

    Attributes
    ----------
    places : sequence of int
        Of the videos in the dataset.
    spans, steps : (V,) float64
        Seconds that features cover, and the larger of stride and length; NaN where not known.
    """

    def __init__(self) -> None:
        self.places, self._spans, self._steps = array("q"), array("d"), array("d")

    def add(self, place: int, grid: SnippetGrid | None, snippets: int) -> None:
        self.places.append(place)
        self._spans.append(np.nan if grid is None else grid.stride * snippets)
        self._steps.append(np.nan if grid is None else max(grid.stride, grid.length))

    @property
    def spans(self) -> Float64:
        return np.frombuffer(self._spans)

    @property
    def steps(self) -> Float64:
        return np.frombuffer(self._steps)


def check_dataset(
    dataset: Dataset,
    *,
    channels: int | None = None,
    dtype: DTypeLike = np.float32,
    on_error: Literal["fail", "skip"] = "fail",
    learns: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Check annotations and every feature file; settle layout, channels and snippet grid.

    Reads all features once: missing, extra, repeated, empty, truncated and non-finite files,
    wrong channels or layout, segments without length or outside their video. Features of a store
    were read when they were packed, and are not read again. A fault that most files share is one
    finding. Bad instances are left out, and stop nothing unless they are the larger part.

    Parameters
    ----------
    channels : int, optional
        What the model expects.
    dtype : dtype
        What features will be kept as: larger values are problems.
    on_error : "fail" or "skip"
        Raise with all findings, or continue without what is bad.
    learns : bool
        Whether instances are used. Then times in another unit than seconds are refused, and every
        bad instance is a finding; else faults of annotations are mere notes, one per kind.
    progress : callable, optional
        Called with (videos looked at, videos in all).

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
        Nothing tells (T, C) from (C, T), or dataset.toml contradicts most files.
    AnnotationError
        Instances are used, and their times are in another unit than seconds.
    """
    examine = _examine_files if dataset.packing is None else _examine_store
    found = examine(dataset, channels, np.dtype(dtype), progress)
    if learns:
        spans = _spans_of(dataset, found.usable)
        latest = np.where(np.isnan(dataset.videos.durations), spans, dataset.videos.durations)
        require_seconds(dataset.videos, dataset.path, latest)
        require_features(dataset.videos, dataset.path, spans)
    problems = [*annotation_faults(dataset, learns=learns), *_feature_faults(dataset, found)]
    lost = {p.video for p in problems if p.loss is Loss.VIDEO}
    ids, places = dataset.videos.ids, found.usable.places
    videos = dataset.videos.select(place for place in places if ids[place] not in lost)
    if on_error == "fail":
        good = int(good_segments(videos).sum())
        leaves_something = bool(videos) and (good > 0 or not learns)
        stop_on_errors(_stopping(problems, good), leaves_something=leaves_something)
    if not videos:
        stop_with_none_left(problems or [_nothing(dataset)], len(dataset))
    late = late_ends(videos) if learns else ""
    notes = [*found.notes, f"{late}: used up to its end"] if late else found.notes
    return replace(
        dataset,
        videos=_without_bad_segments(videos),
        spec=found.spec,
        assumptions=(*dataset.assumptions, *notes),
        problems=tuple(problems),
    )


def _stopping(problems: list[Problem], good: int) -> list[Problem]:
    """Findings that stop the work: bad instances only where they are more than the good ones."""
    bad = sum(problem.loss is Loss.SEGMENT for problem in problems)
    return [p for p in problems if bad > good or p.loss is not Loss.SEGMENT]


def _nothing(dataset: Dataset) -> Problem:
    return Problem("", str(dataset.path), "no videos", "check the folder and the subset")


def _without_bad_segments(videos: Videos) -> Videos:
    good = good_segments(videos)
    return videos if good.all() else videos.with_instances(good)


def _spans_of(dataset: Dataset, usable: _Usable) -> Float64:
    """Seconds that the features of each video cover, (V,); NaN where there are none."""
    spans = np.full(len(dataset), np.nan)
    spans[np.array(usable.places, dtype=np.intp)] = usable.spans
    return spans


def _feature_faults(dataset: Dataset, found: _Examined) -> list[Problem]:
    """What is wrong with features; one cause where most videos lack theirs, or have a gap."""
    orphans, reported = list(_orphans(dataset)), _reported(dataset)
    problems = [problem for problem in found.problems if problem.video not in reported]
    what, remedy = missing_features(
        dataset.videos, dataset.entries, [orphan.video for orphan in orphans], dataset.path
    )
    if what:
        absent = {p.video for p in problems} - dataset.entries.keys()
        problems = [
            replace(p, problem=what, remedy=remedy) if p.video in absent else p for p in problems
        ]
        orphans = [p for p in orphans if not absent]
    videos = dataset.videos.select(found.usable.places)
    spans, steps = found.usable.spans, found.usable.steps
    return [*orphans, *problems, *gaps(videos, spans, steps, found.spec, dataset.path)]


def _reported(dataset: Dataset) -> set[str]:
    """Videos that were lost before: a bad entry, or a file that is not read."""
    return {p.video for p in dataset.problems if p.loss is Loss.VIDEO}


def _orphans(dataset: Dataset) -> Iterator[Problem]:
    """Features of videos that no annotation names (in any subset)."""
    for name in sorted(dataset.entries.keys() - set(dataset.known.ids) - _reported(dataset)):
        remedy = "add annotations, or remove the features"
        file = str(dataset.entries[name])
        yield Problem(name, file, "features without annotation", remedy, Loss.FILE)


def _examine_files(
    dataset: Dataset, channels: int | None, dtype: np.dtype[Any], progress: Progress | None
) -> _Examined:
    seen = list(_look_at_all(dataset, dtype, progress))
    problems = [look.problem for look in seen if look.problem]
    good = [look for look in seen if look.problem is None]
    usable = _Usable()
    if not good:
        return _Examined(dataset.spec, [], problems, usable)
    spec, wrong = _settle(dataset, good, channels)
    problems += wrong
    bad = {problem.video for problem in wrong}
    good = [look for look in good if dataset.videos.ids[look.place] not in bad]
    spec, notes = _settle_grid(dataset, spec, good)
    for look in good:
        snippets, video = _snippets(look, spec), dataset.videos[look.place]
        try:
            usable.add(look.place, snippet_grid(video, spec, snippets), snippets)
        except FeatureError as error:
            what, remedy = str(error).removeprefix(f"{video.id}: "), "give stride_seconds, or fps"
            problems.append(Problem(video.id, str(dataset.path), what, remedy))
    dropped = Counter(look.dropped for look in seen if look.dropped)
    notes += [f"dropped from {counted(n, 'CSV file')}: {what}" for what, n in dropped.items()]
    return _Examined(spec, notes, problems, usable)


def _examine_store(
    dataset: Dataset, channels: int | None, dtype: np.dtype[Any], progress: Progress | None
) -> _Examined:
    """Nothing is read but what was checked for a larger type, and nothing is held of a video."""
    assert dataset.packing is not None
    known = np.can_cast(dataset.packing.dtype, dtype)
    problems, usable = [], _Usable()
    for place, name in enumerate(dataset.videos.ids):
        entry = dataset.entries.get(name)
        if entry is None:
            problems.append(_no_features(dataset, name))
        else:
            assert isinstance(entry, Packed)
            what = "" if known else _bad_values(entry.values, dtype)
            if what:
                problems.append(_damaged(name, entry, what))
            elif (shape := entry.shape) is None:  # in a store elsewhere: not fetched to be counted
                usable.add(place, None, 0)
            else:
                usable.add(place, entry.grid, shape[0])
        if progress:
            progress(place + 1, len(dataset))
    if usable.places:
        _require_channels(dataset, dataset.spec.channels, channels)
    return _Examined(dataset.spec, [], problems, usable)


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
        values, dropped = read_noted(entry)
        what = _bad_values(values, dtype)
    except FeatureError as error:
        what = str(error).removeprefix(f"{entry}: ").removeprefix(f"{entry.path}: ")
    if what:
        return _Seen(place, problem=_damaged(name, entry, what))
    return _Seen(place, values.shape, header=entry.suffix == ".csv", dropped=dropped)


def _damaged(name: str, entry: Entry | Packed, what: str) -> Problem:
    is_halved = what.endswith("too large for float16")
    remedy = "keep numbers of float32 (--dtype)" if is_halved else "extract the features again"
    return Problem(name, str(entry), what, remedy)


def _no_features(dataset: Dataset, name: str) -> Problem:
    why = None if dataset.packing is None else dataset.packing.left_out.get(name)
    if why is not None:
        what = f"left out when the dataset was packed: {why}"
        return Problem(
            name, str(dataset.path), what, "pack it again without the fault", Loss.NOTHING
        )
    remedy = "extract the features, or remove the annotations"
    return Problem(name, str(dataset.path), "no features", remedy)


def _bad_values(array: np.ndarray, dtype: np.dtype[Any]) -> str:
    """Return what is wrong with an array's values, or nothing."""
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
    """Find layout and channels of the whole set, and the files that do not fit them."""
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
    common = max(set(counts), key=counts.count)
    if spec.channels is None and 2 * counts.count(common) > len(counts):
        _require_channels(dataset, common, expected)
    channels = channels or common
    is_telling = len(seen) > 1 or len(dataset) == 1
    shapes = [look.shape for look in seen if is_telling]
    if what := wrong_spec(shapes, layout, channels, expected, spec):
        raise FeatureError(f"{dataset.path / SPEC_FILE}: {what}")
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
    remedy = f"extract the features again, with the network that gives {channels} channels"
    what = f"{look.shape[axis]} channels, {channels} expected"
    if look.shape[1 - axis] == channels:
        what = f"axes swapped: shape {look.shape}, {channels} channels"
        remedy = "transpose the array"
    name = dataset.videos.ids[look.place]
    return Problem(name, str(dataset.entries[name]), what, remedy)


def _settle_grid(
    dataset: Dataset, spec: FeatureSpec, seen: list[_Seen]
) -> tuple[FeatureSpec, list[str]]:
    videos = dataset.videos.select(look.place for look in seen)
    snippets = [_snippets(look, spec) for look in seen]
    if spec.stride_frames is not None or spec.stride_seconds is not None or not seen:
        return spec, stride_notes(videos, snippets, spec)
    settled, note = infer_grid(videos, snippets, spec)
    return settled, [note]


def _snippets(look: _Seen, spec: FeatureSpec) -> int:
    return look.shape[1] if spec.layout == "CT" else look.shape[0]
