"""BMN's map in parts: blocks of proposals for sampling, strips of the map for its wide layers.

Half of the map are no proposals, and sampling is a sparse product, which standard operators do not
have. Dense products of small blocks, and convolutions of strips that leave out most of the empty
half, give the same numbers in less time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from actspan.config.bmn import BmnConfig
from actspan.core.types import Float32
from actspan.model.bmn.sampling import (
    Integers,
    SampleWeights,
    map_cells,
    map_shape,
    sample_weights,
)

# Durations and positions of a block: larger blocks gather less and multiply more. On a processor
# the time hardly changes between 6 x 8 and 12 x 12.
_DURATIONS, _POSITIONS = 8, 8
_STRIP = 20  # rows of a strip
REACH = 2  # cells that the two 3 x 3 layers of the map see on each side


class SampleBlock(NamedTuple):
    """Sample weights of similar proposals, which depend on few columns of the mask.

    Attributes
    ----------
    proposals : (P,) int64
        Numbers of the proposals, as in `sample_weights`.
    columns : (K,) int64
        Columns t * N + n that they depend on.
    weights : (P, K) float32
        Their weights in each proposal.
    """

    proposals: Integers
    columns: Integers
    weights: Float32


class Rectangle(NamedTuple):
    """Cells of the map from `top` up to `bottom`, and from `left` up to `right`."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def cells(self) -> tuple[slice, slice]:
        """Index of these cells in an array of the map."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, margin: int, shape: tuple[int, int]) -> Rectangle:
        """Return the rectangle with a margin on each side, within a map of this shape."""
        top, left = max(self.top - margin, 0), max(self.left - margin, 0)
        bottom, right = min(self.bottom + margin, shape[0]), min(self.right + margin, shape[1])
        return Rectangle(top, bottom, left, right)


@lru_cache(maxsize=4)
def sample_blocks(config: BmnConfig) -> tuple[tuple[SampleBlock, ...], ...]:
    """Divide the sample weights (bmn.md section 2) into blocks, by bands of durations.

    Proposals of similar duration and centre are sampled at neighbouring positions. At T = 100, 91
    blocks have 8 MB of weights. The arrays are shared between calls.
    """
    sparse = sample_weights(config)
    cells = sparse.cells
    bands = (cells.lengths - 1) // _DURATIONS
    centres = (2 * cells.first + cells.lengths) // (2 * _POSITIONS)
    found: list[tuple[SampleBlock, ...]] = []
    for band in np.unique(bands):
        within = np.flatnonzero(bands == band)
        members = (within[centres[within] == centre] for centre in np.unique(centres[within]))
        found.append(tuple(_block(sparse, proposals) for proposals in members))
    return tuple(found)


def _block(sparse: SampleWeights, proposals: Integers) -> SampleBlock:
    """Return a block of these proposals."""
    dense = np.concatenate([sparse.dense(k, k + 1) for k in proposals])
    columns = np.flatnonzero(dense.any(axis=0))
    return SampleBlock(proposals, columns, dense[:, columns])


def map_strips(config: BmnConfig) -> list[Rectangle]:
    """Return strips of the map with all proposals, and all cells whose output depends on them.

    Outputs of other cells are constants of the weights.
    """
    rows, columns = map_shape(config)
    cells = map_cells(config)
    strips = []
    for top in range(0, rows, _STRIP):
        bottom = min(top + _STRIP, rows)
        near = (cells.rows >= top - REACH) & (cells.rows < bottom + REACH)
        left, right = int(cells.columns[near].min()), int(cells.columns[near].max()) + 1
        strip = Rectangle(top, bottom, max(left - REACH, 0), min(right + REACH, columns))
        strips.append(strip)
    return strips
