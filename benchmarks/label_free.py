"""AR@AN and AUC of label-free proposals, beside guesses that ignore the recordings; percent.

    python -m benchmarks.label_free SET [SET ...]

A SET is a dataset folder: with features/, they are used as they are; with videos/, they are
extracted first, as `actspan propose VIDEOS` does it. Speed is seconds of recordings per second of
computing after the features, with the first (compiling) recording left out.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import click

from actspan import Dataset, Pipeline, evaluate_recall
from actspan.core.segments import Proposals
from actspan.evaluation import baselines
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.sinks import SegmentList
from actspan.model import LABEL_FREE
from benchmarks.accuracy import SUBSET, guesses_of, print_row
from benchmarks.harness import benchmark


def from_features(dataset: Dataset) -> tuple[dict[str, Proposals], float]:
    """Return the proposals of every video, and seconds of video per second."""
    found, length, begin = {}, 0.0, 0.0
    with Pipeline.load(LABEL_FREE, threads=1) as pipeline:
        for number, video in enumerate(dataset.videos):
            features = dataset.read(video.id)
            begin = begin or (perf_counter() if number else 0.0)
            length += features.seconds if number else 0.0
            found[video.id] = pipeline.propose(features)
    return found, length / (perf_counter() - begin)


def from_videos(folder: Path) -> dict[str, Proposals]:
    """Return the proposals of every video of a folder with videos/."""
    segments = SegmentList()
    propose(ProposeRequest(videos=(str(folder),), subset=SUBSET), sinks=[segments])
    return segments.proposals


@benchmark()
@click.argument("sets", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--draws", default=5, help="Random draws of every guess.")
def main(sets: tuple[Path, ...], draws: int, folder: Path) -> None:
    """Print a row per guess, and one of the label-free proposals, for every SET.

    \b
    Example:
      python -m benchmarks.label_free hapt/ geotec-tug/
    """
    del folder  # nothing is written
    for path in sets:
        dataset = Dataset.load(path, features=(path / "features").is_dir()).subset(SUBSET)
        click.echo(f"{path.name}: {len(dataset.videos)} videos of the {SUBSET} part")
        evaluated = [video for video in dataset.videos if len(video.segments)]
        for name, guess in guesses_of(evaluated).items():
            print_row(name, baselines.evaluate_guess(guess, evaluated, draws=draws))
        if (path / "features").is_dir():
            proposals, speed = from_features(dataset)
            note = f"{speed:,.0f} times real time on one core"
        else:
            proposals, note = from_videos(path), ""
        found = evaluate_recall(dataset.videos, proposals, subset=None)
        print_row("label-free", found.summary(), note)


if __name__ == "__main__":
    main()
