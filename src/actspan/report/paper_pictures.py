"""Pictures for papers: AR-AN curves of a report, timelines of single videos, and rooflines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from actspan.bench.records import BenchResult, Roof, Stage
from actspan.bench.result_tables import title_of
from actspan.core.errors import BenchError, DataError, ShapeError, require
from actspan.core.tiou import tiou_matrix
from actspan.core.types import BoundaryScores, Float64, Proposals, Video
from actspan.report.charts import plot_recall
from actspan.report.contents import Contents, EvaluatedRun
from actspan.report.figures import COLOURS, INK, SOFT, check_picture, new_figure, save, tidy
from actspan.report.page import VideoList

FORMATS = (".png", ".svg")
_EXTREMES = 3  # timelines of the worst and of the best videos
_MARKERS = ("o", "s", "^", "D", "v")  # of batch sizes in rooflines
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
        raise DataError(f"{folder}: cannot be created: {error.strerror}") from error


def write_pictures(contents: Contents, listing: VideoList, folder: Path) -> tuple[Path, ...]:
    """Draw recall curves, and timelines of the worst and best listed videos, as PNG and SVG.

    Pictures of the same names in the folder are replaced.
    """
    return (*_recall(contents, folder), *_timelines(contents, listing, folder))


def _recall(contents: Contents, folder: Path) -> Iterator[Path]:
    results = {run.name: run.recall for run in contents.runs if run.recall is not None}
    if not results:
        return
    pictures: dict[str, Any] = {"recall": results}
    pictures |= {f"recall-{_file_name(name)}": result for name, result in results.items()}
    if len(results) == 1:
        pictures["recall"] = pictures.popitem()[1]  # without its name
    for suffix in FORMATS:
        for stem, drawn in pictures.items():
            path = folder / f"{stem}{suffix}"
            plot_recall(drawn, path)
            yield path


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

    The scores, T cells over `span_seconds`, are not drawn if None. `truth` are (M, 2) instances,
    seconds, M may be 0; their `labels` are written into bars that have room. Of the proposals,
    seconds, the `top` by score are drawn. `path` ends in .png, .svg or .pdf. Raises ShapeError if
    `truth` is not (M, 2) or the span is not positive, and ConfigError, DataError or
    MissingExtraError if the picture cannot be written.
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
    rows[-1, 0].set_xlim(0, seconds)
    save(figure, path)


def _draw_scores(axes: Any, scores: BoundaryScores, span: float, truth: Float64) -> None:
    tidy(axes, y="Probability")
    centres = (np.arange(len(scores)) + 0.5) / len(scores) * span
    for start, end in truth.tolist():
        axes.axvspan(start, end, color=_GREY, alpha=0.18, linewidth=0)
    axes.fill_between(centres, scores.action, color=_BLUE, alpha=0.12, linewidth=0)
    axes.plot(centres, scores.action, color=_BLUE, linewidth=1.2, label="actionness")
    axes.plot(centres, scores.start, color=_GREEN, linewidth=1.8, label="start")
    axes.plot(centres, scores.end, color=_ORANGE, linewidth=1.8, linestyle="--", label="end")
    axes.set_ylim(0, 1.02)
    # Above the frame: inside, the legend would hide scores.
    above = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0)}
    axes.legend(ncols=3, frameon=False, fontsize=9, **above)


def _draw_tracks(axes: Any, truth: Float64, best: Proposals, seconds: float) -> None:
    """Draw the instances on the first row, if there are any, then a row per proposal."""
    tidy(axes, "Time (s)", "Proposals by rank" if len(best) else "")
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
    best_overlap = overlaps.max(axis=1, initial=0.0)
    depth = 0.25 + 0.75 * best_overlap if len(truth) else np.full(len(best), 0.8)
    shades = _shade(depth)  # solid, so that grid lines do not show through
    axes.barh(rows, best.end - best.start, left=best.start, height=0.68, color=shades)
    columns = {"score": best.score} | ({"tIoU": best_overlap} if len(truth) else {})
    for number, (header, values) in enumerate(columns.items()):
        place = {"ha": "right", "va": "center", "fontsize": 8}
        x = 1.045 + 0.045 * number  # in widths of the axes
        at = axes.get_yaxis_transform()
        axes.text(x, rows[0] - 0.85, header, transform=at, color=SOFT, **place)
        for row, value in zip(rows.tolist(), values.tolist(), strict=True):
            axes.text(x, row, f"{value:.2f}", transform=at, color=INK, **place)


def _shade(depth: Float64) -> Float64:
    """Return colours from white (0) to blue (1): (N, 3) from (N,)."""
    blue = np.array([int(_BLUE[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    mixed: Float64 = 1.0 - depth[:, None] * (1.0 - blue)
    return mixed


def plot_roofline(result: BenchResult, path: Path | str) -> None:
    """Draw operations per second over operations per byte, and each stage's share of the roof.

    `path` ends in .png, .svg or .pdf. Raises BenchError if the result has no roof or no costs, and
    ConfigError, DataError or MissingExtraError if the picture cannot be written.
    """
    path = check_picture(path)
    stages = [s for s in result.stages if s.cost is not None and s.cost.share is not None]
    if result.roof is None or not stages:
        raise BenchError("the result has no roof or no costs: write it again with actspan bench")
    colours = dict(zip(dict.fromkeys(map(title_of, stages)), cycle(COLOURS), strict=False))
    figure = new_figure(12.0, 5.0)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1])
    tidy(left, "Operations per byte (FLOP/B)", "GFLOP/s")
    tidy(right, "Share of what the roof allows (%)")
    _draw_points(left, stages, colours)
    _draw_roof(left, result.roof)
    _draw_shares(right, stages, colours)
    save(figure, path)


def _draw_points(axes: Any, stages: Sequence[Stage], colours: Mapping[str, str]) -> None:
    """Draw the stages that compute: a colour per stage, a marker per batch size."""
    batches = sorted({stage.batch or 1 for stage in stages})
    markers = dict(zip(batches, cycle(_MARKERS), strict=False))
    style = {"linestyle": "", "markersize": 9, "markeredgecolor": "white", "zorder": 3}
    drawn: dict[int | None, str] = {}
    for stage in stages:
        cost, rate = stage.cost, stage.samples_per_second
        if cost is not None and cost.flops and rate:
            drawn[stage.batch] = marker = markers[stage.batch or 1]
            place = (cost.flops / cost.bytes, cost.flops * rate / 1e9)
            axes.plot(*place, **style, marker=marker, color=colours[title_of(stage)])
    for batch, marker in drawn.items():
        axes.plot([], [], label=f"batch {batch}", **style, marker=marker, color=SOFT)
    axes.set_xscale("log")
    axes.set_yscale("log")


def _draw_roof(axes: Any, roof: Roof) -> None:
    low, high = axes.get_xlim()
    low, high = min(low, 0.1) / 2, max(high, 100.0) * 2
    x = np.geomspace(low, high, 200)
    for bandwidth, style, name in (
        (roof.cache_gigabytes_per_second, "-", "caches"),
        (roof.gigabytes_per_second, "--", "memory"),
    ):
        label = f"{name} {bandwidth:.0f} GB/s"
        y = np.minimum(bandwidth * x, roof.gflops)
        axes.plot(x, y, color=INK, linestyle=style, linewidth=1.4, label=label)
    text = f"matrix products {roof.gflops:,.0f} GFLOP/s"
    axes.annotate(text, (high / 1.2, 1.3 * roof.gflops), fontsize=9, color=INK, ha="right")
    axes.set_xlim(low, high)
    axes.set_ylim(top=max(4 * roof.gflops, axes.get_ylim()[1]))
    axes.legend(fontsize=9, frameon=False, loc="lower right")


def _draw_shares(axes: Any, stages: Sequence[Stage], colours: Mapping[str, str]) -> None:
    """Draw each stage's share of the roof: a row per stage, a bar per batch size."""
    axes.grid(visible=False, axis="y")
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # hides the line at 100 %
    style = {"textcoords": "offset points", "va": "center", "fontsize": 7.5, "color": INK}
    for row, name in enumerate(colours):
        stages_of_title = [stage for stage in stages if title_of(stage) == name]
        height = 0.8 / len(stages_of_title)
        for number, stage in enumerate(stages_of_title):
            share = 100 * (stage.cost.share or 0.0) if stage.cost else 0.0
            place = row + height * (number - (len(stages_of_title) - 1) / 2)
            axes.barh(place, share, height=0.9 * height, color=colours[name])
            text = f"{share:.{0 if share >= 10 else 2}f} %"
            text += f", batch {stage.batch}" if stage.batch else ""
            axes.annotate(text, (share, place), xytext=(4, 0), bbox=box, **style)
    axes.set_yticks(range(len(colours)), colours)
    axes.set_ylim(len(colours) - 0.4, -0.6)
    axes.axvline(100, color=INK, linewidth=1.2)
    axes.set_xlim(0, max(130.0, 1.3 * axes.get_xlim()[1]))
