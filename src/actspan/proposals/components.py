"""Leading principal components of features, with the same bytes on any number of threads.

A BLAS adds in another order when it has more threads, so two machines would give different
proposals. These kernels add in a fixed order.
"""

from __future__ import annotations

import numpy as np

from actspan.core.kernels import kernel
from actspan.core.types import Float32, Float64

_SNIPPETS = 256  # snippets, spread evenly, that give the components
_ROUNDS = 12  # of subspace iteration; the distances between snippets are settled by then
_BLOCK = 64  # rows whose products are added while they are in the cache


def principal_components(values: Float32, count: int) -> Float64:
    """Return (n, K) leading components of standardized channels, with a mean square of 1.

    They are those of at most 256 snippets, up to a rotation: distances are those of principal
    components. K is `count`, or less if the stream has fewer snippets or channels that vary.
    """
    mean, spread = values.mean(axis=0), values.std(axis=0)
    varies = spread > 1e-6 * max(float(spread.max()), 1e-30)
    if not varies.any():
        return np.zeros((len(values), 1))
    scaled = (values[:, varies] - mean[varies]) / spread[varies]
    some = scaled[:: -(-len(scaled) // _SNIPPETS)].astype(np.float64)
    if len(some) < some.shape[1]:  # The smaller of the two Gram matrices has the same components.
        columns = some.T.copy()
        basis = _orthonormal(_product(columns, _subspace(_gram(columns), count)))
    else:
        basis = _subspace(_gram(some), count)
    points: Float64 = _product(scaled, basis)
    points /= np.sqrt(np.square(points).sum(axis=1).mean())
    return points


@kernel
def _gram(rows: Float64) -> Float64:
    """Return the sum of the outer products of all rows: (d, m) -> (m, m)."""
    size, width = rows.shape
    total = np.zeros((width, width))
    for first in range(0, size, _BLOCK):
        for i in range(width):
            for k in range(first, min(first + _BLOCK, size)):
                value = rows[k, i]
                for j in range(i + 1):
                    total[i, j] += value * rows[k, j]
    for i in range(width):
        for j in range(i):
            total[j, i] = total[i, j]
    return total


@kernel
def _product(left, right):  # type: ignore[no-untyped-def]
    """Return the matrix product (n, C) x (C, K) as float64."""
    total = np.zeros((left.shape[0], right.shape[1]))
    for i in range(left.shape[0]):
        for c in range(left.shape[1]):
            value = left[i, c]
            for k in range(right.shape[1]):
                total[i, k] += value * right[c, k]
    return total


@kernel
def _orthonormal(vectors: Float64) -> Float64:
    """Return an orthonormal basis of the columns, (m, K); dependent ones are dropped."""
    rows = np.ascontiguousarray(vectors.T)
    kept = 0
    for k in range(len(rows)):
        row = rows[k]
        length = np.sqrt((row * row).sum())
        for _ in range(2):  # The second pass removes what rounding left.
            for before in range(kept):
                row -= (row * rows[before]).sum() * rows[before]
        rest = np.sqrt((row * row).sum())
        if rest > 1e-9 * length and rest > 0.0:
            rows[kept] = row / rest
            kept += 1
    return np.ascontiguousarray(rows[:kept].T)


@kernel
def _subspace(gram: Float64, count: int) -> Float64:
    """Return an orthonormal basis of the leading eigenvectors, (m, K), by subspace iteration."""
    size = len(gram)
    count = min(count, size)
    start = np.empty((size, count))
    for k in range(count):
        start[:, k] = gram[:, k * size // count]
    basis = _orthonormal(start)
    for _ in range(_ROUNDS):
        basis = _orthonormal(_product(gram, basis))
    return basis
