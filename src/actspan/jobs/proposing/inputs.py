"""Checks of a dataset before work starts, and the jobs of its videos."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

from actspan.core.errors import DatasetError, FeatureError, ResultError
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.progress import no_progress
from actspan.core.wording import counted
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.faults import annotation_faults, missing_features
from actspan.data.scores import ScoreFiles
from actspan.jobs.proposing.request import Report
from actspan.model.bundle import Bundle
from actspan.pipeline.outcomes import Job


def check_features(
    dataset: Dataset, bundle: Bundle, on_error: Literal["fail", "skip"], report: Report | None
) -> Dataset:
    """Check all features, and return the dataset without videos that have problems.

    Raises
    ------
    DatasetError, FeatureError
        The same as `check_dataset`.
    StoreError
        The dataset was packed for another kind of model.
    """
    dataset.require_fit(bundle.config)
    channels = None if bundle.config.tem is None else bundle.config.tem.channels
    return check_dataset(
        dataset,
        channels=channels,
        on_error=on_error,
        trained_on=bundle.features,
        progress=report or no_progress,
    )


def jobs_from_features(
    dataset: Dataset, bundle: Bundle, on_error: Literal["fail", "skip"], report: Report | None
) -> tuple[Dataset, Iterable[Job]]:
    """Check like `check_features`; return the dataset without bad videos, and its jobs."""
    dataset = check_features(dataset, bundle, on_error, report)
    mapped = bundle.config.mode == "window"  # long recordings are read in parts
    return dataset, (Job(v, partial(dataset.open, v, mapped=mapped)) for v in dataset.videos.ids)


def check_scores(
    dataset: Dataset, bundle: Bundle, scores: ScoreFiles, on_error: Literal["fail", "skip"]
) -> tuple[Dataset, dict[str, float]]:
    """Return the dataset without videos that lack good scores, and the seconds of each video.

    Raises
    ------
    DatasetError
        There are problems and `on_error` is "fail", or nothing is left.
    """
    checked = _checked(dataset)
    seconds, note = _seconds_of(dataset, checked)
    problems = [
        *_annotation_faults(dataset, checked),
        *_score_problems(dataset, scores, seconds, _cells_of(dataset, bundle, checked)),
    ]
    lost = {p.video for p in problems if p.skipped is Skipped.VIDEO}
    places = [place for place, name in enumerate(dataset.videos.ids) if name not in lost]
    if on_error == "fail":
        raise_errors(problems, leaves_something=bool(places))
    if not places:
        raise_nothing_left(problems, len(dataset))
    checked = replace(
        dataset,
        videos=dataset.videos.select(places),
        problems=tuple(problems),
        notes=(*dataset.notes, note),
    )
    return checked, seconds


def _score_problems(
    dataset: Dataset,
    scores: ScoreFiles,
    seconds: Mapping[str, float],
    cells: Mapping[str, int],
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
        elif what := _unusable(scores, video.id, cells.get(video.id)):
            yield Problem(video.id, file, what, "compute them again, or leave it out")
    for name in () if cause else strangers:
        yield Problem(name, file, "scores without annotation", "check it", Skipped.NOTHING)


def _unusable(scores: ScoreFiles, name: str, cells: int | None) -> str:
    """Return why the scores of a video cannot be used, or "" if they can.

    Parameters
    ----------
    cells : int, optional
        Number of cells that the network gives, if known.
    """
    try:
        found = len(scores.read(name))
    except ResultError as error:
        return str(error).removeprefix(f"{scores.path}: scores of {name!r}: ")
    if cells is None or found == cells:
        return ""
    return f"scores of {counted(found, 'cell')}, {cells:,} expected: of other features"


def _checked(dataset: Dataset) -> Dataset | None:
    """Return the dataset with checked features, or None if no features can be used."""
    try:
        return check_dataset(dataset, on_error="skip") if dataset.entries else None
    except (FeatureError, DatasetError):
        return None


def _annotation_faults(dataset: Dataset, checked: Dataset | None) -> list[Problem]:
    """Return the problems that matter; those of features do not, since features are not read."""
    if checked is None:
        return annotation_faults(dataset, learns=False)
    return [p for p in checked.problems if not p.is_error or p in dataset.problems]


def _cells_of(dataset: Dataset, bundle: Bundle, checked: Dataset | None) -> dict[str, int]:
    """Return the number of cells that the network gives per video, where it is known."""
    if bundle.config.mode == "rescale":
        tem = bundle.config.tem
        return {} if tem is None else dict.fromkeys(dataset.videos.ids, tem.length)
    return {} if checked is None else {v: len(checked.open(v)) for v in checked.videos.ids}


def _seconds_of(dataset: Dataset, checked: Dataset | None) -> tuple[dict[str, float], str]:
    """Return the seconds at position 1.0 (the span of the features if they exist), and a note."""
    seconds = {v.id: dataset.annotated_seconds(v) for v in dataset.videos}
    if checked is None:
        return seconds, "positions are scaled by the videos' annotated durations"
    seconds |= {v.id: checked.open(v.id).seconds for v in checked.videos}
    others = len(dataset) - len(checked)
    rest = f", of {counted(others, 'video')} by the annotated duration" if others else ""
    return seconds, f"positions are scaled by the span of the features in the dataset{rest}"
