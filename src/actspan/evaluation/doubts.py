"""Notes about doubtful results: swapped, outside the video, repeated, in another unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from actspan.core.types import Float64
from actspan.core.wording import counted
from actspan.data.results import ResultTable
from actspan.data.times import far_beyond


def doubtful(start: Float64, end: Float64, beyond: int) -> Iterator[str]:
    """Yield a note about results that cannot match anything, if there are any.

    Parameters
    ----------
    start, end : (P,) float64
        Seconds.
    beyond : int
        Number of results that start after the end of their video.
    """
    of = f"of {counted(len(start), 'result')}"
    if turned := int(np.count_nonzero(end < start)):
        yield f"{turned:,} {of} end before they start: they match nothing"
    if beyond:
        unit = "; are their times frames?" if 2 * beyond > len(start) else ""
        yield f"{beyond:,} {of} start after the end of their video: they match nothing{unit}"


def repeated(thing: str, start: Float64, end: Float64, first: NDArray[np.int64]) -> Iterator[str]:
    """Yield a note about results that repeat the previous one, if there are any.

    Parameters
    ----------
    start, end : (P,) float64
        Seconds; by falling score within each video, so that duplicates are adjacent.
    first : (R,) int64
        Index of the first result of each video, or class.
    """
    again = np.flatnonzero(start[1:] == start[:-1]) + 1
    again = np.setdiff1d(again[end[again] == end[again - 1]], first)
    if len(again):
        of = f"{len(again):,} of {counted(len(start), thing)}"
        yield f"{of} are there twice: same segment, one after the other by score"


def other_unit(
    segments: Sequence[Float64],
    found: ResultTable,
    first: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[str, ...]:
    """Return a note if times of ground truth and proposals seem to have different units.

    Parameters
    ----------
    first, counts : (V,) int64
        Index of each video's first proposal in `found`, and number of its proposals.
    """
    if not counts.any():
        return ()
    last = np.maximum.reduceat(np.append(found.end, 0.0), found.first)  # wrong where there are none
    row = np.searchsorted(found.first, first, side="right") - 1
    latest = np.where(counts > 0, last[row], np.nan)
    ends = np.concatenate(segments)[:, 1]
    if far_beyond(ends, np.repeat(latest, list(map(len, segments)))) is None:
        return ()
    return (
        "most instances end after all proposals of their video, and far: times of the ground truth "
        "or of the result may not be seconds (actspan annotate convert --times)",
    )
