"""Output of `actspan propose`: figures, a table, JSON, or lines while a video is recorded."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from actspan.cli.console import findings, print_findings, print_json, say
from actspan.core.types import Proposals
from actspan.core.wording import counted
from actspan.jobs.clips import Clip, ClipSink
from actspan.jobs.live import GrowingVideo, NewSegments
from actspan.jobs.propose_request import ProposeRequest, Summary
from actspan.jobs.sinks import SegmentList, Sink
from actspan.runtime.opening import Choice


class ProposeOutput:
    """Output of the command, and the sinks that collect it.

    Attributes
    ----------
    sinks : list of Sink
    """

    def __init__(
        self, request: ProposeRequest, choice: Choice | None, clips: Path | None, *, as_json: bool
    ) -> None:
        self._request, self._choice, self._as_json = request, choice, as_json
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
        """Print the result: of a live video the answer, else JSON or a report."""
        if self._segments is not None and self._request.live is not None:
            (found,) = self._segments.proposals.values()
            _print_line({"final": _entries(found), "seconds": summary.video_seconds})
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
        found, paths = self._segments.proposals, self._segments.paths
        return {
            **figures,
            "results": {video: _entries(proposals) for video, proposals in found.items()},
            "videos": {video: str(paths[video]) for video in found},
            "video_seconds": summary.video_seconds,
            "clips": [
                {
                    "path": str(clip.path),
                    "segment": [clip.start, clip.end],
                    "way": clip.way,
                    "seconds": clip.seconds,
                }
                for clip in self._clips
            ],
        }

    def _print_report(self, summary: Summary) -> None:
        if self._segments is not None:
            _print_table(self._segments)
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


def _print_table(segments: SegmentList) -> None:
    from actspan.cli.tables import print_table

    rows = [
        (video, _clock(start), _clock(end), f"{end - start:.2f}", f"{score:.3f}")
        for video, found in segments.proposals.items()
        for start, end, score in zip(
            found.start.tolist(), found.end.tolist(), found.score.tolist(), strict=True
        )
    ]
    print_table(("video", "start", "end", "seconds", "score"), rows)
    if not rows:
        say("no segment scores as much as --min-score; lower it to see more")


def _entries(proposals: Proposals) -> list[dict[str, Any]]:
    columns = (proposals.score.tolist(), proposals.start.tolist(), proposals.end.tolist())
    return [{"score": c, "segment": [s, e]} for c, s, e in zip(*columns, strict=True)]


def _clock(seconds: float) -> str:
    """Return the time as `1:02:03.45`: hours, minutes, seconds."""
    hundredths = round(100 * seconds)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest / 100:05.2f}"


def _print_new(seconds: float, proposals: Proposals) -> None:
    for entry in _entries(proposals):
        _print_line({**entry, "seen": seconds})


def _print_line(values: dict[str, Any]) -> None:
    click.echo(json.dumps(values))  # also flushes


@contextmanager
def open_live(given: str, idle: float) -> Iterator[GrowingVideo]:
    """Open a live video; the first Ctrl-C ends it, with its answer, and the second the command."""
    with GrowingVideo(given, idle=idle) as video:

        def stop(*_: object) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            say("stopping: the answer for what was recorded so far follows")
            video.stop()

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield video
        finally:
            signal.signal(signal.SIGINT, before)
