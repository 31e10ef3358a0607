"""`actspan label`: label proposals, which makes them detections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    json_option,
    on_error_option,
    progress_report,
    reports_errors,
    say,
    say_findings,
)
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.pipeline.labels import LabelSummary

_existing = ExistingPath()


@click.command()
@click.argument("result", type=_existing)
@click.option(
    "--labels-from",
    type=ExistingPath(dir_okay=False),
    help="A score file: {video: [{label, score}, ...]}, or one label per proposal.",
)
@click.option("--model", type=_existing, help="A bundle with a classifier of proposals.")
@click.option("--dataset", type=_existing, help="The dataset whose features the classifier uses.")
@click.option(
    "--top-labels",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Labels per proposal.",
)
@click.option(
    "--out",
    type=PlainPath(dir_okay=False),
    help="File for the detections. [default: detections.json in the run]",
)
@on_error_option("Stop at videos without labels or features, or leave them without detections.")
@click.option("--force", is_flag=True, help="Replace the file in --out even if it is not a result.")
@json_option
@reports_errors
def command(
    result: Path,
    labels_from: Path | None,
    model: Path | None,
    dataset: Path | None,
    top_labels: int,
    out: Path | None,
    on_error: Literal["fail", "skip"],
    force: bool,
    as_json: bool,
) -> None:
    """Label the proposals of RESULT (a result.json or a run folder).

    Labels come from a score file, or from a classifier in a bundle. Each proposal gets its best
    labels; its score is multiplied by theirs.

    \b
    Example:
      actspan label run/ --labels-from scores.json
      actspan label result.json --model bsn/ --dataset my-videos/ --out detections.json
    """
    if (labels_from is None) == (model is None):
        raise click.UsageError("give either --labels-from or --model")
    if (model is None) != (dataset is None):
        raise click.UsageError("--model and --dataset belong together")
    with progress_report() as report:
        from actspan.pipeline.labels import LabelChoice, LabelRequest, label_result

        labels = LabelChoice(labels_from, model is not None, top_labels)
        request = LabelRequest(result, labels, out, model, dataset, on_error, force)
        done = label_result(request, report)
    if as_json:
        click.echo(json.dumps(_figures(done)))
    else:
        _print(done)


def _figures(done: LabelSummary) -> dict[str, object]:
    return {
        "out": str(done.out),
        "videos": done.videos,
        "detections": done.detections,
        "seconds": done.seconds,
        "problems": [[p.video, p.problem] for p in done.problems],
    }


def _print(done: LabelSummary) -> None:
    detections, videos = counted(done.detections, "detection"), counted(done.videos, "video")
    say(f"{detections} in {videos} in {done.out}")
    say_findings(done.problems)
