"""Check of a whole dataset before work starts, in one pass and on all cores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from actspan.config.stages import FeatureSpec
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Float64
from actspan.data.causes import gaps, missing_features
from actspan.data.dataset import Dataset
from actspan.data.examine import Examined, examine_files, examine_store
from actspan.data.faults import annotation_faults
from actspan.data.instances import after_features, good_segments, late_ends
from actspan.data.timebase import other_stride
from actspan.data.videos import Videos
from actspan.data.witnesses import judge, require_right_times


def check_dataset(
    dataset: Dataset,
    *,
    channels: int | None = None,
    dtype: DTypeLike = np.float32,
    on_error: Literal["fail", "skip"] = "fail",
    learns: bool = False,
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
    learns : bool
        Whether instances are used. Then times in another unit than seconds are refused, and every
        bad instance is a problem; otherwise faults of annotations are notes, one per kind.
    trained_on : FeatureSpec, optional
        Spec of the model's training features; a clearly different stride is noted.
    progress : Progress
        Called with ("check", videos checked, videos in all).

    Returns
    -------
    Dataset
        The usable part; `problems` lists skipped data, `notes` what was assumed.

    Raises
    ------
    DatasetError
        There are problems and `on_error` is "fail", or no video is left.
    FeatureError
        Nothing distinguishes (T, C) from (C, T), or dataset.toml contradicts most files.
    AnnotationError
        Instances are used, and their times are not in seconds.
    """
    examine = examine_files if dataset.packing is None else examine_store
    found = examine(dataset, channels, np.dtype(dtype), progress)
    spans, steps = found.usable.by_place(len(dataset))
    verdict = judge(dataset.videos, spans, steps, found.spec, dataset.path)
    if learns:
        require_right_times(dataset.videos, spans, found.spec, dataset.path, verdict)
    problems = [
        *annotation_faults(dataset, spans, learns=learns, verdict=verdict),
        *_feature_faults(dataset, found),
        *(
            [verdict.note(dataset.path)]
            if verdict
            else gaps(dataset.videos, spans, steps, dataset.path)
        ),
    ]
    lost = {p.video for p in problems if p.skipped is Skipped.VIDEO}
    ids = dataset.videos.ids
    places = [place for place in found.usable.places if ids[place] not in lost]
    videos, kept = dataset.videos.select(places), spans[places]
    if on_error == "fail":
        good = int(good_segments(videos, kept).sum())
        leaves_something = bool(videos) and (good > 0 or not learns)
        raise_errors(_stopping(problems, good), leaves_something=leaves_something)
    if not videos:
        raise_nothing_left(problems or [_nothing(dataset)], len(dataset))
    notes = [*found.notes]
    if learns:
        late = late_ends(videos)
        used = f"{late}: used up to its end" if late else ""
        notes += filter(None, [used, after_features(videos, kept)])
    if trained_on is not None and verdict is None:
        notes += filter(None, [other_stride(trained_on, found.spec, videos)])
    return replace(
        dataset,
        videos=_without_bad_segments(videos, kept),
        spec=found.spec,
        notes=(*dataset.notes, *notes),
        problems=tuple(problems),
    )


def _stopping(problems: list[Problem], good: int) -> list[Problem]:
    """Return the problems that stop the work: bad instances only if they are the majority."""
    bad = sum(problem.skipped is Skipped.SEGMENT for problem in problems)
    return [p for p in problems if bad > good or p.skipped is not Skipped.SEGMENT]


def _nothing(dataset: Dataset) -> Problem:
    return Problem("", str(dataset.path), "no videos", "check the folder and the subset")


def _without_bad_segments(videos: Videos, spans: Float64) -> Videos:
    good = good_segments(videos, spans)
    return videos if good.all() else videos.with_instances(good)


def _feature_faults(dataset: Dataset, found: Examined) -> list[Problem]:
    """Return the problems with features; they get one cause if most videos lack features."""
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
    return [*orphans, *problems]


def _reported(dataset: Dataset) -> set[str]:
    """Return the videos that were already skipped: a bad entry, or a file that is not read."""
    return {p.video for p in dataset.problems if p.skipped is Skipped.VIDEO}


def _orphans(dataset: Dataset) -> Iterator[Problem]:
    """Yield a problem per video that has features but no annotation in any subset."""
    for name in sorted(dataset.entries.keys() - set(dataset.known.ids) - _reported(dataset)):
        remedy = "add annotations, or remove the features"
        file = str(dataset.entries[name])
        yield Problem(name, file, "features without annotation", remedy, Skipped.FILE)
