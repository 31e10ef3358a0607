"""The only overlap measures: tIoU, IoA and IoP of temporal segments.

Positions may be fractions or seconds, as long as both sides use the same. Float64 throughout. On a
grid of T cells some tIoU equal a threshold exactly, so that the order of operations decides, and
the published code has two: Soft-NMS and matching take one length less the intersection first
(`tiou`), the ActivityNet evaluator sums both lengths first (`evaluated_tiou`). Each is used where
it was.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from actspan.types import Float64


@njit(cache=True, nogil=True, inline="always")
def tiou(start_a: float, end_a: float, start_b: float, end_b: float) -> float:
    """Intersection over union of two segments, 0 where both are empty."""
    inter = max(min(end_a, end_b) - max(start_a, start_b), 0.0)
    union = (end_a - start_a) - inter + end_b - start_b
    return inter / union if union > 0.0 else 0.0


@njit(cache=True, nogil=True, inline="always")
def evaluated_tiou(start_a: float, end_a: float, start_b: float, end_b: float) -> float:
    """Intersection over union in the evaluator's order of operations, 0 where both are empty."""
    inter = max(min(end_a, end_b) - max(start_a, start_b), 0.0)
    union = ((end_b - start_b) + (end_a - start_a)) - inter
    return inter / union if union > 0.0 else 0.0


def _intersection(start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64) -> Float64:
    upper = np.minimum(end_a[:, None], end_b[None, :])
    lower = np.maximum(start_a[:, None], start_b[None, :])
    inter: Float64 = np.maximum(upper - lower, 0.0)
    return inter


def _ratio(part: Float64, whole: Float64) -> Float64:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def tiou_matrix(start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64) -> Float64:
    """Intersection over union of every a with every b.

    Returns
    -------
    (A, B) float64
        0 where both segments are empty.
    """
    inter = _intersection(start_a, end_a, start_b, end_b)
    union = (end_a - start_a)[:, None] - inter + end_b[None, :] - start_b[None, :]
    return _ratio(inter, union)


def evaluated_tiou_matrix(
    start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64
) -> Float64:
    """`evaluated_tiou` of every a with every b: (A, B) float64."""
    inter = _intersection(start_a, end_a, start_b, end_b)
    union = ((end_b - start_b)[None, :] + (end_a - start_a)[:, None]) - inter
    return _ratio(inter, union)


def ioa_matrix(start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64) -> Float64:
    """Intersection over the length of a, every a with every b: (A, B) float64.

    With cells as a this is the IoA of the targets; with proposals as a it is IoP (match_ioa).
    """
    inter = _intersection(start_a, end_a, start_b, end_b)
    return _ratio(inter, np.broadcast_to((end_a - start_a)[:, None], inter.shape))
