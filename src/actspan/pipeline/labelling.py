"""Labels for a finished result: the choice of their source, the request, and the work.

Heavy imports are inside functions, because commands make their options of the requests.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from actspan.config.base import (
    Config,
    Existing,
    ExistingBundle,
    ExistingFile,
    OnError,
    OutputFile,
    Positive,
    doc,
)
from actspan.core.errors import ConfigError
from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem, raise_errors
from actspan.core.progress import Progress, no_progress

if TYPE_CHECKING:
    from actspan.core.segments import Proposals
    from actspan.data.detections import Detections
    from actspan.pipeline.labels import Labeller


class LabelChoice(Config, frozen=True):
    """Source of labels: a score file, a bundle's classifier, or none."""

    labels_from: Annotated[
        ExistingFile | None,
        doc(
            "Label the proposals from a score file: {video: [{label, score}, ...]}.", group="Labels"
        ),
    ] = None
    classify: Annotated[
        bool, doc("Label the proposals with the model's classifier.", group="Labels")
    ] = False
    top_labels: Annotated[Positive, doc("Labels per proposal.", group="Labels")] = 2

    def info(self) -> dict[str, Any] | None:
        """Return the entries for `run.toml`; None without labels."""
        if not self.classify and self.labels_from is None:
            return None
        source = str(self.labels_from) if self.labels_from else "classifier"
        return {"from": source, "top": self.top_labels}


class LabelRequest(Config, frozen=True):
    """Request to label a result file or a run, with the classifier of `model` if it is given."""

    result: Existing
    labels: LabelChoice
    model: Annotated[
        ExistingBundle | None,
        doc(
            "A bundle with a classifier of proposals: a folder, an archive, a URL or hf://OWNER/NAME."
        ),
    ] = None
    dataset: Annotated[Existing | None, doc("The dataset whose features the classifier uses.")] = (
        None
    )
    out: Annotated[
        OutputFile | None, doc("File for the detections. [default: detections.json in the run]")
    ] = None
    on_error: Annotated[
        OnError,
        doc("Stop at videos without labels or features, or leave them without detections."),
    ] = "fail"
    overwrite: Annotated[bool, doc("Replace the file in --out even if it is not a result.")] = False


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
    from actspan.data.annotations.formats import find_annotations
    from actspan.data.detections import DETECTIONS_FILE
    from actspan.data.result_files import read_result
    from actspan.data.result_writers import check_answer_target
    from actspan.pipeline.labels import read_labels

    if request.out is None and not request.result.is_dir():
        raise ConfigError(f"{request.result} is not a run: say where detections go: --out")
    out = request.out or request.result / DETECTIONS_FILE
    annotations = None if request.dataset is None else find_annotations(request.dataset)
    path, top = request.labels.labels_from, request.labels.top_labels
    inputs = [file for file in (path, request.model, annotations) if file is not None]
    check_answer_target(out, inputs, replace=request.overwrite)
    results = read_result(request.result)
    if request.model is not None:
        return _classify(request, out, results, progress)
    if path is None:
        raise ConfigError("labels need a source: pass --labels-from or --model")
    # Without labels there are no detections, so missing labels are failures.
    labels, missing = read_labels(path, top, results, "fail")
    _raise_unless_skipped(request, missing, len(results))
    return _write(out, results, labels.label, missing, progress)


def _classify(
    request: LabelRequest, out: Path, results: dict[str, Proposals], progress: Progress
) -> LabelSummary:
    from actspan.data.check import check_dataset
    from actspan.data.dataset import Dataset
    from actspan.model.bundle import Bundle
    from actspan.pipeline.classifier import ProposalClassifier

    if request.model is None or request.dataset is None:
        raise ConfigError("a classifier needs its bundle and the features: --model and --dataset")
    with ProposalClassifier.open(Bundle.load(request.model)) as classifier:
        dataset = Dataset.load(request.dataset)
        remedy = "give the dataset that was proposed on"
        missing = [
            Problem(name, str(dataset.path), "not in the dataset", remedy)
            for name in results
            if name not in dataset
        ]
        _raise_unless_skipped(request, missing, len(results))
        chosen = dataset.select(video for video in dataset if video.id in results)
        channels = classifier.config.channels
        dataset = check_dataset(chosen, channels=channels, on_error=request.on_error)
        usable = {name: proposals for name, proposals in results.items() if name in dataset}
        label = classifier.labeller(dataset.open, request.labels.top_labels)
        return _write(out, usable, label, (*missing, *dataset.problems), progress)


def _raise_unless_skipped(request: LabelRequest, missing: Sequence[Problem], videos: int) -> None:
    if request.on_error == "fail":
        errors = sum(problem.is_error for problem in missing)
        raise_errors(missing, leaves_something=errors < videos)


def _write(
    out: Path,
    results: dict[str, Proposals],
    label: Labeller,
    problems: Iterable[Problem],
    progress: Progress,
) -> LabelSummary:
    """Label all results on all cores, and write the detections in order."""
    from actspan.data.detections import DETECTIONS_FILE
    from actspan.data.result_writers import result_writer
    from actspan.data.run_info import record_file

    def detect(result: tuple[str, Proposals]) -> tuple[str, Detections]:
        return result[0], label(*result)

    started, detections, workers = perf_counter(), 0, os.cpu_count() or 1
    with result_writer(out, labelled=True) as file, ThreadPoolExecutor(workers) as pool:
        labelled = map_ordered(pool, detect, results.items(), ahead=2 * workers)
        for done, (video, found) in enumerate(labelled, start=1):
            file.add(video, found.segments, found.labels)
            detections += len(found)
            progress("label", done, len(results))
    if out.name == DETECTIONS_FILE:
        record_file(out)
    seconds = perf_counter() - started
    return LabelSummary(out, len(results), detections, seconds, tuple(problems))
