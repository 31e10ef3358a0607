"""Confidence maps of BMN: their cells, and scores for displays."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import ArrayLike

from actspan.config.bmn import MapAxes
from actspan.core.errors import ConfigError, ShapeError
from actspan.core.kernels import inlined, kernel
from actspan.core.segments import Proposals
from actspan.core.types import BoundaryScores, Float32


def boundary_scores(
    confidence_map: ArrayLike, start: ArrayLike, end: ArrayLike, axes: MapAxes
) -> BoundaryScores:
    """Return the scores of a video for displays, which BMN computes for boundaries only.

    The action score of a cell is the largest confidence (regression x classification) of a
    proposal that covers the cell.

    Parameters
    ----------
    confidence_map : (2, R, T) float32
    start, end : (T,) float32
        Without padding, like the map.
    axes : "start-end" or "duration-start"

    Raises
    ------
    ShapeError
        Shapes do not fit, or a score is not finite.
    """
    grid, starts, ends = checked_outputs(confidence_map, start, end, axes)
    return BoundaryScores(_largest_over_cells(grid, axes == "duration-start"), starts, ends)


def map_values(
    confidence_map: Float32, candidates: Proposals, cells: int, axes: MapAxes
) -> Float32:
    """Return regression and classification of candidates from a map, (2, N) float32.

    Positions are fractions of `cells` cells.
    """
    first = np.rint(candidates.start * cells).astype(np.int64)
    last = np.rint(candidates.end * cells).astype(np.int64) - 1
    row, column = (last - first, first) if axes == "duration-start" else (first, last)
    values: Float32 = confidence_map[:, row, column]
    return values


def checked_outputs(
    confidence_map: ArrayLike, start: ArrayLike, end: ArrayLike, axes: MapAxes
) -> tuple[Float32, Float32, Float32]:
    """Return the outputs of BMN for one video as arrays; raise ShapeError if they do not fit."""
    if axes not in get_args(MapAxes):
        raise ConfigError(f"axes {axes!r}: 'start-end' or 'duration-start' is needed")
    given = (confidence_map, start, end)
    grid, starts, ends = (np.ascontiguousarray(x, dtype=np.float32) for x in given)
    cells, rows = starts.size, grid.shape[1] if grid.ndim == 3 else 0
    fits = grid.shape == (2, rows, cells) and starts.shape == ends.shape == (cells,)
    if not fits or not 1 <= rows <= cells or (axes == "start-end" and rows < cells):
        needed = "(2, T, T)" if axes == "start-end" else "(2, D, T) with D <= T"
        raise ShapeError(
            f"confidence map {grid.shape}, start {starts.shape} and end {ends.shape}: {needed}, "
            "(T,) and (T,) are needed"
        )
    for name, array in (("confidence map", grid), ("start", starts), ("end", ends)):
        if not np.isfinite(array).all():
            raise ShapeError(f"{name} contains NaN or infinity")
    return grid, starts, ends


@inlined
def place(first: int, last: int, by_duration: bool) -> tuple[int, int]:
    """Return row and column of the map for a proposal from its first to its last cell."""
    return (last - first, first) if by_duration else (first, last)


@kernel
def _largest_over_cells(confidence_map: Float32, by_duration: bool) -> Float32:
    """Return the largest confidence of the proposals that cover each cell, (n,) float32."""
    rows, n = confidence_map.shape[1:]
    action = np.full(n, -np.inf, dtype=np.float32)
    for first in range(n):
        largest = np.float32(-np.inf)
        stop = min(first + rows, n) if by_duration else n
        for last in range(stop - 1, first - 1, -1):
            row, column = place(first, last, by_duration)
            confidence = confidence_map[0, row, column] * confidence_map[1, row, column]
            largest = max(largest, confidence)
            action[last] = max(action[last], largest)
    return action
