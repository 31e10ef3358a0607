"""Frames of the worst videos: start, middle and end of instances and of their best proposals."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from actspan.core.errors import ActSpanError, DataError, VideoError, require
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.report.charts import LETTERS
from actspan.report.contents import Contents, EvaluatedRun
from actspan.report.video_list import VideoList
from actspan.streams.previews import read_preview
from actspan.streams.video_lists import find_videos

_VIDEOS = 3  # with frames
_SEGMENTS = 2  # instances of a video, the worst first; without ground truth proposals of a run
_HEIGHT = 120  # pixels


class Frame(NamedTuple):
    """Picture of a video, as the address of its data, and the seconds at which it appears."""

    place: str  # "start", "middle" or "end"
    time: float
    address: str


@dataclass(frozen=True, slots=True)
class FrameRow:
    """Frames of an instance or of a proposal; `is_hit` is None if it is neither hit nor missed."""

    name: str
    start: float
    end: float
    is_hit: bool | None
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Frames:
    """Rows of frames by the index of a video in the list, and notes about missing videos."""

    rows: Mapping[int, tuple[FrameRow, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_frames(contents: Contents, listing: VideoList, folder: Path | None = None) -> Frames:
    """Read frames of the three worst videos of a list, or of its first ones without ground truth.

    Per video they show the two instances that proposals match least, each with its best proposal
    of every run. `folder` contains the videos; without it, their places are those that the runs
    recorded. Videos that are missing or damaged are noted.

    Raises
    ------
    DataError
        None of these videos is there.
    VideoError
        The folder contains no videos.
    MissingExtraError
        PyAV is not installed.
    """
    require("av", extra="video", purpose="Frames of videos")
    paths = _find_videos(contents, folder)
    worst, _ = listing.extremes(_VIDEOS)
    chosen = worst or list(range(len(listing.videos)))[:_VIDEOS]
    missing = [listing.videos[v].id for v in chosen if listing.videos[v].id not in paths]
    where = f"in {folder.resolve().name}" if folder else "where the runs found them"
    if len(missing) == len(chosen):
        raise DataError(
            f"no frames: {listed(missing)} not found {where}; pass --videos with the folder of "
            "the videos, whose files have the names of the ids"
        )
    rows, notes = {}, []
    if missing:
        of = f"{len(missing)} of {counted(len(chosen), 'video')}"
        notes.append(f"no frames of {of}: {listed(missing)} not found {where}.")
    for v in chosen:
        video = listing.videos[v]
        if video.id not in paths:
            continue
        try:
            rows[v] = tuple(_read(row, paths[video.id]) for row in _segments(contents, video))
        except VideoError as error:
            # Full paths differ between machines, and a page may be given to others.
            reason = str(error).replace(str(paths[video.id]), paths[video.id].name)
            notes.append(f"no frames of {video.id}: {reason}.")
    return Frames(rows, tuple(notes))


def _find_videos(contents: Contents, folder: Path | None) -> dict[str, Path]:
    """Return files by id: those in the folder, or else those that the runs were made from."""
    if folder is not None:
        return find_videos([str(folder)]).files
    found: dict[str, Path] = {}
    for run in contents.runs:
        recorded = run.info.get("dataset", {})
        dataset = Path(recorded.get("path", ""))
        if "path" in recorded and (dataset / "videos").is_dir():
            with suppress(ActSpanError):  # the folder contains no videos any more
                found |= find_videos([str(dataset)]).files
        files = recorded.get("files", {})
        found |= {video: Path(path) for video, path in files.items() if Path(path).is_file()}
    return found


def _segments(contents: Contents, video: Video) -> Iterator[FrameRow]:
    """Yield the segments of a video to show, without frames."""
    runs = list(zip(LETTERS, contents.runs, strict=False))
    if not (contents.source and len(video.segments)):
        for letter, run in runs:
            best = run.best(video.id)[:_SEGMENTS]
            for rank in range(len(best)):
                yield _proposal_row(run, letter if len(runs) > 1 else "", video, rank, None)
        return
    matches = [each for _, run in runs if (each := run.matches(video)) is not None]
    overlaps = np.mean([each.tiou for each in matches], axis=0)
    for i in np.argsort(overlaps, kind="stable")[:_SEGMENTS].tolist():
        hits = {bool(each.rank[i] >= 0) for each in matches}
        start, end, label = list(video.instances())[i]
        yield FrameRow(
            f"instance {label}".strip(), start, end, hits.pop() if len(hits) == 1 else None
        )
        for (letter, run), each in zip(runs, matches, strict=True):
            if (best_rank := int(each.best[i])) >= 0:
                name = letter if len(runs) > 1 else ""
                yield _proposal_row(run, name, video, best_rank, float(each.tiou[i]))


def _proposal_row(
    run: EvaluatedRun, letter: str, video: Video, rank: int, tiou: float | None
) -> FrameRow:
    proposals = run.best(video.id)
    name = f"proposal {rank + 1}{' of ' * bool(letter)}{letter}"
    hit = None
    if tiou is not None and run.recall is not None:
        name, hit = f"{name}, tIoU {tiou:.2f}", tiou >= run.recall.tiou[0]
    return FrameRow(name, float(proposals.start[rank]), float(proposals.end[rank]), hit)


def _read(row: FrameRow, path: Path) -> FrameRow:
    """Return a row with its frames. Raises VideoError."""
    times = {"start": row.start, "middle": (row.start + row.end) / 2, "end": row.end}
    frames = []
    for place, time in times.items():
        preview = read_preview(path, time, _HEIGHT)
        address = f"data:image/jpeg;base64,{b64encode(preview.image).decode('ascii')}"
        frames.append(Frame(place, preview.time, address))
    return replace(row, frames=tuple(frames))
