"""AR@AN and AUC of a preset: train on the training part, evaluate on the validation part.

    python -m benchmarks.accuracy --dataset DIR --preset published --seed 0 --seed 1

Every seed is trained, exported and run as a user would run it; beside it the start x end scores of
the same run, suppressed alike, without PEM. Percent; mean and sample standard deviation over seeds.
Before them come guesses that ignore the video, which any model has to beat: 100 segments per video
drawn uniformly; a grid of plain windows (the whole video, a half, a quarter ... a 32nd of it, each
moved by half its length, in random order); and 100 segments as long as training instances, at
uniform centres.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np

from actspan import Bundle, Dataset, Pipeline, Video, evaluate_recall
from actspan.bench.timing import timed
from actspan.cli.train import training_report
from actspan.config.base import changed, read_toml
from actspan.config.training import PRESETS, preset
from actspan.evaluation.baselines import (
    Guess,
    evaluate_guess,
    of_lengths,
    plain_windows,
    uniform_random,
)
from actspan.pipeline.outcomes import VideoInput
from actspan.training.parts import trainable
from actspan.training.train import train
from benchmarks.harness import benchmark

COLUMNS = ("AR@1", "AR@5", "AR@10", "AR@50", "AR@100", "AUC")

Figures = dict[str, float]


def reduced(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Return the dataset with a share of its training videos, drawn at random."""
    training = [video for video in dataset if video.subset == "training"]
    drawn = np.random.default_rng(seed).permutation(len(training))[round(share * len(training)) :]
    dropped = {training[i].id for i in drawn.tolist()}
    return dataset.select([video for video in dataset if video.id not in dropped])


def evaluate(bundle: Bundle, dataset: Dataset, *, pem: bool) -> Figures:
    """Return AR@AN and AUC on the validation part, with or without PEM."""
    validation = dataset.subset("validation")
    videos = (VideoInput(v.id, lambda name=v.id: validation.read(name)) for v in validation)
    with Pipeline.load(bundle, pem=pem, edge=dataset.edge) as pipeline:
        proposals = {outcome.id: outcome.proposals for outcome in pipeline.run(videos)}
    return evaluate_recall(validation.videos, proposals, subset="validation").summary()


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
    evaluated = [video for video in videos if video.subset == subset and len(video.segments)]
    for name, guess in guesses_of(videos).items():
        print_row(name, evaluate_guess(guess, evaluated, draws=draws), f"{draws} draws")


def print_mean(name: str, rows: Sequence[Figures], columns: Sequence[str] = COLUMNS) -> None:
    """Print mean and sample standard deviation over seeds."""
    mean = {column: float(np.mean([row[column] for row in rows])) for column in columns}
    print_row(f"mean, {name}", mean, f"of {len(rows)}", columns)
    if len(rows) > 1:
        apart = {c: float(np.std([row[c] for row in rows], ddof=1)) for c in columns}
        print_row("  spread", apart, "", columns)


def print_row(name: str, row: Figures, note: str = "", columns: Sequence[str] = COLUMNS) -> None:
    """Print the figures of a row, percent."""
    figures = "  ".join(f"{column} {row[column]:6.2f}" for column in columns)
    click.echo(f"{name:20s} {figures}  {note}")


@benchmark()
@click.option("--dataset", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--preset", "name", type=click.Choice(sorted(PRESETS)), default="default")
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2))
@click.option("--labels", multiple=True, help="Use only instances whose label matches.")
@click.option("--share", default=1.0, help="Share of the training videos to use.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML: changes of the preset.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep bundles here, and reuse them.")
@click.option("--draws", default=10, help="Random draws per guess.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON, too.")
def main(
    folder: Path,
    dataset: Path,
    name: str,
    seeds: tuple[int, ...],
    labels: tuple[str, ...],
    share: float,
    config: Path | None,
    keep: Path | None,
    draws: int,
    as_json: bool,
) -> None:
    """Evaluate a preset on the parts of a dataset, beside guesses that ignore the video.

    \b
    Example:
      python -m benchmarks.accuracy --dataset jhmdb-spliced/
    """
    data = trainable(Dataset.load(dataset).with_labels(list(labels)))
    print_guesses(list(data), "validation", draws)
    settings = preset(name)
    if config is not None:
        settings = changed(settings, read_toml(config), where=str(config))
    with_pem: list[Figures] = []
    without: list[Figures] = []
    folder = keep or folder
    folder.mkdir(parents=True, exist_ok=True)
    with training_report() as report:
        for seed in seeds:
            path = folder / f"{name}-{seed}"

            def one_seed(seed: int = seed, path: Path = path) -> None:
                if not (path / "model.toml").is_file():
                    part = reduced(data, share, seed)
                    train(part, path, settings, seed=seed, report=report)
                bundle = Bundle.load(path)
                with_pem.append(evaluate(bundle, data, pem=True))
                without.append(evaluate(bundle, data, pem=False))

            seconds = timed(one_seed).seconds
            gain = with_pem[-1]["AUC"] - without[-1]["AUC"]
            print_row(f"seed {seed}", with_pem[-1], f"{seconds:.0f} s")
            print_row("  without PEM", without[-1], f"PEM adds {gain:.2f} AUC")
    print_mean("with PEM", with_pem)
    print_mean("without PEM", without)
    if as_json:
        summary = {"preset": name, "seeds": seeds, "rows": with_pem}
        click.echo(json.dumps({**summary, "rows_without_pem": without}))


if __name__ == "__main__":
    main()
