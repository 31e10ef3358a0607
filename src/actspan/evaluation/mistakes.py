"""Kinds of wrong detections, and what each kind costs.

The kinds are those of DETAD (Alwassel et al., ECCV 2018).
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
from actspan.evaluation.detection import average_precision, match
from actspan.evaluation.labelled import Bool, Labelled, load_labelled
from actspan.evaluation.protocols import check_thresholds

KINDS = ("double", "label", "localisation", "label and localisation", "background")
NEAR = 0.1  # tIoU below which a detection is unrelated to an instance
LIST = 10  # multiple of a class's instances up to which its best detections are counted


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
    >>> video = Video("a", 60.0, "validation", [[10, 20], [30, 50]], ("run", "jump"))
    >>> found = {"a": Detections.of(Proposals([10, 10], [20, 19], [0.9, 0.2]), ["run", "jump"])}
    >>> dict(zip(KINDS, diagnose_detections([video], found).share.mean(axis=0), strict=True))
    {'double': 0.0, 'label': 0.5, ...}
    """
    thresholds = check_thresholds(tiou)
    labelled = load_labelled(ground_truth, detections, subset, blocked, on_error)
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


def _average_map(labelled: Labelled, hit: Bool, counted: Bool) -> float:
    precision = average_precision(hit, counted, labelled.offsets, labelled.instances)
    return float(precision.mean())


def _best_of_class(labelled: Labelled) -> Bool:
    """Return which detections are among the best of their class, (D,) bool."""
    counts = np.diff(labelled.offsets)
    rank = np.arange(len(labelled.start)) - np.repeat(labelled.offsets[:-1], counts)
    best: Bool = rank < np.repeat(LIST * labelled.instances, counts)
    return best


def _kinds(labelled: Labelled, hit: Bool, thresholds: Float64) -> Int64:
    """Return the position in `KINDS` of every wrong detection, -1 for right ones; (K, D)."""
    order = np.argsort(labelled.truth_of, kind="stable")
    classes = np.repeat(np.arange(len(labelled.classes)), labelled.instances)[order]
    offsets = np.searchsorted(labelled.truth_of[order], np.arange(labelled.videos + 1))
    own, other = _best_overlaps(
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
    near = [np.broadcast_to(overlap >= NEAR, hit.shape) for overlap in (own, other)]
    kind = np.select([own >= limits, other >= limits, *near], [0, 1, 2, 3], default=4)
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
    own, other = np.zeros(len(start)), np.zeros(len(start))
    for d in range(len(start)):
        for i in range(truth_offsets[video[d]], truth_offsets[video[d] + 1]):
            overlap = evaluated_tiou(start[d], end[d], truth_start[i], truth_end[i])
            if truth_label[i] == label[d]:
                own[d] = max(own[d], overlap)
            else:
                other[d] = max(other[d], overlap)
    return own, other
