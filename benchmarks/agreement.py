"""Agreement of the proposals of two sides: speeds are compared only if the answers are equal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from actspan import Proposals


class Agreement(NamedTuple):
    """Agreement of two sets of results on the videos that both have."""

    videos: int
    same: int  # videos with equal segments in equal order, and scores that agree
    apart: float  # largest relative difference of scores where segments are equal

    def __str__(self) -> str:
        return (
            f"both sides: same segments and scores on {self.same} of {self.videos} videos "
            f"(scores within {self.apart:.0e} relative)"
        )


def read_result(path: Path) -> dict[str, Proposals]:
    """Return the proposals of each video of a result file, in seconds."""
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    proposals = {}
    for video, entries in results.items():
        segments = np.array([entry["segment"] for entry in entries]).reshape(-1, 2)
        scores = np.array([entry["score"] for entry in entries])
        proposals[video] = Proposals(segments[:, 0], segments[:, 1], scores)
    return proposals


def compare(
    ours: Mapping[str, Proposals], theirs: Mapping[str, Proposals], *, tolerance: float = 1e-6
) -> Agreement:
    """Compare each video of `theirs` with the same video of `ours`; scores by relative error."""
    same, largest = 0, 0.0
    for video, expected in theirs.items():
        found = ours[video]
        if not _same_segments(found, expected):
            continue
        apart = float(np.max(np.abs(found.score / expected.score - 1), initial=0.0))
        largest = max(largest, apart)
        same += apart <= tolerance
    return Agreement(len(theirs), same, largest)


def _same_segments(a: Proposals, b: Proposals) -> bool:
    return len(a) == len(b) and all(
        np.allclose(x, y, rtol=1e-9, atol=1e-9) for x, y in ((a.start, b.start), (a.end, b.end))
    )
