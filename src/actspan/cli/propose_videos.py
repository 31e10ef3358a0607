"""`actspan propose` for videos: a table, a file, clips, or lines while a video is recorded."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from actspan.cli.common import progress_report, say, say_findings
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.core.types import Proposals
    from actspan.jobs.video_inference.answers import VideoMoments
    from actspan.jobs.video_inference.clips import Clip
    from actspan.jobs.video_inference.job import Found
    from actspan.jobs.video_inference.stream import GrowingVideo

_FEW = 10  # segments per video that are shown in a table


@dataclass(frozen=True, slots=True)
class Wanted:
    """Options of the command."""

    model: Path
    out: Path | None
    subset: str | None
    top: int | None
    min_score: float
    clips: Path | None
    backbone: str | None
    backend: str
    threads: int | None
    on_error: Literal["fail", "skip"]
    force: bool
    as_json: bool

    @property
    def most(self) -> int | None:
        """Largest number of proposals per video; None for all."""
        is_table = self.out is None and not self.as_json
        return self.top or (_FEW if is_table or self.clips else None)


def propose_and_print(videos: tuple[str, ...], wanted: Wanted) -> None:
    """Find the segments of videos and print or write them."""
    with progress_report() as report:
        from actspan.jobs.video_inference.answers import Selection, check_answer_file, write_answers
        from actspan.jobs.video_inference.clips import make_clip_folder
        from actspan.jobs.video_inference.job import VideosRequest, propose_videos

        if wanted.out is not None:
            check_answer_file(wanted.out, _inputs(videos), replace=wanted.force)
        request = VideosRequest(
            model=wanted.model,
            videos=videos,
            subset=wanted.subset,
            selection=Selection(wanted.most, wanted.min_score),
            backbone=wanted.backbone,
            backend=wanted.backend,
            threads=wanted.threads,
            on_error=wanted.on_error,
        )
        if wanted.clips is not None:
            make_clip_folder(wanted.clips)
        found = propose_videos(request, report)
    if wanted.out is not None:
        write_answers(wanted.out, found.videos)
    if wanted.as_json:
        click.echo(json.dumps(_figures(found, list(_clips(found, wanted.clips)))))
        return
    _print(found, wanted.out)
    for clip in _clips(found, wanted.clips):
        say(f"{clip.path}: {clip.seconds:.2f} s, {clip.way}")
    say_findings(found.problems)


def _inputs(videos: Sequence[str]) -> list[Path]:
    """Return the files that are never replaced: lists of videos, and annotations of a dataset."""
    from actspan.data.annotations.formats import find_annotations

    given = [Path(name.removeprefix("@")) for name in videos]
    files = [find_annotations(path) if path.is_dir() else path for path in given]
    return [path for path in files if path is not None]


def _clips(found: Found, folder: Path | None) -> Iterator[Clip]:
    """Cut clips, if a folder is given, and yield them."""
    if folder is not None:
        from actspan.jobs.video_inference.clips import cut_clips

        for video in found.videos:
            yield from cut_clips(video, folder)


def _figures(found: Found, clips: Sequence[Clip]) -> dict[str, Any]:
    return {
        "results": {video.id: _entries(video.proposals) for video in found.videos},
        "videos": {video.id: str(video.path) for video in found.videos},
        "video_seconds": sum(video.seconds for video in found.videos),
        "seconds": found.seconds,
        "clips": [
            {
                "path": str(clip.path),
                "segment": [clip.start, clip.end],
                "way": clip.way,
                "seconds": clip.seconds,
            }
            for clip in clips
        ],
        "skipped": [[p.video, p.problem] for p in found.problems if p.is_error],
        "notes": [[p.video, p.problem] for p in found.problems if not p.is_error],
    }


def _entries(proposals: Proposals) -> list[dict[str, Any]]:
    columns = (proposals.score.tolist(), proposals.start.tolist(), proposals.end.tolist())
    return [{"score": c, "segment": [s, e]} for c, s, e in zip(*columns, strict=True)]


def _print(found: Found, out: Path | None) -> None:
    from actspan.cli.tables import print_table

    for warning in found.warnings:
        say(f"warning: {warning}")
    if out is None:
        rows = [row for video in found.videos for row in _rows(video)]
        print_table(("video", "start", "end", "seconds", "score"), rows)
        if not rows:
            say("no moment scores so much: see more with a lower --min-score")
    film = sum(video.seconds for video in found.videos)
    count = counted(len(found.videos), "video")
    pace = f"{film / found.seconds:.1f}x real time"
    say(f"{count}, {film / 60:.1f} min, in {found.seconds:.1f} s ({pace})")
    if out is not None:
        say(f"{counted(sum(len(v.proposals) for v in found.videos), 'proposal')} in {out}")


def _rows(video: VideoMoments) -> Iterator[tuple[str, ...]]:
    for entry in _entries(video.proposals):
        start, end = entry["segment"]
        yield video.id, _clock(start), _clock(end), f"{end - start:.2f}", f"{entry['score']:.3f}"


def _clock(seconds: float) -> str:
    """Return the time as `1:02:03.45`: hours, minutes, seconds."""
    hundredths = round(100 * seconds)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest / 100:05.2f}"


def follow_and_print(given: str, idle: float, wanted: Wanted) -> None:
    """Print one line of JSON per segment of a video that is being recorded."""
    from actspan.jobs.video_inference.answers import Selection, check_answer_file, write_answers
    from actspan.jobs.video_inference.follow import FollowRequest, News, follow_video
    from actspan.jobs.video_inference.stream import GrowingVideo

    if wanted.out is not None:
        check_answer_file(wanted.out, replace=wanted.force)
    request = FollowRequest(
        model=wanted.model,
        selection=Selection(wanted.top, wanted.min_score),
        backbone=wanted.backbone,
        backend=wanted.backend,
        threads=wanted.threads,
    )
    with GrowingVideo(given, idle=idle) as stream, _stopped_by_interrupt(stream):
        for item in follow_video(request, stream):
            if isinstance(item, News):
                for entry in _entries(item.proposals):
                    _line({**entry, "seen": item.seconds})
                continue
            _line({"final": _entries(item.proposals), "seconds": item.seconds})
            if wanted.out is not None:
                write_answers(wanted.out, [item])


def _line(values: dict[str, Any]) -> None:
    click.echo(json.dumps(values))  # also flushes


@contextmanager
def _stopped_by_interrupt(stream: GrowingVideo) -> Iterator[None]:
    """Stop the video, with its answer, at the first Ctrl-C; end the command at the second."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say("stopping: the answer for what was recorded so far follows")
        stream.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
