"""Curves at every zoom keep their peaks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from actspan.server.browsed_run import TILE, ZoomLevels
from actspan.server.error_responses import ProblemError


@given(cells=st.integers(1, 9000), seed=st.integers(0, 2**32 - 1))
def test_a_column_holds_the_extremes_of_its_cells(cells: int, seed: int) -> None:
    curves = np.random.default_rng(seed).random((3, cells), np.float32)
    levels = ZoomLevels(curves)
    for level in range(len(levels)):
        size = 2**level
        columns = -(-cells // size)
        tiles = [levels.tile(level, i) for i in range(-(-columns // TILE))]
        low, high = np.concatenate(tiles, axis=2)
        edges = np.arange(columns) * size
        np.testing.assert_array_equal(low, np.minimum.reduceat(curves, edges, axis=1))
        np.testing.assert_array_equal(high, np.maximum.reduceat(curves, edges, axis=1))
    assert columns <= TILE


@pytest.mark.parametrize(("level", "tile"), [(3, 0), (-1, 0), (0, 5), (0, -1), (2, 2)])
def test_tiles_that_are_not_there_are_refused(level: int, tile: int) -> None:
    levels = ZoomLevels(np.zeros((3, 4 * TILE + 1)))
    assert len(levels) == 4
    with pytest.raises(ProblemError, match=r"no (tile|level)"):
        levels.tile(level + 1 if level == 3 else level, tile)
