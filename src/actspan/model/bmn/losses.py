"""Training losses of BMN (bmn.md section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from actspan.config.bmn import BmnLossConfig

BOUNDARY = 0.5  # share of a cell's anchor above which the cell is a start or an end
POSITIVE = 0.9  # IoU above which a proposal is a positive of the classification
HIGH, LOW = 0.7, 0.3  # IoU above which a proposal is good, and up to which it is bad


@dataclass(frozen=True, slots=True)
class BmnLoss:
    """Loss of BMN, total and by part; scalars."""

    total: Tensor
    boundaries: Tensor
    regression: Tensor
    classification: Tensor


def bmn_loss(
    scores: tuple[Tensor, Tensor, Tensor],
    targets: tuple[Tensor, Tensor, Tensor],
    config: BmnLossConfig,
    proposals: Tensor,
    *,
    cells: Tensor | None = None,
    draws: tuple[Tensor, Tensor] | None = None,
) -> BmnLoss:
    """Compute boundaries + `config.regression_weight` * regression + classification.

    Parameters
    ----------
    scores : three tensors
        Confidence map (B, 2, R, C), start and end scores (B, T), in [0, 1].
    targets : three tensors
        IoU (B, R, C), start and end (B, T).
    proposals : (R, C) or (B, R, C) bool
        False for proposals of the map that do not count: those that do not fit into the video.
    cells : (B, T) bool, optional
        False for padded cells, which are left out.
    draws : two tensors, optional
        Output of `draw_proposals`: random numbers that select proposals for the regression.
        Without them every proposal is weighted by its probability of being selected.
    """
    confidence, *boundaries = scores
    iou, *boundary_targets = targets
    of_boundaries = [
        _weighted_logistic(score, target > BOUNDARY, cells, config)
        for score, target in zip(boundaries, boundary_targets, strict=True)
    ]
    proposals = proposals.expand(iou.shape)
    classification = _weighted_logistic(confidence[:, 1], iou > POSITIVE, proposals, config)
    weights = regression_weights(iou, proposals, config, draws=draws)
    squares = (weights * (confidence[:, 0] - iou).square()).sum()
    regression = 0.5 * squares / weights.sum().clamp(min=1.0)
    tem = of_boundaries[0] + of_boundaries[1]
    total = tem + config.regression_weight * regression + classification
    return BmnLoss(total, tem, regression, classification)


def _weighted_logistic(
    probabilities: Tensor, positive: Tensor, counted: Tensor | None, config: BmnLossConfig
) -> Tensor:
    """Compute the logistic loss with equal total weight for positives and negatives, a scalar.

    The numbers of positives and negatives count as one at least, so that a batch that lacks one of
    them has a finite loss.
    """
    negative, positives = ~positive, positive.sum().clamp(min=1)
    entries = torch.tensor(positive.numel())
    if counted is not None:
        positive, negative = positive & counted, negative & counted
        positives = positive.sum().clamp(min=1)
        entries = (positives + negative.sum()).clamp(min=2)  # as published, without a positive too
    ratio = entries / positives.minimum(entries - 1)
    ratio = ratio.clamp(config.least_ratio, config.most_ratio)
    negative_weight = 0.5 * ratio / (ratio - 1)
    positive_weight = negative_weight * (ratio - 1)
    gain = (
        positive_weight * (positive * torch.log(probabilities + config.epsilon)).sum()
        + negative_weight * (negative * torch.log(1 - probabilities + config.epsilon)).sum()
    )
    return -gain / entries


def regression_weights(
    iou: Tensor,
    counted: Tensor,
    config: BmnLossConfig,
    *,
    draws: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Compute the weight of each proposal of a batch in the regression: (B, R, C) float32.

    Good proposals have weight 1. As many middle and as many bad ones are selected, or all if there
    are fewer; none if no proposal is good. The published code selects every proposal of the map
    if there are fewer of a group than good ones.

    Parameters
    ----------
    iou : (B, R, C) float32
        Good above 0.7, bad up to 0.3. Proposals without any overlap are left out, unless
        `config.without_overlap`.
    counted : (B, R, C) bool
        Other proposals have weight 0.
    draws : two (B, R, C) tensors, optional
        For the middle and the bad ones. Without them the weights are probabilities, else 0 or 1.
    """
    high = (iou > HIGH) & counted
    middle = (iou > LOW) & (iou <= HIGH) & counted
    low = (iou <= LOW) & counted
    if not config.without_overlap:
        low &= iou > 0
    weights = high.float()
    for group, draw in zip((middle, low), draws or (None, None), strict=True):
        share = (high.sum() / group.sum().clamp(min=1)).clamp(max=1.0)
        chosen = share if draw is None else (draw > 1.0 - share).float()
        weights = weights + group * chosen
    return weights


def draw_proposals(
    shape: tuple[int, ...], config: BmnLossConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw uniform numbers that select proposals for the regression: two tensors, (B, R, C)."""
    drawn = (1, *shape[1:]) if config.shared_draw else shape
    middle, low = (torch.rand(drawn, generator=generator) for _ in range(2))
    return middle.expand(shape), low.expand(shape)
