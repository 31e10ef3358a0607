"""Baselines of a model's scores: guesses that ignore the video, and the tIoU that is achieved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from actspan.core.segments import Proposals
from actspan.core.tiou import evaluated_tiou_matrix
from actspan.core.types import Float64, Video
from actspan.evaluation.recall import evaluate_recall

Guess = Callable[[float, np.random.Generator], Proposals]  # (seconds, generator)

COUNT = 100  # segments per video: the largest budget of AR@AN
HALVINGS = 5
SCORE_BINS = 20
DRAWS = 5  # repetitions, of which the mean is reported


def uniform_random(seconds: float, draw: np.random.Generator) -> Proposals:
    """Return random segments whose ends are uniform over the video."""
    ends = np.sort(draw.uniform(0, seconds, (COUNT, 2)), axis=1)
    return Proposals(ends[:, 0], ends[:, 1], draw.uniform(size=COUNT), unit="seconds")


def plain_windows(seconds: float, draw: np.random.Generator) -> Proposals:
    """Return all windows of 1, 1/2, ... 1/32 of the video, half a window apart, in random order."""
    shares = 0.5 ** np.arange(HALVINGS + 1)
    starts = [np.arange(0, 1 - share / 2, share / 2) for share in shares]
    start = np.concatenate(starts)
    length = np.repeat(shares, [len(starts_of_share) for starts_of_share in starts])
    score = draw.uniform(size=len(start))
    return Proposals(seconds * start, seconds * (start + length), score, unit="seconds")


def of_lengths(lengths: Float64, seconds: float, draw: np.random.Generator) -> Proposals:
    """Return segments of these lengths, in seconds, at uniform centres, clipped to the video."""
    half = draw.choice(lengths, COUNT) / 2
    centre = draw.uniform(0, seconds, COUNT)
    start, end = np.maximum(centre - half, 0.0), np.minimum(centre + half, seconds)
    return Proposals(start, end, draw.uniform(size=COUNT), unit="seconds")


def evaluate_guess(
    guess: Guess, videos: Sequence[Video], *, seed: int = 0, draws: int = 1
) -> dict[str, float]:
    """Return AR@AN and AUC of a guess in percent, as the mean of several draws.

    The videos, of any subset, have instances and durations. Draws have the seed and the ones that
    follow it.
    """
    rows = []
    for number in range(seed, seed + draws):
        draw = np.random.default_rng(number)
        proposals = {video.id: guess(video.duration, draw) for video in videos}
        rows.append(evaluate_recall(videos, proposals, subset=None).summary())
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def compare_with_guesses(
    videos: Sequence[Video],
    proposals: Mapping[str, Proposals],
    label_free: Mapping[str, Proposals],
    lengths: Float64,
    *,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Return AR@AN and AUC of a model's proposals, of label-free ones, and of two guesses.

    The videos have instances and durations; proposals and the `lengths` (M,) of the instances that
    the model learned from are in seconds. Figures in percent are returned for `model`,
    `label-free` (unless that finds nothing), `plain windows` and `training lengths`.

    Examples
    --------
    >>> video = Video("a", 60.0, "", [[10, 20]], ("run",))
    >>> model = {"a": Proposals([10], [20], [1], unit="seconds")}
    >>> label_free = {"a": Proposals([1], [5], [1], unit="seconds")}
    >>> found = compare_with_guesses([video], model, label_free, np.array([9.0]))
    >>> found["model"]["AUC"], found["training lengths"]["AUC"] < 90
    (99.0, True)
    """
    guesses: dict[str, Guess] = {
        "plain windows": plain_windows,
        "training lengths": partial(of_lengths, lengths),
    }
    found = {"model": proposals}
    if any(map(len, label_free.values())):
        found["label-free"] = label_free
    rows = {name: evaluate_recall(videos, f, subset=None).summary() for name, f in found.items()}
    guessed = {n: evaluate_guess(g, videos, seed=seed, draws=DRAWS) for n, g in guesses.items()}
    return {**rows, **guessed}


def not_beaten(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the rows of `compare_with_guesses` whose AUC is as high as the model's."""
    auc = {name: row["AUC"] for name, row in figures.items()}
    return [name for name in auc if name != "model" and auc[name] >= auc["model"]]


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
    >>> proposals = {"a": Proposals([0, 5], [9, 6], [1, 0], unit="seconds")}
    >>> found = calibrate({"a": np.array([[0.0, 10.0]])}, proposals)
    >>> found.tiou, round(found.rank_correlation, 6)
    (array([0.1, 0.9]), 1.0)
    """
    scores, overlaps = [np.empty(0)], [np.empty(0)]
    for video, truth in segments.items():
        proposals_of_video = proposals.get(video, Proposals.empty("seconds"))
        best = proposals_of_video[np.argsort(-proposals_of_video.score, kind="stable")[:most]]
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
