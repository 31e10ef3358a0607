"""Augmentation from two videos: mix in a background, or splice in a stretch.

Both work on TEM's input batch and use its videos as each other's partners, so they cost almost
nothing. No instance is cut, and none is mixed in at reduced strength.
"""

from __future__ import annotations

import numpy as np
import torch

from actspan.core.types import Float32
from actspan.training.aims import Aims
from actspan.training.samples import Bool, Int64


def mix_backgrounds(
    features: Float32, aims: Aims, strongest: float, draw: torch.Generator
) -> Float32:
    """Add to each video a share of its partner, in cells where the partner shows background.

    Parameters
    ----------
    features : (B, C, T) float32
    strongest : float
        Upper bound of the random shares.

    Returns
    -------
    (B, C, T) float32
    """
    partner = _partners(len(features), draw)
    share = strongest * torch.rand(len(features), generator=draw).numpy()  # (B,) float32
    weight = (share[:, None] * aims.background[partner]).astype(np.float32)  # (B, T)
    return features + weight[:, None] * (features[partner] - features)


def splice(
    features: Float32, aims: Aims, chance: float, draw: torch.Generator
) -> tuple[Float32, Aims]:
    """Replace a stretch of some videos by the same stretch of their partner.

    A stretch starts and ends where both videos show background, or at the ends of the video.

    Parameters
    ----------
    features : (B, C, T) float32
    chance : float
        Probability for each video.
    """
    partner = _partners(len(features), draw)
    inside = _stretches(aims.background & aims.background[partner], chance, draw)  # (B, T)
    both = inside[:, None]
    targets = np.where(both, aims.targets[partner], aims.targets)
    counted = aims.counted
    if counted is not None:
        counted = np.where(inside, counted[partner], counted)
    return np.where(both, features[partner], features), Aims(targets, counted)


def _stretches(cuttable: Bool, chance: float, draw: torch.Generator) -> Bool:
    """Draw a stretch between two cells of every chosen row of `cuttable`, (B, T)."""
    B, T = cuttable.shape
    drawn = torch.rand((3, B), generator=draw).numpy()
    inside = np.zeros((B, T), dtype=bool)
    for k in np.flatnonzero(drawn[0] < chance).tolist():
        cuts = np.unique([0, *np.flatnonzero(cuttable[k]), T])
        first, last = np.sort(cuts[(drawn[1:, k] * len(cuts)).astype(int)])
        inside[k, first:last] = True
    return inside


def _partners(count: int, draw: torch.Generator) -> Int64:
    """Draw a partner for each of `count` videos; a single video is its own partner."""
    order = torch.randperm(count, generator=draw).numpy()
    partner = np.empty(count, dtype=np.int64)
    partner[order] = np.roll(order, 1)
    return partner
