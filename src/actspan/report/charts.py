"""Charts of the report page: recall, losses, bars to compare, calibration."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

import numpy as np

from actspan.evaluation.bins import Calibration
from actspan.evaluation.diagnosis import Diagnosis
from actspan.evaluation.recall import RecallResult
from actspan.evaluation.stages import STAGES
from actspan.report.svg import (
    LINE,
    WIDTH,
    Frame,
    Scale,
    add,
    add_area,
    add_bar,
    add_line,
    markup,
    new_chart,
    spread,
)

LETTERS = "ABCDEFG"  # letters of the runs, beside their colours
_LEFT, _RIGHT, _TOP, _FOOT = 38.0, 300.0, 24.0, 40.0


def recall_chart(result: RecallResult) -> str:
    """Return the chart of recall over proposals per video, a line per tIoU and their average."""
    tiou, recall = result.tiou.tolist(), 100.0 * result.recall
    label = (
        f"AR-AN curves. At {result.max_proposals} proposals a video, average recall is "
        f"{result.at(result.max_proposals):.1f} %; AUC is {result.auc_percent:.1f} %."
    )
    chart, frame = _recall_frame([result], label, "Recall (%)")
    ends = []
    for k, threshold in enumerate(tiou):
        line = _curve(chart, frame, result, recall[k], "threshold")
        line.set("stroke-opacity", f"{1 - 0.65 * k / max(len(tiou) - 1, 1):.2f}")
        ends.append((recall[k, -1], f"tIoU {threshold:.2f}: {recall[k, -1]:.1f}", ""))
    average = 100.0 * result.average_recall
    _curve(chart, frame, result, average, "series run0 bold")
    ends.append((average[-1], f"average: {average[-1]:.1f}", "strong"))
    _name_ends(chart, frame, ends)
    return markup(chart)


def compared_recall_chart(results: Sequence[RecallResult]) -> str:
    """Return the chart of average recall over proposals per video, a line per run."""
    said = "; ".join(
        f"run {letter}: AUC {result.auc_percent:.1f} %"
        for letter, result in zip(LETTERS, results, strict=False)
    )
    chart, frame = _recall_frame(results, f"Average recall of the runs. {said}.", "AR (%)")
    ends = []
    for number, result in enumerate(results):
        average = 100.0 * result.average_recall
        _curve(chart, frame, result, average, f"series run{number} dash{number}")
        ends.append((average[-1], f"{LETTERS[number]}: AUC {result.auc_percent:.1f}", "strong"))
    _name_ends(chart, frame, ends)
    return markup(chart)


def _recall_frame(
    results: Sequence[RecallResult], label: str, y_label: str
) -> tuple[ET.Element, Frame]:
    chart = new_chart(300, label)
    longest = max(float(result.proposals_per_video[-1]) for result in results)
    frame = Frame(Scale(0, longest, _LEFT, _RIGHT), Scale(0, 100, 300 - _FOOT, _TOP))
    frame.draw(chart, "Proposals a video (AN)", y_label)
    return chart, frame


def _curve(
    chart: ET.Element, frame: Frame, result: RecallResult, values: np.ndarray, kind: str
) -> ET.Element:
    pairs = zip(result.proposals_per_video.tolist(), values.tolist(), strict=True)
    return add_line(chart, [frame.point(x, y) for x, y in pairs], kind)


def _name_ends(chart: ET.Element, frame: Frame, ends: list[tuple[float, str, str]]) -> None:
    """Write names at the right ends of lines, without overlap."""
    places = [frame.y(value) for value, _, _ in ends]
    moved = spread(places, LINE, frame.y.last, frame.y.first)
    for at, to, (_, text, kind) in zip(places, moved, ends, strict=True):
        add_line(chart, [(_RIGHT, at), (_RIGHT + 10, to), (_RIGHT + 14, to)], "leader")
        add(chart, "text", f"name {kind}", text, x=_RIGHT + 17, y=to + 4)


def loss_chart(found: Diagnosis) -> str:
    """Return the chart of the stages that miss instances: a bar per tIoU, a part per stage."""
    shares = 100.0 * found.losses()
    rows = [(f"{tiou:.2f}", row) for tiou, row in zip(found.recall.tiou, shares, strict=True)]
    rows.append(("mean", shares.mean(axis=0)))
    mean = ", ".join(
        f"{stage} {share:.1f} %"
        for stage, share in zip((*STAGES, "found"), shares.mean(axis=0).tolist(), strict=True)
    )
    step = 22.0
    chart = new_chart(_TOP + step * len(rows) + _FOOT, f"Instances lost at each stage: {mean}.")
    foot = _TOP + step * len(rows)
    scale = Scale(0, 100, 40, WIDTH - 10)
    for number, (name, row) in enumerate(rows):
        y = _TOP + step * number + (4.0 if name == "mean" else 0.0)
        kind = "name strong" if name == "mean" else "name"
        add(chart, "text", kind, name, x=34.0, y=y + 13, text_anchor="end")
        _stack(chart, scale, y, row.tolist())
    add(chart, "text", "axis", "tIoU", x=2.0, y=_TOP - 9)
    for value in scale.ticks():
        add(chart, "text", "tick", f"{value:g}", x=scale(value), y=foot + 20, text_anchor="middle")
    middle = (scale.first + scale.last) / 2
    add(chart, "text", "axis", "Instances (%)", x=middle, y=foot + 35, text_anchor="middle")
    return markup(chart)


def _stack(chart: ET.Element, scale: Scale, y: float, shares: Sequence[float]) -> None:
    """Draw a stacked bar: found instances first, then the stages from last to first."""
    names = (*STAGES, "found")
    done = 0.0
    for number in reversed(range(len(names))):
        share = shares[number]
        left, right = scale(done), scale(done + share)
        done += share
        if right - left < 0.3:
            continue
        box = (left, y, right - left - 0.8, 18.0)
        add_bar(chart, box, f"stage{number}", f"{names[number]}: {share:.1f} %")
        pattern = add(chart, "rect", "pattern", x=left, y=y, width=max(box[2], 0), height=18.0)
        pattern.set("fill", f"url(#pattern{number})")
        if right - left > 26:
            middle = (left + right) / 2
            add(chart, "text", "inside", f"{share:.1f}", x=middle, y=y + 13, text_anchor="middle")


def bar_chart(
    label: str, rows: Mapping[str, Sequence[float]], axis: str, *, full: float | None = None
) -> str:
    """Return the chart of bars to compare: a group per row, a bar per run.

    Parameters
    ----------
    label : str
        Text for screen readers; the table beside the chart has the figures.
    rows : mapping of name to (R,) values
        NaN draws no bar.
    axis : str
        Name of the values.
    full : float, optional
        The end of the axis; the largest value unless given.
    """
    several = max(map(len, rows.values())) > 1
    values = [value for row in rows.values() for value in row if math.isfinite(value)]
    high = full or max([*values, 0.1]) * 1.05
    low = min([*values, 0.0])
    left = 12.0 + 6.4 * max(map(len, rows))
    scale = Scale(low, high, left + (14.0 if several else 0.0), WIDTH - 44)
    step, group = 15.0, 8.0
    tall = sum(step * len(row) + group for row in rows.values())
    chart = new_chart(tall + _FOOT, label)
    y = 4.0
    for name, row in rows.items():
        add(
            chart,
            "text",
            "name",
            name,
            x=left - 8,
            y=y + step * len(row) / 2 + 4,
            text_anchor="end",
        )
        for number, value in enumerate(row):
            _bar(chart, scale, y, name, number if several else None, value)
            y += step
        y += group
    add(chart, "line", "zero", x1=scale(0), x2=scale(0), y1=0.0, y2=y)
    for value in scale.ticks():
        add(chart, "text", "tick", f"{value:.6g}", x=scale(value), y=y + 12, text_anchor="middle")
    middle = (scale.first + scale.last) / 2
    add(chart, "text", "axis", axis, x=middle, y=y + 28, text_anchor="middle")
    return markup(chart)


def _bar(
    chart: ET.Element, scale: Scale, y: float, name: str, number: int | None, value: float
) -> None:
    if number is not None:
        add(chart, "text", "tick", LETTERS[number], x=scale.first - 11, y=y + 11)
    if not math.isfinite(value):
        add(chart, "text", "tick", "none", x=scale(0) + 4, y=y + 11)
        return
    start, end = sorted((scale(0), scale(value)))
    letter = "" if number is None else f", run {LETTERS[number]}"
    add_bar(
        chart, (start, y, end - start, 13.0), f"fill{number or 0}", f"{name}{letter}: {value:.2f}"
    )
    add(chart, "text", "tick", f"{value:.1f}", x=end + 4, y=y + 11)


def calibration_chart(found: Calibration, number: int) -> str:
    """Return the chart of tIoU over score, in bins of equal size, with quartiles."""
    label = (
        "Score against the tIoU that proposals achieve. The best twentieth by score has a mean "
        f"tIoU of {found.tiou[-1]:.2f} at a mean score of {found.score[-1]:.2f}."
    )
    chart = new_chart(300, label)
    low, high = min(0.0, float(found.score.min())), float(found.score.max())
    high = high if high > low else 1.0
    frame = Frame(Scale(low, high, _LEFT, WIDTH - 12), Scale(0, 1, 300 - _FOOT, _TOP))
    frame.draw(chart, "Proposal score", "Achieved tIoU")
    x, middle = found.score.tolist(), found.tiou.tolist()
    edges = list(zip(x, found.low.tolist(), strict=True))
    edges += reversed(list(zip(x, found.high.tolist(), strict=True)))
    equal = min(1.0, high)
    if equal > 0.0:
        add_line(chart, [frame.point(0, 0), frame.point(equal, equal)], "ideal")
    add_area(chart, [frame.point(*pair) for pair in edges], f"band fill{number}")
    points = [frame.point(*pair) for pair in zip(x, middle, strict=True)]
    add_line(chart, points, f"series run{number}")
    for (cx, cy), score, tiou in zip(points, x, middle, strict=True):
        dot = add(chart, "circle", f"fill{number}", cx=cx, cy=cy, r=3.0)
        add(dot, "title", text=f"score {score:.3f}: tIoU {tiou:.3f}")
    return markup(chart)
