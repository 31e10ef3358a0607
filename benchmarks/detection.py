"""Average mAP with the small classifier, trained and evaluated on the parts of a dataset.

A model is a trained bundle; it is copied, not changed. With one model and several seeds the
classifier alone is retrained; several models take a seed each. Beside it the same proposals with
annotated labels (those of the instance that each overlaps most) and no score of a classifier.
Percent; mean and sample standard deviation.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from actspan import Bundle, Dataset
from actspan.cli.train import training_report
from actspan.core.progress import Report
from actspan.core.tiou import tiou_matrix
from actspan.data.detections import Detections, read_detections
from actspan.data.result_files import read_result
from actspan.evaluation.detection import evaluate_detection
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.pipeline.label_request import LabelChoice
from actspan.training.parts import trainable
from actspan.training.train_classifier import train_classifier
from benchmarks.accuracy import print_mean, print_row
from benchmarks.harness import benchmark

COLUMNS = ("mAP@0.50", "mAP@0.75", "mAP@0.95", "average_mAP")


def detect(
    dataset: Dataset, model: Path, folder: Path, seed: int, report: Report
) -> dict[str, Detections]:
    """Train the classifier into a copy of the model, and run it as a user would."""
    shutil.copytree(model, folder / "model")
    train_classifier(dataset, Bundle.load(folder / "model"), seed=seed, report=report)
    propose(
        ProposeRequest(
            model=folder / "model",
            dataset=dataset.path,
            out=folder / "run",
            subset="validation",
            labels=LabelChoice(classify=True),
            backend="onnxruntime",
        )
    )
    return read_detections(folder / "run")


def with_annotated_labels(dataset: Dataset, run: Path) -> dict[str, Detections]:
    """Return a run's proposals with the label of the instance that each overlaps most."""
    found = {}
    for name, proposals in read_result(run).items():
        video = dataset[name]
        if video.labels:
            overlap = tiou_matrix(proposals.start, proposals.end, *video.segments.T)
            labels = [video.labels[i] for i in overlap.argmax(axis=1).tolist()]
            found[name] = Detections.of(proposals, labels)
    return found


@benchmark()
@click.option("--dataset", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--model", "models", required=True, multiple=True, type=click.Path(path_type=Path))
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2))
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON, too.")
def main(
    folder: Path, dataset: Path, models: tuple[Path, ...], seeds: tuple[int, ...], as_json: bool
) -> None:
    """Evaluate labelled detections of trained bundles on the validation part.

    \b
    Example:
      python -m benchmarks.detection --dataset ucf-spliced --model MODEL --seed 0 --seed 1
    """
    data = trainable(Dataset.load(dataset))
    rows, annotated = [], []
    with training_report() as report:
        for seed, model in zip(seeds, models * (len(seeds) // len(models)), strict=True):
            work = folder / str(seed)
            detections = detect(data, model, work, seed, report)
            rows.append(evaluate_detection(data, detections).summary())
            labelled = with_annotated_labels(data, work / "run")
            annotated.append(evaluate_detection(data, labelled).summary())
            print_row(f"seed {seed}", rows[-1], columns=COLUMNS)
            print_row("  annotated labels", annotated[-1], columns=COLUMNS)
    print_mean("classifier", rows, COLUMNS)
    print_mean("annotated labels", annotated, COLUMNS)
    if as_json:
        click.echo(json.dumps({"rows": rows, "annotated": annotated}))


if __name__ == "__main__":
    main()
