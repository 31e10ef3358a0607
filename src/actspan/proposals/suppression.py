"""Soft-NMS: thin out neighbours of better proposals (paper section 3.4, bsn.md section 7)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from actspan.config import SoftNmsConfig
from actspan.segments import tiou_matrix
from actspan.segments.compiled import tiou
from actspan.types import Float64, Proposals


def soft_nms(
    proposals: Proposals, config: SoftNmsConfig | None = None, *, span: float = 1.0
) -> Proposals:
    """Pick the best proposal again and again, lowering the scores of its close neighbours.

    A neighbour is close if its tIoU with the pick exceeds a threshold that grows with the pick's
    width, from `threshold_short` to `threshold_long`; its score is multiplied by
    exp(-tIoU^2 / decay).

    Parameters
    ----------
    proposals : Proposals
        `score` is what they compete by. Equal scores: the earlier wins.
    config : SoftNmsConfig, optional
    span : float
        The length, in the unit of the positions, that counts as 1 (and anything longer too) where
        the threshold depends on a pick's width: 1 for fractions of the feature span; the length
        of a window for a long recording in seconds.

    Returns
    -------
    Proposals
        At most `keep`, by their lowered score, descending. A proposal alone passes untouched.

    Examples
    --------
    >>> kept = soft_nms(Proposals([0.1, 0.1, 0.7], [0.5, 0.49, 0.9], [0.9, 0.8, 0.3]))
    >>> kept.score.round(3)
    array([0.9  , 0.3  , 0.225])
    """
    config = config or SoftNmsConfig()
    chosen, scores = _decay_and_pick(
        proposals.start,
        proposals.end,
        proposals.score,
        config.threshold_short,
        config.threshold_long,
        config.decay,
        config.picks,
        span,
    )
    return _best(proposals, chosen, scores, config.keep)


def soft_nms_plain(
    proposals: Proposals, config: SoftNmsConfig | None = None, *, span: float = 1.0
) -> Proposals:
    """Twin of `soft_nms` in plain NumPy."""
    config = config or SoftNmsConfig()
    score, left = proposals.score.copy(), np.ones(len(proposals), dtype=bool)
    chosen: list[int] = []
    scores: list[float] = []
    while left.any() and len(chosen) < config.picks:
        best = int(np.argmax(np.where(left, score, -np.inf)))
        chosen.append(best)
        scores.append(float(score[best]))
        left[best] = False
        width = min((proposals.end[best] - proposals.start[best]) / span, 1.0)
        threshold = (
            config.threshold_short + (config.threshold_long - config.threshold_short) * width
        )
        pick = slice(best, best + 1)
        overlap = tiou_matrix(
            proposals.start[pick], proposals.end[pick], proposals.start, proposals.end
        )[0]
        close = left & (overlap > threshold)
        score[close] *= np.exp(-np.square(overlap[close]) / config.decay)
    return _best(proposals, np.array(chosen, dtype=np.int64), np.array(scores), config.keep)


def _best(proposals: Proposals, chosen: NDArray[np.int64], scores: Float64, keep: int) -> Proposals:
    order = np.argsort(-scores, kind="stable")[:keep]
    return proposals[chosen[order]].with_score(scores[order])


@njit(cache=True, nogil=True)
def _decay_and_pick(
    start: Float64,
    end: Float64,
    score: Float64,
    threshold_short: float,
    threshold_long: float,
    decay: float,
    picks: int,
    span: float,
) -> tuple[NDArray[np.int64], Float64]:
    left = score.copy()  # -inf once picked
    near = np.empty(len(start), dtype=np.bool_)
    picks = min(picks, len(start))
    chosen, scores = np.empty(picks, dtype=np.int64), np.empty(picks)
    for k in range(picks):
        best = 0
        for i in range(1, len(left)):
            if left[i] > left[best]:
                best = i
        chosen[k], scores[k] = best, left[best]
        left[best] = -np.inf
        xmin, xmax = start[best], end[best]
        width = min((xmax - xmin) / span, 1.0)
        threshold = threshold_short + (threshold_long - threshold_short) * width
        # without a branch or a division, which the compiler vectorises; a hair is let through
        share = threshold * (1 - 1e-9)
        for i in range(len(left)):
            inter = min(xmax, end[i]) - max(xmin, start[i])
            near[i] = inter >= share * (xmax - xmin - inter + end[i] - start[i])
        for i in range(len(left)):
            if near[i]:
                overlap = tiou(xmin, xmax, start[i], end[i])
                if overlap > threshold:
                    left[i] *= math.exp(-(overlap * overlap) / decay)
    return chosen, scores
