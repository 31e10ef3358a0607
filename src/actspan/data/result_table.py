"""Proposals of many videos as parallel arrays, without an object per proposal or video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from actspan.core.types import Float64, Proposals


@dataclass(frozen=True, slots=True, eq=False)
class ResultTable:
    """Proposals of V videos, seconds.

    Attributes
    ----------
    ids : tuple of str
        Without `v_`.
    counts : (V,) int64
        Number of proposals per video; they are stored in the order of `ids`.
    start, end, score : (P,) float64
    notes : tuple of str
        Notes about what was dropped from the ids of a file.
    """

    ids: tuple[str, ...]
    counts: NDArray[np.int64]
    start: Float64
    end: Float64
    score: Float64
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, proposals: Mapping[str, Proposals]) -> Self:
        """Return a table with the proposals of videos one after the other."""
        parts = proposals.values()
        none = np.empty(0)
        return cls(
            tuple(proposals),
            np.fromiter(map(len, parts), np.int64, len(parts)),
            np.concatenate([none, *(part.start for part in parts)]),
            np.concatenate([none, *(part.end for part in parts)]),
            np.concatenate([none, *(part.score for part in parts)]),
        )

    @property
    def first(self) -> NDArray[np.int64]:
        """Index of the first proposal of each video, (V,)."""
        first: NDArray[np.int64] = np.cumsum(self.counts) - self.counts
        return first

    def by_video(self) -> dict[str, Proposals]:
        """Return the proposals of each video, as views of the table's arrays."""
        first = self.first.tolist()
        ends = (self.first + self.counts).tolist()
        return {
            video: Proposals(self.start[a:b], self.end[a:b], self.score[a:b])
            for video, a, b in zip(self.ids, first, ends, strict=True)
        }
