"""Faults that many videos share: of annotations that are not used, and missing features."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from actspan.core.errors import by_kind
from actspan.core.problems import Problem, Skipped
from actspan.core.types import Float64
from actspan.core.wording import counted, listed, quoted
from actspan.data.annotations.activitynet import AUTHORS_TABLE
from actspan.data.annotations.formats import find_annotations
from actspan.data.dataset import Dataset
from actspan.data.instances import segment_problems
from actspan.data.names import holds_videos
from actspan.data.time_conflicts import TimeConflict
from actspan.data.times import wrong_unit
from actspan.data.videos import Videos, lengths_of

_UNUSED = "annotations are not used here"
_REMEDIES = {
    "too large for float16": "keep numbers of float32 (--dtype)",
    "decimal commas": "write decimal points, or semicolons between fields",
    ",), but a filled": "reshape it to (T, 1), if it has one number per snippet",
}


def annotation_problems(
    dataset: Dataset,
    spans: Float64 | None = None,
    *,
    uses_instances: bool,
    conflict: TimeConflict | None = None,
) -> list[Problem]:
    """Return the problems found when the dataset was loaded, and its bad segments.

    If instances are not used, each kind of fault is one note; an entry that cannot be read stays a
    problem if its video has features, because the video would be missing. A `conflict` is one cause
    of many bad instances, which are not repeated. `spans` (V,) are the seconds that features cover:
    the end of videos of unknown duration.
    """
    bad = list(segment_problems(dataset.videos, dataset.path, spans))
    if not (bad or dataset.problems):
        return []
    if uses_instances:
        return [*(_unless_left_out(dataset, problem) for problem in dataset.problems), *bad]
    annotations = find_annotations(dataset.path)
    stopping: list[Problem] = []
    harmless: list[Problem] = []
    for problem in dataset.problems:
        is_harmless = annotations and _is_harmless(dataset, problem, annotations)
        (harmless if is_harmless else stopping).append(problem)
    if conflict is not None and conflict.wrong:
        return [*stopping, *_notes(harmless)]
    unit = wrong_unit(dataset.videos, lengths_of(dataset.videos, spans))
    if unit is None:
        return [*stopping, *_notes([*harmless, *bad])]
    remedy = f"{_UNUSED}; train and evaluate refuse them"
    note = Problem("", str(dataset.path), unit.what, remedy, Skipped.NOTHING)
    return [*stopping, *_notes(harmless), note]


def _unless_left_out(dataset: Dataset, problem: Problem) -> Problem:
    """Return a problem, as a note where the store was packed without its video."""
    left_out = {} if dataset.packing is None else dataset.packing.left_out
    if problem.skipped is not Skipped.VIDEO or problem.video not in left_out:
        return problem
    return left_out_note(problem.video, problem.file, left_out[problem.video])


def left_out_note(video: str, file: str, why: str) -> Problem:
    """Return the note about a video that a store does not have."""
    what, remedy = f"left out when the dataset was packed: {why}", "pack it again without the fault"
    return Problem(video, file, what, remedy, Skipped.NOTHING)


def _is_harmless(dataset: Dataset, problem: Problem, annotations: Path) -> bool:
    """Return whether a problem is about annotations, and no video with features is skipped."""
    files = (str(annotations), str(annotations.with_name(AUTHORS_TABLE)))
    if problem.file not in files and not problem.file.startswith(f"{annotations}:"):
        return False
    if dataset.packing is not None or problem.skipped is not Skipped.VIDEO:
        return True  # for a store, packing reported it
    return problem.video not in dataset.entries or problem.video in dataset.known.indices


def _notes(faults: Sequence[Problem]) -> Iterator[Problem]:
    """Yield one note per kind of fault."""
    for kind in by_kind(faults):
        first = kind[0]
        what = f"{counted(len(kind), 'annotation fault')}: video {first.video}: {first.problem}"
        yield Problem("", first.file, what, _UNUSED, Skipped.NOTHING)


def damaged_features(name: str, entry: str, what: str) -> Problem:
    """Return the problem that a video's features cannot be used: "what; remedy"."""
    what, _, own = what.partition("; ")
    remedies = (remedy for words, remedy in _REMEDIES.items() if words in what)
    return Problem(name, entry, what, own or next(remedies, "extract the features again"))


def no_features(dataset: Dataset, name: str) -> Problem:
    """Return the problem, or the note of a store that was packed without it, about a video."""
    if dataset.packing is not None and name in dataset.packing.left_out:
        return left_out_note(name, str(dataset.path), dataset.packing.left_out[name])
    remedy = "extract the features, or remove the annotations"
    return Problem(name, str(dataset.path), "no features", remedy)


def feature_problems(dataset: Dataset, damaged: list[Problem]) -> list[Problem]:
    """Return the problems with features; they get one cause if most videos lack features."""
    # Videos that were already skipped have a bad entry, or a file that is not read.
    reported = {p.video for p in dataset.problems if p.skipped is Skipped.VIDEO}
    problems = [problem for problem in damaged if problem.video not in reported]
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


def missing_features(
    videos: Videos,
    entries: Collection[str],
    unannotated: Sequence[str],
    path: Path,
    what: str = "features",
) -> tuple[str, str]:
    """Return why most videos lack features and what to do; empty if there is no single cause.

    `videos` need features, `entries` have them, and `unannotated` have them without annotation;
    `path` is the dataset folder, and `what` names what is missing: features, or boundary scores.
    """
    missing = [name for name in videos.ids if name not in entries]
    if 2 * len(missing) > len(videos) and 2 * len(unannotated) >= len(missing):
        pair = _alike_pair(missing, unannotated)
        video, other = pair or (missing[0], unannotated[0])
        cause = f"{what} and videos have different names: {other!r} and {video!r}"
        if pair is None:
            return cause, f"name {what} as the annotations do, or check that they belong together"
        return cause, f"name {what} as the annotations do: {video!r} instead of {other!r}"
    if not entries and holds_videos(path):
        out = quoted(f"{path.name}-features")
        return "no features, only videos", f"actspan extract {quoted(path)} --out {out}"
    if not missing or unannotated:
        return "", ""
    # The videos of some subsets may be exactly those that have features.
    has: dict[str, set[bool]] = {subset: set() for subset in videos.subsets}
    for name, subset in zip(videos.ids, videos.subsets, strict=True):
        has[subset].add(name in entries)
    complete = [subset for subset, states in has.items() if states == {True}]
    lacking = [repr(subset) for subset, states in has.items() if states == {False}]
    if not complete or len(complete) + len(lacking) < len(has):
        return "", ""
    cause = f"no {what} for any video of subset {listed(lacking)}"
    return cause, f"pass --subset {complete[0]}, or compute the other {what}"


def _alike_pair(names: Sequence[str], others: Sequence[str]) -> tuple[str, str] | None:
    """Return a pair of ids that differ in the way most do: in case, or in a prefix or suffix."""
    for left, right in zip(_names_by_key(names), _names_by_key(others), strict=True):
        common = [key for key in left if key in right]
        if 2 * len(common) > min(len(names), len(others)):
            return left[common[0]], right[common[0]]
    return None


def _names_by_key(names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield names by their lower case, then without the start and end that all share."""
    yield {name.lower(): name for name in names}
    first = len(os.path.commonprefix(names))  # noqa: RUF071 characters
    last = len(os.path.commonprefix([name[::-1] for name in names]))  # noqa: RUF071 characters
    yield {name[first : len(name) - last]: name for name in names}
