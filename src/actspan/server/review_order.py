"""All proposals of a run in one table, and the order in which people review them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from actspan.core.types import Float64
from actspan.server.browsed_run import BrowsedRun


@dataclass(frozen=True, slots=True, eq=False)
class ProposalTable:
    """All proposals of a run, best first in each video; P in all."""

    videos: tuple[str, ...]
    first: NDArray[np.int64]  # (V + 1,), index of the first proposal of each video
    start: Float64  # (P,), seconds, as `end`
    end: Float64
    score: Float64

    @property
    def rank(self) -> NDArray[np.int64]:
        """Rank of each proposal in its video, (P,)."""
        ranks: NDArray[np.int64] = np.arange(len(self.score)) - np.repeat(
            self.first[:-1], np.diff(self.first)
        )
        return ranks

    def find(self, number: int, start: float, end: float) -> int | None:
        """Return the index of a proposal of a video, or None."""
        own = slice(self.first[number], self.first[number + 1])
        equal = np.flatnonzero((self.start[own] == start) & (self.end[own] == end))
        return int(self.first[number] + equal[0]) if len(equal) else None

    @classmethod
    def read(cls, run: BrowsedRun) -> Self:
        """Return the table of a run."""
        parts = list(run.result.values())
        columns = (
            np.concatenate([np.empty(0), *(getattr(part, name) for part in parts)])
            for name in ("start", "end", "score")
        )
        first = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
        return cls(tuple(run.result), first.astype(np.int64), *columns)


def distance_from_doubt(
    score: Float64, is_open: NDArray[np.bool_], is_rejected: NDArray[np.bool_]
) -> Float64:
    """Return the distance of each score from the middle of what was decided, (P,).

    The middle lies between the medians of the accepted (or edited) and of the rejected. Before
    there are both, it is the median of all.
    """
    is_accepted = ~is_open & ~is_rejected
    if is_accepted.any() and is_rejected.any():
        middle = (np.median(score[is_accepted]) + np.median(score[is_rejected])) / 2
    else:
        middle = np.median(score) if len(score) else np.float64(0)
    distance: Float64 = np.abs(score - middle)
    return distance
