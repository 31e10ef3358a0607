"""Average mAP of detections by the ActivityNet rule (bsn.md section 12)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from actspan.core.problems import Problem
from actspan.core.types import Float64, Video
from actspan.data.detections import Detections
from actspan.evaluation.inputs import OnError
from actspan.evaluation.labelled import Labelled, bring_together
from actspan.evaluation.matching import average_precision, match_greedily
from actspan.evaluation.protocols import check_thresholds


@dataclass(frozen=True, slots=True, eq=False)
class DetectionResult:
    """Average precision of detections per class.

    Attributes
    ----------
    average_precision : (K, L) float64
        AP of class `classes[l]` at tIoU `tiou[k]`; in [0, 1].
    classes : tuple of str
        Classes of the ground truth, sorted.
    tiou : (K,) float64
        Thresholds.
    instances, detections : (L,) int64
        Numbers per class.
    videos : int
        Number of evaluated videos.
    undetected : tuple of str
        Classes without any detection; they count with AP 0.
    unknown : mapping of str to int
        Labels that the ground truth lacks, and how many detections carry them; they do not count.
    missing : tuple of str
        Evaluated videos with instances but without detections.
    extra : tuple of str
        Videos with detections that were not evaluated: in another subset, or not annotated.
    problems : tuple of Problem
        Entries of the ground truth that were skipped (`on_error="skip"`).
    notes : tuple of str
        Counts of other unused data, for people to read.
    """

    average_precision: Float64
    classes: tuple[str, ...]
    tiou: Float64
    instances: np.ndarray
    detections: np.ndarray
    videos: int
    undetected: tuple[str, ...] = ()
    unknown: Mapping[str, int] = ()  # type: ignore[assignment]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def mean_average_precision(self) -> Float64:
        """The mAP at every threshold, (K,); in [0, 1]."""
        mean: Float64 = self.average_precision.mean(axis=1)
        return mean

    @property
    def average_map(self) -> float:
        """Mean of mAP over the thresholds; in [0, 1]."""
        return float(self.average_precision.mean())

    def summary(self) -> dict[str, float]:
        """Return `mAP@0.50`, ... and `average_mAP`, in percent."""
        pairs = zip(self.tiou.tolist(), self.mean_average_precision.tolist(), strict=True)
        figures = {f"mAP@{tiou:.2f}": 100.0 * value for tiou, value in pairs}
        return {**figures, "average_mAP": 100.0 * self.average_map}

    def by_class(self) -> dict[str, float]:
        """Return AP of every class, averaged over the thresholds, in percent."""
        mean = 100.0 * self.average_precision.mean(axis=0)
        return dict(zip(self.classes, mean.tolist(), strict=True))


def evaluate_detection(
    ground_truth: Path | str | Iterable[Video],
    detections: Path | str | Mapping[str, Detections],
    *,
    subset: str | None = "validation",
    tiou: ArrayLike | None = None,
    blocked: Path | str | Iterable[str] | None = None,
    on_error: OnError = "fail",
) -> DetectionResult:
    """Compute mean average precision over the classes, at several tIoU thresholds.

    Detections of a class are processed by falling score over all videos. Each takes the free
    instance of its class and video with the largest overlap, if it reaches the threshold, and is
    wrong otherwise. Precision is interpolated. Equal scores are ordered by video id, then as in the
    file. A detection that finds nothing but touches an ambiguous segment (`Video.ignored`) does not
    count.

    Parameters
    ----------
    ground_truth : Path, str, Dataset or iterable of Video
        Annotations in any format of `read_annotations`, a folder with annotations, or
        loaded videos. Detections in videos of `subset` without instances count as wrong.
    detections : Path, str or mapping of video id to Detections
        A detections file, a run folder, or detections in seconds.
    subset : str, optional
        None takes the videos of all subsets.
    tiou : (K,) array_like, optional
        Thresholds in (0, 1], ascending; 0.5, 0.55, ... 0.95 by default. THUMOS14 uses
        0.3, 0.4, ... 0.7.
    blocked : Path, str or iterable of str, optional
        Videos to leave out: ids, or a file of them (a JSON list, or one id per line).
    on_error : "fail" or "skip"
        Raise if ground truth entries cannot be read, or skip them.

    Returns
    -------
    DetectionResult

    Raises
    ------
    AnnotationError, DatasetError
        Ground truth cannot be read, or has no instances in the subset.
    ResultError
        Detections cannot be read, have a NaN score, or none is for an evaluated video.
    ConfigError
        `tiou` is out of range.

    Examples
    --------
    >>> video = Video("a", 60.0, "validation", [[10, 20], [30, 50]], ("run", "jump"))
    >>> found = {"a": Detections.of(Proposals([10, 0], [19, 9], [0.9, 0.2]), ["run", "jump"])}
    >>> evaluate_detection([video], found, tiou=[0.5]).summary()
    {'mAP@0.50': 50.0, 'average_mAP': 50.0}
    """
    thresholds = check_thresholds(tiou)
    labelled = bring_together(ground_truth, detections, subset, blocked, on_error)
    hit = match(labelled, thresholds)
    counted = ~labelled.ignored(hit)
    return DetectionResult(
        average_precision=average_precision(hit, counted, labelled.offsets, labelled.instances),
        classes=labelled.classes,
        tiou=thresholds,
        instances=labelled.instances,
        detections=np.diff(labelled.offsets),
        videos=labelled.videos,
        undetected=labelled.undetected,
        unknown=labelled.unknown,
        missing=labelled.missing,
        extra=labelled.extra,
        problems=labelled.problems,
        notes=labelled.notes,
    )


def match(labelled: Labelled, thresholds: Float64) -> np.ndarray:
    """Return which detections take an instance at which threshold, (K, D) bool."""
    hit: np.ndarray = match_greedily(
        labelled.start,
        labelled.end,
        labelled.first,
        labelled.last,
        labelled.truth_start,
        labelled.truth_end,
        thresholds,
    )
    return hit
