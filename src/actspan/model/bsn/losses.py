"""Training targets and losses of TEM and PEM (paper section 3.4, bsn.md sections 3 and 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from actspan.config.training import PemLoss
from actspan.core.segments import Proposals
from actspan.core.tiou import ioa_matrix
from actspan.core.types import Float32, Float64
from actspan.proposals.candidates import match_instances

BOUNDARY_SHARE = 0.1  # width of a start or end region, as a share of its instance
POSITIVE = 0.5  # a cell is positive if more than this share of it is covered
EPSILON = 1e-5  # keeps the logarithm finite, as published

HIGH, LOW = 0.6, 0.2  # IoU above which a proposal is good, and below which it is bad
MIDDLE_RATIO, LOW_RATIO = 1.0, 2.0  # samples per good proposal


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
    """Compute the largest tIoU of each of N candidates with an instance: match_iou, not clipped.

    `instances`, (M, 2), are in the coordinates of the candidates. Return (N,) float32, zero
    everywhere for a video without instances.

    Examples
    --------
    >>> pem_targets(Proposals([0.2], [0.4], [1.0], unit="fraction"), np.array([[0.2, 0.6]]))
    array([0.5], dtype=float32)
    """
    if len(instances) == 0:
        return np.zeros(len(candidates), dtype=np.float32)
    return match_instances(candidates, instances)[0].astype(np.float32)


@dataclass(frozen=True, slots=True)
class TemLoss:
    """Loss of TEM, total and per channel; scalars."""

    total: Tensor
    action: Tensor
    start: Tensor
    end: Tensor


def tem_loss(
    probabilities: Tensor,
    targets: Tensor,
    *,
    action_weight: float = 2.0,
    real: Tensor | None = None,
) -> TemLoss:
    """Compute the class-balanced logistic loss: action_weight * action + start + end.

    Probabilities and targets are (B, 3, T) in [0, 1]: action, start, end. `real`, (B, T), is False
    for padded cells, which are left out. A weight of 2 is published.
    """
    if real is not None:
        probabilities, targets = (
            x.transpose(1, 2)[real].T[None] for x in (probabilities, targets)
        )  # (1, 3, real cells)
    action, start, end = (
        balanced_logistic(probabilities[:, k], targets[:, k] > POSITIVE) for k in range(3)
    )
    return TemLoss(action_weight * action + start + end, action, start, end)


def balanced_logistic(probabilities: Tensor, positive: Tensor) -> Tensor:
    """Compute the logistic loss with equal total weight for positives and negatives, a scalar.

    The number of positives is clamped to [1, entries - 1], so that a batch without positives, or
    without negatives, has a finite loss; it is 0 if there are no entries.
    """
    entries = positive.numel()
    if entries == 0:  # no cell of the batch counts
        return probabilities.sum()
    ratio = entries / positive.sum().clamp(1, entries - 1)
    negative_weight = 0.5 * ratio / (ratio - 1)
    positive_weight = negative_weight * (ratio - 1)
    gain = torch.where(
        positive,
        positive_weight * torch.log(probabilities + EPSILON),
        negative_weight * torch.log(1 - probabilities + EPSILON),
    )
    return -gain.mean()


def pem_loss(
    predicted: Tensor, targets: Tensor, kind: PemLoss, *, generator: torch.Generator | None = None
) -> Tensor:
    """Compute the distance of the predicted from the true IoU, (N,) in [0, 1]; a scalar.

    Parameters
    ----------
    kind : "published", "weighted" or "weighted-logistic"
        The plain mean of smooth L1; its mean over good, and sampled middle and bad proposals (as
        the paper intends); the same mean of the cross entropy between both IoU.
    generator : torch.Generator, optional
        Draws the sample; without it every proposal is weighted by its probability of being drawn.
    """
    each = _DISTANCES[kind](predicted, targets, reduction="none")  # (N,)
    if kind == "published":
        return each.mean()
    weights = proposal_weights(targets, generator=generator)
    return (each * weights).sum() / weights.sum().clamp(min=1.0)


_DISTANCES: dict[PemLoss, Callable[..., Tensor]] = {
    "published": functional.smooth_l1_loss,
    "weighted": functional.smooth_l1_loss,
    "weighted-logistic": functional.binary_cross_entropy,
}


def proposal_weights(targets: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Compute the weight of each proposal: 1 for good ones; middle and bad ones are balanced.

    Targets are IoU, (N,); good above 0.6, bad below 0.2. The weights select as many middle and
    twice as many bad proposals as good ones (counting at least one), or all if there are fewer.
    With a generator they are drawn, 0 or 1; without one they are probabilities.
    """
    good, bad = targets > HIGH, targets < LOW
    middle = ~(good | bad)
    wanted = good.sum().clamp(min=1)
    chance = (
        good.float()
        + middle * _chance(MIDDLE_RATIO * wanted, middle)
        + bad * _chance(LOW_RATIO * wanted, bad)
    )  # (N,)
    if generator is None:
        return chance
    drawn = torch.rand(targets.shape, generator=generator, device=targets.device)
    return (drawn < chance).float()


def _chance(wanted: Tensor, members: Tensor) -> Tensor:
    return (wanted / members.sum().clamp(min=1)).clamp(max=1.0)
