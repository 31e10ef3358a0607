"""From videos to AR@AN: extract, train, propose from the video files, evaluate; beside guesses.

Every step is what a user's command does. Each stream and each share of the training videos is a
line per seed, then mean and sample standard deviation. What lies in `--keep` is not made again.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from time import perf_counter

import click

from actspan import Bundle, Dataset, evaluate_recall
from actspan.cli.train import training_report
from actspan.core.progress import Report
from actspan.data.annotations.formats import read_annotations
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.sinks import SegmentList
from actspan.streams.extract_request import ExtractRequest
from actspan.streams.extraction import extract_videos
from actspan.training.parts import trainable
from actspan.training.train import train
from benchmarks.accuracy import Figures, print_guesses, print_mean, print_row, reduced
from benchmarks.harness import benchmark

STREAMS = ("both", "appearance", "motion")
SUBSET = "validation"


def load_model(
    source: Path, keep: Path, streams: str, share: float, seed: int, report: Report
) -> Bundle:
    """Load the model of a share of the training videos, or extract features and train it."""
    out = keep / f"model-{streams}-{share:g}-{seed}"
    if (out / "model.toml").is_file():
        return Bundle.load(out)
    features = keep / f"features-{streams}"
    extract_videos(ExtractRequest((str(source),), features, streams=streams))
    dataset = trainable(Dataset.load(features))
    return train(reduced(dataset, share, seed), out, seed=seed, report=report)


def evaluate(bundle: Bundle, source: Path) -> tuple[Figures, str]:
    """Return AR@AN and AUC of proposals from the video files, and the speed."""
    segments = SegmentList()
    request = ProposeRequest(bundle.path, videos=(str(source),), subset=SUBSET)
    summary = propose(request, sinks=[segments])
    videos = read_annotations(source).videos
    figures = evaluate_recall(videos, segments.proposals, subset=SUBSET).summary()
    return figures, f"{summary.video_seconds / summary.seconds:.1f}x real time"


@benchmark()
@click.argument("videos", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--keep", required=True, type=click.Path(path_type=Path), help="Folder for features and models."
)
@click.option("--streams", multiple=True, type=click.Choice(STREAMS), default=("both",))
@click.option(
    "--share", multiple=True, type=float, default=(1.0,), help="Shares of the training videos."
)
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2))
def main(
    folder: Path,
    videos: Path,
    keep: Path,
    streams: tuple[str, ...],
    share: tuple[float, ...],
    seeds: tuple[int, ...],
) -> None:
    """Evaluate models of VIDEOS, a dataset folder with videos/ and both subsets; percent.

    \b
    Example:
      python -m benchmarks.videos jhmdb-spliced/ --keep work/ --streams both --streams motion
    """
    print_guesses(read_annotations(videos).videos, SUBSET, draws=10)
    with training_report() as report:
        for kind, part in product(streams, share):
            name = kind if part == 1 else f"{kind}, {part:g} of the videos"
            rows = []
            for seed in seeds:
                begin = perf_counter()
                bundle = load_model(videos, keep, kind, part, seed, report)
                seconds = perf_counter() - begin
                row, pace = evaluate(bundle, videos)
                rows.append(row)
                print_row(f"{name}, seed {seed}", row, f"{seconds:.0f} s, then {pace}")
            print_mean(name, rows)


if __name__ == "__main__":
    main()
