"""`actspan propose`: find scored segments from features, boundary scores or videos."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Literal

import click
from msgspec.structs import replace

from actspan.cli.console import progress_report
from actspan.cli.options import Text, command, given_options, ray_config, refuse_options
from actspan.config.base import Bounds, OutputFolder
from actspan.core.progress import no_progress
from actspan.jobs.propose_request import ClusterConfig, ProposeRequest

_SOURCES = {"videos": "VIDEOS", "dataset": "--dataset", "follow": "--follow"}
# Sources that an option applies to, if not to all.
_APPLIES = {
    "subset": ("videos", "dataset"),
    "resume": ("videos", "dataset"),
    "shard_size": ("videos", "dataset"),
    "shards": ("videos", "dataset"),
    "engine": ("videos", "dataset"),
    "scores": ("dataset",),
    "detections": ("dataset",),
    "batch": ("dataset",),
    "backbone": ("videos", "follow"),
    "clips": ("videos",),
    "idle": ("follow",),
}
_NEED_OUT = ("force", "resume", "shard_size", "shards", "engine", "labels_from", "detections")
_FEW = 10  # segments per video in a table, or as clips


@command(
    arguments=["videos"],
    names={"classify": "detections"},
    without=["live"],
    follow="A video that is still being recorded; - is standard input.",
    idle="With --follow: seconds after which a file that no longer grows is complete.",
    clips="With VIDEOS: cut the segments into files in this folder.",
)
def propose(
    request: ProposeRequest,
    *,
    follow: Annotated[str, Text("FILE")] | None = None,
    idle: Annotated[float, Bounds(0)] = 10.0,
    clips: OutputFolder | None = None,
    json_: bool = False,
    engine: Literal["local", "ray"] = "local",
    cluster: ClusterConfig,
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
    _check_usage()
    ray = ray_config(engine, cluster)
    with ExitStack() as stack:
        progress = no_progress if follow else stack.enter_context(progress_report())
        from actspan.cli.propose_output import ProposeOutput, open_live
        from actspan.data.dataset import local_folder
        from actspan.jobs import driver
        from actspan.model.bundle import Bundle
        from actspan.runtime.opening import choose_backend

        request = replace(request, model=local_folder(request.model))
        choice = None
        if follow is not None:
            request = replace(request, live=stack.enter_context(open_live(follow, idle)))
        if request.dataset is not None:
            choice = choose_backend(Bundle.load(request.model), request.backend)
            dataset = local_folder(request.dataset)
            request = replace(request, dataset=dataset, backend=choice.name)
        elif request.selection.top is None and (clips or not (follow or request.out or json_)):
            request = replace(request, selection=replace(request.selection, top=_FEW))
        output = ProposeOutput(request, choice, clips, as_json=json_)
        workers = None
        if ray is not None:
            from actspan.jobs.ray_engine import ray_engine

            workers = ray_engine(ray)
        summary = driver.propose(request, progress, engine=workers, sinks=output.sinks)
    output.print(summary)


def _check_usage() -> None:
    """Raise unless there is exactly one source, and every option applies to it."""
    given = given_options()
    sources = _SOURCES.keys() & given
    if len(sources) != 1:
        raise click.UsageError("give one of VIDEOS, --dataset and --follow")
    (source,) = sources
    if "dataset" in given and "out" not in given:
        raise click.UsageError(
            "--dataset needs --out: a run folder, or FILE.json, .csv or .parquet"
        )
    others = [name for name, applies in _APPLIES.items() if source not in applies]
    refuse_options(others, f"with {_SOURCES[source]}")
    if "out" not in given:
        refuse_options(_NEED_OUT, "without --out")
    if not {"labels_from", "detections"} & given:
        refuse_options(("top_labels",), "without --labels-from or --detections")
