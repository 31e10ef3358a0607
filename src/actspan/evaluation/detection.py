"""Average mAP of detections by the ActivityNet rule (bsn.md section 12)."""

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
from actspan.evaluation.inputs import Evaluated
from actspan.evaluation.labelled import Bool, Labelled, load_labelled
from actspan.evaluation.protocols import check_thresholds


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DetectionResult(Evaluated):
    """Average precision of detections per class; see also `Evaluated`.

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
    >>> video = Video("a", 60.0, "validation", [[10, 20], [30, 50]], ("run", "jump"))
    >>> found = {"a": Detections.of(Proposals([10, 0], [19, 9], [0.9, 0.2]), ["run", "jump"])}
    >>> evaluate_detection([video], found, tiou=[0.5]).summary()
    {'mAP@0.50': 50.0, 'average_mAP': 50.0}
    """
    thresholds = check_thresholds(tiou)
    labelled = load_labelled(ground_truth, detections, subset, blocked, on_error)
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


def match(labelled: Labelled, thresholds: Float64) -> Bool:
    """Return which detections take an instance at which threshold, (K, D) bool."""
    hit: Bool = match_greedily(
        labelled.start,
        labelled.end,
        labelled.first,
        labelled.last,
        labelled.truth_start,
        labelled.truth_end,
        thresholds,
    )
    return hit


@kernel
def match_greedily(
    start: Float64,
    end: Float64,
    first: Int64,
    last: Int64,
    truth_start: Float64,
    truth_end: Float64,
    thresholds: Float64,
) -> Bool:
    """Match each detection, best first, with the free instance that it overlaps most.

    An instance is taken once per threshold. Of two with equal overlap the later is taken, because
    the published evaluator walks through the instances in reversed ascending order of overlap.
    Arrays are those of `Labelled`; thresholds (K,) are positive and ascending.
    """
    hit = np.zeros((len(thresholds), len(start)), np.bool_)
    taken = np.zeros((len(thresholds), len(truth_start)), np.bool_)
    most = 0
    for d in range(len(start)):
        most = max(most, last[d] - first[d])
    overlap = np.empty(most)
    for d in range(len(start)):
        count = last[d] - first[d]
        best = 0.0
        for i in range(count):
            j = first[d] + i
            overlap[i] = evaluated_tiou(start[d], end[d], truth_start[j], truth_end[j])
            best = max(best, overlap[i])
        for t in range(len(thresholds)):
            if best < thresholds[t]:
                break
            chosen = -1
            for i in range(count):
                if overlap[i] < thresholds[t] or taken[t, first[d] + i]:
                    continue
                if chosen < 0 or overlap[i] >= overlap[chosen]:
                    chosen = i
            if chosen >= 0:
                taken[t, first[d] + chosen] = True
                hit[t, d] = True
    return hit


@kernel
def average_precision(hit: Bool, counted: Bool, offsets: Int64, instances: Int64) -> Float64:
    """Compute the area under each class's interpolated precision over recall.

    Precision at a recall is the highest precision at that recall or a higher one.

    Parameters
    ----------
    hit, counted : (K, D) bool
        Detections that took an instance, and those that count, by class, best first.
    offsets : (L + 1,) int64
        Class l has the detections offsets[l] <= d < offsets[l + 1].
    instances : (L,) int64
        At least one per class.

    Returns
    -------
    (K, L) float64
    """
    out = np.zeros((hit.shape[0], len(instances)))
    for t in range(hit.shape[0]):
        for label in range(len(instances)):
            hits, seen = 0, 0
            for d in range(offsets[label], offsets[label + 1]):
                hits += hit[t, d]
                seen += counted[t, d]
            best = 0.0
            for d in range(offsets[label + 1] - 1, offsets[label] - 1, -1):
                if not counted[t, d]:
                    continue
                if hit[t, d]:  # from the end: the precision here, and the best one from here on
                    best = max(best, hits / seen)
                    out[t, label] += best
                    hits -= 1
                seen -= 1
            out[t, label] /= instances[label]
    return out
