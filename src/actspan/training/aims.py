"""Targets of TEM for every cell of a batch, and which cells count."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from actspan.core.tiou import ioa_matrix
from actspan.core.types import Float32
from actspan.model.bsn.losses import tem_targets
from actspan.training.samples import Bool, Marks, Seen

_COVERED = 0.5  # a cell is ignored if more than this share of it is in an ignored stretch


class Aims(NamedTuple):
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
    def counts(self) -> Bool:
        """`counted` as an array, (B, T), even if all cells count."""
        B, _, T = self.targets.shape
        return np.ones((B, T), dtype=bool) if self.counted is None else self.counted

    @property
    def background(self) -> Bool:
        """Cells, (B, T), that count and lie in no instance and no boundary region."""
        quiet: Bool = (self.targets == 0).all(axis=1) & self.counts
        return quiet


def aims_of(seen: Seen) -> Aims:
    """Compute the targets of samples as a network sees them."""
    length = seen.features.shape[2]
    targets = np.stack([tem_targets(m.instances, length, clip=False) for m in seen.marks])
    if not any(len(marks.ignored) for marks in seen.marks):
        return Aims(targets, seen.real)
    unsure = np.stack([_unsure(marks, length) for marks in seen.marks])
    counted = ~(unsure & (targets[:, 0] <= _COVERED))
    return Aims(targets, counted if seen.real is None else counted & seen.real)


def _unsure(marks: Marks, length: int) -> Bool:
    edges = np.arange(length + 1) / length
    covered: Bool = (
        ioa_matrix(edges[:-1], edges[1:], *marks.ignored.T).max(axis=1, initial=0.0) > _COVERED
    )
    return covered
