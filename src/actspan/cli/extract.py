"""`actspan extract`: extract snippet features from videos into a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from actspan.cli.console import findings, print_findings, print_json, progress_report, say
from actspan.cli.options import (
    OnError,
    Output,
    Positive,
    Text,
    command,
    ray_config,
    request_from_options,
)
from actspan.cli.tables import count_and_names
from actspan.core.wording import counted, quoted
from actspan.jobs.ray_pool import ClusterConfig

if TYPE_CHECKING:
    from actspan.streams.extraction import Extracted
    from actspan.streams.snippet_grid import Grid

_Time = Annotated[str, Text("TIME")]


@command(
    out="Dataset folder to write.",
    backbone="default (EfficientNet-Lite0), or onnx:FILE with its preprocessing in FILE's .toml.",
    stride="Time from one snippet to the next: seconds (0.25s) or frames (8f). [default: 0.25s]",
    length="Length of a snippet. [default: twice the stride]",
    frames="Number of frames used per snippet. [default: 4]",
    stream="Encode what the frames show, how they change, or both. [default: both]",
    channels="Project features to N principal components of the training part. [default: keep all]",
    precision="Precision of the features on disk.",
    threads="Number of threads of the backbone. [default: all cores]",
    backend="Inference runtime for the backbone.",
    on_error="Stop at videos that cannot be opened, or skip them.",
    force="Remove features in --out that were made with other settings.",
)
def extract(
    videos: tuple[str, ...],
    *,
    out: Output,
    backbone: str = "default",
    stride: _Time | None = None,
    length: _Time | None = None,
    frames: Positive | None = None,
    stream: Literal["appearance", "motion", "both"] | None = None,
    channels: Positive | None = None,
    precision: Literal["float16", "float32"] = "float16",
    threads: Positive | None = None,
    backend: str = "auto",
    on_error: OnError = "fail",
    force: bool = False,
    json_: bool = False,
    engine: Literal["local", "ray"] = "local",
    cluster: ClusterConfig,
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
    ray = ray_config(engine, cluster)
    with progress_report() as report:
        from actspan.streams.extraction import ExtractRequest, extract_videos

        grid = _grid(stride, length)
        request = request_from_options(ExtractRequest, grid=grid, streams=stream)
        extraction = None
        if ray is not None:
            from actspan.jobs.ray_engine import ray_extraction

            extraction = ray_extraction(ray)
        done = extract_videos(request, report, engine=extraction)
    if json_:
        from actspan.config.base import to_dict

        names = ("out", "videos", "kept", "snippets", "video_seconds", "seconds", "removed")
        figures = {name: getattr(done, name) for name in names}
        print_json({**figures, "features": to_dict(done.spec), **findings(done.problems)})
    else:
        _print_extracted(done)


def _grid(stride: str | None, length: str | None) -> Grid:
    """Return the requested grid; by default, neighbouring snippets overlap by half."""
    from actspan.streams.extraction import DEFAULT_GRID
    from actspan.streams.snippet_grid import Grid, Span

    chosen = DEFAULT_GRID.stride if stride is None else Span.parse(stride)
    return Grid(chosen, chosen.twice() if length is None else Span.parse(length))


def _print_extracted(done: Extracted) -> None:
    if done.removed:
        say(f"removed features of other settings: {count_and_names(done.removed)}")
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
    print_findings(done.problems)
