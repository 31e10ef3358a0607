"""Output of `actspan propose`: figures, a table, JSON, or lines while a video is recorded."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from actspan.cli.common import say, say_findings
from actspan.core.types import Proposals
from actspan.core.wording import counted
from actspan.jobs.clips import Clip
from actspan.jobs.live import GrowingVideo, NewSegments
from actspan.jobs.propose_request import ProposeRequest, Selection, Summary
from actspan.jobs.sinks import SegmentList
from actspan.runtime.opening import Choice


def print_result(
    request: ProposeRequest,
    summary: Summary,
    choice: Choice | None,
    segments: SegmentList,
    clips: Sequence[Clip],
    *,
    as_json: bool,
) -> None:
    """Print the result of the command: of a live video the answer, else JSON or a report."""
    if request.live is not None:
        (found,) = segments.proposals.values()
        _print_line({"final": _entries(found), "seconds": summary.video_seconds})
    elif as_json:
        figures = _figures(summary, choice)
        if request.videos:
            figures |= _video_figures(summary, segments, clips)
        click.echo(json.dumps(figures))
    else:
        _print_report(request, summary, choice, segments, clips)


def _figures(summary: Summary, choice: Choice | None) -> dict[str, Any]:
    return {
        "out": None if summary.out is None else str(summary.out),
        "videos": summary.videos,
        "proposals": summary.proposals,
        "detections": summary.detections,
        "kept": summary.kept,
        "seconds": summary.seconds,
        "videos_per_second": summary.rate,
        "stages": summary.stages,
        "backend": choice and choice.name,
        "backend_reason": choice and choice.reason,
        "skipped": [[p.video, p.problem] for p in summary.problems if p.is_error],
        "notes": [[p.video, p.problem] for p in summary.problems if not p.is_error],
        "assumptions": summary.notes,
    }


def _video_figures(
    summary: Summary, segments: SegmentList, clips: Sequence[Clip]
) -> dict[str, Any]:
    return {
        "results": {video: _entries(found) for video, found in segments.proposals.items()},
        "videos": {video: str(segments.paths[video]) for video in segments.proposals},
        "video_seconds": summary.video_seconds,
        "clips": [
            {
                "path": str(clip.path),
                "segment": [clip.start, clip.end],
                "way": clip.way,
                "seconds": clip.seconds,
            }
            for clip in clips
        ],
    }


def _entries(proposals: Proposals) -> list[dict[str, Any]]:
    columns = (proposals.score.tolist(), proposals.start.tolist(), proposals.end.tolist())
    return [{"score": c, "segment": [s, e]} for c, s, e in zip(*columns, strict=True)]


def _print_report(
    request: ProposeRequest,
    summary: Summary,
    choice: Choice | None,
    segments: SegmentList,
    clips: Sequence[Clip],
) -> None:
    if summary.out is None:
        _print_table(segments)
    if summary.kept:
        was = "was" if summary.kept == 1 else "were"
        say(f"{summary.kept:,} of {counted(summary.videos, 'video')} {was} done before")
    computed = counted(summary.videos - summary.kept, "video")
    if request.videos:
        length, pace = summary.video_seconds / 60, summary.video_seconds / summary.seconds
        say(f"{computed}, {length:.1f} min, in {summary.seconds:.1f} s ({pace:.1f}x real time)")
    elif summary.videos > summary.kept:
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in summary.stages.items())
        say(f"{computed} in {summary.seconds:.2f} s ({summary.rate:.0f}/s): {shares}")
    if summary.out is not None:
        labelled = f", {counted(summary.detections, 'detection')}" if summary.detections else ""
        say(f"{counted(summary.proposals, 'proposal')}{labelled} in {summary.out}")
    if choice is not None:
        say(f"backend {choice.name} ({choice.reason})")
    for clip in clips:
        say(f"{clip.path}: {clip.seconds:.2f} s, {clip.way}")
    named = "" if summary.out is None else " (named in run.toml where a run is written)"
    say_findings(summary.problems, summary.notes, named=named)


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


def _clock(seconds: float) -> str:
    """Return the time as `1:02:03.45`: hours, minutes, seconds."""
    hundredths = round(100 * seconds)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest / 100:05.2f}"


def print_new_segments(selection: Selection) -> NewSegments:
    """Return the sink that prints one line of JSON per new segment of a live video."""

    def report(seconds: float, proposals: Proposals) -> None:
        for entry in _entries(proposals):
            _print_line({**entry, "seen": seconds})

    return NewSegments(selection, report)


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
