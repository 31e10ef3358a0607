"""Average mAP with the small classifier, trained and judged on the parts of a dataset.

    python -m benchmarks.detection --dataset DIR --models MODEL ... --seeds 0 1 2

A model is a trained bundle; it is copied, not changed. With one model and several seeds the
classifier alone is retrained; several models take a seed each. Beside it the same proposals with
annotated labels (those of the instance that each overlaps most) and no score of a classifier.
Percent; mean and sample standard deviation.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from actspan import Bundle, Dataset
from actspan.cli.train import training_report
from actspan.core.tiou import tiou_matrix
from actspan.data.detections import Detections, read_detections
from actspan.data.results import read_result
from actspan.evaluation.detection import evaluate_detection
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.pipeline.labels import LabelChoice
from actspan.training.labels import train_classifier
from actspan.training.parts import trainable
from actspan.training.report import Report

COLUMNS = ("mAP@0.50", "mAP@0.75", "mAP@0.95", "average_mAP")


def main() -> None:
    options = parse()
    models = options.models * (len(options.seeds) if len(options.models) == 1 else 1)
    dataset = trainable(Dataset.load(options.dataset))
    rows, annotated = [], []
    print_row("", dict.fromkeys(COLUMNS))
    with tempfile.TemporaryDirectory() as temporary, training_report() as report:
        for seed, model in zip(options.seeds, models, strict=True):
            folder = Path(temporary) / str(seed)
            detections = detect(dataset, model, folder, seed, report)
            rows.append(judge(dataset, detections))
            annotated.append(judge(dataset, with_annotated_labels(dataset, folder / "run")))
            print_row(f"seed {seed}", rows[-1])
            print_row("  annotated labels", annotated[-1])
    for what, found in (("classifier", rows), ("annotated labels", annotated)):
        columns = {name: [row[name] for row in found] for name in COLUMNS}
        print_row(f"mean, {what}", {n: float(np.mean(v)) for n, v in columns.items()})
        print_row("  spread", {n: float(np.std(v, ddof=1)) for n, v in columns.items()})
    if options.json:
        print(json.dumps({"rows": rows, "annotated": annotated}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="trained bundles")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", action="store_true", help="print all figures as JSON, too")
    return parser.parse_args()


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
    found = {}
    for name, proposals in read_result(run).items():
        video = dataset[name]
        if video.labels:
            overlap = tiou_matrix(proposals.start, proposals.end, *video.segments.T)
            labels = [video.labels[i] for i in overlap.argmax(axis=1).tolist()]
            found[name] = Detections.of(proposals, labels)
    return found


def judge(dataset: Dataset, detections: dict[str, Detections]) -> dict[str, float]:
    summary = evaluate_detection(dataset, detections).summary()
    return {name: summary[name] for name in COLUMNS}


def print_row(name: str, row: dict[str, float | None]) -> None:
    cells = [f"{k:>12}" if v is None else f"{v:12.2f}" for k, v in row.items()]
    print(f"{name:24}", *cells, flush=True)


if __name__ == "__main__":
    main()
