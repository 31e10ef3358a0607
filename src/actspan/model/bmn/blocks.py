"""The sparse product of BMN's sampling as small dense products, which every runtime has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.config.bmn import BmnConfig
from actspan.core.types import Float32
from actspan.model.bmn.sampling import map_shape, sample_weights

# Durations and starts of a block. Larger blocks gather less and multiply more.
_DURATIONS, _STARTS = 8, 8
_SIZE = _DURATIONS * _STARTS


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlocks:
    """Sample weights of blocks of similar proposals, which depend on few columns of the mask.

    Attributes
    ----------
    columns : (blocks, K) int32
        Columns t * N + n that the proposals of a block depend on; 0 where there are fewer.
    weights : (blocks, 64, K) float32
        Their weights in each proposal; 0 for entries that are no proposal.
    positions : (rows * columns,) int32
        Entry of each cell of the map in the blocks, flattened; that after the last one for cells
        that are no proposal.
    """

    columns: NDArray[np.int32]
    weights: Float32
    positions: NDArray[np.int32]


def sample_blocks(config: BmnConfig) -> SampleBlocks:
    """Divide the sample weights (bmn.md section 2) into blocks: the same numbers, 11 MB at T = 100.

    Neighbouring starts and durations are sampled at neighbouring positions. The arrays are shared
    between calls and read-only.
    """
    used = ("axes", "length", "durations", "samples")  # the other settings do not matter
    sizes: dict[str, Any] = {name: getattr(config, name) for name in used}
    return _sample_blocks(BmnConfig(**sizes))


@lru_cache(maxsize=2)
def _sample_blocks(config: BmnConfig) -> SampleBlocks:
    sparse = sample_weights(config)
    cells, width = sparse.cells, sparse.shape[1]
    durations, starts = cells.rows, cells.columns
    if config.axes == "start-end":
        durations, starts = cells.columns - cells.rows, cells.rows
    tile = durations // _DURATIONS * config.length + starts // _STARTS
    block: NDArray[np.int64]
    blocks, block = np.unique(tile, return_inverse=True)
    entry = durations % _DURATIONS * _STARTS + starts % _STARTS
    owner = np.repeat(np.arange(len(tile)), np.diff(sparse.offsets))
    used, place = np.unique(block[owner] * width + sparse.indices, return_inverse=True)
    counts = np.bincount(used // width, minlength=len(blocks))
    rank = np.arange(len(used)) - (np.cumsum(counts) - counts)[used // width]
    columns = np.zeros((len(blocks), counts.max()), np.int32)
    columns[used // width, rank] = used % width
    weights = np.zeros((len(blocks), _SIZE, counts.max()), np.float32)
    weights[block[owner], entry[owner], rank[place]] = sparse.values
    positions = np.full(map_shape(config), len(blocks) * _SIZE, np.int32)
    positions[cells.rows, cells.columns] = block * _SIZE + entry
    for array in (columns, weights, positions):
        array.flags.writeable = False
    return SampleBlocks(columns, weights, positions.ravel())
