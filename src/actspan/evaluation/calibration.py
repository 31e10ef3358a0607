"""Calibration of scores: how well proposals of each score fit an instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from actspan.core.tiou import evaluated_tiou_matrix
from actspan.core.types import Float64, Proposals

BINS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Bins of equally many proposals by score, and the tIoU that they achieve.

    A proposal's tIoU is its largest with an instance of its video.

    Attributes
    ----------
    score, tiou : (B,) float64
        Means in each bin, lowest scores first.
    low, high : (B,) float64
        Quartiles of the tIoU in each bin.
    proposals : int
        Number of all proposals.
    gap : float
        Mean distance of score and tIoU over the bins.
    rank_correlation : float
        Spearman's, of score and tIoU over all proposals; NaN where either is constant.
    """

    score: Float64
    tiou: Float64
    low: Float64
    high: Float64
    proposals: int
    gap: float
    rank_correlation: float


def calibrate(
    segments: Mapping[str, Float64], proposals: Mapping[str, Proposals], *, most: int = 100
) -> Calibration | None:
    """Compare the scores of proposals with the tIoU that they achieve.

    Parameters
    ----------
    segments : mapping of video id to (M, 2) float64
        Instances, seconds.
    proposals : mapping of video id to Proposals
        Seconds; the best `most` of each video in `segments` are looked at.

    Returns
    -------
    Calibration or None
        None where those videos have no proposals.

    Examples
    --------
    >>> found = calibrate({"a": np.array([[0.0, 10.0]])}, {"a": Proposals([0, 5], [9, 6], [1, 0])})
    >>> found.tiou, found.rank_correlation
    (array([0.1, 0.9]), 1.0)
    """
    scores, overlaps = [np.empty(0)], [np.empty(0)]
    for video, truth in segments.items():
        best = _best(proposals.get(video, Proposals.empty()), most)
        overlap = evaluated_tiou_matrix(best.start, best.end, *truth.T)  # (N, M)
        scores.append(best.score)
        overlaps.append(overlap.max(axis=1, initial=0.0))
    score, tiou = np.concatenate(scores), np.concatenate(overlaps)
    return _bin(score, tiou) if len(score) else None


def _best(proposals: Proposals, most: int) -> Proposals:
    return proposals[np.argsort(-proposals.score, kind="stable")[:most]]


def _bin(score: Float64, tiou: Float64) -> Calibration:
    order = np.argsort(score, kind="stable")
    parts = np.array_split(order, min(BINS, len(order)))
    mean_score = np.array([score[part].mean() for part in parts])
    mean_tiou = np.array([tiou[part].mean() for part in parts])
    sizes = np.array([len(part) for part in parts])
    quartiles = np.array([np.quantile(tiou[part], (0.25, 0.75)) for part in parts])  # (B, 2)
    return Calibration(
        score=mean_score,
        tiou=mean_tiou,
        low=quartiles[:, 0],
        high=quartiles[:, 1],
        proposals=len(score),
        gap=float(np.average(np.abs(mean_score - mean_tiou), weights=sizes)),
        rank_correlation=_correlation(_ranks(score), _ranks(tiou)),
    )


def _ranks(values: Float64) -> Float64:
    """Return the rank of each value, from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Float64 = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def _correlation(a: Float64, b: Float64) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
