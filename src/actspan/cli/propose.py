"""`actspan propose`: find scored segments from features, boundary scores or videos."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.cluster_options import cluster_options
from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    given_options,
    json_option,
    on_error_option,
    progress_report,
    refuse_options,
    reports_errors,
)
from actspan.core.progress import no_progress

if TYPE_CHECKING:
    from actspan.jobs.ray_pool import ClusterConfig

_SOURCES = {"videos": "VIDEOS", "dataset": "--dataset", "follow": "--follow"}
# Sources that an option applies to, if not to all.
_APPLIES = {
    "subset": {"videos", "dataset"},
    "scores": {"dataset"},
    "detections": {"dataset"},
    "batch": {"dataset"},
    "backbone": {"videos", "follow"},
    "clips": {"videos"},
    "idle": {"follow"},
    "resume": {"videos", "dataset"},
    "shard_size": {"videos", "dataset"},
    "shards": {"videos", "dataset"},
    "engine": {"videos", "dataset"},
}
_FEW = 10  # segments per video in a table, or as clips
_NEED_OUT = ("force", "resume", "shard_size", "shards", "engine", "labels_from", "detections")


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
    "result alone.",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    help="Keep the N best proposals per video. [default: 10 in a table or with --clips, else all]",
)
@click.option(
    "--min-score",
    type=float,
    default=0.0,
    help="Leave out segments that score less than this.",
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
    help="Videos that are saved together during the run. [default: 256, recordings 8, VIDEOS 1]",
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
    _check_usage(context)
    with ExitStack() as stack:
        progress = no_progress if follow else stack.enter_context(progress_report())
        from actspan.cli.propose_output import open_live, print_new_segments, print_result
        from actspan.data.remote import local_folder
        from actspan.jobs.clips import Clip
        from actspan.jobs.driver import propose
        from actspan.jobs.propose_request import ProposeRequest, Selection
        from actspan.jobs.sinks import ClipSink, SegmentList, Sink
        from actspan.model.bundle import Bundle
        from actspan.pipeline.labels import LabelChoice
        from actspan.runtime.opening import choose_backend

        model = local_folder(model)
        choice = choose_backend(Bundle.load(model), backend) if dataset else None
        is_table = bool(videos) and out is None and not as_json
        selection = Selection(top or (_FEW if clips or is_table else None), min_score)
        segments, cut, sinks = SegmentList(), list[Clip](), list[Sink]()
        if dataset is None and (out is None or as_json or follow):
            sinks.append(segments)
        if clips is not None:
            sinks.append(ClipSink(clips, cut.append))
        live = None
        if follow is not None:
            live = stack.enter_context(open_live(follow, idle))
            sinks.append(print_new_segments(Selection(top, min_score)))
        request = ProposeRequest(
            model=model,
            dataset=local_folder(dataset) if dataset else None,
            out=out,
            videos=videos,
            live=live,
            subset=subset,
            scores=scores,
            selection=selection,
            labels=LabelChoice(labels_from, detections, top_labels),
            backbone=backbone,
            backend=choice.name if choice else backend,
            threads=threads,
            batch=batch,
            on_error=on_error,
            overwrite=force,
            resume=resume,
            shard_size=shard_size,
            shards=shards,
        )
        if cluster is None:
            summary = propose(request, progress, sinks=sinks)
        else:
            from actspan.jobs.ray_engine import ray_engine

            summary = propose(request, progress, engine=ray_engine(cluster), sinks=sinks)
    print_result(request, summary, choice, segments, cut, as_json=as_json)


def _check_usage(context: click.Context) -> None:
    """Raise unless there is exactly one source, and every option applies to it."""
    given = given_options(context)
    sources = _SOURCES.keys() & given
    if len(sources) != 1:
        raise click.UsageError("give one of VIDEOS, --dataset and --follow")
    (source,) = sources
    if "dataset" in given and "out" not in given:
        raise click.UsageError(
            "--dataset needs --out: a run folder, or FILE.json, .csv or .parquet"
        )
    others = [name for name, applies in _APPLIES.items() if source not in applies]
    refuse_options(context, others, f"with {_SOURCES[source]}")
    if "out" not in given:
        refuse_options(context, _NEED_OUT, "without --out")
    if not {"labels_from", "detections"} & given:
        refuse_options(context, ("top_labels",), "without --labels-from or --detections")
