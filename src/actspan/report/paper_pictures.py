"""Pictures for papers: AR-AN curves of a report, and timelines of single videos."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from actspan.core.errors import DataError, ShapeError, require
from actspan.core.tiou import tiou_matrix
from actspan.core.types import BoundaryScores, Float64, Proposals, Video
from actspan.report.charts import plot_recall
from actspan.report.contents import Contents, EvaluatedRun
from actspan.report.figures import COLOURS, INK, check_picture, new_figure, save, tidy
from actspan.report.listed_videos import VideoList

FORMATS = (".png", ".svg")
_EXTREMES = 3  # timelines of the worst and of the best videos


_BLUE, _ORANGE, _GREEN = COLOURS[:3]
_GREY = "#9A9A9A"
_LETTERS = 120  # small letters that fit side by side over the whole width


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


def plot_timeline(
    video_name: str,
    scores: BoundaryScores | None,
    span_seconds: float,
    truth: ArrayLike,
    proposals: Proposals,
    path: Path | str,
    *,
    top: int = 10,
    labels: Sequence[str] = (),
) -> None:
    """Draw a video's boundary scores above its instances and best proposals.

    Parameters
    ----------
    video_name : str
        The title.
    scores : BoundaryScores, optional
        T cells over the `span_seconds` that they cover; not drawn if None.
    truth : (M, 2) array_like
        Instances, seconds; M may be 0. Their `labels` are written into bars that have room.
    proposals : Proposals
        In seconds; the `top` by score are drawn.
    path : Path or str
        .png, .svg or .pdf.

    Raises
    ------
    ShapeError
        `truth` is not (M, 2), or the span is not positive.
    ConfigError, DataError, MissingExtraError
        The picture cannot be written.
    """
    path = check_picture(path)
    segments = np.asarray(truth, np.float64)
    segments = segments.reshape(0, 2) if segments.size == 0 else segments
    if segments.ndim != 2 or segments.shape[1] != 2:
        raise ShapeError(f"truth has shape {segments.shape}; (M, 2) is needed")
    if not span_seconds > 0:
        raise ShapeError(f"span_seconds is {span_seconds}; it must be positive")
    best = proposals[np.argsort(-proposals.score, kind="stable")[:top]]
    tracks = 0.24 * (len(best) + 1.3 * (len(segments) > 0)) + 0.35
    heights = [tracks] if scores is None else [2.0, tracks]
    figure = new_figure(9.0, sum(heights) + 0.9)
    rows = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
    if scores is not None:
        _draw_scores(rows[0, 0], scores, span_seconds, segments)
    seconds = max([span_seconds, *segments[:, 1].tolist(), *best.end.tolist()])
    _draw_tracks(rows[-1, 0], segments, best, seconds)
    _write_labels(rows[-1, 0], segments, labels, _LETTERS / seconds)
    rows[0, 0].set_title(video_name, loc="left", fontsize=11, color=INK)
    rows[-1, 0].set_xlabel("Time (s)", color=INK)
    rows[-1, 0].set_xlim(0, seconds)
    save(figure, path)


def _draw_scores(axes: Any, scores: BoundaryScores, span: float, truth: Float64) -> None:
    tidy(axes)
    centres = (np.arange(len(scores)) + 0.5) / len(scores) * span
    for start, end in truth.tolist():
        axes.axvspan(start, end, color=_GREY, alpha=0.18, linewidth=0)
    axes.fill_between(centres, scores.action, color=_BLUE, alpha=0.12, linewidth=0)
    axes.plot(centres, scores.action, color=_BLUE, linewidth=1.2, label="actionness")
    axes.plot(centres, scores.start, color=_GREEN, linewidth=1.8, label="start")
    axes.plot(centres, scores.end, color=_ORANGE, linewidth=1.8, linestyle="--", label="end")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("Probability", color=INK)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, fontsize=9
    )  # above the frame: inside, it would hide scores


def _draw_tracks(axes: Any, truth: Float64, best: Proposals, seconds: float) -> None:
    """Draw the instances on the first row, if there are any, then a row per proposal."""
    tidy(axes)
    axes.grid(visible=False, axis="y")
    rows: Float64 = np.arange(len(best), dtype=np.float64) + (1.3 if len(truth) else 0.0)
    ticks, labels = rows.tolist(), [str(rank + 1) for rank in range(len(best))]
    if len(truth):
        lengths = np.diff(truth)[:, 0]
        # Instances that touch need a gap, in which short ones would vanish.
        gap = {"edgecolor": "white", "linewidth": np.where(lengths > 0.005 * seconds, 1.0, 0.0)}
        axes.barh(np.zeros(len(truth)), lengths, left=truth[:, 0], color="#555555", **gap)
        ticks, labels = [0.0, *ticks], ["ground truth", *labels]
    if len(best):
        _draw_proposals(axes, rows, truth, best)
        axes.set_ylabel("Proposals by rank", color=INK)
    axes.set_yticks(ticks, labels)
    axes.set_ylim(max(ticks, default=0.0) + 0.6, -1.0)  # the best at the top
    axes.tick_params(axis="y", length=0)


def _write_labels(axes: Any, truth: Float64, labels: Sequence[str], per_second: float) -> None:
    for (start, end), label in zip(truth.tolist(), labels, strict=False):
        room = int((end - start) * per_second) - 1
        text = label if len(label) <= room else f"{label[: room - 1]}…"
        if room > 2:
            place = {"ha": "center", "va": "center", "fontsize": 7}
            axes.text((start + end) / 2, 0.0, text, color="white", **place)


def _draw_proposals(axes: Any, rows: Float64, truth: Float64, best: Proposals) -> None:
    """Draw a bar per proposal, bluer with a higher tIoU; its numbers are at the right."""
    overlaps = tiou_matrix(best.start, best.end, truth[:, 0], truth[:, 1])  # (N, M)
    found = overlaps.max(axis=1, initial=0.0)
    depth = 0.25 + 0.75 * found if len(truth) else np.full(len(best), 0.8)
    shades = _shade(depth)  # solid, so that grid lines do not show through
    axes.barh(rows, best.end - best.start, left=best.start, height=0.68, color=shades)
    columns = {"score": best.score} | ({"tIoU": found} if len(truth) else {})
    for number, (header, values) in enumerate(columns.items()):
        place = {"ha": "right", "va": "center", "fontsize": 8}
        x = 1.045 + 0.045 * number  # in widths of the axes
        at = axes.get_yaxis_transform()
        axes.text(x, rows[0] - 0.85, header, transform=at, color="#707070", **place)
        for row, value in zip(rows.tolist(), values.tolist(), strict=True):
            axes.text(x, row, f"{value:.2f}", transform=at, color=INK, **place)


def _shade(depth: Float64) -> Float64:
    """Return colours from white (0) to blue (1): (N, 3) from (N,)."""
    blue = np.array([int(_BLUE[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    mixed: Float64 = 1.0 - depth[:, None] * (1.0 - blue)
    return mixed
