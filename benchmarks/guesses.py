"""AR@AN and AUC of guesses that look at nothing: what any model has to beat.

    python -m benchmarks.guesses DATASET

Uniform-random: both ends of 100 segments a video are drawn from all of it. A grid of plain windows:
those of the whole video, a half, a quarter ... a 32nd of it, each moved by half its length, in
random order. Mean of the given number of draws; percent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np

from actspan import Proposals, Video, evaluate_recall
from actspan.data.annotations import read_annotations
from benchmarks.accuracy import mean, print_row

Guess = Callable[[float, np.random.Generator], Proposals]  # of a video of so many seconds

COUNT = 100  # segments a video
HALVINGS = 5


def uniform_random(seconds: float, draw: np.random.Generator) -> Proposals:
    """Segments whose ends lie anywhere."""
    ends = np.sort(draw.uniform(0, seconds, (COUNT, 2)), axis=1)
    return Proposals(ends[:, 0], ends[:, 1], draw.uniform(size=COUNT))


def plain_windows(seconds: float, draw: np.random.Generator) -> Proposals:
    """Every window of 1, 1/2, 1/4 ... of the video, half a window apart."""
    shares = 0.5 ** np.arange(HALVINGS + 1)
    starts = [np.arange(0, 1 - share / 2, share / 2) for share in shares]
    start = np.concatenate(starts)
    length = np.repeat(shares, [len(own) for own in starts])
    score = draw.uniform(size=len(start))
    return Proposals(seconds * start, seconds * (start + length), score)


GUESSES: dict[str, Guess] = {"uniform-random": uniform_random, "plain windows": plain_windows}


def judge(guess: Guess, videos: Sequence[Video], subset: str, seed: int) -> dict[str, float]:
    """AR@AN and AUC of one draw."""
    draw = np.random.default_rng(seed)
    judged = [video for video in videos if video.subset == subset]
    proposals = {video.id: guess(video.duration, draw) for video in judged}
    return evaluate_recall(judged, proposals, subset=subset).summary()


def print_guesses(videos: Sequence[Video], subset: str, draws: int) -> None:
    """A line a guess."""
    for name, guess in GUESSES.items():
        rows = [judge(guess, videos, subset, seed) for seed in range(draws)]
        print_row(name, mean(rows), f"{draws} draws")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("dataset", type=click.Path(path_type=Path, exists=True))
@click.option("--subset", default="validation")
@click.option("--draws", default=10)
def main(dataset: Path, subset: str, draws: int) -> None:
    """Judge guesses that look at nothing, on the annotations of DATASET.

    \b
    Example:
      python -m benchmarks.guesses jhmdb-spliced/
    """
    print_guesses(read_annotations(dataset).videos, subset, draws)


if __name__ == "__main__":
    main()
