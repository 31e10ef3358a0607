"""Compiled greedy matching of detections with instances, and average precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actspan.core.kernels import evaluated_tiou, kernel
from actspan.core.types import Float64

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


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

    Parameters
    ----------
    start, end : (D,) float64
        Detections, those of a class by falling score.
    first, last : (D,) int64
        Detection d may take the instances first[d] <= i < last[d].
    truth_start, truth_end : (M,) float64
    thresholds : (K,) float64
        tIoU, ascending, positive.

    Returns
    -------
    (K, D) bool
        Whether a detection took an instance.
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
    hit : (K, D) bool
        Detections that took an instance, by class, best first within a class.
    counted : (K, D) bool
        Detections that count; the others are ignored.
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
