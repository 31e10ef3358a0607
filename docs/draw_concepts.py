"""Draw the pictures of docs/concepts/bsn.md: one synthetic video through every stage."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from actspan import BoundaryScores, Dataset, Proposals, bsp_features, soft_nms
from actspan.core.colours import HIT, MISS, TRUTH
from actspan.core.tiou import tiou_matrix
from actspan.core.types import Float64
from actspan.data.synthetic_dataset import write_synthetic_dataset
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.run import Run
from actspan.report.figures import COLOURS, INK, SOFT, inline_svg, new_figure, tidy

PICTURES = Path(__file__).parents[1] / "build" / "pictures"
_ACTION, _END, _START = COLOURS[:3]
_BEST = 12  # bars in the last picture


@dataclass(frozen=True)
class Example:
    """A video with several actions, and what the stages made of it; positions in seconds."""

    span: float
    truth: Float64  # (M, 2)
    scores: BoundaryScores
    candidates: Proposals  # fractions, as PEM sees them
    confidence: Float64  # (N,) PEM's estimate of each candidate's tIoU

    @property
    def centres(self) -> Float64:
        """Return the centres of the cells, (T,)."""
        return (np.arange(len(self.scores)) + 0.5) / len(self.scores) * self.span

    @property
    def reached(self) -> Float64:
        """Return the largest tIoU of each candidate with an instance, (N,)."""
        ends = self.truth.T / self.span
        return tiou_matrix(self.candidates.start, self.candidates.end, *ends).max(axis=1)


def make_example() -> Example:
    """Run the networks of the package on synthetic videos; return the one with most actions.

    Of several, it is the shortest.
    """
    with tempfile.TemporaryDirectory() as folder, as_file(files("actspan.model") / "demo") as model:
        dataset, run = Path(folder, "dataset"), Path(folder, "run")
        write_synthetic_dataset(dataset, validation=40, seed=1)
        propose(ProposeRequest(model=model, dataset=dataset, out=run, subset="validation"))
        videos = Dataset.load(dataset)
        video = max(videos, key=lambda video: (len(video.segments), -video.duration))
        opened = Run.load(run)
        found = next(c for c in opened.candidates() if c.video == video.id)
        with opened.scores() as scores:
            curves = scores.read(video.id)
        span = opened.candidate_places()[video.id].span
    return Example(span, video.segments, curves, found.proposals, np.asarray(found.confidence))


def draw_boundaries(example: Example) -> Any:
    """Draw TEM's three curves above the annotated instances."""
    figure, axes = _time_chart(example, 2.4, "probability")
    _shade_truth(axes, example)
    for name, colour in (("action", _ACTION), ("start", _START), ("end", _END)):
        style = "--" if name == "end" else "-"
        values = getattr(example.scores, name)
        axes.plot(example.centres, values, color=colour, linestyle=style, label=name)
    _legend(axes)
    return figure


def draw_peaks(example: Example) -> Any:
    """Draw the start and the end curve with their peaks, which candidates join."""
    figure, axes = _time_chart(example, 2.4, "probability")
    _shade_truth(axes, example)
    for name, colour, marker in (("start", _START, "^"), ("end", _END, "v")):
        values = getattr(example.scores, name)
        edges = np.unique(getattr(example.candidates, name))
        cells = np.floor(edges * len(values)).astype(int)
        axes.plot(example.centres, values, color=colour, linewidth=0.8, alpha=0.7)
        axes.plot(example.centres[cells], values[cells], marker, color=colour, label=f"{name} peak")
        axes.axhline(values.max() / 2, color=colour, linewidth=0.8, linestyle=":")
    _legend(axes)
    return figure


def draw_candidates(example: Example) -> Any:
    """Draw every candidate as a point: its start, and its length."""
    figure, axes = _time_chart(example, 3.2, "length, seconds")
    start, length = example.candidates.start * example.span, _lengths(example)
    shade = example.candidates.score / example.candidates.score.max()
    axes.scatter(start, length, s=8 + 40 * shade, color=_ACTION, alpha=0.45, linewidth=0)
    instances = example.truth[:, 0], example.truth[:, 1] - example.truth[:, 0]
    axes.plot(*instances, "+", color=MISS.light, markersize=14, markeredgewidth=2, label="instance")
    axes.set_ylim(0, example.span)
    axes.set_xlabel("start, seconds", color=INK)
    _legend(axes)
    return figure


