"""Training targets of TEM and PEM (paper section 3.4, bsn.md sections 3 and 6)."""

from __future__ import annotations

import numpy as np

from actspan.core.tiou import ioa_matrix
from actspan.core.types import Float32, Float64, Proposals
from actspan.proposals.candidates import match_instances

BOUNDARY_SHARE = 0.1  # width of a start or end region, as a share of its instance


def tem_targets(instances: Float64, length: int = 100, *, clip: bool = True) -> Float32:
    """Compute the share of each cell covered by an action, by a start and by an end region.

    Parameters
    ----------
    instances : (M, 2) float64
        Start and end, fractions of the feature span.
    length : int
        T, the number of cells.
    clip : bool
        Clip instances to [0, 1] first, as published. False if the cells are a part of a video:
        a start or end outside then gives no target.

    Returns
    -------
    (3, T) float32
        Largest share of the cell that one instance's region covers: action, start, end.

    Examples
    --------
    >>> tem_targets(np.array([[0.25, 0.75]]), length=4)[0]
    array([0., 1., 1., 0.], dtype=float32)
    """
    targets = np.zeros((3, length), dtype=np.float32)
    if len(instances) == 0:
        return targets
    start, end = np.clip(instances, 0.0, 1.0).T if clip else instances.T
    half = np.maximum(1.0 / length, BOUNDARY_SHARE * (end - start)) / 2
    low = np.arange(length) / length
    high = np.arange(1, length + 1) / length
    targets[0] = ioa_matrix(low, high, start, end).max(axis=1)
    for row, boundary in zip(targets[1:], (start, end), strict=True):
        seen = (boundary >= 0) & (boundary <= 1)
        centre, width = boundary[seen], half[seen]
        row[:] = ioa_matrix(low, high, centre - width, centre + width).max(axis=1, initial=0.0)
    return targets


def pem_targets(candidates: Proposals, instances: Float64) -> Float32:
    """Compute the largest tIoU of each candidate with an instance: match_iou, not clipped.

    Parameters
    ----------
    candidates : Proposals
        N candidates of one video.
    instances : (M, 2) float64
        In the coordinates of the candidates.

    Returns
    -------
    (N,) float32
        Zero everywhere for a video without instances.

    Examples
    --------
    >>> pem_targets(Proposals([0.2], [0.4], [1.0]), np.array([[0.2, 0.6]]))
    array([0.5], dtype=float32)
    """
    if len(instances) == 0:
        return np.zeros(len(candidates), dtype=np.float32)
    return match_instances(candidates, instances)[0].astype(np.float32)
