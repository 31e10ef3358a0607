"""From videos to AR@AN: extract, train, propose from the video files, evaluate; beside guesses.

    python -m benchmarks.videos jhmdb-spliced/ --keep work/ --seed 0 --seed 1

Every step is what a user's command does. Each stream and each share of the training videos is a
line a seed, then mean and sample standard deviation. What lies in `--keep` is not made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from time import perf_counter

import click

from actspan import Bundle, Dataset, evaluate_recall
from actspan.cli.train import training_report
from actspan.data.annotations.formats import read_annotations
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.sinks import SegmentList
from actspan.streams.extraction import ExtractRequest, extract_videos
from actspan.training.parts import trainable
from actspan.training.report import Report
from actspan.training.train import train
from benchmarks.accuracy import mean, print_row, reduced, spread
from benchmarks.guesses import print_guesses
from benchmarks.measure import print_machine

STREAMS = ("both", "appearance", "motion")
JUDGED = "validation"


@dataclass(frozen=True, slots=True)
class Work:
    """Folders of the videos and of the files made from them."""

    source: Path
    keep: Path

    def features(self, streams: str) -> Dataset:
        """Extract and load the features of one stream, or both."""
        out = self.keep / f"features-{streams}"
        extract_videos(ExtractRequest((str(self.source),), out, streams=streams))
        return trainable(Dataset.load(out))

    def model(self, streams: str, share: float, seed: int, report: Report) -> Bundle:
        """Load the model of a share of the training videos, or train it."""
        out = self.keep / f"model-{streams}-{share:g}-{seed}"
        if (out / "model.toml").is_file():
            return Bundle.load(out)
        return train(reduced(self.features(streams), share, seed), out, seed=seed, report=report)

    def judge(self, bundle: Bundle) -> tuple[dict[str, float], str]:
        """Return AR@AN and AUC of proposals from the video files, and the speed."""
        segments = SegmentList()
        request = ProposeRequest(bundle.path, videos=(str(self.source),), subset=JUDGED)
        summary = propose(request, sinks=[segments])
        videos = read_annotations(self.source).videos
        pace = f"{summary.video_seconds / summary.seconds:.1f}x real time"
        return evaluate_recall(videos, segments.proposals, subset=JUDGED).summary(), pace


def run(work: Work, streams: str, share: float, seeds: tuple[int, ...], report: Report) -> None:
    """Train and judge with each seed; print one line per seed, then mean and spread."""
    name = streams if share == 1 else f"{streams}, {share:g} of the videos"
    rows = []
    for seed in seeds:
        begin = perf_counter()
        bundle = work.model(streams, share, seed, report)
        seconds = perf_counter() - begin
        row, pace = work.judge(bundle)
        rows.append(row)
        print_row(f"{name}, seed {seed}", row, f"{seconds:.0f} s, then {pace}")
    if len(rows) > 1:
        print_row(name, mean(rows), f"mean of {len(rows)}")
        print_row("", spread(rows), "spread")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("videos", type=click.Path(path_type=Path, exists=True))
@click.option("--keep", required=True, type=click.Path(path_type=Path), help="Features and models.")
@click.option("--streams", multiple=True, type=click.Choice(STREAMS), default=("both",))
@click.option("--share", multiple=True, type=float, default=(1.0,), help="Of the training videos.")
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2))
def main(
    videos: Path,
    keep: Path,
    streams: tuple[str, ...],
    share: tuple[float, ...],
    seeds: tuple[int, ...],
) -> None:
    """Judge models of VIDEOS, a dataset folder with videos/ and both subsets; percent.

    \b
    Example:
      python -m benchmarks.videos jhmdb-spliced/ --keep work/ --streams both --streams motion
    """
    print_machine()
    print_guesses(read_annotations(videos).videos, JUDGED, draws=10)
    with training_report() as report:
        for kind, part in product(streams, share):
            run(Work(videos, keep), kind, part, seeds, report)


if __name__ == "__main__":
    main()
