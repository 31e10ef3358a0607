"""Curves at every zoom level: minimum and maximum of ever larger groups of cells, in tiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from actspan.core.errors import ResultError
from actspan.core.types import Float32
from actspan.core.wording import counted

TILE = 1024  # columns


class Pyramid:
    """Three curves, halved until they fit one tile.

    Minimum and maximum are kept, so that peaks stay visible at every zoom level.

    Parameters
    ----------
    curves : (3, T) array_like
        Action, start, end.

    Examples
    --------
    >>> pyramid = Pyramid(np.eye(3, 5000))
    >>> len(pyramid), pyramid.tile(2, 1).shape
    (4, (2, 3, 226))
    """

    def __init__(self, curves: ArrayLike) -> None:
        level: Float32 = np.stack([np.asarray(curves, np.float32)] * 2)  # (2, 3, T)
        self._levels = [level]
        while level.shape[2] > TILE:
            level = _halved(level)
            self._levels.append(level)

    def __len__(self) -> int:
        """Return the number of levels; a column of level k stands for 2^k cells."""
        return len(self._levels)

    @property
    def cells(self) -> int:
        """T, the number of cells."""
        return int(self._levels[0].shape[2])

    def tile(self, level: int, index: int) -> Float32:
        """Return columns from index * TILE on, (2, 3, <= TILE) float32: minimum, maximum.

        Raises
        ------
        ResultError
            The tile does not exist.
        """
        if not 0 <= level < len(self._levels):
            raise ResultError(f"no level {level}: {counted(len(self), 'level')}, counted from 0")
        columns = self._levels[level]
        tiles = -(-columns.shape[2] // TILE)
        if not 0 <= index < tiles:
            raise ResultError(
                f"no tile {index} of level {level}: {counted(tiles, 'tile')}, counted from 0"
            )
        return columns[:, :, index * TILE : (index + 1) * TILE]


def _halved(level: Float32) -> Float32:
    """Return the next level: (2, 3, n) to (2, 3, ceil(n / 2))."""
    if level.shape[2] % 2:
        level = np.pad(level, ((0, 0), (0, 0), (0, 1)), mode="edge")
    pairs = level.reshape(2, 3, -1, 2)
    return np.stack([pairs[0].min(axis=-1), pairs[1].max(axis=-1)])
