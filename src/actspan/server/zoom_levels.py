"""Curves at every zoom level, in tiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from actspan.core.types import Float32
from actspan.core.wording import counted
from actspan.server.error_responses import ProblemError

TILE = 1024  # columns


def check_index(what: str, index: int, count: int) -> None:
    """Raise ProblemError (404) unless an index is one of `count` things."""
    if not 0 <= index < count:
        raise ProblemError(404, f"no {what} {index}: {counted(count, what)}, counted from 0")


class ZoomLevels:
    """C curves of T cells, halved until they fit one tile.

    Minimum and maximum are kept, so that peaks stay visible. Curves are (C, T); `high` are the
    maxima of cells if `low` are their minima.

    Examples
    --------
    >>> levels = ZoomLevels(np.eye(3, 5000))
    >>> len(levels), levels.tile(2, 1).shape
    (4, (2, 3, 226))
    """

    def __init__(self, low: ArrayLike, high: ArrayLike | None = None) -> None:
        level: Float32 = np.stack([low, low if high is None else high], dtype=np.float32)
        self._levels = [level]  # (2, C, T)
        while (columns := level.shape[2]) > TILE:
            if columns % 2:
                level = np.pad(level, ((0, 0), (0, 0), (0, 1)), mode="edge")
            lows, highs = level.reshape(*level.shape[:2], -1, 2)  # (C, ceil(n / 2), 2) each
            level = np.stack([lows.min(axis=-1), highs.max(axis=-1)])
            self._levels.append(level)

    def __len__(self) -> int:
        """Return the number of levels; a column of level k covers 2^k cells."""
        return len(self._levels)

    @property
    def cells(self) -> int:
        """T, the number of cells."""
        return int(self._levels[0].shape[2])

    def tile(self, level: int, index: int) -> Float32:
        """Return columns from index * TILE on, (2, C, <= TILE) float32: minimum, maximum.

        Raises ProblemError (404) for a tile that does not exist.
        """
        check_index("level", level, len(self))
        columns = self._levels[level]
        check_index("tile", index, -(-columns.shape[2] // TILE))
        return columns[:, :, index * TILE : (index + 1) * TILE]
