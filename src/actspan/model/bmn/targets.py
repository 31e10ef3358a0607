"""Training targets of BMN (bmn.md section 3)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.config.bmn import Anchor, BmnConfig
from actspan.core.tiou import ioa_matrix, tiou_matrix
from actspan.core.types import Float32, Float64
from actspan.model.bmn.sampling import map_cells, map_shape

_REGION = 1.5  # half width of the region around a start or an end, in cells
_ANCHORS: dict[Anchor, tuple[float, float]] = {  # start and end of the anchor of cell 0, in cells
    "cell": (0.0, 1.0),
    "around-cell": (-0.5, 1.5),
    "around-edge": (-0.5, 0.5),
}


class BmnTargets(NamedTuple):
    """Targets of a video or, with a first axis B, of a batch."""

    iou: Float32  # (R, C), by the axes of the map: the largest IoU with an instance
    start: Float32  # (T,), the largest share of the cell's anchor in the region of a start
    end: Float32  # (T,), the same for ends


def map_segments(config: BmnConfig) -> tuple[Float64, Float64]:
    """Return the start and the end of every proposal of the map, (R, C) float64, fractions.

    Proposals that do not fit into the video are included: those of axes "start-end" end at or
    before their start, those of "duration-start" end above 1.
    """
    width = 1.0 / config.length
    row, column = np.indices(map_shape(config), dtype=np.float64)
    if config.axes == "start-end":
        return width * row, width * (column + 1)
    start = width * column
    return start, start + width * (row + 1)  # the published sum, to the last bit


def fitting_proposals(config: BmnConfig) -> NDArray[np.bool_]:
    """Return which proposals of the map fit into the video, (R, C)."""
    fitting = np.zeros(map_shape(config), dtype=np.bool_)
    cells = map_cells(config)
    fitting[cells.rows, cells.columns] = True
    return fitting


def bmn_targets(
    instances: Float64, config: BmnConfig, anchor: Anchor, *, clip: bool = True
) -> BmnTargets:
    """Compute the IoU of every proposal of the map, and the scores of starts and ends.

    Parameters
    ----------
    instances : (M, 2) float64
        Start and end, fractions of the feature span.
    config : BmnConfig
        Number of cells, and the axes of the map.
    anchor : "cell", "around-cell" or "around-edge"
        Stretch that the scores of a cell speak of.
    clip : bool
        Clip instances to [0, 1] first, as published. False if the cells are a part of a video:
        a start or end outside then gives no target.

    Returns
    -------
    BmnTargets
        Zero for a video without instances. Of axes "start-end", proposals that end before their
        start have IoU 0; of "duration-start", those that end after the video have one, as
        published.

    Examples
    --------
    >>> config = BmnConfig(length=4, axes="start-end")
    >>> bmn_targets(np.array([[0.25, 0.75]]), config, "cell").iou[1]
    array([0.       , 0.5      , 1.       , 0.6666667], dtype=float32)
    """
    if clip:
        instances = np.clip(instances, 0.0, 1.0)
    first, last = map_segments(config)
    iou = np.zeros(first.size)
    for instance in instances:  # one by one: all at once would take much memory
        overlap = tiou_matrix(first.ravel(), last.ravel(), *instance[:, None])[:, 0]
        np.maximum(iou, overlap, out=iou)
    iou[(last <= first).ravel()] = 0.0
    start, end = (_boundary_targets(x, config.length, anchor) for x in instances.T)
    return BmnTargets(iou.reshape(first.shape).astype(np.float32), start, end)


def _boundary_targets(boundaries: Float64, length: int, anchor: Anchor) -> Float32:
    """Compute the largest share of each cell's anchor that lies in the region of a boundary."""
    width = 1.0 / length
    cells = np.arange(length, dtype=np.float64)
    low, high = (width * (cells + offset) for offset in _ANCHORS[anchor])
    seen = boundaries[(boundaries >= 0) & (boundaries <= 1)]
    half = _REGION * width
    shares = ioa_matrix(low, high, seen - half, seen + half)
    targets: Float32 = shares.max(axis=1, initial=0.0).astype(np.float32)
    return targets
