"""Checks of ground truth and results against each other: times, duplicates, ids."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import ActSpanError, ResultError
from actspan.core.types import Float64
from actspan.core.wording import counted, listed
from actspan.data.annotations.formats import find_annotations
from actspan.data.result_files import ResultTable
from actspan.data.time_conflicts import TimeConflict, compare_times, require_right_times
from actspan.data.times import far_beyond, require_seconds
from actspan.data.videos import Videos, allowed_ends, ends_of, lengths_of

_OPENED = 300  # videos whose features are opened, spread over the dataset
_FEW = 0.1  # fraction of the instances
_COMPARED = 200  # ids that are compared to find out how they differ


def check_times(videos: Videos, path: Path) -> tuple[Videos, tuple[str, ...]]:
    """Raise a `DataError` if times are not seconds; drop durations that contradict instances.

    Features beside the annotations `path` are opened only if durations are missing or instances
    pass them. Dropped durations affect only notes, and are themselves noted.
    """
    latest: Float64 = ends_of(videos, videos.durations)
    late = float(np.mean(videos.segments[:, 1] > allowed_ends(latest)))
    if late > _FEW or np.isnan(videos.durations).any():
        videos, conflict = _compare_with_features(videos, path)
        if conflict is not None and conflict.wrong == "durations":
            return _with_durations(videos, nan), (f"{conflict.what}: {conflict.remedy}",)
    require_seconds(videos, path, otherwise="correct the durations")
    if late <= 0.5:
        return videos, ()
    what = "most instances end after their video: its duration is not used; correct the durations"
    return _with_durations(videos, nan), (what,)


def _with_durations(videos: Videos, durations: float | Float64) -> Videos:
    lengths = np.broadcast_to(durations, len(videos)).tolist()
    pairs = zip(videos, lengths, strict=True)
    return Videos(replace(video, duration=length) for video, length in pairs)


def _compare_with_features(videos: Videos, path: Path) -> tuple[Videos, TimeConflict | None]:
    """Return the videos with a conflict on durations; raise as `require_right_times`.

    The conflict is None without features. Videos of unknown duration end with their features.
    """
    if find_annotations(path.parent) != path:
        return videos, None
    from actspan.data.check import measure_spans
    from actspan.data.dataset import Dataset  # takes longer to load than most evaluations

    places = np.flatnonzero(videos.counts)
    spread = np.linspace(0, len(places) - 1, min(_OPENED, len(places)))
    chosen = places[spread.astype(np.intp)]
    some = videos.select(chosen.tolist())
    try:
        dataset = Dataset.load(path.parent).select(some)
        spans, steps = measure_spans(dataset)
    except ActSpanError:
        return videos, None  # evaluation does not need features, so their faults do not matter
    conflict, _ = compare_times(some, spans, steps, dataset.spec, path.parent)
    if conflict is None or conflict.wrong != "durations":
        require_right_times(some, spans, dataset.spec, path.parent, conflict)
    if not np.isnan(some.durations).any():
        return videos, conflict
    durations = videos.durations.copy()
    durations[chosen] = lengths_of(some, spans)
    return _with_durations(videos, durations), conflict


def useless_results(
    thing: str, start: Float64, end: Float64, first: NDArray[np.int64], beyond: int
) -> Iterator[str]:
    """Yield notes about results (P,), seconds, that repeat the previous one or match nothing.

    They are sorted by falling score within each video or class, which begins at an index in
    `first`; `beyond` of them start after the end of their video.
    """
    again = np.flatnonzero(start[1:] == start[:-1]) + 1
    again = np.setdiff1d(again[end[again] == end[again - 1]], first)
    if len(again):
        of = f"{len(again):,} of {counted(len(start), thing)}"
        yield f"{of} occur twice: same segment, one after the other by score"
    of = f"of {counted(len(start), 'result')}"
    if turned := int(np.count_nonzero(end < start)):
        yield f"{turned:,} {of} end before they start: they match nothing"
    if beyond:
        unit = "; are their times frames?" if 2 * beyond > len(start) else ""
        yield f"{beyond:,} {of} start after the end of their video: they match nothing{unit}"


def other_unit(segments: Mapping[str, Float64], table: ResultTable) -> Iterator[str]:
    """Yield a note if times of ground truth and proposals seem to have different units.

    `segments` has the instances (M, 2) of each video.
    """
    filled = np.flatnonzero(table.counts)
    latest = np.maximum.reduceat(table.end, table.first[filled])
    last = {table.ids[index]: end for index, end in zip(filled, latest, strict=True)}
    lasts = [last.get(video, np.nan) for video in segments]
    ends = np.concatenate(list(segments.values()))[:, 1]
    if far_beyond(ends, np.repeat(lasts, list(map(len, segments.values())))) is not None:
        yield (
            "most instances end after all proposals of their video, and far: times of the ground "
            "truth or of the result may not be seconds (actspan annotate convert --times)"
        )


def no_match_error(
    what: str,
    videos: Videos,
    subset: str | None,
    evaluated: Collection[str],
    names: Collection[str],
) -> ResultError:
    """Return the error about results of the videos `names`, none of which is evaluated.

    `what` is "proposals" or "detections", `videos` the whole ground truth. The reason is another
    subset, or ids that differ.
    """
    head = f"no {what} for any of the {counted(len(evaluated), 'evaluated video')}"
    subsets = dict(zip(videos.ids, videos.subsets, strict=True))
    known = Counter(subsets[video] for video in names if video in subsets)
    if not known:
        return ResultError(f"{head}: {_id_difference(sorted(names), sorted(evaluated))}")
    counted_subset, count = known.most_common(1)[0]
    if subset is None or counted_subset == subset:
        return ResultError(f"{head}: they are for {counted(count, 'video')} without instances")
    return ResultError(
        f"{head} of subset {subset!r}; they are for {counted(count, 'video')} of subset "
        f"{counted_subset!r}: pass --subset {counted_subset or repr(counted_subset)}"
    )


def _id_difference(names: list[str], known: list[str]) -> str:
    """Return the way in which ids of results and of the ground truth differ."""
    if not names:
        return "the results have no videos"
    if difference := (
        _added_ends("results have", names, "ground truth", known)
        or _added_ends("ground truth has", known, "results", names)
        or _capitals(names, known)
        or _other_prefixes(names, known)
    ):
        return f"{difference}; rename them in one of the two"
    return f"ids of the results are {listed(names)}; of the ground truth {listed(known)}"


def _added_ends(owner: str, whole: list[str], other: str, bare: list[str]) -> str:
    """Return a text about the most common prefix and suffix of `whole` around a bare id, or ""."""
    examples: dict[tuple[str, str], tuple[str, str]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    whole = whole[:_COMPARED]
    for name in whole:
        for core in filter(None, bare):
            before, core_found, after = name.partition(core)
            if core_found:
                counts[before, after] += 1
                examples.setdefault((before, after), (name, core))
    (before, after), count = next(iter(counts.most_common(1)), (("", ""), 0))
    if 2 * count <= min(len(whole), len(bare)):
        return ""
    name, core = examples[before, after]
    places = {"in front": before, "at the end": after}
    ends = " and ".join(f"{end!r} {index}" for index, end in places.items() if end)
    return f"the {owner} {ends} of ids: {name}, and the {other} {core}"


def _capitals(names: list[str], known: list[str]) -> str:
    small = {name.lower(): name for name in known}
    pairs = [(name, small[name.lower()]) for name in names if name.lower() in small]
    if 2 * len(pairs) <= min(len(names), len(known)):
        return ""
    return f"only capitals differ: {pairs[0][0]} in the results, {pairs[0][1]} in the ground truth"


def _other_prefixes(names: list[str], known: list[str]) -> str:
    """Return a text about different prefixes, if names are equal without them, or ""."""
    prefix, known_prefix = _prefix(names), _prefix(known)
    cores = {name.removeprefix(known_prefix) for name in known}
    fitting = sum(name.removeprefix(prefix) in cores for name in names)
    if not (prefix and known_prefix) or 2 * fitting <= min(len(names), len(known)):
        return ""
    return f"ids start with {prefix!r} in the results, with {known_prefix!r} in the ground truth"


def _prefix(ids: list[str]) -> str:
    """Return the common prefix of all ids, up to a separator."""
    return re.sub(r"[^\W_]*$", "", os.path.commonprefix(ids))  # noqa: RUF071 characters
