"""Sample weights of BMN: how the samples of a proposal depend on the cells of a video.

A cell of the confidence map is a proposal. N samples of its region are taken, and each is a fixed
linear combination of the features of a few neighbouring time positions (bmn.md section 2). The
published code keeps all weights in a dense mask, (T, N, rows, columns), of which 1.5 % are not zero
and half belongs to cells that are no proposals. This module computes the same numbers in compressed
sparse rows, one row of the map at a time, so memory stays bounded for any T.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from actspan.config.bmn import BmnConfig
from actspan.core.types import Float32, Float64

MARGIN = 0.5  # of the region on each side of a proposal, relative to the length of the proposal
POINTS = 3  # positions whose mean is a sample

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class MapCells:
    """Cells of the confidence map that are proposals, in C order; all arrays have one entry each.

    Attributes
    ----------
    rows, columns : (cells,) int64
        Position in the map.
    first, last : (cells,) int64
        Bounds of the proposal as sampling sees them, in cells of the video.
    lengths : (cells,) int64
        Number of cells of the video by which the margins are measured.
    """

    rows: Integers
    columns: Integers
    first: Integers
    last: Integers
    lengths: Integers


@dataclass(frozen=True, slots=True, eq=False)
class SampleWeights:
    """Weights of time positions in the samples of every proposal, in compressed sparse rows.

    Attributes
    ----------
    cells : MapCells
        The proposals: the rows of this matrix.
    offsets : (cells + 1,) int64
        Entries of proposal k are `offsets[k]` up to `offsets[k + 1]`; every proposal has some.
    indices : (entries,) int64
        Column t * N + n: weight of time position t in sample n. They increase within a proposal.
    values : (entries,) float32
        The weights, never zero.
    shape : (int, int)
        Number of proposals, and T * N.
    """

    cells: MapCells
    offsets: Integers
    indices: Integers
    values: Float32
    shape: tuple[int, int]

    def dense(self, first: int, last: int) -> Float32:
        """Return the rows of proposals `first` up to `last`, (last - first, T * N) float32."""
        begin, end = self.offsets[first], self.offsets[last]
        matrix = np.zeros((last - first, self.shape[1]), np.float32)
        owners = np.repeat(np.arange(last - first), np.diff(self.offsets[first : last + 1]))
        matrix[owners, self.indices[begin:end]] = self.values[begin:end]
        return matrix


def map_shape(config: BmnConfig) -> tuple[int, int]:
    """Return the numbers of rows and columns of the confidence map."""
    if config.axes == "start-end":
        return config.length, config.length
    return config.durations or config.length, config.length


def map_cells(config: BmnConfig) -> MapCells:
    """Return the cells of the confidence map that are proposals."""
    rows, columns = np.indices(map_shape(config))
    if config.axes == "start-end":
        rows, columns = (axis[rows <= columns] for axis in (rows, columns))
        return MapCells(rows, columns, rows, columns + 1, columns - rows + 2)
    rows, columns = (axis[rows + columns < config.length] for axis in (rows, columns))
    return MapCells(rows, columns, columns, columns + rows, rows + 1)


def sample_weights(
    config: BmnConfig, *, margin: float = MARGIN, points: int = POINTS
) -> SampleWeights:
    """Compute the sample weights of every proposal (bmn.md section 2).

    `margin` and `points` are constants of BMN; other values serve to recognise the mask of a
    checkpoint that was trained with them. The arrays are shared between calls and read-only.
    """
    durations = map_shape(config)[0]
    return _sample_weights(config.axes, config.length, durations, config.samples, margin, points)


@lru_cache(maxsize=4)
def _sample_weights(
    axes: str, length: int, durations: int, samples: int, margin: float, points: int
) -> SampleWeights:
    """Compute `sample_weights`, which depend on these settings alone."""
    sizes = {"length": length, "durations": durations, "samples": samples}
    cells = map_cells(BmnConfig(axes=axes, **sizes))  # type: ignore[arg-type]
    starts = np.searchsorted(cells.rows, np.arange(cells.rows[-1] + 2))
    parts = [
        _weights_of_row(cells, slice(begin, end), length, samples, margin, points)
        for begin, end in pairwise(starts)
    ]
    counts, indices, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    for array in (offsets, indices, values):
        array.flags.writeable = False
    return SampleWeights(cells, offsets, indices, values, (len(cells.rows), length * samples))


def _weights_of_row(
    cells: MapCells, part: slice, length: int, samples: int, margin: float, points: int
) -> tuple[Integers, Integers, Float32]:
    """Return the number of entries of the proposals of one row, their columns, and their values."""
    dense = _dense_weights(cells, part, length, samples, margin, points)  # (cells, T, N)
    dense = dense.reshape(len(dense), -1)
    owners, indices = np.nonzero(dense)
    return np.bincount(owners, minlength=len(dense)), indices, dense[owners, indices]


def _dense_weights(
    cells: MapCells, part: slice, length: int, samples: int, margin: float, points: int
) -> Float32:
    """Return the weights of some proposals, (cells, T, N) float32.

    The operations and their order are those of the published code, so that weights are equal to the
    last bit: float64, sums of points in order, one rounding to float32 at the end.
    """
    first, last, lengths = cells.first[part], cells.last[part], cells.lengths[part]
    low = first - lengths * margin
    high = last + lengths * margin
    step = (high - low) / (samples * points - 1)
    x = low[:, None] + np.arange(samples * points) * step[:, None]  # (cells, N * points)
    x = x.reshape(len(x), samples, points)
    owners, columns = np.ogrid[: len(x), :samples]
    # Two more positions take what is outside.
    sums: Float64 = np.zeros((len(x), length + 2, samples))
    for point in range(points):  # its positions are distinct within a sample
        lower, upper, fraction = _neighbours(x[..., point], length)
        sums[owners, lower, columns] += 1 - fraction
        sums[owners, upper, columns] += fraction
    mean: Float32 = (sums[:, :length] * (1 / points)).astype(np.float32)
    return mean


def _neighbours(x: Float64, length: int) -> tuple[Integers, Integers, Float64]:
    """Return the two time positions beside `x`, and the weight of the upper one.

    Positions `length` and `length + 1` stand for those outside. The left edge is published as it
    is: between -1 and 0 the first cell has the full weight.
    """
    floor = np.floor(x)
    inside = (x > -1) & (x < length)
    fraction = np.where(x < 0, 0.0, x - floor)
    lower = np.where(inside, np.maximum(floor, 0), length).astype(np.int64)
    return lower, lower + 1, fraction


def sample_mask(config: BmnConfig, *, margin: float = MARGIN, points: int = POINTS) -> Float32:
    """Return the mask as checkpoints store it, (T, N * rows * columns) float32.

    It takes 4 T N rows columns bytes: 128 MB for the default sizes, 2 GB for T = 256. Only the
    comparison with a stored mask needs it.
    """
    weights = sample_weights(config, margin=margin, points=points)
    shape = map_shape(config)
    mask = np.zeros((config.length * config.samples, *shape), np.float32)
    owners = np.repeat(np.arange(weights.shape[0]), np.diff(weights.offsets))
    rows, columns = weights.cells.rows[owners], weights.cells.columns[owners]
    mask[weights.indices, rows, columns] = weights.values
    return mask.reshape(config.length, -1)
