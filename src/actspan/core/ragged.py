"""Proposals of several videos in common columns, for kernels that take many videos at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from actspan.core.segments import Proposals


@dataclass(frozen=True, slots=True, eq=False)
class RaggedProposals:
    """Proposals of several videos in common columns, video after video.

    Examples
    --------
    >>> some = Proposals([0.1], [0.3], [0.8], unit="fraction")
    >>> [len(part) for part in RaggedProposals.of([some, Proposals.empty("fraction")])]
    [1, 0]
    """

    together: Proposals  # of all videos
    ends: NDArray[np.int64]  # (B,); rows of video b end before ends[b]

    @classmethod
    def of(cls, parts: Sequence[Proposals]) -> Self:
        """Join the proposals of several videos, one part per video, at least one."""
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        return cls(Proposals.concat(parts), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[Proposals]:
        """Iterate over the videos; yield each one's proposals, without a copy."""
        return (self.together[rows] for rows in self.rows())

    def rows(self) -> Iterator[slice]:
        """Yield the rows of each video in the columns."""
        begin = 0
        for end in self.ends.tolist():
            yield slice(begin, end)
            begin = end
