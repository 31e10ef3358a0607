"""Overlap measures of temporal segments: tIoU, IoA and IoP.

Positions may be fractions or seconds, the same for both segments. All computation is in float64. On
a grid of T cells some tIoU equal a threshold exactly, so the order of operations decides. The
published code has two: Soft-NMS and matching subtract the intersection from one length first
(`tiou`), the ActivityNet evaluator adds both lengths first (`evaluated_tiou`). Each is used as
published. `actspan.core.kernels` has both for kernels.
"""

from __future__ import annotations

import numpy as np

from actspan.core.types import Float64


def _cross(*segments: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    """Return every a as a row and every b as a column, so that they broadcast."""
    start_a, end_a, start_b, end_b = segments
    return start_a[:, None], end_a[:, None], start_b[None, :], end_b[None, :]


def _intersection(start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64) -> Float64:
    inter: Float64 = np.minimum(end_a, end_b) - np.maximum(start_a, start_b)
    return np.fmax(inter, 0.0, out=inter)  # a NaN segment has no overlap


def _ratio(part: Float64, whole: Float64) -> Float64:
    # An empty union has an empty intersection. This is much faster than a masked division.
    ratio: Float64 = part / np.where(whole > 0, whole, 1.0)
    return ratio


def tiou_matrix(start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64) -> Float64:
    """Compute the intersection over union of every a with every b: (A, B) float64, 0 if empty."""
    start_a, end_a, start_b, end_b = _cross(start_a, end_a, start_b, end_b)
    inter = _intersection(start_a, end_a, start_b, end_b)
    union = (end_a - start_a) - inter + end_b - start_b
    return _ratio(inter, union)


def evaluated_tiou(start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64) -> Float64:
    """Compute the intersection over union of each a with its b: (N,) float64, 0 if empty."""
    inter = _intersection(start_a, end_a, start_b, end_b)
    union = ((end_b - start_b) + (end_a - start_a)) - inter
    return _ratio(inter, union)


def evaluated_tiou_matrix(
    start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64
) -> Float64:
    """Compute `evaluated_tiou` of every a with every b: (A, B) float64."""
    return evaluated_tiou(*_cross(start_a, end_a, start_b, end_b))


def ioa_matrix(start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64) -> Float64:
    """Compute the intersection over the length of a, of every a with every b: (A, B) float64.

    If a are cells, this is the IoA of the targets; if a are proposals, it is IoP (match_ioa).
    """
    start_a, end_a, start_b, end_b = _cross(start_a, end_a, start_b, end_b)
    inter = _intersection(start_a, end_a, start_b, end_b)
    return _ratio(inter, np.broadcast_to(end_a - start_a, inter.shape))
