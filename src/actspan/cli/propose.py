"""`actspan propose`: find scored segments from features, boundary scores or videos."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import click
from msgspec.structs import replace

from actspan.cli.console import findings, print_findings, print_json, progress_report, say
from actspan.cli.options import Text, command, given_options, ray_config, refuse_options
from actspan.config.base import Bounds, ExistingFile, OutputFolder
from actspan.core.progress import no_progress
from actspan.core.wording import counted
from actspan.jobs.propose_request import ClusterConfig, ProposeRequest, Summary

if TYPE_CHECKING:
    from pathlib import Path

    from actspan.core.types import Proposals
    from actspan.jobs.clips import Clip
    from actspan.jobs.live import GrowingVideo
    from actspan.jobs.sinks import SegmentList, Sink
    from actspan.runtime.opening import BackendChoice

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
}
_NEED_OUT = ("force", "resume", "shard_size", "shards", "engine")
_FEW = 10  # segments per video in a table, or as clips


@command(
    arguments=["videos"],
    names={"classify": "detections"},
    without=["live", "changes"],
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
    set_: tuple[Annotated[str, Text("KEY=VALUE")], ...] = (),
    settings: ExistingFile | None = None,
    cluster: ClusterConfig,
) -> None:
    """Find scored segments in VIDEOS, in a dataset of features, or in a video being recorded.

    VIDEOS are files, folders, patterns ('day1/*.mp4'), @list.txt, or a dataset folder with videos/.
    A model of sensors, sound or poses takes such files instead (docs/streams.md).
    The model must be trained on features of actspan extract. Segments are printed as a table unless
    --out is given. --follow prints one line of JSON per segment, soon after the segment has ended.

    Results are saved in OUT.partial during the run. After an interruption, the same command with
    --resume computes what is missing and gives the same bytes. --engine ray gives the same bytes
    too, with workers on one or more machines; all of them need access to the files named here.

    With labels, a run also contains detections.json, and a FILE contains only the detections: each
    proposal with its best labels, its score multiplied by theirs. Tables, clips, --json and the
    lines of --follow show each segment with its best label.

    --set changes settings of the model that act after its networks: pgm, fusion, soft_nms, and
    rescale.edge; docs/settings.md lists them all.

    \b
    Example:
      actspan propose --model bsn/ --dataset my-videos/ --subset validation --out run/
      actspan propose --model bsn/ --dataset my-videos/ --subset validation --out run/ --resume
      actspan propose --model bsn/ --dataset my-videos/ --scores scores.npz --out result.json
      actspan propose --model bsn/ --dataset my-videos/ --labels-from scores.json --out run/
      actspan propose --model bsn/ --dataset my-videos/ --set soft_nms.decay=0.4 --out run/
      actspan propose --model bsn/ --dataset s3://bucket/store --engine ray --workers 8 --out run/
      actspan propose --model bsn/ video.mp4 --top 5 --clips best/
      ffmpeg -i rtsp://camera -c copy -f mpegts - | actspan propose --model bsn/ --follow -
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

        request = replace(request, model=local_folder(request.model))
        if set_ or settings:
            request = replace(request, changes=read_changes(set_, settings))
        if clips is not None and request.videos:
            _check_clips(request)
        choice = None
        if follow is not None:
            request = replace(request, live=stack.enter_context(_open_live(follow, idle)))
        if request.dataset is not None:
            request = replace(request, dataset=local_folder(request.dataset))
            if (bundle := Bundle.load(request.model)).nets:
                choice = choose_backend(bundle, request.backend)
                request = replace(request, backend=choice.name)
        elif request.selection.top is None and (clips or not (follow or request.out or json_)):
            request = replace(request, selection=replace(request.selection, top=_FEW))
        output = _Output(request, choice, clips, as_json=json_)
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


def _check_clips(request: ProposeRequest) -> None:
    """Raise if the streams have no pictures to cut."""
    from actspan.model.bundle import Bundle
    from actspan.streams.stream_kinds import find_kind

    extraction = Bundle.load(request.model).features.extraction
    kind = "video" if extraction is None else extraction.kind
    is_sound_of_video = kind == "audio" and find_kind(request.videos) == "video"
    if kind != "video" and not is_sound_of_video:
        raise click.UsageError(f"--clips cuts videos, and {request.model} takes {kind}")