def draw_samples(example: Example) -> Any:
    """Draw the BSP samples of the candidate that PEM ranks first."""
    best = example.candidates[_first(np.argsort(-example.confidence, kind="stable"))]
    values = bsp_features(example.scores, best)[0]
    start, end = best.start[0], best.end[0]
    reach = (end - start) / 5
    regions = (
        ("inside", np.linspace(start, end, 16), _ACTION, "o"),
        ("around the start", np.linspace(start - reach, start + reach, 8), _START, "^"),
        ("around the end", np.linspace(end - reach, end + reach, 8), _END, "v"),
    )
    figure, axes = _time_chart(example, 2.4, "action score")
    axes.plot(example.centres, example.scores.action, color=SOFT, linewidth=0.9)
    axes.axvspan(start * example.span, end * example.span, color=_ACTION, alpha=0.1, linewidth=0)
    place = 0
    for name, positions, colour, marker in regions:
        samples = values[place : place + len(positions)]
        label = f"{len(positions)} samples {name}"
        axes.plot(positions * example.span, samples, marker, color=colour, label=label)
        place += len(positions)
    margin = 2 * reach * example.span
    axes.set_xlim(start * example.span - margin, end * example.span + margin)
    _legend(axes)
    return figure


def draw_confidence(example: Example) -> Any:
    """Draw PEM's estimate of each candidate against the tIoU that it has."""
    figure = new_figure(7.0, 3.2)
    axes = figure.subplots()
    tidy(axes, "largest tIoU with an instance", "PEM's estimate")
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":")
    axes.plot(example.reached, example.confidence, "o", color=_ACTION, markersize=4, alpha=0.6)
    return figure


def draw_suppression(example: Example) -> Any:
    """Draw the best candidates before and after Soft-NMS, hits in green."""
    c, confidence = example.candidates, example.confidence
    fused = c.with_score(confidence * c.start_score * c.end_score)
    before = fused[np.argsort(-fused.score, kind="stable")][:_BEST]
    after = soft_nms(fused)[:_BEST]
    figure = new_figure(7.0, 3.6)
    columns = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, title, shown in zip(columns, ("before", "after"), (before, after), strict=True):
        tidy(axes, "seconds", "rank" if title == "before" else "")
        axes.set_title(f"{title} Soft-NMS", loc="left", fontsize=10, color=INK)
        for start, end in example.truth.tolist():
            axes.axvspan(start, end, color=TRUTH.light, alpha=0.13, linewidth=0)
        hit = tiou_matrix(shown.start, shown.end, *(example.truth.T / example.span)).max(axis=1)
        colours = [HIT.light if tiou >= 0.5 else MISS.light for tiou in hit]
        left, width = shown.start * example.span, (shown.end - shown.start) * example.span
        axes.barh(np.arange(len(shown)) + 1, width, left=left, height=0.6, color=colours)
    columns[0].set_xlim(0, example.span)
    columns[0].invert_yaxis()
    return figure


DRAWINGS: dict[str, tuple[Callable[[Example], Any], str]] = {
    "boundaries": (draw_boundaries, "Probabilities of action, start and end over a video"),
    "peaks": (draw_peaks, "Peaks of the start and end probabilities"),
    "candidates": (draw_candidates, "Candidates by start and length, and the annotated instances"),
    "samples": (draw_samples, "BSP samples of a candidate on the action curve"),
    "confidence": (draw_confidence, "PEM's estimate against the tIoU of each candidate"),
    "suppression": (draw_suppression, "Best candidates before and after Soft-NMS"),
}


def draw_all(folder: Path = PICTURES) -> Iterator[Path]:
    """Write every picture as an SVG element that follows the theme of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    example = make_example()
    for name, (draw, label) in DRAWINGS.items():
        path = folder / f"{name}.svg"
        chart = inline_svg(draw(example), label)
        path.write_text(f'<div class="chart-box">{chart}</div>\n', encoding="utf-8")
        yield path


def _time_chart(example: Example, height: float, y: str) -> tuple[Any, Any]:
    figure = new_figure(7.0, height)
    axes = figure.subplots()
    tidy(axes, "seconds", y)
    axes.set_xlim(0, example.span)
    axes.set_ylim(bottom=0)
    return figure, axes


def _shade_truth(axes: Any, example: Example) -> None:
    for start, end in example.truth.tolist():
        axes.axvspan(start, end, color=TRUTH.light, alpha=0.13, linewidth=0)


def _legend(axes: Any) -> None:
    above = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0)}
    axes.legend(ncols=3, frameon=False, fontsize=9, labelcolor=INK, **above)


def _lengths(example: Example) -> Float64:
    return (example.candidates.end - example.candidates.start) * example.span


def _first(order: Any) -> slice:
    return slice(int(order[0]), int(order[0]) + 1)


if __name__ == "__main__":
    for path in draw_all():
        print(path)
