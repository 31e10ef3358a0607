"""Labels for an existing result file or run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

from actspan.core.errors import ConfigError
from actspan.core.problems import Problem, raise_errors
from actspan.core.types import Proposals
from actspan.data.annotations.formats import find_annotations
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.detections import DETECTIONS_FILE
from actspan.data.result_writers import check_answer_target
from actspan.data.results import read_result
from actspan.model.bundle import Bundle
from actspan.pipeline.labelling.choice import LabelChoice, write_labelled
from actspan.pipeline.labelling.classifier import ClassifiedLabels

Report = Callable[[str, int, int], None]  # (stage, videos done, total videos)


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """Settings of `label_result`.

    Attributes
    ----------
    result : Path
        A result file, or a run folder.
    labels : LabelChoice
    out : Path, optional
        File for the detections; `detections.json` in the run by default.
    model, dataset : Path, optional
        The classifier's bundle, and the features of the result's videos.
    on_error : "fail" or "skip"
        What to do about videos without labels or features.
    overwrite : bool
        Replace `out` if it is a file other than a result.
    """

    result: Path
    labels: LabelChoice
    out: Path | None = None
    model: Path | None = None
    dataset: Path | None = None
    on_error: Literal["fail", "skip"] = "fail"
    overwrite: bool = False

    @property
    def target(self) -> Path:
        """File that detections are written to.

        Raises
        ------
        ConfigError
            The output file is not given.
        """
        if self.out is not None:
            return self.out
        if not self.result.is_dir():
            raise ConfigError(f"{self.result} is not a run: say where detections go: --out")
        return self.result / DETECTIONS_FILE


@dataclass(frozen=True, slots=True)
class Labelled:
    """Summary of a labelling run, in figures."""

    out: Path
    videos: int
    detections: int
    seconds: float
    problems: tuple[Problem, ...]


def label_result(request: LabelRequest, report: Report | None = None) -> Labelled:
    """Label the proposals of a result.

    Raises
    ------
    DatasetError
        Videos lack labels or features, and `on_error` is "fail".
    ResultError, BundleError, ConfigError
        A part is missing or damaged.
    """
    target = request.target
    dataset = None if request.dataset is None else find_annotations(request.dataset)
    given = (request.labels.file, request.model, dataset)
    inputs = [path for path in given if path is not None]
    check_answer_target(target, inputs, replace=request.overwrite)
    results = read_result(request.result)
    if request.labels.classify:
        return _by_classifier(request, results, report)
        # Without labels there are no detections, so missing labels are failures.
    labels, lacking = request.labels.read(results, "fail")
    if labels is None:
        raise ConfigError("nothing says where labels come from: --labels-from, or --model")
    _stop_unless_skipped(request, lacking, len(results))
    begin = perf_counter()
    counts = write_labelled(_reported(results, report), labels, target)
    return Labelled(target, *counts, perf_counter() - begin, lacking)


def _by_classifier(
    request: LabelRequest, results: dict[str, Proposals], report: Report | None
) -> Labelled:
    if request.model is None or request.dataset is None:
        raise ConfigError("a classifier needs its bundle and the features: --model and --dataset")
    bundle = Bundle.load(request.model)
    with request.labels.open_classifier(bundle) as classifier:
        assert classifier is not None
        dataset = Dataset.load(request.dataset)
        lacking = tuple(_without_features(dataset, results))
        _stop_unless_skipped(request, lacking, len(results))
        chosen = dataset.select([video for video in dataset if video.id in results])
        dataset = check_dataset(chosen, channels=classifier.channels, on_error=request.on_error)
        there = {name: found for name, found in results.items() if name in dataset}
        begin = perf_counter()
        labels = ClassifiedLabels(dataset, classifier, request.labels.top)
        counts = write_labelled(_reported(there, report), labels, request.target)
    problems = (*lacking, *dataset.problems)
    return Labelled(request.target, *counts, perf_counter() - begin, problems)


def _stop_unless_skipped(request: LabelRequest, lacking: Sequence[Problem], videos: int) -> None:
    if request.on_error == "fail":
        errors = sum(problem.is_error for problem in lacking)
        raise_errors(lacking, leaves_something=errors < videos)


def _without_features(dataset: Dataset, results: dict[str, Proposals]) -> Iterator[Problem]:
    for name in results:
        if name not in dataset:
            remedy = "give the dataset that was proposed on"
            yield Problem(name, str(dataset.path), "not in the dataset", remedy)


def _reported(
    results: dict[str, Proposals], report: Report | None
) -> Iterator[tuple[str, Proposals]]:
    for done, result in enumerate(results.items(), start=1):
        yield result
        if report:
            report("label", done, len(results))
