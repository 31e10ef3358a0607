"""Pictures for papers: AR-AN curves of a report, and timelines of single videos."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from actspan.core.colours import HIT, MISS, TRUTH
from actspan.core.errors import DataError, ShapeError, require
from actspan.core.segments import Proposals, require_unit
from actspan.core.tiou import tiou_matrix
from actspan.core.types import BoundaryScores, Float64, Video
from actspan.core.wording import clock
from actspan.evaluation.matching import Matches, match_instances
from actspan.report.charts import plot_recall
from actspan.report.contents import Contents, EvaluatedRun
from actspan.report.figures import COLOURS, INK, PAPER, SOFT, check_picture, new_figure, save, tidy
from actspan.report.video_list import VideoList

FORMATS = (".png", ".svg")
_EXTREMES = 3  # timelines of the worst and of the best videos
_BLUE, _ORANGE, _GREEN = COLOURS[:3]  # action, end and start
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # of time axes
_MOST_TICKS = 10
_GAP = 0.002  # of the width of a timeline, after every instance
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
    proposals = run.proposals.get(video.id, Proposals.empty("seconds"))
    span, curves = run.spans.get(video.id), None
    if span is not None and run.folder is not None:
        with run.folder.scores() as scores:
            curves = scores.read(video.id)
    else:
        span = float(np.nanmax([video.duration, *video.segments[:, 1], *proposals.end, 0.1]))
    tiou = 0.5 if run.recall is None else float(run.recall.tiou[0])
    plot_timeline(
        *(video.id, curves, span, video.segments, proposals, path), labels=video.labels, tiou=tiou
    )


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
    tiou: float = 0.5,
) -> None:
    """Draw a video's boundary scores above its instances and best proposals.

    Instances that a proposal reaches with `tiou`, and proposals that reach one, are solid and green
    (hits), the others hollow and magenta (misses). Without instances, proposals are grey.

    The scores, T cells over `span_seconds`, are not drawn if None. `truth` are (M, 2) instances,
    seconds, M may be 0; their `labels` are written into bars that have room. Of the proposals,
    seconds, the `top` by score are drawn. `path` ends in .png, .svg or .pdf. Raises ShapeError if
    `truth` is not (M, 2) or the span is not positive, and ConfigError, DataError or
    MissingExtraError if the picture cannot be written.
    """
    path = check_picture(path)
    require_unit(proposals, "seconds", "plot_timeline")
    segments = np.asarray(truth, np.float64)
    segments = segments.reshape(0, 2) if segments.size == 0 else segments
    if segments.ndim != 2 or segments.shape[1] != 2:
        raise ShapeError(f"truth has shape {segments.shape}; (M, 2) is needed")
    if not span_seconds > 0:
        raise ShapeError(f"span_seconds is {span_seconds}; it must be positive")
    ranked = proposals[np.argsort(-proposals.score, kind="stable")]
    matches, best = match_instances(segments, ranked, tiou), ranked[:top]
    tracks = 0.24 * (len(best) + 1.3 * (len(segments) > 0)) + 0.35
    heights = [tracks] if scores is None else [2.0, tracks]
    figure = new_figure(9.0, sum(heights) + 0.9)
    rows = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
    if scores is not None:
        _draw_scores(rows[0, 0], scores, span_seconds, segments)
    seconds = max([span_seconds, *segments[:, 1].tolist(), *best.end.tolist()])
    _draw_tracks(rows[-1, 0], segments, best, matches, _GAP * seconds)
    found = matches.rank >= 0
    _write_labels(rows[-1, 0], segments, labels, _LETTERS / seconds, found)
    rows[0, 0].set_title(video_name, loc="left", fontsize=11, color=INK)
    _mark_time(rows[-1, 0], seconds)
    save(figure, path)


def _draw_scores(axes: Any, scores: BoundaryScores, span: float, truth: Float64) -> None:
    tidy(axes, y="Probability")
    centres = (np.arange(len(scores)) + 0.5) / len(scores) * span
    for start, end in truth.tolist():
        axes.axvspan(start, end, color=TRUTH.light, alpha=0.13, linewidth=0)
    axes.fill_between(centres, scores.action, color=_BLUE, alpha=0.12, linewidth=0)
    axes.plot(centres, scores.action, color=_BLUE, linewidth=1.2, label="actionness")
    axes.plot(centres, scores.start, color=_GREEN, linewidth=1.8, label="start")
    axes.plot(centres, scores.end, color=_ORANGE, linewidth=1.8, linestyle="--", label="end")
    axes.set_ylim(0, 1.02)
    # Above the frame: inside, the legend would hide scores.
    above = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0)}
    axes.legend(ncols=3, frameon=False, fontsize=9, **above)


def _mark_time(axes: Any, seconds: float) -> None:
    """Give a time axis ticks such as 1:30."""
    step = next((step for step in _STEPS if seconds / step <= _MOST_TICKS), seconds / _MOST_TICKS)
    ticks = np.arange(0, seconds * (1 + 1e-9), step)
    axes.set_xticks(ticks, [clock(time, 1 if step < 1 else 0) for time in ticks.tolist()])
    axes.set_xlim(0, seconds)


def _draw_tracks(axes: Any, truth: Float64, best: Proposals, matches: Matches, gap: float) -> None:
    """Draw the instances on the first row, if there are any, then a row per proposal."""
    tidy(axes, "Time", "Proposals by rank" if len(best) else "")
    axes.grid(visible=False, axis="y")
    rows: Float64 = np.arange(len(best), dtype=np.float64) + (1.3 if len(truth) else 0.0)
    ticks, labels = rows.tolist(), [str(rank + 1) for rank in range(len(best))]
    if len(truth):
        end = np.maximum(truth[:, 0], truth[:, 1] - gap)  # instances that touch need a gap
        _draw_bars(axes, np.zeros(len(truth)), truth[:, 0], end, matches.rank >= 0, 0.8)
        ticks, labels = [0.0, *ticks], ["ground truth", *labels]
    if len(best):
        hits = matches.instance[: len(best)] >= 0 if len(truth) else None
        _draw_bars(axes, rows, best.start, best.end, hits, 0.68)
        _write_figures(axes, rows, truth, best)
    axes.set_yticks(ticks, labels)
    axes.set_ylim(max(ticks, default=0.0) + 0.6, -1.0)  # the best at the top
    axes.tick_params(axis="y", length=0)


def _draw_bars(
    axes: Any, rows: Float64, start: Float64, end: Float64, hits: Any, height: float
) -> None:
    """Draw hits as solid bars and misses as hollow ones; all are grey if `hits` is None."""
    if hits is None:
        fills = edges = [TRUTH.light] * len(rows)
    else:
        fills = [HIT.light if hit else PAPER for hit in hits.tolist()]
        edges = [HIT.light if hit else MISS.light for hit in hits.tolist()]
    style = {"color": fills, "edgecolor": edges, "linewidth": 1.0}
    axes.barh(rows, end - start, left=start, height=height, **style)


def _write_labels(
    axes: Any, truth: Float64, labels: Sequence[str], per_second: float, found: Any
) -> None:
    for (start, end), label, hit in zip(truth.tolist(), labels, found.tolist(), strict=False):
        room = int((end - start) * per_second) - 1
        text = label if len(label) <= room else f"{label[: room - 1]}…"
        if room > 2:
            place = {"ha": "center", "va": "center", "fontsize": 7}
            axes.text((start + end) / 2, 0.0, text, color=PAPER if hit else MISS.light, **place)


def _write_figures(axes: Any, rows: Float64, truth: Float64, best: Proposals) -> None:
    """Write score and largest tIoU of every proposal at the right."""
    overlaps = tiou_matrix(best.start, best.end, truth[:, 0], truth[:, 1])  # (N, M)
    columns = {"score": best.score}
    if len(truth):
        columns["tIoU"] = overlaps.max(axis=1, initial=0.0)
    for number, (header, values) in enumerate(columns.items()):
        place = {"ha": "right", "va": "center", "fontsize": 8}
        x = 1.045 + 0.045 * number  # in widths of the axes
        at = axes.get_yaxis_transform()
        axes.text(x, rows[0] - 0.85, header, transform=at, color=SOFT, **place)
        for row, value in zip(rows.tolist(), values.tolist(), strict=True):
            axes.text(x, row, f"{value:.2f}", transform=at, color=INK, **place)
