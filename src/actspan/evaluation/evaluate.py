"""The job `evaluate` as a function: its options are those of the command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from numpy.typing import ArrayLike

from actspan.config.base import OnError
from actspan.core.errors import ConfigError, ResultError
from actspan.core.files import StrPath
from actspan.core.segments import Proposals
from actspan.core.storage import is_url
from actspan.core.types import Video
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.formats import read_annotations
from actspan.data.dataset import Dataset
from actspan.data.detections import Detections
from actspan.data.videos import Videos
from actspan.evaluation.detection import DetectionResult, evaluate_detection
from actspan.evaluation.protocols import (
    PROTOCOLS,
    ProtocolName,
    Task,
    benchmark_truth,
    parse_thresholds,
    with_set_apart,
)
from actspan.evaluation.recall import RecallResult, evaluate_recall
from actspan.jobs.run import Run

T = TypeVar("T")

_RESULTS = "give a run, the path of a result, Proposals, or several of them, as `propose` returns"
_TRUTHS = "give the path of annotations, a Dataset, or several Video, as the ground truth"

GroundTruth = StrPath | Dataset | Annotations | Iterable[Video]
Result = StrPath | Run | Proposals | Mapping[str, Proposals] | Iterable[Proposals]


@overload
def evaluate(
    result: Result,
    *,
    ground_truth: GroundTruth,
    subset: str = "validation",
    labels: str | Iterable[str] = (),
    task: Literal["proposal"] = "proposal",
    protocol: ProtocolName = "activitynet",
    tiou: str | ArrayLike | None = None,
    max_proposals: int | None = None,
    blocked: StrPath | Iterable[str] | None = None,
    on_error: OnError = "fail",
) -> RecallResult: ...
@overload
def evaluate(
    result: Result,
    *,
    ground_truth: GroundTruth,
    subset: str = "validation",
    labels: str | Iterable[str] = (),
    task: Literal["detection"],
    protocol: ProtocolName = "activitynet",
    tiou: str | ArrayLike | None = None,
    max_proposals: int | None = None,
    blocked: StrPath | Iterable[str] | None = None,
    on_error: OnError = "fail",
) -> DetectionResult: ...
def evaluate(
    result: Result,
    *,
    ground_truth: GroundTruth,
    subset: str = "validation",
    labels: str | Iterable[str] = (),
    task: Task = "proposal",
    protocol: ProtocolName = "activitynet",
    tiou: str | ArrayLike | None = None,
    max_proposals: int | None = None,
    blocked: StrPath | Iterable[str] | None = None,
    on_error: OnError = "fail",
) -> RecallResult | DetectionResult:
    """Compute average recall of proposals, or mAP of detections, as `actspan evaluate` does.

    Parameters
    ----------
    result : path, URL, Run, Proposals, mapping of video id to Proposals, or iterable of Proposals
        A run, finished or not, or a result file; or proposals in seconds, which know their video
        if they are not in a mapping. With labels for task "detection".
    ground_truth : path, Dataset, or iterable of Video
        Annotations in any format that `actspan annotate convert` reads, or a dataset folder.
    subset : str
        Evaluate the videos of this subset.
    labels : str or iterable of str
        Evaluate only instances whose label matches one of these patterns.
    task : "proposal" or "detection"
        Average recall of proposals (AR@AN, AUC), or mean average precision of detections.
    protocol : "activitynet" or "thumos14"
        Thresholds and budgets, and whether instances that are annotated twice count once.
    tiou : str or (K,) array_like, optional
        Thresholds that replace the protocol's: "0.5:0.05:0.95", or numbers.
    max_proposals : int, optional
        Largest average number of proposals per video; the protocol's by default.
    blocked : path or iterable of str, optional
        Videos to leave out.
    on_error : "fail" or "skip"
        Stop at annotations that cannot be read, or skip them.

    Returns
    -------
    RecallResult or DetectionResult
        `summary()` gives the figures in percent.

    Raises
    ------
    AnnotationError, DatasetError, ResultError, ConfigError
        See `evaluate_recall`.
    UnitError
        Proposals are not in seconds.

    Examples
    --------
    >>> video = Video("a", 60.0, "validation", [[10, 20], [30, 50]], ("run", "jump"))
    >>> found = Proposals([10, 0], [19, 9], [0.9, 0.2], unit="seconds", video="a")
    >>> round(evaluate([found], ground_truth=[video]).at(100), 1)
    45.0
    """
    agreed = PROTOCOLS[protocol]
    truth = read_ground_truth(ground_truth, result, subset=subset, labels=labels, protocol=protocol)
    thresholds = agreed.tiou(task) if tiou is None else tiou
    if isinstance(thresholds, str):
        thresholds = parse_thresholds(thresholds)
    settings: dict[str, Any] = {
        "subset": subset,
        "tiou": thresholds,
        "blocked": blocked,
        "on_error": on_error,
    }
    if task == "proposal":
        budget = max_proposals or agreed.max_proposals
        return evaluate_recall(truth, _proposals(result), max_proposals=budget, **settings)
    if max_proposals is not None:
        raise ConfigError("max_proposals has no effect on detections: leave it out")
    return evaluate_detection(truth, _detections(result), **settings)


def read_ground_truth(
    ground_truth: GroundTruth,
    result: Result,
    *,
    subset: str,
    labels: str | Iterable[str] = (),
    protocol: ProtocolName = "activitynet",
) -> Annotations:
    """Return the ground truth that `evaluate` compares with, with notes about assumptions.

    Options are those of `evaluate`. Reading what this returns again changes nothing.
    """
    patterns = (labels,) if isinstance(labels, str) else tuple(labels)
    truth = benchmark_truth(_annotations(ground_truth), patterns, PROTOCOLS[protocol], subset)
    place = result.path if isinstance(result, Run) else result
    if isinstance(place, (str, os.PathLike)):
        text = os.fspath(place)
        truth = with_set_apart(truth, text if is_url(text) else Path(text), subset)
    return truth


def _annotations(source: GroundTruth) -> Annotations:
    if isinstance(source, Annotations):
        return source
    if isinstance(source, (str, os.PathLike)):
        return read_annotations(Path(source))
    if isinstance(source, Dataset):
        return Annotations(
            source.path, source.format, source.videos, source.problems, notes=source.notes
        )
    _require(source, Iterable, _TRUTHS)
    if not isinstance(source, Videos):
        source = [_require(video, Video, _TRUTHS) for video in source]
    return Annotations(Path("ground_truth"), "activitynet", Videos.of(source))


def _require(given: T, kind: type, remedy: str) -> T:
    if not isinstance(given, kind):
        raise ResultError(f"{type(given).__name__} cannot be evaluated: {remedy}")
    return given


def _proposals(result: Result) -> Any:
    """Return a result as `evaluate_recall` takes it."""
    if isinstance(result, Run):
        return result.path
    if isinstance(result, (str, os.PathLike)):
        return result
    several = [result] if isinstance(result, Proposals) else result
    if isinstance(several, Mapping):
        for video, proposals in several.items():
            _require(proposals, Proposals, _RESULTS)
            if proposals.video not in (None, video):
                raise ResultError(
                    f"the mapping has proposals of video {proposals.video!r} under the id "
                    f"{video!r}: correct the id, or change it: proposals.of_video({video!r})"
                )
        return several
    _require(several, Iterable, _RESULTS)
    by_video: dict[str, Proposals] = {}
    for proposals in several:
        _require(proposals, Proposals, _RESULTS)
        if proposals.video is None:
            raise ResultError(
                "proposals without the id of their video: give a mapping of id to proposals, or "
                "add it: proposals.of_video(id)"
            )
        if proposals.video in by_video:
            raise ResultError(
                f"two Proposals of video {proposals.video!r}: leave one out, or join them: "
                "Proposals.concat"
            )
        by_video[proposals.video] = proposals
    return by_video


def _detections(result: Result) -> Any:
    """Return a result as `evaluate_detection` takes it."""
    found = _proposals(result)
    return {v: _labelled(v, p) for v, p in found.items()} if isinstance(found, Mapping) else found


def _labelled(video: str, proposals: Proposals) -> Detections:
    if proposals.label is None:
        raise ResultError(
            f"video {video!r}: proposals without labels; propose with detections=True"
        )
    return Detections.of(proposals, proposals.label.tolist())
