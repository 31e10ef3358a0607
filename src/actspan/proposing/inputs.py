"""From a dataset to what shall be computed: everything is checked before work starts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

from actspan.bundle import Bundle
from actspan.data.causes import missing_features
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.faults import annotation_faults
from actspan.data.problems import Loss, Problem, stop_on_errors, stop_with_none_left
from actspan.data.scores import ScoreFiles
from actspan.errors import FeatureError, ResultError
from actspan.pipeline import Job
from actspan.proposing.request import Report
from actspan.wording import counted


def check_features(
    dataset: Dataset, bundle: Bundle, on_error: Literal["fail", "skip"], report: Report | None
) -> Dataset:
    """Check everything that is about to be read; the dataset without what is bad.

    Raises
    ------
    DatasetError, FeatureError
        As `check_dataset`.
    StoreError
        The dataset was packed for another kind of model.
    """
    dataset.require_fit(bundle.config)
    channels = None if bundle.config.tem is None else bundle.config.tem.channels
    progress = partial(report, "check") if report else None
    return check_dataset(dataset, channels=channels, on_error=on_error, progress=progress)


def jobs_from_features(
    dataset: Dataset, bundle: Bundle, on_error: Literal["fail", "skip"], report: Report | None
) -> tuple[Dataset, Iterable[Job]]:
    """Check as `check_features`; the dataset without what is bad, and its jobs."""
    dataset = check_features(dataset, bundle, on_error, report)
    mapped = bundle.config.mode == "window"  # long recordings are read in parts
    return dataset, (Job(v, partial(dataset.open, v, mapped=mapped)) for v in dataset.videos.ids)


def check_scores(
    dataset: Dataset, scores: ScoreFiles, on_error: Literal["fail", "skip"]
) -> tuple[Dataset, dict[str, float]]:
    """The dataset without videos that lack good scores, and the seconds of each video.

    Raises
    ------
    DatasetError
        There are problems and `on_error` is "fail", or nothing is left.
    """
    seconds, note = _seconds_of(dataset)
    faults = annotation_faults(dataset, learns=False)
    problems = [*faults, *_score_problems(dataset, scores, seconds)]
    lost = {p.video for p in problems if p.loss is Loss.VIDEO}
    places = [place for place, name in enumerate(dataset.videos.ids) if name not in lost]
    if on_error == "fail":
        stop_on_errors(problems, leaves_something=bool(places))
    if not places:
        stop_with_none_left(problems, len(dataset))
    checked = replace(
        dataset,
        videos=dataset.videos.select(places),
        problems=tuple(problems),
        assumptions=(*dataset.assumptions, note),
    )
    return checked, seconds


def _score_problems(
    dataset: Dataset, scores: ScoreFiles, seconds: Mapping[str, float]
) -> Iterator[Problem]:
    file, strangers = str(scores.path), [n for n in scores.ids if n not in dataset.known.places]
    cause, cure = missing_features(
        dataset.videos, set(scores.ids), strangers, dataset.path, "boundary scores"
    )
    for video in dataset.videos:
        if video.id not in scores:
            what, remedy = cause or "no boundary scores", cure or "compute them, or leave it out"
            yield Problem(video.id, file, what, remedy)
        elif math.isnan(seconds[video.id]):
            remedy = "annotate its duration, in seconds"
            yield Problem(video.id, str(dataset.path), "no duration", remedy)
        elif what := _unreadable(scores, video.id):
            yield Problem(video.id, file, what, "compute them again, or leave it out")
    for name in () if cause else strangers:
        yield Problem(name, file, "scores without annotation", "check it", Loss.NOTHING)


def _unreadable(scores: ScoreFiles, name: str) -> str:
    """Why a video's scores cannot be used, or nothing."""
    try:
        scores.read(name)
    except ResultError as error:
        return str(error).removeprefix(f"{scores.path}: scores of {name!r}: ")
    return ""


def _seconds_of(dataset: Dataset) -> tuple[dict[str, float], str]:
    """Seconds that position 1.0 stands for: the features' span where they lie here."""
    try:
        checked = check_dataset(dataset, on_error="skip") if dataset.entries else None
    except FeatureError:
        checked = None
    seconds = {v.id: dataset.annotated_seconds(v) for v in dataset.videos}
    if checked is None:
        return seconds, "positions are scaled by the videos' annotated durations"
    seconds |= {v.id: checked.open(v.id).seconds for v in checked.videos}
    others = len(dataset) - len(checked)
    rest = f", of {counted(others, 'video')} by the annotated duration" if others else ""
    return seconds, f"positions are scaled by the span of the features in the dataset{rest}"
