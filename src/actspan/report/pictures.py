"""Pictures of a report for papers: PNG and SVG files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from actspan.core.errors import DataError, require
from actspan.core.types import Proposals, Video
from actspan.report.contents import Contents, EvaluatedRun
from actspan.report.curves import plot_recall
from actspan.report.timeline import plot_timeline
from actspan.report.video_list import VideoList

FORMATS = (".png", ".svg")
_EXTREMES = 3  # timelines of the worst and of the best videos


def check_pictures(folder: Path) -> None:
    """Create the folder, and check that pictures can be drawn, before work starts.

    Raises DataError or MissingExtraError.
    """
    require("matplotlib", extra="report", purpose="Drawing pictures")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror}") from error


def write_pictures(contents: Contents, listing: VideoList, folder: Path) -> tuple[Path, ...]:
    """Draw recall curves, and timelines of the worst and best listed videos, as PNG and SVG.

    Pictures of the same names in the folder are replaced.
    """
    return (*_recall(contents, folder), *_timelines(contents, listing, folder))


def _recall(contents: Contents, folder: Path) -> Iterator[Path]:
    results = {run.name: run.recall for run in contents.runs if run.recall is not None}
    pictures = [(result, f"recall-{_file_name(name)}") for name, result in results.items()]
    if len(results) == 1:
        pictures = [(pictures[0][0], "recall")]
    for suffix in FORMATS:
        if len(results) > 1:
            yield folder / f"recall{suffix}"
            plot_recall(results, folder / f"recall{suffix}")
        for result, stem in pictures:
            yield folder / f"{stem}{suffix}"
            plot_recall(result, folder / f"{stem}{suffix}")


def _timelines(contents: Contents, listing: VideoList, folder: Path) -> Iterator[Path]:
    worst, best = listing.extremes(_EXTREMES)
    for run in contents.runs:
        prefix = f"{_file_name(run.name)}-" if len(contents.runs) > 1 else ""
        for place in (*worst, *best):
            video = listing.videos[place]
            for suffix in FORMATS:
                path = folder / f"timeline-{prefix}{_file_name(video.id)}{suffix}"
                _draw_timeline(run, video, path)
                yield path


def _draw_timeline(run: EvaluatedRun, video: Video, path: Path) -> None:
    proposals = run.proposals.get(video.id, Proposals.empty())
    span, curves = run.spans.get(video.id), None
    if span is not None and run.folder is not None:
        with run.folder.scores() as scores:
            curves = scores.read(video.id)
    else:
        span = float(np.nanmax([video.duration, *video.segments[:, 1], *proposals.end, 0.1]))
    plot_timeline(video.id, curves, span, video.segments, proposals, path, labels=video.labels)


def _file_name(name: str) -> str:
    """Return a name as part of a file name: letters, digits, `.` and `-` stay."""
    return re.sub(r"[^\w.-]", "_", name)[:100]
