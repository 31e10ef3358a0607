"""Pooled features of the snippets of a proposal: a kernel and its plain twin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from actspan.core.kernels import kernel
from actspan.core.types import Features, Float32, Float64, Proposals

PARTS = 3  # mean inside, mean of the context before, mean of the context after
CONTEXT = 0.25  # length of each context, as a share of the proposal's length
_ROWS = 4096  # snippets read at a time, so that a recording of a day fits into memory

Int64 = NDArray[np.int64]


class Snippets(Protocol):
    """Features that can be read in parts: `Features`, or a recording on disk."""

    def __len__(self) -> int: ...

    def rows(self, first: int, last: int) -> Features:
        """Return the snippets first <= i < last."""
        ...


class Place(NamedTuple):
    """Snippet ranges of proposals, (N,) int64 each: inside first <= i < last, context around it."""

    before: Int64
    first: Int64
    last: Int64
    after: Int64


def pool_features(source: Snippets, proposals: Proposals) -> Float32:
    """Compute mean features inside, shortly before and shortly after each proposal.

    A snippet is inside if its centre is; a proposal between two centres gets the nearest
    snippet. Beyond the ends of the recording, the context is the outermost snippet.

    Parameters
    ----------
    source : Features or recording
        n snippets of C channels.
    proposals : Proposals
        N proposals, seconds.

    Returns
    -------
    (N, 3 C) float32
        Means inside, before, after.

    Examples
    --------
    >>> steps = Features(np.arange(4.0)[:, None], stride=1.0, length=1.0)
    >>> pool_features(steps, Proposals([1.0], [3.0], [0.9]))
    array([[1.5, 0. , 3. ]], dtype=float32)
    """
    seconds = _seconds(source)
    place = locate(proposals.start / seconds, proposals.end / seconds, len(source))
    channels = source.rows(0, 1).values.shape[1]
    out = np.empty((len(proposals), PARTS * channels), dtype=np.float32)
    for chosen, low, high in _blocks(place):
        values = source.rows(low, high).values
        before, first, last, after = (bound[chosen] - low for bound in place)
        _pool(values, before, first, last, after, chosen, out)
    return out


def pool_features_plain(source: Snippets, proposals: Proposals) -> Float32:
    """Compute `pool_features` in plain NumPy."""
    seconds, values = _seconds(source), source.rows(0, len(source)).values
    place = locate(proposals.start / seconds, proposals.end / seconds, len(source))
    rows = [
        np.concatenate(
            [
                values[first:last].mean(axis=0),
                values[before:first].mean(axis=0) if before < first else values[first],
                values[last:after].mean(axis=0) if last < after else values[last - 1],
            ]
        )
        for before, first, last, after in zip(*(bound.tolist() for bound in place), strict=True)
    ]
    return np.array(rows, np.float32).reshape(-1, PARTS * values.shape[1])


def _seconds(source: Snippets) -> float:
    """Return the duration of the whole recording in results, seconds."""
    return source.rows(0, 1).seconds * len(source)


def locate(start: Float64, end: Float64, snippets: int) -> Place:
    """Return the snippets inside and around segments, given as fractions of the span."""
    first = np.ceil(start * snippets - 0.5)
    last = np.floor(end * snippets - 0.5) + 1
    middle = np.floor((start + end) / 2 * snippets)
    first, last = (np.where(last > first, x, y) for x, y in ((first, middle), (last, middle + 1)))
    first = np.clip(first, 0, snippets - 1).astype(np.int64)
    last = np.clip(last, first + 1, snippets).astype(np.int64)
    around = np.maximum(np.rint(CONTEXT * (last - first)), 1).astype(np.int64)
    return Place(np.maximum(first - around, 0), first, last, np.minimum(last + around, snippets))


def _blocks(place: Place) -> Iterator[tuple[Int64, int, int]]:
    """Yield groups of nearby proposals, and the range of snippets that each group needs."""
    order = np.argsort(place.before, kind="stable")
    begin = 0
    while begin < len(order):
        low = int(place.before[order[begin]])
        reach = np.maximum.accumulate(place.after[order[begin:]])
        count = max(int(np.searchsorted(reach, low + _ROWS, "right")), 1)
        yield order[begin : begin + count], low, int(reach[count - 1])
        begin += count


@kernel
def _pool(
    values: Float32,
    before: Int64,
    first: Int64,
    last: Int64,
    after: Int64,
    rows: Int64,
    out: Float32,
) -> None:
    channels = values.shape[1]
    for k in range(len(rows)):
        row = out[rows[k]]
        _mean(values, first[k], last[k], first[k], row[:channels])
        _mean(values, before[k], first[k], first[k], row[channels : 2 * channels])
        _mean(values, last[k], after[k], last[k] - 1, row[2 * channels :])


@kernel
def _mean(values: Float32, first: int, last: int, instead: int, out: Float32) -> None:
    """Write the mean of the snippets first <= i < last, or snippet `instead` if there are none."""
    if first == last:
        out[:] = values[instead]
        return
    out[:] = 0.0
    for i in range(first, last):
        for c in range(len(out)):
            out[c] += values[i, c]
    share = np.float32(1.0 / (last - first))
    for c in range(len(out)):
        out[c] *= share
