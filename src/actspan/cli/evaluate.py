"""`actspan evaluate`: recall of proposals, mAP of detections, and a diagnosis of both."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    json_option,
    on_error_option,
    progress_report,
    refuse_options,
    reports_errors,
    say,
    step_report,
)
from actspan.cli.detection_report import (
    detection_document,
    mistakes_document,
    print_detection,
    print_mistakes,
    say_about_detection,
)
from actspan.cli.diagnosis_report import diagnosis_document, print_diagnosis
from actspan.cli.ground_truth import read_truth, with_set_apart
from actspan.cli.recall_report import print_recall, recall_document, say_about_recall

if TYPE_CHECKING:
    from actspan.core.types import Float64
    from actspan.data.annotations.annotation_set import Annotations
    from actspan.evaluation.diagnosis import Diagnosis
    from actspan.evaluation.mistakes import Mistakes
    from actspan.evaluation.protocols import Task

_existing = ExistingPath()


@click.command()
@click.argument("result", type=ExistingPath(urls=True))
@click.option(
    "--ground-truth",
    type=_existing,
    required=True,
    help="Annotations in any format that `actspan annotate convert` reads, or a dataset folder.",
)
@click.option(
    "--subset", default="validation", show_default=True, help="Evaluate the videos of this subset."
)
@click.option(
    "--labels",
    multiple=True,
    metavar="PATTERN",
    help="Evaluate only instances whose label matches, as in '*_TO_*'; may be repeated. "
    "[default: all]",
)
@click.option(
    "--task",
    type=click.Choice(["proposal", "detection"]),
    default="proposal",
    show_default=True,
    help="Compute average recall of proposals, or average mAP of detections.",
)
@click.option(
    "--protocol",
    type=click.Choice(["activitynet", "thumos14"]),
    default="activitynet",
    show_default=True,
    help="Thresholds and budgets: thumos14 uses mAP at 0.3:0.1:0.7 and AR up to 1000 "
    "proposals, and counts instances that are annotated twice once.",
)
@click.option(
    "--tiou", help="Thresholds to use instead: 0.5:0.05:0.95 (first:step:last), or 0.5,0.75."
)
@click.option(
    "--max-proposals",
    type=click.IntRange(min=1),
    help="Largest average number of proposals per video. [default: the protocol's]",
)
@click.option(
    "--blocked",
    type=ExistingPath(dir_okay=False),
    help="File of videos to leave out: a JSON list of ids, or one id per line.",
)
@on_error_option("Stop at annotations that cannot be read, or skip them.")
@click.option(
    "--plot",
    type=PlainPath(dir_okay=False),
    help="Write the AR-AN plot: .png, .svg or .pdf.",
)
@click.option(
    "--diagnose",
    is_flag=True,
    help="Also report which stage of a run loses each missed instance, and the errors of "
    "detections.",
)
@json_option
@click.pass_context
@reports_errors
def command(
    context: click.Context,
    result: Path,
    ground_truth: Path,
    subset: str,
    labels: tuple[str, ...],
    task: Task,
    protocol: str,
    tiou: str | None,
    max_proposals: int | None,
    blocked: Path | None,
    on_error: Literal["fail", "skip"],
    plot: Path | None,
    diagnose: bool,
    as_json: bool,
) -> None:
    """Compute average recall of RESULT (a result.json or a run folder), or mAP of detections.

    RESULT may also be an unfinished run: RUN.partial, or the URL of its shards (s3://...), which
    are read one at a time.

    Prints AR@1 ... AR@100 and AUC in percent, and recall at every tIoU. Videos without proposals
    count as missed; they are named, as are videos that were not evaluated. With --task detection,
    RESULT is a file of labelled proposals, or a run that contains detections.json.

    \b
    Example:
      actspan evaluate run/ --ground-truth my-videos/ --plot curve.png
      actspan evaluate result.json --ground-truth annotations.json --json
      actspan evaluate run/ --ground-truth recordings/ --labels '*_TO_*'
      actspan evaluate run/ --ground-truth my-videos/ --diagnose
      actspan evaluate run/ --ground-truth thumos14/ --task detection --protocol thumos14
    """
    if task == "detection":
        refuse_options(context, ("plot", "max_proposals"), "with --task detection")
    if "numpy" not in sys.modules:
        # No matrices are multiplied here, and starting one thread per core for that would take
        # longer than loading everything else.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from actspan.evaluation.protocols import PROTOCOLS, parse_thresholds

    agreed = PROTOCOLS[protocol]
    truth, notes = read_truth(ground_truth, labels, agreed, subset)
    truth, more = with_set_apart(truth, result, subset)
    notes += more
    for note in notes:
        say(f"note: {note}")
    asked = _Asked(
        result=result,
        truth=truth,
        subset=subset,
        tiou=parse_thresholds(agreed.tiou(task) if tiou is None else tiou),
        max_proposals=max_proposals or agreed.max_proposals,
        blocked=blocked,
        on_error=on_error,
    )
    if task == "detection":
        _evaluate_detection(asked, diagnose, as_json)
    else:
        _evaluate_recall(asked, plot, diagnose, as_json)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Inputs and settings that both tasks share."""

    result: Path
    truth: Annotations
    subset: str
    tiou: Float64
    max_proposals: int
    blocked: Path | None
    on_error: Literal["fail", "skip"]


def _evaluate_recall(asked: _Asked, plot: Path | None, diagnose: bool, as_json: bool) -> None:
    from actspan.evaluation.recall import evaluate_recall
    from actspan.evaluation.sharded import evaluate_shards, is_sharded

    if plot is not None:
        from actspan.report.figures import check_picture

        check_picture(plot)
    evaluate = evaluate_shards if is_sharded(asked.result) else evaluate_recall
    with step_report("evaluate"):
        found = evaluate(
            asked.truth,
            asked.result,
            subset=asked.subset,
            max_proposals=asked.max_proposals,
            tiou=asked.tiou,
            blocked=asked.blocked,
            on_error=asked.on_error,
        )
    diagnosis = _diagnose(asked) if diagnose else None
    mistakes = _mistakes(asked) if diagnose and _has_detections(asked.result) else None
    if as_json:
        document = recall_document(found, asked.subset)
        if diagnosis is not None:
            document["diagnosis"] = diagnosis_document(diagnosis)
        if mistakes is not None:
            document["diagnosis"]["detections"] = mistakes_document(mistakes)
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        print_recall(found, asked.subset)
        if diagnosis is not None:
            print_diagnosis(diagnosis)
        if mistakes is not None:
            print_mistakes(mistakes)
    if plot is not None:
        from actspan.report.curves import plot_recall

        plot_recall(found, plot)
        say(f"picture: {plot}")
    say_about_recall(found)


def _evaluate_detection(asked: _Asked, diagnose: bool, as_json: bool) -> None:
    from actspan.evaluation.detection import evaluate_detection

    with step_report("evaluate"):
        found = evaluate_detection(
            asked.truth,
            asked.result,
            subset=asked.subset,
            tiou=asked.tiou,
            blocked=asked.blocked,
            on_error=asked.on_error,
        )
        mistakes = _mistakes(asked) if diagnose else None
    if as_json:
        document = {**detection_document(found), "subset": asked.subset}
        if mistakes is not None:
            document["diagnosis"] = {"detections": mistakes_document(mistakes)}
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        print_detection(found, asked.subset)
        if mistakes is not None:
            print_mistakes(mistakes)
    say_about_detection(found)


def _diagnose(asked: _Asked) -> Diagnosis:
    from actspan.evaluation.diagnosis import diagnose

    with progress_report() as report:
        return diagnose(
            asked.result,
            asked.truth,
            subset=asked.subset,
            max_proposals=asked.max_proposals,
            tiou=asked.tiou,
            blocked=asked.blocked,
            on_error=asked.on_error,
            progress=report,
        )


def _mistakes(asked: _Asked) -> Mistakes:
    from actspan.evaluation.mistakes import diagnose_detections

    return diagnose_detections(
        asked.truth,
        asked.result,
        subset=asked.subset,
        tiou=asked.tiou,
        blocked=asked.blocked,
        on_error=asked.on_error,
    )


def _has_detections(result: Path) -> bool:
    from actspan.data.detections import DETECTIONS_FILE

    return (result / DETECTIONS_FILE).is_file()
