"""`actspan extract`: extract snippet features from videos into a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.cluster_options import cluster_options
from actspan.cli.common import (
    PlainPath,
    json_option,
    progress_report,
    reports_errors,
    say,
    say_findings,
)
from actspan.core.wording import counted, quoted

if TYPE_CHECKING:
    from actspan.jobs.ray_pool import ClusterConfig
    from actspan.streams.extract import Extracted
    from actspan.streams.grid import Grid


@click.command()
@click.argument("videos", nargs=-1, required=True)
@click.option("--out", required=True, type=PlainPath(), help="Dataset folder to write.")
@click.option(
    "--backbone",
    default="default",
    show_default=True,
    help="default (EfficientNet-Lite0), or onnx:FILE with its preprocessing in FILE's .toml.",
)
@click.option(
    "--stride",
    metavar="TIME",
    help="Time from one snippet to the next: seconds (0.25s) or frames (8f). [default: 0.25s]",
)
@click.option("--length", metavar="TIME", help="Length of a snippet. [default: twice the stride]")
@click.option(
    "--frames", type=click.IntRange(1), help="Number of frames used per snippet. [default: 4]"
)
@click.option(
    "--stream",
    type=click.Choice(["appearance", "motion", "both"]),
    help="Encode what the frames show, how they change, or both. [default: both]",
)
@click.option(
    "--channels",
    type=click.IntRange(1),
    help="Project features to N principal components of the training part. [default: keep all]",
)
@click.option(
    "--precision",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="Precision of the features on disk.",
)
@click.option(
    "--threads", type=click.IntRange(1), help="Threads of the backbone. [default: all cores]"
)
@click.option(
    "--backend", default="auto", show_default=True, help="Inference runtime for the backbone."
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="Stop at videos that cannot be opened, or skip them.",
)
@click.option(
    "--force", is_flag=True, help="Remove features in --out that were made with other settings."
)
@json_option
@reports_errors
@cluster_options
def command(
    videos: tuple[str, ...],
    out: Path,
    backbone: str,
    stride: str | None,
    length: str | None,
    frames: int | None,
    stream: Literal["appearance", "motion", "both"] | None,
    channels: int | None,
    precision: Literal["float16", "float32"],
    threads: int | None,
    backend: str,
    on_error: Literal["fail", "skip"],
    force: bool,
    as_json: bool,
    cluster: ClusterConfig | None,
) -> None:
    """Extract snippet features from VIDEOS into a dataset, for training and proposing.

    VIDEOS are files, folders, patterns ('day1/*.mp4'), @list.txt with one file per line, or a
    dataset folder that has videos/ instead of features/; its annotations are copied.

    The same command, given again, processes only videos that are missing or have changed. With
    other settings it stops if features already exist, unless --force lets it remove them.

    --engine ray gives each video to a worker; videos and --out must be on storage that all machines
    share.

    \b
    Example:
      actspan extract my-videos/ --out my-features/
      actspan extract /shared/videos/ --out /shared/set/ --engine ray --address auto --workers 8
      actspan extract 'day1/*.mp4' @more.txt --out day1/ --stride 8f --stream appearance
    """
    with progress_report() as report:
        from actspan.streams.extract import ExtractRequest, extract_videos

        request = ExtractRequest(
            videos=videos,
            out=out,
            backbone=backbone,
            grid=_grid(stride, length),
            streams=stream,
            frames=frames,
            channels=channels,
            precision=precision,
            on_error=on_error,
            threads=threads,
            backend=backend,
            force=force,
        )
        engine = None
        if cluster is not None:
            from actspan.jobs.ray_engine import ray_extraction

            engine = ray_extraction(cluster)
        done = extract_videos(request, report, engine=engine)
    if as_json:
        click.echo(json.dumps(_figures(done)))
    else:
        _print(done)


def _grid(stride: str | None, length: str | None) -> Grid:
    """Return the requested grid; by default, neighbouring snippets overlap by half."""
    from actspan.streams.extract import DEFAULT_GRID
    from actspan.streams.grid import Grid, Span

    chosen = DEFAULT_GRID.stride if stride is None else Span.parse(stride)
    return Grid(chosen, chosen.twice() if length is None else Span.parse(length))


def _figures(done: Extracted) -> dict[str, object]:
    from actspan.config.base import to_dict

    return {
        "out": str(done.out),
        "videos": done.videos,
        "kept": done.kept,
        "snippets": done.snippets,
        "video_seconds": done.video_seconds,
        "seconds": done.seconds,
        "features": to_dict(done.spec),
        "left_out": [[p.video, p.problem] for p in done.problems if p.is_error],
        "removed": list(done.removed),
        "notes": [[p.video, p.problem] for p in done.problems if not p.is_error],
    }


def _print(done: Extracted) -> None:
    from actspan.cli.tables import name_some

    if done.removed:
        say(f"removed features of other settings: {name_some(done.removed)}")
    if done.kept:
        say(f"{counted(done.kept, 'video')} {'was' if done.kept == 1 else 'were'} done already")
    if done.videos:
        pace = done.video_seconds / done.seconds
        say(
            f"{counted(done.videos, 'video')}, {done.video_seconds / 60:.1f} min, "
            f"in {done.seconds:.0f} s ({pace:.1f}x real time): "
            f"{counted(done.snippets, 'snippet')} of {counted(done.spec.channels or 0, 'channel')}"
        )
    say(f"features of {done.spec.backbone} in {done.out}")
    out = quoted(done.out)
    if done.labelled:
        say(f"next: actspan train --dataset {out} --out model/")
    else:
        say(
            f"next: annotate the actions in {done.out / 'annotations.json'}, then actspan train; "
            f"or with a model of such features: actspan propose --model MODEL --dataset {out} "
            "--out run/"
        )
    say_findings(done.problems)
