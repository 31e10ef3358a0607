"""The only overlap measures: tIoU, IoA and IoP of temporal segments.

Positions may be fractions or seconds, as long as both sides use the same. Float64 throughout. On a
grid of T cells some tIoU equal a threshold exactly, so that the order of operations decides, and
the published code has two: Soft-NMS and matching take one length less the intersection first
(`tiou`), the ActivityNet evaluator sums both lengths first (`evaluated_tiou`). Each is used where
it was. `compiled` has both for kernels; it is apart because loading the compiler takes longer than
many a job that needs only arrays.
"""

from __future__ import annotations

import numpy as np

from actspan.types import Float64


def _crossed(*segments: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    """Every a as a row and every b as a column, so that all meet."""
    start_a, end_a, start_b, end_b = segments
    return start_a[:, None], end_a[:, None], start_b[None, :], end_b[None, :]


def _intersection(start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64) -> Float64:
    inter: Float64 = np.minimum(end_a, end_b) - np.maximum(start_a, start_b)
    return np.fmax(inter, 0.0, out=inter)  # a segment that is not a number meets nothing


def _ratio(part: Float64, whole: Float64) -> Float64:
    # where the whole is nothing so is the part; much faster than a division that leaves gaps
    ratio: Float64 = part / np.where(whole > 0, whole, 1.0)
    return ratio


def tiou_matrix(start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64) -> Float64:
    """Intersection over union of every a with every b.

    Returns
    -------
    (A, B) float64
        0 where both segments are empty.
    """
    start_a, end_a, start_b, end_b = _crossed(start_a, end_a, start_b, end_b)
    inter = _intersection(start_a, end_a, start_b, end_b)
    union = (end_a - start_a) - inter + end_b - start_b
    return _ratio(inter, union)


def evaluated_tiou(start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64) -> Float64:
    """Intersection over union, in the evaluator's order of operations, of each a with its b.

    Returns
    -------
    (N,) float64
        0 where both segments are empty.
    """
    inter = _intersection(start_a, end_a, start_b, end_b)
    union = ((end_b - start_b) + (end_a - start_a)) - inter
    return _ratio(inter, union)


def evaluated_tiou_matrix(
    start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64
) -> Float64:
    """`evaluated_tiou` of every a with every b: (A, B) float64."""
    return evaluated_tiou(*_crossed(start_a, end_a, start_b, end_b))


def ioa_matrix(start_a: Float64, end_a: Float64, start_b: Float64, end_b: Float64) -> Float64:
    """Intersection over the length of a, every a with every b: (A, B) float64.

    With cells as a this is the IoA of the targets; with proposals as a it is IoP (match_ioa).
    """
    start_a, end_a, start_b, end_b = _crossed(start_a, end_a, start_b, end_b)
    inter = _intersection(start_a, end_a, start_b, end_b)
    return _ratio(inter, np.broadcast_to(end_a - start_a, inter.shape))
