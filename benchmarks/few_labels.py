"""AUC by number of annotated recordings, beside the label-free answer; percent.

    python -m benchmarks.few_labels SET [SET ...]

A SET is a dataset folder with a training and a validation part. Recordings are drawn at random from
the training part, a model of the default preset is trained on them and evaluated on the validation
part. A SET of videos is extracted first; `--keep` keeps the features. The label-free answer is the
one for the same features, as `benchmarks.label_free` computes it.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import click
import numpy as np

from actspan import Dataset, evaluate_recall
from actspan.cli.train import training_report
from actspan.config.training import PRESETS, preset
from actspan.core.progress import Report
from actspan.streams.extract_request import ExtractRequest
from actspan.streams.extraction import extract_videos
from actspan.training.parts import TRAINING, trainable, videos_in
from actspan.training.trainer import train
from benchmarks.accuracy import SUBSET, Figures, evaluate_preset, print_mean, print_row
from benchmarks.harness import benchmark, path_option
from benchmarks.label_free import from_features

COUNTS = (2, 5, 10, 20)


def draw(dataset: Dataset, count: int, seed: int) -> Dataset:
    """Return the dataset with `count` training videos, drawn at random; those of seeds differ."""
    training = videos_in(dataset, TRAINING)
    order = np.random.default_rng(seed).permutation(len(training))
    kept = {training[i].id for i in order[:count].tolist()}
    return dataset.select([v for v in dataset if v.subset != TRAINING or v.id in kept])


def load(path: Path, folder: Path) -> Dataset:
    """Load a dataset of features; extract those of a dataset of videos to `folder`."""
    if (path / "features").is_dir():
        return trainable(Dataset.load(path))
    out = folder / path.name
    extract_videos(ExtractRequest((str(path),), out))
    return trainable(Dataset.load(out))


def evaluate_count(
    dataset: Dataset, name: str, count: int, seed: int, folder: Path, report: Report
) -> tuple[Figures, float]:
    """Train on `count` recordings; return AR@AN and AUC, and the seconds of training."""
    begin = perf_counter()
    few = draw(dataset, count, seed).subset(TRAINING)
    bundle = train(few, folder, preset(name), seed=seed, overwrite=True, report=report)
    seconds = perf_counter() - begin
    return evaluate_preset(bundle, dataset), seconds


@benchmark()
@click.argument("sets", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--recordings", "counts", multiple=True, type=int, help="[default: 2, 5, 10, 20, all]"
)
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2))
@click.option("--preset", "name", type=click.Choice(sorted(PRESETS)), default="default")
@path_option("--keep", help="Folder for features that are extracted, and reused.")
def main(
    sets: tuple[Path, ...],
    counts: tuple[int, ...],
    seeds: tuple[int, ...],
    name: str,
    keep: Path | None,
    folder: Path,
) -> None:
    """Print the label-free row, and one per number of recordings and seed, for every SET.

    \b
    Example:
      python -m benchmarks.few_labels hapt/ --recordings 10
    """
    for path in sets:
        dataset = load(path, keep or folder)
        total = len(videos_in(dataset, TRAINING))
        click.echo(f"{path.name}: {total} training videos")
        validation = dataset.subset(SUBSET)
        proposals, _ = from_features(validation)
        print_row(
            "label-free", evaluate_recall(validation.videos, proposals, subset=None).summary()
        )
        for count in [*(c for c in counts or COUNTS if c < total), *(() if counts else (total,))]:
            rows = []
            for seed in seeds:
                with training_report() as report:
                    figures, seconds = evaluate_count(
                        dataset, name, count, seed, folder / "model", report
                    )
                rows.append(figures)
                print_row(f"{count} recordings, {seed}", figures, f"trained in {seconds:.0f} s")
            print_mean(f"{count} recordings", rows)


if __name__ == "__main__":
    main()
