"""Pictures of a report for papers: PNG and SVG files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from actspan.core.errors import DataError, require
from actspan.core.types import Proposals, Video
from actspan.report.contents import Contents, Side
from actspan.report.curves import plot_recall
from actspan.report.timeline import plot_timeline
from actspan.report.videos import Listing

FORMATS = (".png", ".svg")
_EXTREMES = 3  # timelines of the worst and of the best videos


def check_pictures(folder: Path) -> None:
    """Create the folder, and check that pictures can be drawn, before work starts.

    Raises
    ------
    DataError
        The folder cannot be created.
    MissingExtraError
        matplotlib is not installed.
    """
    require("matplotlib", extra="report", purpose="Drawing pictures")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror}") from error


def write_pictures(contents: Contents, listing: Listing, folder: Path) -> tuple[Path, ...]:
    """Draw recall curves, and timelines of the worst and best listed videos, as PNG and SVG.

    Parameters
    ----------
    folder : Path
        An existing folder; pictures of the same names are replaced.

    Returns
    -------
    tuple of Path
    """
    return (*_recall(contents, folder), *_timelines(contents, listing, folder))


def _recall(contents: Contents, folder: Path) -> Iterator[Path]:
    results = {side.name: side.recall for side in contents.sides if side.recall is not None}
    for suffix in FORMATS:
        if len(results) > 1:
            plot_recall(results, folder / f"recall{suffix}")
            yield folder / f"recall{suffix}"
        for name, result in results.items():
            stem = "recall" if len(results) == 1 else f"recall-{file_name(name)}"
            plot_recall(result, folder / f"{stem}{suffix}")
            yield folder / f"{stem}{suffix}"


def _timelines(contents: Contents, listing: Listing, folder: Path) -> Iterator[Path]:
    worst, best = listing.extremes(_EXTREMES)
    for side in contents.sides:
        run = f"{file_name(side.name)}-" if len(contents.sides) > 1 else ""
        for place in (*worst, *best):
            video = listing.videos[place]
            for suffix in FORMATS:
                path = folder / f"timeline-{run}{file_name(video.id)}{suffix}"
                _timeline(side, video, path)
                yield path


def _timeline(side: Side, video: Video, path: Path) -> None:
    proposals = side.proposals.get(video.id, Proposals.empty())
    span = side.spans.get(video.id)
    if span is None or side.run is None:
        ends = [video.duration, *video.segments[:, 1], *proposals.end, 0.1]
        span = float(np.nanmax(ends))
        plot_timeline(video.id, None, span, video.segments, proposals, path, labels=video.labels)
        return
    with side.run.scores() as scores:
        curves = scores.read(video.id)
    plot_timeline(video.id, curves, span, video.segments, proposals, path, labels=video.labels)


def file_name(name: str) -> str:
    """Return an id as part of a file name: letters, digits, `.` and `-` stay, others become `_`.

    Examples
    --------
    >>> file_name("../a b")
    '.._a_b'
    """
    return re.sub(r"[^\w.-]", "_", name)[:100]
