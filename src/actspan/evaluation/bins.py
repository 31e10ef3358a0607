"""Bins of instances: by length, by share of the video, and by instances per video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from actspan.core.types import Float64
from actspan.evaluation.matching import Bool

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


@dataclass(frozen=True, slots=True)
class Bin:
    """Instances of one kind, and how many of them are found.

    Attributes
    ----------
    name : str
    range : str
        Description of its limits.
    instances : int
    recall : tuple of float
        Share that is found at each threshold; in [0, 1]. NaN without instances.
    """

    name: str
    range: str
    instances: int
    recall: tuple[float, ...]

    @property
    def average_recall(self) -> float:
        """Mean recall over the thresholds."""
        return float(np.mean(self.recall))


def bins_of(
    seconds: Float64, coverage: Float64, crowd: Float64, found: Bool
) -> dict[str, tuple[Bin, ...]]:
    """Return recall by length, by coverage and by the number of instances.

    Parameters
    ----------
    seconds, coverage, crowd : (M,) float64
        Length of each instance, its share of the video (NaN where the video's duration is not
        known), and the number of instances in its video.
    found : (K, M) bool
        Whether each instance is found at each threshold.
    """
    return {
        "length": _cut(seconds, _fifths(seconds), found),
        "coverage": _cut(coverage, COVERAGE, found),
        "instances": _cut(crowd, CROWD, found),
    }


def _fifths(seconds: Float64) -> list[tuple[str, str, float]]:
    limits = np.quantile(seconds, np.arange(1, len(LENGTH) + 1) / len(LENGTH), method="higher")
    highs = limits.tolist()
    ranges = [f"{low:.3g} to {high:.3g} s" for low, high in pairwise(highs)]
    return list(zip(LENGTH, [f"up to {highs[0]:.3g} s", *ranges], highs, strict=True))


def _cut(values: Float64, limits: Sequence[tuple[str, str, float]], found: Bool) -> tuple[Bin, ...]:
    """Return bins (low, high]; the first is unbounded below, so that it includes length 0."""
    bins, low = [], -np.inf
    for name, text, high in limits:
        inside = (values > low) & (values <= high)
        count = int(inside.sum())
        recall = found[:, inside].mean(axis=1) if count else np.full(len(found), np.nan)
        bins.append(Bin(name, text, count, tuple(recall.tolist())))
        low = high
    return tuple(bins)
