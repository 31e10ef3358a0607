"""The main job: a dataset and a bundle in, a run or a result file out."""

from __future__ import annotations

import math
import platform
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from actspan.bundle import Bundle
from actspan.config import to_dict
from actspan.data.annotations import find_annotations
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.detections import DETECTIONS_FILE
from actspan.data.problems import Loss, Problem, stop_on_errors, stop_with_none_left
from actspan.data.scores import ScoreFiles
from actspan.data.timebase import annotated_seconds
from actspan.errors import BundleError, FeatureError, ResultError
from actspan.files import sha256
from actspan.labelling import ClassifiedLabels, LabelChoice, Labeller, write_labelled
from actspan.pipeline import BATCH, Job, Outcome, Pipeline, ScoredVideo, Stage
from actspan.run import (
    RunWriter,
    check_run_target,
    new_run_folder,
    write_info,
    write_result_file,
)
from actspan.types import Proposals

Report = Callable[[str, int, int], None]  # (what, videos done, videos in all)


@dataclass(frozen=True, slots=True)
class Request:
    """What `propose_dataset` shall do.

    Attributes
    ----------
    model, dataset : Path
        A bundle, and a dataset folder.
    out : Path
        A run folder to make, or a file that ends in `.json` for the result alone.
    subset : str, optional
        All videos unless given.
    scores : Path, optional
        Start from these boundary scores instead of features.
    labels : LabelChoice
        Whether to label the proposals; a result file then holds the detections alone.
    on_error : "fail" or "skip"
        What to do about problems in the dataset.
    overwrite : bool
        Replace a run that is there.
    """

    model: Path
    dataset: Path
    out: Path
    subset: str | None = None
    scores: Path | None = None
    labels: LabelChoice = field(default_factory=LabelChoice)
    backend: str = "auto"
    threads: int | None = None
    batch: int = BATCH
    on_error: Literal["fail", "skip"] = "fail"
    overwrite: bool = False

    @property
    def writes_run(self) -> bool:
        """Whether `out` is a run folder, not a result file."""
        return self.out.suffix != ".json"


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done, in figures.

    Attributes
    ----------
    videos, proposals, detections : int
    seconds : float
        Wall time from the first video's start to the last one's result, without start-up.
    stages : mapping of stage to share
        Of the workers' time, in [0, 1].
    problems : tuple of Problem
        What was left out, and notes.
    assumptions : tuple of str
    """

    out: Path
    videos: int
    proposals: int
    detections: int
    seconds: float
    stages: dict[Stage, float]
    problems: tuple[Problem, ...]
    assumptions: tuple[str, ...]


def propose_dataset(request: Request, report: Report | None = None) -> Summary:
    """Find the proposals of every video of a dataset, and write them.

    Raises
    ------
    DatasetError
        The dataset has problems and `on_error` is "fail".
    BundleError, DataError, BackendError
        A part is missing, damaged, or does not fit; nothing is written.
    """
    if request.writes_run:
        check_run_target(request.out, replace=request.overwrite)
    elif not request.out.parent.is_dir():
        raise ResultError(f"{request.out}: the folder {request.out.parent} does not exist")
    bundle = Bundle.load(request.model)
    if request.scores is None and not bundle.has_tem:
        raise BundleError(
            f"{bundle.path}: holds no TEM, which features need; convert one into it, or give "
            "boundary scores that were computed elsewhere: --scores"
        )
    dataset = Dataset.load(request.dataset).subset(request.subset)
    labels: Labeller | None
    labels, lacking = request.labels.read((video.id for video in dataset), request.on_error)
    dataset = replace(dataset, problems=(*dataset.problems, *lacking))
    pipeline = Pipeline.load(
        bundle,
        backend=request.backend,
        threads=request.threads,
        edge=dataset.edge,
        tem=request.scores is None,
    )
    classify = request.labels.open_classifier(bundle, features=request.scores is None)
    with pipeline, _given_scores(request) as scores, classify as classifier:
        if scores is None:
            dataset, jobs = jobs_from_features(dataset, bundle, request.on_error, report)
        else:
            dataset, jobs = _from_scores(dataset, scores, request.on_error)
        if classifier is not None:
            labels = ClassifiedLabels(dataset, classifier, request.labels.top)
        begin = perf_counter()
        counted = _Counted(pipeline.run(jobs, batch=request.batch), len(dataset), report)
        summarise = partial(_summary, request, dataset, pipeline, counted, begin)
        if not request.writes_run:
            if labels is None:
                write_result_file(counted, request.out)
            else:
                _, counted.detections = write_labelled(_answers(counted), labels, request.out)
            return summarise()
        with new_run_folder(request.out, replace=request.overwrite) as folder:
            with RunWriter(folder) as writer:
                answers = _answers(_recorded(counted, writer))
                if labels is None:
                    deque(answers, maxlen=0)
                else:
                    path = folder / DETECTIONS_FILE
                    _, counted.detections = write_labelled(answers, labels, path)
            summary = summarise()
            write_info(folder, _info(request, bundle, summary))
    return summary


class _Counted:
    """Outcomes as they pass, counted and reported."""

    def __init__(self, outcomes: Iterator[Outcome], total: int, report: Report | None) -> None:
        self._outcomes, self._total, self._report = outcomes, total, report
        self.videos = self.proposals = self.detections = 0

    def __iter__(self) -> Iterator[Outcome]:
        for outcome in self._outcomes:
            yield outcome
            if outcome.proposals is None:
                continue
            self.videos += 1
            self.proposals += len(outcome.proposals)
            if self._report:
                self._report("propose", self.videos, self._total)


def _recorded(outcomes: Iterable[Outcome], writer: RunWriter) -> Iterator[Outcome]:
    """Outcomes as they pass, written to the run."""
    for outcome in outcomes:
        writer.add(outcome)
        yield outcome


def _answers(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, Proposals]]:
    return ((o.id, o.proposals) for o in outcomes if o.proposals is not None)


def _given_scores(request: Request) -> AbstractContextManager[ScoreFiles | None]:
    return nullcontext() if request.scores is None else ScoreFiles(request.scores)


def jobs_from_features(
    dataset: Dataset, bundle: Bundle, on_error: Literal["fail", "skip"], report: Report | None
) -> tuple[Dataset, Iterable[Job]]:
    """Check everything that is about to be read; the dataset without what is bad, and its jobs.

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
    dataset = check_dataset(dataset, channels=channels, on_error=on_error, progress=progress)
    mapped = bundle.config.mode == "window"  # long recordings are read in parts
    return dataset, (Job(v, partial(dataset.open, v, mapped=mapped)) for v in dataset.videos.ids)


