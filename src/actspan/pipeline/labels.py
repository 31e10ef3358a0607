"""Labels for proposals: the choice of their source, and the labelling of results."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, Protocol, Self

from actspan.core.errors import ConfigError
from actspan.core.problems import Problem, Skipped, raise_errors
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Proposals
from actspan.core.wording import counted, listed
from actspan.data.annotations.formats import find_annotations
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.detections import DETECTIONS_FILE, Detections
from actspan.data.result_files import read_result
from actspan.data.result_writers import check_answer_target, result_writer
from actspan.model.bundle import Bundle
from actspan.pipeline.classifier import ClassifiedLabels, ProposalClassifier
from actspan.pipeline.label_file import LabelFile
from actspan.pipeline.label_request import LabelChoice, LabelRequest


class Labeller(Protocol):
    """Source of labels: a score file, or a classifier."""

    def label(self, video: str, proposals: Proposals) -> Detections:
        """Return one video's proposals (seconds) with labels, best first."""
        ...


def read_labels(
    choice: LabelChoice, videos: Iterable[str], on_error: Literal["fail", "skip"]
) -> tuple[LabelFile | None, tuple[Problem, ...]]:
    """Return the score file, if one was chosen, and problems such as videos without labels.

    Problems are only notes if proposals are written in any case.
    """
    if choice.labels_from is None:
        return None, ()
    labels, videos = LabelFile.read(choice.labels_from, top=choice.top_labels), list(videos)
    skipped = Skipped.VIDEO if on_error == "fail" else Skipped.NOTHING
    remedy = "score it, or leave the video out"
    problems = [
        Problem(name, str(choice.labels_from), "no label scores", remedy, skipped)
        for name in videos
        if name not in labels.videos
    ]
    notes = list(labels.notes)
    if others := sorted(labels.videos.keys() - set(videos)):
        what = f"{counted(len(others), 'video')} without proposals ({listed(others)})"
        notes.insert(0, f"{what}: their labels are not used")
    for note in notes:
        what, consequence = note.split(": ", 1)
        problems.append(Problem("", str(choice.labels_from), what, consequence, Skipped.NOTHING))
    return labels, tuple(problems)


def open_classifier(
    choice: LabelChoice, bundle: Bundle, *, features: bool = True
) -> AbstractContextManager[ProposalClassifier | None]:
    """Open the bundle's classifier, if it was chosen; `features` is False without features.

    Raises
    ------
    ConfigError
        There are no features.
    BundleError
        The bundle has no classifier.
    """
    if not choice.classify:
        return nullcontext()
    if not features:
        raise ConfigError(
            "the classifier needs features, and boundary scores come without; label the "
            "result afterwards: actspan label"
        )
    return ProposalClassifier.open(bundle)


class DetectionWriter:
    """Writer of labelled proposals, which are labelled on all cores and written in order."""

    def __init__(self, path: Path, labels: Labeller, *, threads: int | None = None) -> None:
        self._count, self._labels = 0, labels
        self._file = result_writer(path, labelled=True)
        self._threads = threads or os.cpu_count() or 1
        self._waiting: deque[tuple[str, Future[Detections]]] = deque()

    def __enter__(self) -> Self:
        self._writer = self._file.__enter__()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="label")
        return self

    def __exit__(self, *details: Any) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._file.__exit__(*details)

    def add(self, video: str, proposals: Proposals) -> None:
        """Label a video's proposals, seconds; a bounded number of videos waits for this."""
        self._waiting.append((video, self._pool.submit(self._labels.label, video, proposals)))
        while len(self._waiting) > 2 * self._threads:
            self._write()

    def _write(self) -> None:
        video, future = self._waiting.popleft()
        found = future.result()
        self._writer.add(video, found.segments, found.labels)
        self._count += len(found)

    def finish(self) -> int:
        """Write the detections of the last videos, and return the number of all."""
        while self._waiting:
            self._write()
        return self._count


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """Summary of the labelling of a result."""

    out: Path
    videos: int
    detections: int
    seconds: float
    problems: tuple[Problem, ...]


def label_result(request: LabelRequest, progress: Progress = no_progress) -> LabelSummary:
    """Label the proposals of a result.

    Raises
    ------
    DatasetError
        Videos lack labels or features, and `on_error` is "fail".
    ResultError, BundleError, ConfigError
        A part is missing or damaged.
    """
    dataset = None if request.dataset is None else find_annotations(request.dataset)
    given = (request.labels.labels_from, request.model, dataset)
    inputs = [path for path in given if path is not None]
    check_answer_target(_target(request), inputs, replace=request.overwrite)
    results = read_result(request.result)
    if request.model is not None:
        return _classify(request, results, progress)
    # Without labels there are no detections, so missing labels are failures.
    labels, missing = read_labels(request.labels, results, "fail")
    if labels is None:
        raise ConfigError("nothing says where labels come from: --labels-from, or --model")
    _raise_unless_skipped(request, missing, len(results))
    return _write(request, results, labels, missing, progress)


def _target(request: LabelRequest) -> Path:
    if request.out is not None:
        return request.out
    if not request.result.is_dir():
        raise ConfigError(f"{request.result} is not a run: say where detections go: --out")
    return request.result / DETECTIONS_FILE


def _classify(
    request: LabelRequest, results: dict[str, Proposals], progress: Progress
) -> LabelSummary:
    if request.model is None or request.dataset is None:
        raise ConfigError("a classifier needs its bundle and the features: --model and --dataset")
    bundle = Bundle.load(request.model)
    with ProposalClassifier.open(bundle) as classifier:
        dataset = Dataset.load(request.dataset)
        remedy = "give the dataset that was proposed on"
        missing = [
            Problem(name, str(dataset.path), "not in the dataset", remedy)
            for name in results
            if name not in dataset
        ]
        _raise_unless_skipped(request, missing, len(results))
        chosen = dataset.select([video for video in dataset if video.id in results])
        channels = classifier.config.channels
        dataset = check_dataset(chosen, channels=channels, on_error=request.on_error)
        usable = {name: found for name, found in results.items() if name in dataset}
        labels = ClassifiedLabels(dataset, classifier, request.labels.top_labels)
        return _write(request, usable, labels, (*missing, *dataset.problems), progress)


def _write(
    request: LabelRequest,
    results: dict[str, Proposals],
    labels: Labeller,
    problems: tuple[Problem, ...],
    progress: Progress,
) -> LabelSummary:
    target, begin = _target(request), perf_counter()
    with DetectionWriter(target, labels) as writer:
        for done, (video, proposals) in enumerate(results.items(), start=1):
            writer.add(video, proposals)
            progress("label", done, len(results))
        detections = writer.finish()
    seconds = perf_counter() - begin
    return LabelSummary(target, len(results), detections, seconds, problems)


def _raise_unless_skipped(request: LabelRequest, missing: Sequence[Problem], videos: int) -> None:
    if request.on_error == "fail":
        errors = sum(problem.is_error for problem in missing)
        raise_errors(missing, leaves_something=errors < videos)
