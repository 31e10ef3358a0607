"""Matches at one tIoU: instances and their best proposals, and proposals of two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from actspan.core.segments import Proposals
from actspan.core.tiou import evaluated_tiou, evaluated_tiou_matrix
from actspan.core.types import Float64
from actspan.evaluation.counting import Int64

_VIDEOS = 256  # videos whose overlaps are in memory together


class Matches(NamedTuple):
    """Instances (M) and proposals (N) of a video, joined at one tIoU threshold.

    `best` is the proposal of the largest tIoU of each instance, the first of equal ones, and -1
    where none overlaps; `tiou` is that overlap. `rank` is the first proposal that reaches the
    threshold, -1 if the instance is missed. `instance` is, for each proposal, the instance of the
    largest tIoU if that reaches the threshold, or else -1.
    """

    best: Int64  # (M,)
    tiou: Float64  # (M,)
    rank: Int64  # (M,)
    instance: Int64  # (N,)


def match_instances(segments: Float64, proposals: Proposals, threshold: float) -> Matches:
    """Join instances, (M, 2), with proposals, best first; both in seconds."""
    instances, count = len(segments), len(proposals)
    if not instances or not count:
        nothing = np.full(instances, -1)
        return Matches(nothing, np.zeros(instances), nothing, np.full(count, -1))
    start, end = segments.T
    overlap = evaluated_tiou_matrix(start, end, proposals.start, proposals.end)  # (M, N)
    best, nearest = overlap.argmax(axis=1), overlap.argmax(axis=0)
    tiou = overlap.max(axis=1)
    reached = overlap >= threshold
    return Matches(
        best=np.where(tiou > 0, best, -1),
        tiou=tiou,
        rank=np.where(reached.any(axis=1), reached.argmax(axis=1), -1),
        instance=np.where(overlap.max(axis=0) >= threshold, nearest, -1),
    )


def partners(a: Proposals, b: Proposals, threshold: float) -> Int64:
    """Return for each proposal of A the one of B with the largest tIoU, (N,).

    It is -1 where the largest tIoU does not reach the threshold.
    """
    if not len(b):
        return np.full(len(a), -1)
    overlap = evaluated_tiou_matrix(a.start, a.end, b.start, b.end)  # (N, M)
    return np.where(overlap.max(axis=1) >= threshold, overlap.argmax(axis=1), -1)


def count_unshared(
    a: Mapping[str, Proposals],
    b: Mapping[str, Proposals],
    names: Sequence[str],
    threshold: float,
    top: int,
) -> Int64:
    """Count per video the proposals, among the best of two runs, that only one of them has, (V,).

    Proposals are best first. Equals the number of -1 in `partners` of both directions.
    """
    first, second = (_padded(run, names, top) for run in (a, b))
    counts = np.zeros(len(names), np.int64)
    for begin in range(0, len(names), _VIDEOS):
        part = slice(begin, begin + _VIDEOS)
        overlap = evaluated_tiou(*first[:, part, :, None], *second[:, part, None, :])  # (v, N, N)
        for run, axis in ((first, 2), (second, 1)):
            exists = ~np.isnan(run[0, part])
            counts[part] += (exists & ~(overlap >= threshold).any(axis=axis)).sum(axis=1)
    return counts


def _padded(run: Mapping[str, Proposals], names: Sequence[str], top: int) -> Float64:
    """Return starts and ends of the best proposals, (2, V, top); NaN where there are fewer."""
    edges = np.full((2, len(names), top), np.nan)
    for number, name in enumerate(names):
        if (proposals := run.get(name)) is not None:
            best = proposals[:top]
            edges[:, number, : len(best)] = best.start, best.end
    return edges