def _from_scores(
    dataset: Dataset, scores: ScoreFiles, on_error: Literal["fail", "skip"]
) -> tuple[Dataset, Iterable[Job]]:
    seconds, note = _seconds_of(dataset)
    problems = [*dataset.problems, *_score_problems(dataset, scores, seconds)]
    if on_error == "fail":
        stop_on_errors(problems)
    lost = {p.video for p in problems if p.loss is Loss.VIDEO}
    places = [place for place, name in enumerate(dataset.videos.ids) if name not in lost]
    if not places:
        stop_with_none_left(problems, len(dataset))
    dataset = replace(
        dataset,
        videos=dataset.videos.select(places),
        problems=tuple(problems),
        assumptions=(*dataset.assumptions, note),
    )
    return dataset, (Job(v, partial(_load_scores, scores, v, seconds)) for v in dataset.videos.ids)


def _score_problems(
    dataset: Dataset, scores: ScoreFiles, seconds: Mapping[str, float]
) -> Iterator[Problem]:
    file = str(scores.path)
    for video in dataset.videos:
        if video.id not in scores:
            yield Problem(video.id, file, "no boundary scores", "compute them, or leave it out")
        elif math.isnan(seconds[video.id]):
            remedy = "annotate its duration, in seconds"
            yield Problem(video.id, str(dataset.path), "no duration", remedy)
        elif what := _unreadable(scores, video.id):
            yield Problem(video.id, file, what, "compute them again, or leave it out")
    for name in scores.ids:
        if name not in dataset.known.places:
            yield Problem(name, file, "scores without annotation", "check it", Loss.NOTHING)


def _unreadable(scores: ScoreFiles, name: str) -> str:
    """Why a video's scores cannot be used, or nothing."""
    try:
        scores.read(name)
    except ResultError as error:
        return str(error).removeprefix(f"{scores.path}: scores of {name!r}: ")
    return ""


def _load_scores(scores: ScoreFiles, name: str, seconds: dict[str, float]) -> ScoredVideo:
    return ScoredVideo(scores.read(name), seconds[name])


def _seconds_of(dataset: Dataset) -> tuple[dict[str, float], str]:
    """Seconds that position 1.0 stands for: the features' span where they lie here."""
    try:
        checked = check_dataset(dataset, on_error="skip") if dataset.entries else None
    except FeatureError:
        checked = None
    seconds = {v.id: annotated_seconds(v) for v in dataset.videos}
    if checked is None:
        return seconds, "positions are scaled by the videos' annotated durations"
    seconds |= {v.id: checked.open(v.id).seconds for v in checked.videos}
    return seconds, "positions are scaled by the span of the features that lie in the dataset"


def _summary(
    request: Request, dataset: Dataset, pipeline: Pipeline, counted: _Counted, begin: float
) -> Summary:
    return Summary(
        out=request.out,
        videos=counted.videos,
        proposals=counted.proposals,
        detections=counted.detections,
        seconds=perf_counter() - begin,
        stages=pipeline.clock.shares(),
        problems=dataset.problems,
        assumptions=dataset.assumptions,
    )


def _info(request: Request, bundle: Bundle, summary: Summary) -> dict[str, Any]:
    """What `run.toml` says."""
    annotations = find_annotations(request.dataset)
    packages = ("actspan", "numpy", "numba", "onnxruntime")
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "videos": summary.videos,
        "proposals": summary.proposals,
        "bundle": {
            "path": str(request.model),
            "files": {name: record.sha256 for name, record in bundle.files.items()},
        },
        "dataset": {
            "path": str(request.dataset),
            "subset": request.subset,
            "annotations": None if annotations is None else annotations.name,
            "annotations_sha256": None if annotations is None else sha256(annotations),
            "scores": None if request.scores is None else str(request.scores),
            "assumptions": list(summary.assumptions),
        },
        "backend": request.backend,
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "pipeline": to_dict(bundle.config),
        "labels": request.labels.info(),
        "timing": {
            "seconds": round(summary.seconds, 3),
            "videos_per_second": round(summary.videos / summary.seconds, 1),
            "stages": {stage: round(share, 4) for stage, share in summary.stages.items()},
        },
        "skipped": [
            {"video": p.video, "file": p.file, "problem": p.problem, "left_out": p.loss.value}
            for p in summary.problems
            if p.is_error
        ],
    }
