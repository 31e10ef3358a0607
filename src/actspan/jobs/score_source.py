"""Source of a job from boundary scores that were computed before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from actspan.core.errors import DatasetError, FeatureError, ResultError
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.progress import Progress
from actspan.core.wording import counted
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.faults import annotation_faults, missing_features
from actspan.data.scores import ScoreFiles
from actspan.jobs.checkpoint import Plan
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.source import FeatureSource
from actspan.model.bundle import Bundle
from actspan.pipeline.outcomes import Piece, ScoredVideo, VideoInput
from actspan.pipeline.steps import pieces_of


class ScoreSource(FeatureSource):
    """Boundary scores of the videos of a dataset, whose features need not exist."""

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        super().__init__(request, bundle)
        assert request.scores is not None
        self._scores = ScoreFiles(request.scores)
        self._seconds: Mapping[str, float] = {}  # of the videos of the plan

    def close(self) -> None:
        """Close the scores."""
        self._scores.close()

    def check(self, progress: Progress, problems: Iterable[Problem] = ()) -> Plan:
        """Keep the videos that have good scores and a known duration; see `Source.check`."""
        dataset = replace(self.dataset, problems=(*self.dataset.problems, *problems))
        checked = _checked(dataset)
        seconds, note = _seconds_of(dataset, checked)
        cells = _cells_of(dataset, self.bundle, checked)
        found = [
            *_annotation_faults(dataset, checked),
            *_score_problems(dataset, self._scores, seconds, cells),
        ]
        bad = {p.video for p in found if p.skipped is Skipped.VIDEO}
        ids = tuple(video for video in dataset.videos.ids if video not in bad)
        if self.request.on_error == "fail":
            raise_errors(found, leaves_something=bool(ids))
        if not ids:
            raise_nothing_left(found, len(dataset))
        self._seconds, notes, kept = seconds, (*dataset.notes, note), tuple(map(seconds.get, ids))
        return self.plan(ids, found, notes=notes, spec=dataset.spec, seconds=kept)

    def restore(self, plan: Plan, missing: Iterable[str], progress: Progress) -> None:
        """Take videos and their seconds from a plan."""
        super().restore(plan, (), progress)
        self._seconds = dict(zip(plan.videos, plan.seconds, strict=True))

    def pieces(self, videos: Iterable[str], progress: Progress) -> Iterator[Piece]:
        """Yield the scores of videos, or their windows."""

        def read(video: str) -> ScoredVideo:
            return ScoredVideo(self._scores.read(video), self._seconds[video])

        return pieces_of((VideoInput(video, partial(read, video)) for video in videos), self.config)

    def file(self, video: str) -> str:
        """Return the location of the scores."""
        return str(self._scores.path)


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
        elif what := _score_fault(scores, video.id, cells.get(video.id)):
            yield Problem(video.id, file, what, "compute them again, or leave it out")
    for name in () if cause else strangers:
        yield Problem(name, file, "scores without annotation", "check it", Skipped.NOTHING)


def _score_fault(scores: ScoreFiles, name: str, cells: int | None) -> str:
    """Return why the scores of a video cannot be used, or "" if they can.

    `cells` is the number of cells that the network gives, if known.
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
        return annotation_faults(dataset, uses_instances=False)
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
