"""Pictures of proposals for notebooks: an SVG timeline in HTML, and bars of matplotlib."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Literal

import numpy as np

from actspan.core.colours import RUNS
from actspan.core.errors import require
from actspan.core.wording import clock, counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from actspan.core.segments import Proposals, Segment

_BARS = 50  # segments in a timeline
_ROWS = 5  # segments in a table
_WIDTH, _HEIGHT = 640, 36  # of the timeline, in units of its SVG
_AXES = {"fraction": "fraction of the feature span", "seconds": "time in seconds"}


def html_of_segments(proposals: Proposals) -> str:
    """Return a timeline and a table of the segments of the highest scores, as HTML.

    The text has the colours of the page around it. Ids and labels are escaped.
    """
    best = proposals.best(_BARS)
    title = counted(len(proposals), "segment")
    if proposals.video is not None:
        title = f"<b>{escape(proposals.video)}</b>: {title}"
    parts = [f"<p>{title}, {proposals.unit}</p>"]
    if len(best):
        parts += [_timeline(best), _table(best[:_ROWS])]
    return f'<div style="max-width: 45em">{"".join(parts)}</div>'


def _timeline(best: Proposals) -> str:
    """Return an SVG with a bar per segment; the better one is darker, and in front."""
    last = 1.0 if best.unit == "fraction" else max(float(best.end.max()), 1e-9)
    top = float(best.score[0]) or 1.0
    bars = []
    for segment in reversed(list(best)):
        x, width = _WIDTH * segment.start / last, _WIDTH * (segment.end - segment.start) / last
        share = min(max(segment.score / top, 0.1), 1.0)
        bars.append(
            f'<rect x="{x:.1f}" y="2" width="{max(width, 1):.1f}" height="{_HEIGHT - 16}" rx="2" '
            f'fill-opacity="{share:.2f}"><title>{_text(segment, best)}</title></rect>'
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" role="img" '
        f'aria-label="Timeline of {counted(len(best), "segment")}">'
        f'<g fill="{RUNS[0].light}" stroke="currentColor" stroke-opacity="0.3">{"".join(bars)}</g>'
        f'<g fill="currentColor" font-size="10"><text x="0" y="{_HEIGHT - 3}">0</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 3}" text-anchor="end">{_time(last, best)}</text></g>'
        "</svg>"
    )


def _table(best: Proposals) -> str:
    names = ("start", "end", "score", *(["label"] if best.label is not None else []))
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = [
        f"<tr><td>{_time(s.start, best)}</td><td>{_time(s.end, best)}</td><td>{s.score:.3f}</td>"
        + (f"<td>{escape(s.label or '')}</td>" if best.label is not None else "")
        + "</tr>"
        for s in best
    ]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _text(segment: Segment, best: Proposals) -> str:
    label = f" {escape(segment.label)}" if segment.label else ""
    ends = f"{_time(segment.start, best)} - {_time(segment.end, best)}"
    return f"{ends}, score {segment.score:.3f}{label}"


def _time(position: float, best: Proposals) -> str:
    return f"{position:.3f}" if best.unit == "fraction" else clock(position, 2)


def plot_segments(proposals: Proposals, ax: Axes | None, top: int) -> Axes:
    """Draw the `top` best segments as bars, as `Proposals.plot`."""
    if ax is None:
        pyplot = require("matplotlib.pyplot", extra="report", purpose="plot")
        _, ax = pyplot.subplots(figsize=(8, 2.5), layout="constrained")
        assert ax is not None
    best = proposals.best(top)
    rows = np.arange(len(best))
    ax.barh(rows, best.end - best.start, left=best.start, color=RUNS[0].light, height=0.8)
    ax.invert_yaxis()  # the best one on top
    ax.set(xlabel=_AXES[proposals.unit], ylabel="rank", yticks=[], xlim=(0, None))
    middle = ax.get_xlim()[1] / 2
    for row, segment in enumerate(best):
        text = f" {segment.score:.2f}{f' {segment.label}' if segment.label else ''} "
        # The text is on the side with more room, so that it stays in the frame.
        side: Literal["left", "right"] = "left" if segment.end <= middle else "right"
        ax.text(segment.end, row, text, ha=side, va="center", fontsize="small", parse_math=False)
    if proposals.video is not None:
        ax.set_title(proposals.video, parse_math=False)
    return ax
