"""`actspan propose`: find scored segments from features, boundary scores or videos."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import click
from msgspec.structs import replace

from actspan.cli.console import progress_report, say
from actspan.cli.help import Text
from actspan.cli.options import command, given_options, ray_config, refuse_options
from actspan.cli.propose_output import ProposeOutput, print_new
from actspan.config.base import Bounds, ExistingFile, OutputFolder, doc
from actspan.core.locks import lock_target
from actspan.core.progress import no_progress
from actspan.jobs.propose_request import ClusterConfig, ProposeRequest

if TYPE_CHECKING:
    from pathlib import Path

    from actspan.jobs.clips import Clip
    from actspan.jobs.live import GrowingVideo
    from actspan.jobs.sinks import SegmentList, Sink
    from actspan.streams.network_video import NetworkVideo, Retry

    _Live = GrowingVideo | NetworkVideo

_SOURCES = {"videos": "VIDEOS", "dataset": "--dataset", "follow": "--follow"}
# Sources that an option applies to, if not to all.
_APPLIES = {
    "subset": ("videos", "dataset"),
    "resume": ("videos", "dataset"),
    "shard_size": ("videos", "dataset"),
    "shards": ("videos", "dataset"),
    "engine": ("videos", "dataset"),
    "scores": ("dataset",),
    "batch": ("dataset",),
    "backbone": ("videos", "follow"),
    "clips": ("videos",),
    "idle": ("follow",),
    "reconnect": ("follow",),
    "reconnect_delay": ("follow",),
    "timeout": ("videos", "follow"),
}
_NEED_OUT = ("force", "resume", "shard_size", "shards", "engine")
_FEW = 10  # segments per video in a table, or as clips


@command(
    arguments=["videos"],
    names={"classify": "detections"},
    without=["live", "changes"],
    follow=doc(
        "A video that is still being recorded: a file, rtsp://... or http://...; - is standard "
        "input.",
        group="Live video",
    ),
    reconnect=doc(
        "Attempts to connect again to an address after an interruption.", group="Live video"
    ),
    reconnect_delay=doc(
        "Longest time between two of these attempts; the first comes after 1 s.",
        "SECONDS",
        group="Live video",
    ),
    idle=doc(
        "Time after which a file that no longer grows is complete.", "SECONDS", group="Live video"
    ),
    clips=doc("With VIDEOS: cut the segments into files in this folder.", group="Output"),
)
def propose(
    request: ProposeRequest,
    *,
    follow: Annotated[str, Text("FILE")] | None = None,
    idle: Annotated[float, Bounds(0)] = 10.0,
    reconnect: Annotated[int, Bounds(0)] = 10,
    reconnect_delay: Annotated[float, Bounds(0, excluded=0)] = 30.0,
    clips: OutputFolder | None = None,
    json_: bool = False,
    engine: Literal["local", "ray"] = "local",
    set_: tuple[Annotated[str, Text("KEY=VALUE")], ...] = (),
    settings: ExistingFile | None = None,
    cluster: ClusterConfig,
) -> None:
    """Find scored segments in VIDEOS, in a dataset of features, or in a video being recorded.

    VIDEOS are files, folders, patterns ('day1/*.mp4'), addresses (https://..., rtsp://...),
    @list.txt, or a dataset folder with videos/. A model of sensors, sound or poses takes such files
    instead (docs/how-to/streams.md). A model for VIDEOS is trained on features of actspan extract;
    without a model, segments are where the video changes.

    Segments are printed as a table unless --out is given. --follow prints one line of JSON per
    segment, soon after the segment has ended.

    Results are saved in OUT.partial during the run. After an interruption, the same command with
    --resume computes what is missing and gives the same bytes. --engine ray gives the same bytes
    too, with workers on one or more machines; all of them need access to the files named here.

    With labels, a run also contains detections.json, and a FILE contains only the detections: each
    proposal with its best labels, its score multiplied by theirs. Tables, clips, --json and the
    lines of --follow show each segment with its best label.

    --set changes settings of the model that act after its networks: pgm, fusion, soft_nms, and
    rescale.edge; docs/reference/settings.md lists them all.

    \b
    Example:
      actspan propose match.mp4 --top 3
      actspan propose --model model/ match.mp4 --top 5 --clips best/
      actspan propose --model model/ match.mp4 --detections --out found.csv
      actspan propose --model model/ --dataset my-videos/ --out run/
      actspan propose --model model/ --dataset my-videos/ --out run/ --resume
      actspan propose --model model/ --dataset my-videos/ --out run/ \\
          --subset validation --set soft_nms.decay=0.4
      actspan propose --model pem/ --dataset my-videos/ --scores scores.npz \\
          --out result.json
      actspan propose --model model/ --dataset s3://bucket/store --out run/ \\
          --engine ray --workers 8
      actspan propose --model model/ --follow rtsp://camera/stream
      ffmpeg -i rtsp://camera/stream -c copy -f mpegts - | \\
          actspan propose --model model/ --follow -
    """
    _check_usage()
    ray = ray_config(engine, cluster)
    with ExitStack() as stack:
        progress = no_progress if follow else stack.enter_context(progress_report())
        from actspan.config.changes import read_changes
        from actspan.data.dataset import local_folder
        from actspan.jobs import driver
        from actspan.model.bundle import Bundle
        from actspan.runtime.opening import choose_backend
        from actspan.streams.network_video import Retry

        if set_ or settings:
            request = replace(request, changes=read_changes(set_, settings))
        if clips is not None and request.videos:
            _check_clips(request)
            stack.enter_context(lock_target(clips, inside=True))
        choice = None
        if follow is not None:
            live = _live_video(follow, idle, request.timeout, Retry(reconnect, reconnect_delay))
            request = replace(request, live=stack.enter_context(_stoppable(live)))
        if request.dataset is not None:
            request = replace(request, dataset=local_folder(request.dataset))
            if (bundle := Bundle.load(request.model)).nets:
                choice = choose_backend(bundle, request.backend, request.precision)
                request = replace(request, backend=choice.name)
        elif request.selection.top is None and not (follow or request.out or json_):
            request = replace(request, selection=replace(request.selection, top=_FEW))
        segments, cut, sinks = _sinks(request, clips, as_json=json_)
        workers = None
        if ray is not None:
            from actspan.jobs.ray_engine import ray_engine

            workers = ray_engine(ray)
        summary = driver.propose(request, progress, engine=workers, sinks=sinks)
    ProposeOutput(request, choice, segments, cut, as_json=json_).print(summary)
    if lost := getattr(request.live, "lost", ""):
        from actspan.core.errors import VideoError

        raise VideoError(lost)


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


def _check_clips(request: ProposeRequest) -> None:
    """Raise if the streams have no pictures to cut."""
    from actspan.model.bundle import Bundle
    from actspan.streams.stream_kinds import find_kind

    extraction = Bundle.load(request.model).features.extraction
    kind = "video" if extraction is None else extraction.kind
    is_sound_of_video = kind == "audio" and find_kind(request.videos) == "video"
    if kind != "video" and not is_sound_of_video:
        raise click.UsageError(f"--clips cuts videos, and {request.model} takes {kind}")


def _sinks(
    request: ProposeRequest, folder: Path | None, *, as_json: bool
) -> tuple[SegmentList | None, list[Clip], list[Sink]]:
    """Return the list of segments to print, the list of clips, and the sinks that fill both."""
    from actspan.jobs.clips import ClipSink
    from actspan.jobs.live import NewSegments
    from actspan.jobs.sinks import SegmentList

    segments: SegmentList | None = None
    clips: list[Clip] = []
    sinks: list[Sink] = []
    if request.dataset is None and (request.out is None or request.live or as_json):
        segments = SegmentList()
        sinks.append(segments)
    if folder is not None:
        sinks.append(ClipSink(folder, clips.append, request.selection.top or _FEW))
    if request.live is not None:
        sinks.append(NewSegments(request.selection, print_new))
    return segments, clips, sinks


def _live_video(name: str, idle: float, timeout: float, retry: Retry) -> _Live:
    """Return the live video that --follow names; refuse the options of another kind."""
    from actspan.jobs.live import GrowingVideo
    from actspan.streams.addresses import Address, is_address
    from actspan.streams.network_video import NetworkVideo

    if is_address(name):
        refuse_options(("idle",), "with an address: see --timeout")
        return NetworkVideo(Address.parse(name, timeout), retry, say)
    refuse_options(("timeout", "reconnect", "reconnect_delay"), "without an address")
    return GrowingVideo(name, idle=idle)


@contextmanager
def _stoppable(live: _Live) -> Iterator[_Live]:
    """Open a live video; the first Ctrl-C ends it, with its answer, and the second the command."""
    with live:

        def stop(*_: object) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            say("stopping: the result of the recording so far follows")
            live.stop()

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield live
        finally:
            signal.signal(signal.SIGINT, before)
