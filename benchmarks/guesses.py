"""AR@AN and AUC of guesses that look at nothing: what any model has to beat.

    python -m benchmarks.guesses DATASET

Uniform-random: both ends of 100 segments per video are drawn from all of it. A grid of plain
windows: those of the whole video, a half, a quarter ... a 32nd of it, each moved by half its
length, in random order. Training lengths: 100 segments as long as instances of the training part,
at uniform centres. Mean of the given number of draws; percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np

from actspan import Video
from actspan.data.annotations.formats import read_annotations
from actspan.evaluation.baselines import (
    Guess,
    evaluate_guess,
    of_lengths,
    plain_windows,
    uniform_random,
)
from benchmarks.accuracy import print_row


def guesses_of(videos: Sequence[Video]) -> dict[str, Guess]:
    """Return the guesses by name; training lengths are included if there is a training part."""
    guesses: dict[str, Guess] = {"uniform-random": uniform_random, "plain windows": plain_windows}
    training = [video.segments for video in videos if video.subset == "training"]
    if sum(map(len, training)):
        lengths = np.diff(np.concatenate(training), axis=1)[:, 0]
        guesses["training lengths"] = partial(of_lengths, lengths)
    return guesses


def print_guesses(videos: Sequence[Video], subset: str, draws: int) -> None:
    """Print a line per guess."""
    judged = [video for video in videos if video.subset == subset and len(video.segments)]
    for name, guess in guesses_of(videos).items():
        print_row(name, evaluate_guess(guess, judged, draws=draws), f"{draws} draws")


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
