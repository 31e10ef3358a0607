"""Average mAP of detections by the ActivityNet rule (bsn.md section 12), and kinds of mistakes.

The kinds of wrong detections are those of DETAD (Alwassel et al., ECCV 2018).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from actspan.config.base import OnError
from actspan.core.kernels import evaluated_tiou, kernel
from actspan.core.types import Float64, Video
from actspan.data.detections import Detections
from actspan.evaluation.counting import Int64
from actspan.evaluation.inputs import EvaluatedData
from actspan.evaluation.labelled import (
    Bool,
    DetectionInputs,
    average_precision,
    load_detection_inputs,
    match,
)
from actspan.evaluation.protocols import check_thresholds

KINDS = ("double", "label", "localisation", "label and localisation", "background")
NEAR = 0.1  # tIoU below which a detection is unrelated to an instance
LIST = 10  # multiple of a class's instances up to which its best detections are counted


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DetectionResult(EvaluatedData):
    """Average precision of detections per class; see also `EvaluatedData`.

    Attributes
    ----------
    average_precision : (K, L) float64
        AP of class `classes[l]` at tIoU threshold `tiou[k]`; in [0, 1].
    classes : tuple of str
        Classes of the ground truth, sorted.
    instances, detections : (L,) int64
        Numbers per class.
    unknown : mapping of str to int
        Labels that the ground truth lacks, and how many detections carry them; they do not count.
    """

    average_precision: Float64
    classes: tuple[str, ...]
    tiou: Float64
    instances: Int64
    detections: Int64
    unknown: Mapping[str, int]

    @property
    def undetected(self) -> tuple[str, ...]:
        """Classes without any detection; they count with AP 0."""
        counts = zip(self.classes, self.detections.tolist(), strict=True)
        return tuple(name for name, count in counts if not count)

    @property
    def mean_average_precision(self) -> Float64:
        """Return the mAP at every threshold, (K,); in [0, 1]."""
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
    detections : Path, str or mapping of video id to Detections
        A detections file, a run folder, or detections in seconds.
    tiou : (K,) array_like, optional
        Thresholds in (0, 1], ascending; 0.5, 0.55, ... 0.95 by default. THUMOS14 uses
        0.3, 0.4, ... 0.7.
    ground_truth, subset, blocked, on_error
        The same as for `evaluate_recall`, which raises the same errors. Detections in videos of
        `subset` without instances count as wrong.

    Examples
    --------
    >>> from actspan import Proposals
    >>> video = Video("a", 60.0, "validation", [[10, 20], [30, 50]], ("run", "jump"))
    >>> segments = Proposals([10, 0], [19, 9], [0.9, 0.2], unit="seconds")
    >>> found = {"a": Detections.of(segments, ["run", "jump"])}
    >>> evaluate_detection([video], found, tiou=[0.5]).summary()
    {'mAP@0.50': 50.0, 'average_mAP': 50.0}
    """
    thresholds = check_thresholds(tiou)
    labelled = load_detection_inputs(ground_truth, detections, subset, blocked, on_error)
    hit = match(labelled, thresholds)
    counted = labelled.counted(hit)
    return DetectionResult(
        average_precision=average_precision(hit, counted, labelled.offsets, labelled.instances),
        classes=labelled.classes,
        tiou=thresholds,
        instances=labelled.instances,
        detections=np.diff(labelled.offsets),
        unknown=labelled.unknown,
        **labelled.report(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Mistakes:
    """Wrong detections by kind, and how much average mAP would gain without them; in [0, 1].

    Shares are of each class's best detections, 10 times as many as it has instances.
    """

    tiou: Float64  # (K,), thresholds
    right: Float64  # (K,), share that finds an instance
    share: Float64  # (K, 5), share that is wrong in each of `KINDS`
    gain: Float64  # (5,), average mAP without the wrong detections of a kind, minus that with them


def diagnose_detections(
    ground_truth: Path | str | Iterable[Video],
    detections: Path | str | Mapping[str, Detections],
    *,
    subset: str | None = "validation",
    tiou: ArrayLike | None = None,
    blocked: Path | str | Iterable[str] | None = None,
    on_error: OnError = "fail",
) -> Mistakes:
    """Count wrong detections by kind; parameters and errors are those of `evaluate_detection`.

    A wrong detection has the first of these kinds that applies: `double` (it overlaps an instance
    of its class by at least the threshold, but a better detection has taken it), `label` (it
    overlaps one of another class that much), `localisation` (it overlaps one of its class by at
    least 0.1), `label and localisation` (it overlaps one of another class by at least 0.1),
    `background`.

    Examples
    --------
    >>> from actspan import Proposals
    >>> video = Video("a", 60.0, "validation", [[10, 20], [30, 50]], ("run", "jump"))
    >>> segments = Proposals([10, 10], [20, 19], [0.9, 0.2], unit="seconds")
    >>> found = {"a": Detections.of(segments, ["run", "jump"])}
    >>> share = diagnose_detections([video], found, tiou=[0.5]).share[0]
    >>> dict(zip(KINDS, share.tolist(), strict=True))["label"]
    0.5
    """
    thresholds = check_thresholds(tiou)
    labelled = load_detection_inputs(ground_truth, detections, subset, blocked, on_error)
    hit = match(labelled, thresholds)
    counted = labelled.counted(hit)
    kind = _kinds(labelled, hit, thresholds)
    of_kind = [(kind == number) & counted for number in range(len(KINDS))]
    listed = counted & _best_of_class(labelled)
    total = np.maximum(listed.sum(axis=1), 1)
    as_it_is = _average_map(labelled, hit, counted)
    return Mistakes(
        tiou=thresholds,
        right=(hit & listed).sum(axis=1) / total,
        share=np.stack([(wrong & listed).sum(axis=1) / total for wrong in of_kind], axis=1),
        gain=np.array(
            [_average_map(labelled, hit, counted & ~wrong) - as_it_is for wrong in of_kind]
        ),
    )


def _average_map(labelled: DetectionInputs, hit: Bool, counted: Bool) -> float:
    precision = average_precision(hit, counted, labelled.offsets, labelled.instances)
    return float(precision.mean())


def _best_of_class(labelled: DetectionInputs) -> Bool:
    """Return which detections are among the best of their class, (D,) bool."""
    counts = np.diff(labelled.offsets)
    rank = np.arange(len(labelled.start)) - np.repeat(labelled.offsets[:-1], counts)
    best: Bool = rank < np.repeat(LIST * labelled.instances, counts)
    return best


def _kinds(labelled: DetectionInputs, hit: Bool, thresholds: Float64) -> Int64:
    """Return the position in `KINDS` of every wrong detection, -1 for right ones; (K, D)."""
    order = np.argsort(labelled.truth_video, kind="stable")
    classes = np.repeat(np.arange(len(labelled.classes)), labelled.instances)[order]
    offsets = np.searchsorted(labelled.truth_video[order], np.arange(labelled.videos + 1))
    same_label, other_label = _best_overlaps(
        labelled.start,
        labelled.end,
        labelled.video,
        np.repeat(np.arange(len(labelled.classes)), np.diff(labelled.offsets)),
        labelled.truth_start[order],
        labelled.truth_end[order],
        classes,
        offsets,
    )
    limits = thresholds[:, None]
    near = [np.broadcast_to(overlap >= NEAR, hit.shape) for overlap in (same_label, other_label)]
    kind = np.select([same_label >= limits, other_label >= limits, *near], [0, 1, 2, 3], default=4)
    kind[hit] = -1
    return kind


@kernel
def _best_overlaps(
    start: Float64,
    end: Float64,
    video: Int64,
    label: Int64,
    truth_start: Float64,
    truth_end: Float64,
    truth_label: Int64,
    truth_offsets: Int64,
) -> tuple[Float64, Float64]:
    """Return each detection's largest tIoU with instances of its class, and of other classes."""
    same_label, other_label = np.zeros(len(start)), np.zeros(len(start))
    for d in range(len(start)):
        for i in range(truth_offsets[video[d]], truth_offsets[video[d] + 1]):
            overlap = evaluated_tiou(start[d], end[d], truth_start[i], truth_end[i])
            if truth_label[i] == label[d]:
                same_label[d] = max(same_label[d], overlap)
            else:
                other_label[d] = max(other_label[d], overlap)
    return same_label, other_label
