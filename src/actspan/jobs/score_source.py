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
from actspan.data.faults import annotation_problems, missing_features
from actspan.data.scores import ScoreFiles
from actspan.jobs.checkpoint import Plan
from actspan.jobs.feature_source import FeatureSource
from actspan.jobs.propose_request import ProposeRequest
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
        faults, seconds, cells, note = _known(dataset, self.bundle)
        all_problems = [*faults, *_score_problems(dataset, self._scores, seconds, cells)]
        bad = {p.video for p in all_problems if p.skipped is Skipped.VIDEO}
        ids = tuple(video for video in dataset.videos.ids if video not in bad)
        if self.request.on_error == "fail":
            raise_errors(all_problems, leaves_something=bool(ids))
        if not ids:
            raise_nothing_left(all_problems, len(dataset))
        self._seconds, notes, kept = seconds, (*dataset.notes, note), tuple(map(seconds.get, ids))
        return self.plan(ids, all_problems, notes=notes, spec=dataset.spec, seconds=kept)

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
    file, unknown = str(scores.path), [n for n in scores.ids if n not in dataset.known.indices]
    cause, known_remedy = missing_features(
        dataset.videos, set(scores.ids), unknown, dataset.path, "boundary scores"
    )
    for video in dataset.videos:
        if video.id not in scores:
            what, remedy = (
                cause or "no boundary scores",
                known_remedy or "compute them, or leave it out",
            )
            yield Problem(video.id, file, what, remedy)
        elif math.isnan(seconds[video.id]):
            remedy = "annotate its duration, in seconds"
            yield Problem(video.id, str(dataset.path), "no duration", remedy)
        elif what := _score_fault(scores, video.id, cells.get(video.id)):
            yield Problem(video.id, file, what, "compute them again, or leave it out")
    for name in () if cause else unknown:
        yield Problem(name, file, "scores without annotation", "check it", Skipped.NOTHING)


def _score_fault(scores: ScoreFiles, name: str, cells: int | None) -> str:
    """Return why the scores of a video cannot be used, or "" if they can.

    `cells` is the number of cells that the network gives, if known.
    """
    try:
        cells_found = len(scores.read(name))
    except ResultError as error:
        return str(error).removeprefix(f"{scores.path}: scores of {name!r}: ")
    if cells is None or cells_found == cells:
        return ""
    return f"scores of {counted(cells_found, 'cell')}, {cells:,} expected: of other features"


def _known(
    dataset: Dataset, bundle: Bundle
) -> tuple[Iterable[Problem], dict[str, float], dict[str, int], str]:
    """Return problems, the seconds at position 1.0 of each video, its cells if known, and a note.

    Seconds are the span of the features if they exist. Problems of features do not count, since
    features are not read.
    """
    config, ids = bundle.config, dataset.videos.ids
    seconds = {video.id: dataset.annotated_seconds(video) for video in dataset.videos}
    cells = {}
    if config.mode == "rescale" and config.video_network is not None:
        cells = dict.fromkeys(ids, config.cells)
    try:
        checked = check_dataset(dataset, on_error="skip") if dataset.entries else None
    except (FeatureError, DatasetError):
        checked = None
    if checked is None:
        note = "positions are scaled by the videos' annotated durations"
        return annotation_problems(dataset, uses_instances=False), seconds, cells, note
    for video in checked.videos.ids:
        features = checked.open(video)
        seconds[video] = features.seconds
        if config.mode == "window":
            cells[video] = len(features)
    problems = [p for p in checked.problems if not p.is_error or p in dataset.problems]
    others = len(dataset) - len(checked)
    rest = f", of {counted(others, 'video')} by the annotated duration" if others else ""
    note = f"positions are scaled by the span of the features in the dataset{rest}"
    return problems, seconds, cells, note
