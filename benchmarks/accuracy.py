"""AR@AN and AUC of a preset: train on the training part, judge on the validation part.

    python -m benchmarks.accuracy --dataset DIR --preset published --seeds 0 1 2

Every seed is trained, exported and run as a user would run it; beside it the start x end scores of
the same run, suppressed alike, without PEM. Percent; mean and sample standard deviation over seeds.
`--labels '*_TO_*'` learns and judges such instances alone, `--share 0.25` learns from a quarter of
the training videos (another one for each seed), `--config FILE` changes settings of the preset.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from actspan import Bundle, Dataset, Pipeline, evaluate_recall
from actspan.cli.train import training_report
from actspan.config.base import changed, read_toml
from actspan.config.training import PRESETS, preset
from actspan.pipeline.outcomes import Job
from actspan.training.parts import trainable
from actspan.training.report import Report
from actspan.training.train import train

COLUMNS = ("AR@1", "AR@5", "AR@10", "AR@50", "AR@100", "AUC")


def main() -> None:
    options = parse()
    dataset = trainable(Dataset.load(options.dataset).with_labels(options.labels))
    rows: list[dict[str, float]] = []
    rows_without: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as temporary, training_report() as report:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for seed in options.seeds:
            begin = perf_counter()
            part = reduced(dataset, options.share, seed)
            bundle = trained(part, folder / f"{options.preset}-{seed}", options, seed, report)
            rows.append(judge(bundle, dataset, pem=True))
            rows_without.append(judge(bundle, dataset, pem=False))
            gain = rows[-1]["AUC"] - rows_without[-1]["AUC"]
            seconds = perf_counter() - begin
            print_row(f"seed {seed}", rows[-1], f"{seconds:.0f} s")
            print_row("  without PEM", rows_without[-1], f"PEM adds {gain:.2f} AUC")
    print_row("mean", mean(rows))
    print_row("spread", spread(rows))
    print_row("mean without PEM", mean(rows_without))
    print_row("spread without PEM", spread(rows_without))
    if options.json:
        summary = {"preset": options.preset, "seeds": options.seeds, "rows": rows}
        print(json.dumps({**summary, "rows_without_pem": rows_without}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--preset", choices=PRESETS, default="default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--labels", nargs="+", default=[], help="patterns of labels")
    parser.add_argument("--share", type=float, default=1.0, help="of the training videos")
    parser.add_argument("--config", type=Path, help="TOML: settings other than the preset's")
    parser.add_argument("--keep", type=Path, help="keep the bundles here, and use those there")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON, too")
    return parser.parse_args()


def trained(
    dataset: Dataset, path: Path, options: argparse.Namespace, seed: int, report: Report
) -> Bundle:
    if (path / "model.toml").is_file():
        return Bundle.load(path)
    config = preset(options.preset)
    if options.config:
        config = changed(config, read_toml(options.config), where=str(options.config))
    return train(dataset, path, config, seed=seed, report=report)


def reduced(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Return the dataset with a share of its training videos, drawn at random."""
    training = [video for video in dataset if video.subset == "training"]
    drawn = np.random.default_rng(seed).permutation(len(training))[round(share * len(training)) :]
    dropped = {training[i].id for i in drawn.tolist()}
    return dataset.select([video for video in dataset if video.id not in dropped])


def judge(bundle: Bundle, dataset: Dataset, *, pem: bool) -> dict[str, float]:
    judged = dataset.subset("validation")
    jobs = (Job(video.id, lambda name=video.id: judged.read(name)) for video in judged)
    with Pipeline.load(bundle, pem=pem, edge=dataset.edge) as pipeline:
        proposals = {outcome.id: outcome.proposals for outcome in pipeline.run(jobs)}
    return evaluate_recall(judged.videos, proposals, subset="validation").summary()


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in COLUMNS}


def spread(rows: list[dict[str, float]]) -> dict[str, float]:
    ddof = 1 if len(rows) > 1 else 0
    return {name: float(np.std([row[name] for row in rows], ddof=ddof)) for name in COLUMNS}


def print_row(name: str, row: dict[str, float], note: str = "") -> None:
    figures = "  ".join(f"{column} {row[column]:6.2f}" for column in COLUMNS)
    print(f"{name:20s} {figures}  {note}", flush=True)


if __name__ == "__main__":
    main()
