"""AR@AN and AUC of guesses that ignore the video, as a lower bound for models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from actspan.core.types import Float64, Proposals, Video
from actspan.evaluation.recall import evaluate_recall

Guess = Callable[[float, np.random.Generator], Proposals]  # (seconds, generator)

COUNT = 100  # segments per video: the largest budget of AR@AN
HALVINGS = 5
DRAWS = 5  # repetitions, of which the mean is reported


def uniform_random(seconds: float, draw: np.random.Generator) -> Proposals:
    """Return random segments whose ends are uniform over the video."""
    ends = np.sort(draw.uniform(0, seconds, (COUNT, 2)), axis=1)
    return Proposals(ends[:, 0], ends[:, 1], draw.uniform(size=COUNT))


def plain_windows(seconds: float, draw: np.random.Generator) -> Proposals:
    """Return all windows of 1, 1/2, ... 1/32 of the video, half a window apart, in random order."""
    shares = 0.5 ** np.arange(HALVINGS + 1)
    starts = [np.arange(0, 1 - share / 2, share / 2) for share in shares]
    start = np.concatenate(starts)
    length = np.repeat(shares, [len(own) for own in starts])
    score = draw.uniform(size=len(start))
    return Proposals(seconds * start, seconds * (start + length), score)


def of_lengths(lengths: Float64, seconds: float, draw: np.random.Generator) -> Proposals:
    """Return segments of these lengths, in seconds, at uniform centres, clipped to the video."""
    half = draw.choice(lengths, COUNT) / 2
    centre = draw.uniform(0, seconds, COUNT)
    start, end = np.maximum(centre - half, 0.0), np.minimum(centre + half, seconds)
    return Proposals(start, end, draw.uniform(size=COUNT))


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
    lengths: Float64,
    *,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Return AR@AN and AUC of a model's proposals, and of two guesses on the same videos.

    The videos have instances and durations; proposals and the `lengths` (M,) of the instances that
    the model learned from are in seconds. Figures in percent are returned for `model`,
    `plain windows` and `training lengths`.

    Examples
    --------
    >>> video = Video("a", 60.0, "", [[10, 20]], ("run",))
    >>> found = compare_with_guesses([video], {"a": Proposals([10], [20], [1])}, np.array([9.0]))
    >>> found["model"]["AUC"], found["training lengths"]["AUC"] < 90
    (100.0, True)
    """
    guesses: dict[str, Guess] = {
        "plain windows": plain_windows,
        "training lengths": partial(of_lengths, lengths),
    }
    model = evaluate_recall(videos, proposals, subset=None).summary()
    rows = {name: evaluate_guess(g, videos, seed=seed, draws=DRAWS) for name, g in guesses.items()}
    return {"model": model, **rows}


def not_beaten(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the guesses of `compare_with_guesses` whose AUC is as high as the model's."""
    auc = {name: row["AUC"] for name, row in figures.items()}
    return [name for name in auc if name != "model" and auc[name] >= auc["model"]]
