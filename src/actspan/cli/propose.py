"""`actspan propose`: features, or boundary scores, to scored segments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.common import (
    console,
    json_option,
    on_error_option,
    progress_report,
    reports_errors,
    say,
)

if TYPE_CHECKING:
    from actspan.proposing import Summary
    from actspan.runtime import Choice


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=Path), help="A bundle.")
@click.option("--dataset", required=True, type=click.Path(path_type=Path), help="A dataset folder.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A run folder to make, or FILE.json for the result alone.",
)
@click.option("--subset", help="Only these videos: training, validation, ... [default: all]")
@click.option(
    "--scores",
    type=click.Path(path_type=Path, exists=True),
    help="Start from boundary scores: scores.npz, a run, or a folder of TEM CSVs.",
)
@click.option(
    "--labels-from",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Label the proposals from a score file: {video: [{label, score}, ...]}.",
)
@click.option("--detections", is_flag=True, help="Label the proposals by the model's classifier.")
@click.option(
    "--top-labels",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Labels a proposal.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="Inference runtime; actspan backends lists them.",
)
@click.option("--threads", type=click.IntRange(1), help="Workers. [default: all cores]")
@click.option(
    "--batch", type=click.IntRange(1), default=16, show_default=True, help="Videos a chunk."
)
@on_error_option("Stop at problems in the dataset, or go on without what is bad.")
@click.option("--force", is_flag=True, help="Replace a run that is there.")
@json_option
@reports_errors
def command(
    model: Path,
    dataset: Path,
    out: Path,
    subset: str | None,
    scores: Path | None,
    labels_from: Path | None,
    detections: bool,
    top_labels: int,
    backend: str,
    threads: int | None,
    batch: int,
    on_error: Literal["fail", "skip"],
    force: bool,
    as_json: bool,
) -> None:
    """Find scored segments in the videos of a dataset.

    With labels a run also holds detections.json, and FILE.json holds the detections alone: each
    proposal with its best labels, its score multiplied by theirs.

    \b
    Example:
      actspan propose --model bsn/ --dataset my-videos/ --subset validation --out run/
      actspan propose --model bsn/ --dataset my-videos/ --scores scores.npz --out result.json
      actspan propose --model bsn/ --dataset my-videos/ --labels-from scores.json --out run/
    """
    with progress_report() as report:
        from actspan.bundle import Bundle
        from actspan.labelling import LabelChoice
        from actspan.proposing import Request, propose_dataset
        from actspan.runtime import choose_backend

        choice = choose_backend(Bundle.load(model), backend)
        request = Request(
            model=model,
            dataset=dataset,
            out=out,
            subset=subset,
            scores=scores,
            labels=LabelChoice(labels_from, detections, top_labels),
            backend=choice.name,
            threads=threads,
            batch=batch,
            on_error=on_error,
            overwrite=force,
        )
        summary = propose_dataset(request, report)
    if as_json:
        click.echo(json.dumps(_figures(summary, choice)))
    else:
        _print(summary, choice)


def _figures(summary: Summary, choice: Choice) -> dict[str, object]:
    return {
        "out": str(summary.out),
        "videos": summary.videos,
        "proposals": summary.proposals,
        "detections": summary.detections,
        "seconds": summary.seconds,
        "videos_per_second": summary.videos / summary.seconds,
        "stages": summary.stages,
        "backend": choice.name,
        "backend_reason": choice.reason,
        "skipped": [[p.video, p.problem] for p in summary.problems if p.is_error],
        "notes": [[p.video, p.problem] for p in summary.problems if not p.is_error],
        "assumptions": summary.assumptions,
    }


def _print(summary: Summary, choice: Choice) -> None:
    from actspan.cli.tables import problem_table

    for assumption in summary.assumptions:
        say(f"note: {assumption}")
    if summary.problems:
        console.print(problem_table(summary.problems))
    left_out = sum(p.is_error for p in summary.problems)
    if left_out:
        say(f"went on without {left_out} of the above (named in run.toml where a run is written)")
    shares = ", ".join(f"{stage} {share:.0%}" for stage, share in summary.stages.items())
    rate = summary.videos / summary.seconds
    say(f"{summary.videos} videos in {summary.seconds:.2f} s ({rate:.0f} videos/s): {shares}")
    labelled = f", {summary.detections} detections" if summary.detections else ""
    say(f"{summary.proposals} proposals{labelled} in {summary.out}")
    say(f"backend {choice.name} ({choice.reason})")
