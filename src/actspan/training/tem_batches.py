"""TEM's training batches: targets of every cell, and augmentation from two videos.

The augmentations use the videos of a batch as each other's partners, so they cost almost nothing.
No instance is cut, and none is mixed in at reduced strength.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from actspan.core.tiou import ioa_matrix
from actspan.core.types import Float32
from actspan.model.bsn.losses import tem_targets
from actspan.training.samples import Bool, Int64, SampleBatch, SampleLabels

_COVERED = 0.5  # a cell is ignored if more than this share of it is in an ignored stretch


class CellTargets(NamedTuple):
    """Targets of a batch.

    Attributes
    ----------
    targets : (B, 3, T) float32
        Action, start, end.
    counted : (B, T) bool, optional
        False for padded and for ambiguous cells, which do not count in the loss; None if all
        count.
    """

    targets: Float32
    counted: Bool | None

    @property
    def mask(self) -> Bool:
        """`counted` as an array, (B, T), even if all cells count."""
        B, _, T = self.targets.shape
        return np.ones((B, T), dtype=bool) if self.counted is None else self.counted

    @property
    def background(self) -> Bool:
        """Cells, (B, T), that count and lie in no instance and no boundary region."""
        background: Bool = (self.targets == 0).all(axis=1) & self.mask
        return background


def cell_targets(batch: SampleBatch) -> CellTargets:
    """Compute the targets of samples."""
    length = batch.features.shape[2]
    targets = np.stack([tem_targets(one.instances, length, clip=False) for one in batch.labels])
    if not any(len(one.ignored) for one in batch.labels):
        return CellTargets(targets, batch.real)
    ambiguous = np.stack([_ambiguous(one, length) for one in batch.labels])
    counted = ~(ambiguous & (targets[:, 0] <= _COVERED))
    return CellTargets(targets, counted if batch.real is None else counted & batch.real)


def _ambiguous(labels: SampleLabels, length: int) -> Bool:
    edges = np.arange(length + 1) / length
    shares = ioa_matrix(edges[:-1], edges[1:], *labels.ignored.T)
    covered: Bool = shares.max(axis=1, initial=0.0) > _COVERED
    return covered


def mix_backgrounds(
    features: Float32, targets: CellTargets, strongest: float, draw: torch.Generator
) -> Float32:
    """Add to each video a share of its partner, in cells where the partner shows background.

    `features` and the result are (B, C, T) float32; `strongest` bounds the random shares.
    """
    partner = _partners(len(features), draw)
    share = strongest * torch.rand(len(features), generator=draw).numpy()  # (B,) float32
    weight = (share[:, None] * targets.background[partner]).astype(np.float32)  # (B, T)
    return features + weight[:, None] * (features[partner] - features)


def splice(
    features: Float32, targets: CellTargets, chance: float, draw: torch.Generator
) -> tuple[Float32, CellTargets]:
    """Replace a stretch of some videos by the same stretch of their partner.

    A stretch starts and ends where both videos show background, or at the ends of the video.
    `features` are (B, C, T) float32; `chance` is the probability per video.
    """
    partner = _partners(len(features), draw)
    cuttable = targets.background & targets.background[partner]
    inside = _stretches(cuttable, chance, draw)  # (B, T)
    both = inside[:, None]
    spliced = np.where(both, targets.targets[partner], targets.targets)
    counted = targets.counted
    if counted is not None:
        counted = np.where(inside, counted[partner], counted)
    return np.where(both, features[partner], features), CellTargets(spliced, counted)


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
