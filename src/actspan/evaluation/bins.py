"""Bins: recall of instances by length, coverage and crowd; tIoU of proposals by score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from actspan.core.tiou import evaluated_tiou_matrix
from actspan.core.types import Float64, Proposals

# Upper limits of the share of the video that an instance covers, and of instances per video, as in
# DETAD.
COVERAGE = (
    ("XS", "up to 0.2", 0.2),
    ("S", "0.2 to 0.4", 0.4),
    ("M", "0.4 to 0.6", 0.6),
    ("L", "0.6 to 0.8", 0.8),
    ("XL", "over 0.8", np.inf),
)
CROWD = (("XS", "1", 1.0), ("S", "2 to 4", 4.0), ("M", "5 to 8", 8.0), ("L", "over 8", np.inf))
LENGTH = ("XS", "S", "M", "L", "XL")  # quintiles, as lengths differ by dataset
SCORE_BINS = 20


@dataclass(frozen=True, slots=True)
class Bin:
    """Instances of one kind, and how many of them are found."""

    name: str
    range: str  # description of its limits
    instances: int
    recall: tuple[float, ...]  # share that is found at each threshold, [0, 1]; NaN if empty

    @property
    def average_recall(self) -> float:
        """Mean recall over the thresholds."""
        return float(np.mean(self.recall))


def bins_of(
    seconds: Float64, coverage: Float64, crowd: Float64, found: NDArray[np.bool_]
) -> dict[str, tuple[Bin, ...]]:
    """Return recall by length, by coverage and by the number of instances.

    Each instance (M,) has a length in seconds, a share of its video (NaN if its duration is not
    known), the number of instances in its video, and whether it is found at each threshold (K, M).
    """
    limits = np.quantile(seconds, np.arange(1, len(LENGTH) + 1) / len(LENGTH), method="higher")
    highs = limits.tolist()
    ranges = [f"{low:.3g} to {high:.3g} s" for low, high in pairwise(highs)]
    fifths = list(zip(LENGTH, [f"up to {highs[0]:.3g} s", *ranges], highs, strict=True))
    return {
        "length": _cut(seconds, fifths, found),
        "coverage": _cut(coverage, COVERAGE, found),
        "instances": _cut(crowd, CROWD, found),
    }


def _cut(
    values: Float64, limits: Sequence[tuple[str, str, float]], found: NDArray[np.bool_]
) -> tuple[Bin, ...]:
    """Return bins (low, high]; the first is unbounded below, so that it includes length 0."""
    bins, low = [], -np.inf
    for name, text, high in limits:
        inside = (values > low) & (values <= high)
        count = int(inside.sum())
        recall = found[:, inside].mean(axis=1) if count else np.full(len(found), np.nan)
        bins.append(Bin(name, text, count, tuple(recall.tolist())))
        low = high
    return tuple(bins)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Bins of equally many proposals by score, and the tIoU that they achieve.

    A proposal's tIoU is its largest with an instance of its video.
    """

    score: Float64  # (B,), mean per bin, lowest first
    tiou: Float64  # (B,), mean per bin
    low: Float64  # (B,), quartiles of the tIoU per bin
    high: Float64
    proposals: int  # all
    gap: float  # mean distance of score and tIoU over the bins
    rank_correlation: float  # Spearman's, over all proposals; NaN where either is constant


def calibrate(
    segments: Mapping[str, Float64], proposals: Mapping[str, Proposals], *, most: int = 100
) -> Calibration | None:
    """Compare the scores of proposals with the tIoU that they achieve.

    The best `most` proposals (seconds) of each video in `segments` are used, which has instances
    (M, 2), seconds. None is returned where those videos have no proposals.

    Examples
    --------
    >>> found = calibrate({"a": np.array([[0.0, 10.0]])}, {"a": Proposals([0, 5], [9, 6], [1, 0])})
    >>> found.tiou, found.rank_correlation
    (array([0.1, 0.9]), 1.0)
    """
    scores, overlaps = [np.empty(0)], [np.empty(0)]
    for video, truth in segments.items():
        own = proposals.get(video, Proposals.empty())
        best = own[np.argsort(-own.score, kind="stable")[:most]]
        overlap = evaluated_tiou_matrix(best.start, best.end, *truth.T)  # (N, M)
        scores.append(best.score)
        overlaps.append(overlap.max(axis=1, initial=0.0))
    score, tiou = np.concatenate(scores), np.concatenate(overlaps)
    if not len(score):
        return None
    parts = np.array_split(np.argsort(score, kind="stable"), min(SCORE_BINS, len(score)))
    mean_score = np.array([score[part].mean() for part in parts])
    mean_tiou = np.array([tiou[part].mean() for part in parts])
    quartiles = np.array([np.quantile(tiou[part], (0.25, 0.75)) for part in parts])  # (B, 2)
    constant = np.ptp(score) == 0 or np.ptp(tiou) == 0
    return Calibration(
        score=mean_score,
        tiou=mean_tiou,
        low=quartiles[:, 0],
        high=quartiles[:, 1],
        proposals=len(score),
        gap=float(np.average(np.abs(mean_score - mean_tiou), weights=list(map(len, parts)))),
        rank_correlation=float(
            np.nan if constant else np.corrcoef(_ranks(score), _ranks(tiou))[0, 1]
        ),
    )


def _ranks(values: Float64) -> Float64:
    """Return the rank of each value, from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Float64 = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks
