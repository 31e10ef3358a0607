"""Compiled kernels: the decorators, and what kernels of several rooms call.

Machine code is cached on disk between runs, and runs without the interpreter's lock. This module is
apart from `actspan.core.tiou` because loading the compiler takes longer than many jobs.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from actspan.core.types import Float64

__all__ = ["descending", "evaluated_tiou", "inlined", "kernel", "tiou"]

_DIGIT = np.uint64(11)  # bits per digit of the sort
_DIGITS = 1 << 11
_SIGN = np.uint64(1 << 63)
_ONE = np.uint64(1)


kernel = numba.njit(cache=True, nogil=True)
inlined = numba.njit(cache=True, nogil=True, inline="always")  # compiled into its callers


@inlined
def tiou(start_a: float, end_a: float, start_b: float, end_b: float) -> float:
    """Compute the intersection over union of two segments, 0 if both are empty."""
    inter = max(min(end_a, end_b) - max(start_a, start_b), 0.0)
    union = (end_a - start_a) - inter + end_b - start_b
    return inter / union if union > 0.0 else 0.0


@inlined
def evaluated_tiou(start_a: float, end_a: float, start_b: float, end_b: float) -> float:
    """Compute the intersection over union in the evaluator's order, 0 if both are empty."""
    inter = max(min(end_a, end_b) - max(start_a, start_b), 0.0)
    union = ((end_b - start_b) + (end_a - start_a)) - inter
    return inter / union if union > 0.0 else 0.0


@kernel
def descending(score: Float64) -> NDArray[np.int32]:
    """Return the positions that sort scores in descending order; ties keep their order.

    This is a radix sort over the bits in which scores differ. It takes a third of the time of a
    merge sort.

    Parameters
    ----------
    score : (N,) float64
        Finite values.
    """
    keys = (score + 0.0).view(np.uint64)  # Adding 0.0 turns -0.0 into 0.0, so both zeros are equal.
    n = len(keys)
    order, other = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    differing = np.uint64(0)
    for i in range(n):  # Map floats to unsigned integers in reverse order of the scores.
        keys[i] = keys[i] if keys[i] & _SIGN else ~(keys[i] | _SIGN)
        differing |= keys[i] ^ keys[0]
        order[i] = i
    shift = np.uint64(0)
    while differing and not differing & _ONE:
        differing >>= _ONE
        shift += _ONE
    heads = np.empty(_DIGITS, dtype=np.int32)
    while differing:
        _sort_by_digit(keys, shift, heads, order, other)
        order, other = other, order
        differing >>= _DIGIT
        shift += _DIGIT
    return order


@kernel
def _sort_by_digit(
    keys: NDArray[np.uint64],
    shift: np.uint64,
    heads: NDArray[np.int32],
    order: NDArray[np.int32],
    sorted_order: NDArray[np.int32],
) -> None:
    """Sort by one digit of the keys; equal digits keep their position in `order`."""
    mask = np.uint64(_DIGITS - 1)
    heads[:] = 0
    for key in keys:
        heads[(key >> shift) & mask] += 1
    total = 0
    for digit in range(len(heads)):
        heads[digit], total = total, total + heads[digit]
    for i in order:
        digit = (keys[i] >> shift) & mask
        sorted_order[heads[digit]] = i
        heads[digit] += 1