class _Output:
    """Output of the command, and the sinks that collect it.

    Attributes
    ----------
    sinks : list of Sink
    """

    def __init__(
        self,
        request: ProposeRequest,
        choice: BackendChoice | None,
        clips: Path | None,
        *,
        as_json: bool,
    ) -> None:
        self._request, self._choice, self._as_json = request, choice, as_json
        from actspan.jobs.clips import ClipSink
        from actspan.jobs.live import NewSegments
        from actspan.jobs.sinks import SegmentList

        self._segments: SegmentList | None = None
        self._clips: list[Clip] = []
        self.sinks: list[Sink] = []
        if request.dataset is None and (request.out is None or request.live or as_json):
            self._segments = SegmentList()
            self.sinks.append(self._segments)
        if clips is not None:
            self.sinks.append(ClipSink(clips, self._clips.append))
        if request.live is not None:
            self.sinks.append(NewSegments(request.selection, _print_new))

    def print(self, summary: Summary) -> None:
        """Print the result: the final line of a live video, else JSON or a report."""
        if self._segments is not None and self._request.live is not None:
            ((video, proposals),) = self._segments.proposals.items()
            labels = self._segments.labels()
            entries = _entries(proposals, labels.get(video))
            _print_line({"final": entries, "seconds": summary.video_seconds})
        elif self._as_json:
            print_json(self._figures(summary))
        else:
            self._print_report(summary)

    def _figures(self, summary: Summary) -> dict[str, Any]:
        names = ("videos", "proposals", "detections", "kept", "seconds", "stages")
        figures = {
            "out": None if summary.out is None else str(summary.out),
            **{name: getattr(summary, name) for name in names},
            "videos_per_second": summary.rate,
            "backend": self._choice and self._choice.name,
            "backend_reason": self._choice and self._choice.reason,
            **findings(summary.problems, summary.notes),
        }
        if self._segments is None:
            return figures
        results, paths = self._segments.proposals, self._segments.paths
        labels = self._segments.labels()
        return {
            **figures,
            "results": {
                video: _entries(proposals, labels.get(video))
                for video, proposals in results.items()
            },
            "videos": {video: str(paths[video]) for video in results},
            "video_seconds": summary.video_seconds,
            "clips": [
                {
                    "path": str(clip.path),
                    "segment": [clip.start, clip.end],
                    "way": clip.way,
                    "seconds": clip.seconds,
                    **({"label": clip.label} if labels else {}),
                }
                for clip in self._clips
            ],
        }

    def _print_report(self, summary: Summary) -> None:
        if self._segments is not None:
            from actspan.cli.tables import print_segments

            print_segments(self._segments.proposals, self._segments.labels())
        if summary.kept:
            was = "was" if summary.kept == 1 else "were"
            say(f"{summary.kept:,} of {counted(summary.videos, 'video')} {was} done before")
        computed = counted(summary.videos - summary.kept, "video")
        if self._request.videos:
            length, pace = summary.video_seconds / 60, summary.video_seconds / summary.seconds
            say(f"{computed}, {length:.1f} min, in {summary.seconds:.1f} s ({pace:.1f}x real time)")
        elif summary.videos > summary.kept:
            shares = ", ".join(f"{stage} {share:.0%}" for stage, share in summary.stages.items())
            say(f"{computed} in {summary.seconds:.2f} s ({summary.rate:.0f}/s): {shares}")
        if summary.out is not None:
            labelled = f", {counted(summary.detections, 'detection')}" * bool(summary.detections)
            say(f"{counted(summary.proposals, 'proposal')}{labelled} in {summary.out}")
        if self._choice is not None:
            say(f"backend {self._choice.name} ({self._choice.reason})")
        for clip in self._clips:
            say(f"{clip.path}: {clip.seconds:.2f} s, {clip.way}")
        where = " (named in run.toml where a run is written)" if summary.out else ""
        print_findings(summary.problems, summary.notes, where)


def _entries(proposals: Proposals, labels: Sequence[str] | None) -> list[dict[str, Any]]:
    columns = (proposals.score.tolist(), proposals.start.tolist(), proposals.end.tolist())
    entries = [{"score": c, "segment": [s, e]} for c, s, e in zip(*columns, strict=True)]
    if labels is None:
        return entries
    return [{**entry, "label": label} for entry, label in zip(entries, labels, strict=True)]


def _print_new(seconds: float, proposals: Proposals, labels: Sequence[str] | None) -> None:
    for entry in _entries(proposals, labels):
        _print_line({**entry, "seen": seconds})


def _print_line(values: dict[str, Any]) -> None:
    click.echo(json.dumps(values))  # also flushes


@contextmanager
def _open_live(path: str, idle: float) -> Iterator[GrowingVideo]:
    """Open a live video; the first Ctrl-C ends it, with its answer, and the second the command."""
    from actspan.jobs.live import GrowingVideo

    with GrowingVideo(path, idle=idle) as video:

        def stop(*_: object) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            say("stopping: the result of the recording so far follows")
            video.stop()

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield video
        finally:
            signal.signal(signal.SIGINT, before)
