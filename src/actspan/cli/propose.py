"""`actspan propose`: find scored segments from features, boundary scores or videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.cluster_options import CLUSTER_OPTIONS, cluster_options
from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    given_options,
    json_option,
    on_error_option,
    progress_report,
    refuse_options,
    reports_errors,
    say,
    say_findings,
)
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.jobs.cluster.settings import ClusterConfig
    from actspan.jobs.proposing.request import Summary
    from actspan.runtime.opening import Choice

# Options that apply to only one kind of input.
_OF_DATASETS = (
    "scores",
    "labels_from",
    "detections",
    "top_labels",
    "batch",
    "resume",
    "shard_size",
    "shards",
    "engine",
    *CLUSTER_OPTIONS,
)
_OF_VIDEOS = ("top", "min_score", "backbone", "clips", "idle")


_place = ExistingPath(urls=True)


@click.command()
@click.argument("videos", nargs=-1)
@click.option("--model", required=True, type=_place, help="Bundle: a folder or URL.")
@click.option("--dataset", type=_place, help="A dataset of features: a folder or URL (s3://...).")
@click.option(
    "--follow", metavar="FILE", help="A video that is still being recorded; - is standard input."
)
@click.option(
    "--out",
    type=PlainPath(),
    help="A run folder to write (no suffix), or FILE.json, FILE.csv or FILE.parquet for the "
    "result alone; with VIDEOS always a file.",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    help="Videos: keep the N best per video. [default: 10 in a table or with --clips, else all]",
)
@click.option(
    "--min-score",
    type=float,
    default=0.0,
    help="Videos: leave out segments that score less than this.",
)
@click.option(
    "--clips",
    type=PlainPath(file_okay=False),
    help="Videos: cut the segments into files in this folder.",
)
@click.option("--backbone", help="Videos: onnx:FILE, if the model needs a custom backbone.")
@click.option(
    "--idle",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="--follow: seconds after which a file that no longer grows is complete.",
)
@click.option(
    "--subset",
    help="Process only the videos of this subset: training, validation, ... [default: all]",
)
@click.option(
    "--scores",
    type=ExistingPath(),
    help="Start from boundary scores: scores.npz, a run, or a folder of TEM CSVs.",
)
@click.option(
    "--labels-from",
    type=ExistingPath(dir_okay=False),
    help="Label the proposals from a score file: {video: [{label, score}, ...]}.",
)
@click.option("--detections", is_flag=True, help="Label the proposals with the model's classifier.")
@click.option(
    "--top-labels",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Labels per proposal.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="Inference runtime; see actspan backends.",
)
@click.option("--threads", type=click.IntRange(1), help="Number of threads. [default: all cores]")
@click.option(
    "--batch", type=click.IntRange(1), default=16, show_default=True, help="Videos per batch."
)
@on_error_option("Stop at problems in the dataset, or skip what cannot be used.")
@click.option(
    "--force",
    is_flag=True,
    help="Replace an existing or unfinished run, or a FILE that is not a result.",
)
@click.option("--resume", is_flag=True, help="Resume a run that was interrupted.")
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    help="Videos that are saved together during the run. [default: 256, recordings 8]",
)
@click.option(
    "--shards",
    metavar="PLACE",
    help="Folder or URL (s3://...) for these shards. [default: OUT.partial]",
)
@json_option
@click.pass_context
@reports_errors
@cluster_options
def command(
    context: click.Context,
    videos: tuple[str, ...],
    model: Path | str,
    dataset: Path | str | None,
    follow: str | None,
    out: Path | None,
    top: int | None,
    min_score: float,
    clips: Path | None,
    backbone: str | None,
    idle: float,
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
    resume: bool,
    shard_size: int | None,
    shards: str | None,
    as_json: bool,
    cluster: ClusterConfig | None,
) -> None:
    """Find scored segments in VIDEOS, in a dataset of features, or in a video being recorded.

    VIDEOS are files, folders, patterns ('day1/*.mp4'), @list.txt, or a dataset folder with videos/.
    The model must be trained on features of actspan extract. Segments are printed as a table unless
    --out is given. --follow prints one line of JSON per segment, soon after the segment has ended.

    Results are saved in OUT.partial during the run. After an interruption, the same command with
    --resume computes what is missing and gives the same bytes. --engine ray gives the same bytes
    too, with workers on one or more machines; all of them need access to the files named here.

    With labels, a run also contains detections.json, and a FILE contains only the detections: each
    proposal with its best labels, its score multiplied by theirs.

    \b
    Example:
      actspan propose --model bsn/ --dataset my-videos/ --subset validation --out run/
      actspan propose --model bsn/ --dataset my-videos/ --subset validation --out run/ --resume
      actspan propose --model bsn/ --dataset my-videos/ --scores scores.npz --out result.json
      actspan propose --model bsn/ --dataset my-videos/ --labels-from scores.json --out run/
      actspan propose --model bsn/ --dataset s3://bucket/store --engine ray --workers 8 --out run/
      actspan propose --model bsn/ video.mp4 --top 5 --clips best/
      ffmpeg -i rtsp://camera -c copy -f mpegts - | actspan propose --model bsn/ --follow -
    """
    _check_usage(context, videos, follow)
    from actspan.data.remote import local_folder

    model = local_folder(model)
    if dataset is None:
        from actspan.cli.propose_videos import Wanted, follow_and_print, propose_and_print

        wanted = Wanted(
            model=model,
            out=out,
            subset=subset,
            top=top,
            min_score=min_score,
            clips=clips,
            backbone=backbone,
            backend=backend,
            threads=threads,
            on_error=on_error,
            force=force,
            as_json=as_json,
        )
        if follow is None:
            propose_and_print(videos, wanted)
        else:
            follow_and_print(follow, idle, wanted)
        return
    assert out is not None
    with progress_report() as report:
        from actspan.jobs.proposing.engine import EngineMaker, LocalEngine
        from actspan.jobs.proposing.job import propose_dataset
        from actspan.jobs.proposing.request import Request
        from actspan.model.bundle import Bundle
        from actspan.pipeline.labels import LabelChoice
        from actspan.runtime.opening import choose_backend

        engine: EngineMaker = LocalEngine
        if cluster is not None:
            from actspan.jobs.cluster.engine import ray_engine

            engine = ray_engine(cluster)
        choice = choose_backend(Bundle.load(model), backend)
        request = Request(
            model=model,
            dataset=local_folder(dataset),
            out=out,
            subset=subset,
            scores=scores,
            labels=LabelChoice(labels_from, detections, top_labels),
            backend=choice.name,
            threads=threads,
            batch=batch,
            on_error=on_error,
            overwrite=force,
            resume=resume,
            shard_size=shard_size,
            shards=shards,
        )
        summary = propose_dataset(request, report, engine=engine)
    if as_json:
        click.echo(json.dumps(_figures(summary, choice)))
    else:
        _print(summary, choice)


def _check_usage(context: click.Context, videos: tuple[str, ...], follow: str | None) -> None:
    """Raise unless there is exactly one input and every option applies to it."""
    given = given_options(context)
    kinds = {"videos", "dataset", "follow"} & given
    if len(kinds) != 1:
        raise click.UsageError("give one of VIDEOS, --dataset and --follow")
    if "dataset" in given:
        if "out" not in given:
            raise click.UsageError(
                "--dataset needs --out: a run folder, or FILE.json, .csv or .parquet"
            )
        refuse_options(context, _OF_VIDEOS, "with --dataset")
        if not {"labels_from", "detections"} & given:
            refuse_options(context, ("top_labels",), "without --labels-from or --detections")
    else:
        kind = "--follow" if videos == () else "VIDEOS"
        also = ("clips", "subset") if follow is not None else ("idle",)
        refuse_options(context, (*_OF_DATASETS, *also), f"with {kind}")
        if "out" not in given:
            refuse_options(context, ("force",), "without --out")


def _figures(summary: Summary, choice: Choice) -> dict[str, object]:
    return {
        "out": str(summary.out),
        "videos": summary.videos,
        "proposals": summary.proposals,
        "detections": summary.detections,
        "kept": summary.kept,
        "seconds": summary.seconds,
        "videos_per_second": summary.rate,
        "stages": summary.stages,
        "backend": choice.name,
        "backend_reason": choice.reason,
        "skipped": [[p.video, p.problem] for p in summary.problems if p.is_error],
        "notes": [[p.video, p.problem] for p in summary.problems if not p.is_error],
        "assumptions": summary.notes,
    }


def _print(summary: Summary, choice: Choice) -> None:
    shares = ", ".join(f"{stage} {share:.0%}" for stage, share in summary.stages.items())
    computed = summary.videos - summary.kept
    if summary.kept:
        was = "was" if summary.kept == 1 else "were"
        say(f"{summary.kept:,} of {counted(summary.videos, 'video')} {was} done before")
    if computed:
        pace = f"{summary.seconds:.2f} s ({summary.rate:.0f}/s)"
        say(f"{counted(computed, 'video')} in {pace}: {shares}")
    labelled = f", {counted(summary.detections, 'detection')}" if summary.detections else ""
    say(f"{counted(summary.proposals, 'proposal')}{labelled} in {summary.out}")
    say(f"backend {choice.name} ({choice.reason})")
    named = " (named in run.toml where a run is written)"
    say_findings(summary.problems, summary.notes, named=named)
