"""Charts: AR-AN curves for papers and the page; losses, bars and calibration for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actspan.core.colours import HIT
from actspan.core.errors import ConfigError
from actspan.evaluation.baselines import Calibration
from actspan.evaluation.diagnosis import Diagnosis
from actspan.evaluation.recall import RecallResult
from actspan.evaluation.stage_losses import STAGES
from actspan.report.figures import (
    COLOURS,
    INK,
    PAPER,
    SOFT,
    check_picture,
    inline_svg,
    new_chart,
    save,
    set_tip,
)

LETTERS = "ABCDEFG"  # letters of the runs, in addition to colours

_WIDTH, _HEIGHT = 5.6, 4.0  # inches
_STAGE_COLOURS = (SOFT, COLOURS[4], COLOURS[1], COLOURS[3], COLOURS[0], COLOURS[5], HIT.light)
_HATCHES = ("", "//", "", "..", "", "||", "")


def plot_recall(result: RecallResult | Mapping[str, RecallResult], path: Path | str) -> None:
    """Draw recall over the average number of proposals per video, as .png, .svg or .pdf.

    One result is drawn with a line per tIoU; several, by name, as averages, to compare. Raises
    ConfigError for no result or an unknown suffix, and DataError or MissingExtraError if the
    picture cannot be written or matplotlib is not installed.

    Examples
    --------
    >>> plot_recall(evaluate_recall("my-videos/", "run/"), "ar.png")  # doctest: +SKIP
    """
    path = check_picture(path)
    results = {"": result} if isinstance(result, RecallResult) else dict(result)
    if not results:
        raise ConfigError("no result to plot")
    save(_draw_recall(7.8, 4.8, results), path)


def _draw_recall(
    width: float, height: float, results: Mapping[str, RecallResult], darkest: float = 0.0
) -> Any:
    """Return a figure of one result with a line per tIoU, or of the averages of several.

    Pages may be dark, and then the `darkest` of the lines (0 to 1) has to be brighter.
    """
    single = len(results) == 1
    y = "Recall (%)" if single else "Average recall (%)"
    figure, axes = new_chart(width, height, "Average number of proposals per video (AN)", y)
    if single:
        _draw_thresholds(axes, next(iter(results.values())), darkest)
    for number, (name, each) in enumerate(results.items()):
        ends = f"{100 * each.average_recall[-1]:.1f} %, AUC {each.auc_percent:.1f} %"
        axes.plot(
            each.proposals_per_video,
            100 * each.average_recall,
            color=INK if single else COLOURS[number % len(COLOURS)],
            linestyle=("-", "--", ":", "-.")[number // len(COLOURS) % 4],
            linewidth=2.8,
            label=f"{name or 'average'}: {ends}",
            zorder=3,
        )
    longest = max(float(each.proposals_per_video[-1]) for each in results.values())
    axes.set(xlim=(0, longest), ylim=(0, 100))
    counted = {f"{r.videos:,} videos, {r.instances:,} instances" for r in results.values()}
    if len(counted) == 1:
        axes.set_title(*counted, loc="left", fontsize=10, color=INK)
    handles, labels = axes.get_legend_handles_labels()
    if single:  # the average was drawn last, on top, but is the first that a reader looks for
        handles, labels = [handles[-1], *handles[:-1]], [labels[-1], *labels[:-1]]
    legend = axes.legend(
        handles,
        [label.replace("$", r"\$") for label in labels],  # not the start of a formula
        title=f"At AN = {longest:.4g}",
        title_fontsize=9,
        fontsize=9,
        frameon=False,
        alignment="left",
        loc="center left" if single else "best",
        bbox_to_anchor=(1.01, 0.5) if single else None,
    )
    legend.get_texts()[0].set_fontweight("bold" if single else "normal")
    return figure


def _draw_thresholds(axes: Any, result: RecallResult, darkest: float) -> None:
    """Draw one thin line per tIoU, dark (strict) to bright (lenient), in the legend's order."""
    from matplotlib import colormaps

    shades = colormaps["viridis"]
    last = max(len(result.tiou) - 1, 1)
    for k, tiou in enumerate(result.tiou.tolist()):
        axes.plot(
            result.proposals_per_video,
            100 * result.recall[k],
            color=shades(0.88 - (0.88 - darkest) * k / last),
            linewidth=1.2,
            label=f"tIoU {tiou:.2f}: {100 * result.recall[k, -1]:.1f} %",
        )


def recall_chart(results: Sequence[RecallResult]) -> str:
    """Return the AR-AN chart: a line per tIoU of one result, or the averages of several."""
    if len(results) == 1:
        (result,) = results
        figure = _draw_recall(_WIDTH + 0.8, _HEIGHT, {"": result}, darkest=0.3)
        label = (
            f"AR-AN curves. At {result.max_proposals} proposals per video, average recall is "
            f"{result.at(result.max_proposals):.1f} %; AUC is {result.auc_percent:.1f} %."
        )
        return inline_svg(figure, label)
    named = dict(zip(LETTERS, results, strict=False))
    each = "; ".join(f"run {a}: AUC {result.auc_percent:.1f} %" for a, result in named.items())
    figure = _draw_recall(_WIDTH, _HEIGHT, named)
    return inline_svg(figure, f"Average recall of the runs. {each}.")


def stage_chart(diagnosis: Diagnosis) -> str:
    """Return the chart of the stages that miss instances: a bar per tIoU, a part per stage."""
    shares = 100.0 * diagnosis.losses()  # (K, stages and found)
    shares = np.vstack([shares, shares.mean(axis=0)])
    rows = [*(f"{tiou:.2f}" for tiou in diagnosis.recall.tiou), "mean"]
    names = (*STAGES, "found")
    figure, axes = new_chart(_WIDTH, 0.27 * len(rows) + 1.2, "Instances (%)", "tIoU")
    places = np.arange(len(rows)) + 0.3 * (np.arange(len(rows)) == len(rows) - 1)
    left = np.zeros(len(rows))
    for number in reversed(range(len(names))):  # found instances first, then the last stage
        bars = axes.barh(
            places,
            shares[:, number],
            left=left,
            height=0.8,
            color=_STAGE_COLOURS[number],
            hatch=_HATCHES[number],
            alpha=0.5 if names[number] == "found" else 1.0,
            edgecolor=PAPER,
            linewidth=0.5,
            label=names[number],
        )
        for bar, share, x in zip(bars, shares[:, number].tolist(), left.tolist(), strict=True):
            set_tip(bar, f"{names[number]}: {share:.1f} %")
            if share > 7:
                middle = (x + share / 2, bar.get_y() + bar.get_height() / 2)
                box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8}
                place = {"ha": "center", "va": "center", "fontsize": 7.5, "color": INK}
                axes.text(*middle, f"{share:.1f}", bbox=box, **place)
        left += shares[:, number]
    axes.set_yticks(places, rows)
    axes.set(ylim=(places[-1] + 0.5, -0.5), xlim=(0, 100))
    figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=9, labelcolor=INK)
    means = zip(names, shares[-1].tolist(), strict=True)
    each = ", ".join(f"{stage} {share:.1f} %" for stage, share in means)
    return inline_svg(figure, f"Instances missed at each stage: {each}.")


def bar_chart(
    label: str, rows: Mapping[str, Sequence[float]], axis: str, *, full: float | None = None
) -> str:
    """Return the chart of bars to compare: a group per row, a bar per run, none for NaN.

    `label` is for screen readers, `axis` the name of the values, `full` the end of the axis.
    """
    runs = max(map(len, rows.values()))
    figure, axes = new_chart(_WIDTH, 0.2 * runs * len(rows) + 0.1 * len(rows) + 0.6, axis)
    axes.grid(visible=False, axis="y")
    step = 0.85 / runs
    style = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
    for row, (name, values) in enumerate(rows.items()):
        for number, value in enumerate(values):
            end = (0.0, row + step * (number - (runs - 1) / 2))
            letter = f"{LETTERS[number]} " if runs > 1 else ""
            text = f"{letter}none"
            if math.isfinite(value):
                (bar,) = axes.barh(end[1], value, height=0.9 * step, color=COLOURS[number])
                run = f", run {LETTERS[number]}" if runs > 1 else ""
                set_tip(bar, f"{name}{run}: {value:.2f}")
                end, text = (max(value, 0.0), end[1]), f"{letter}{value:.1f}"
            axes.annotate(text, end, fontsize=8, color=INK, **style)
    values = [value for row in rows.values() for value in row if math.isfinite(value)]
    low, high = min([*values, 0.0]), full or max([*values, 0.1])
    axes.set_yticks(range(len(rows)), rows)
    axes.set(ylim=(len(rows) - 0.45, -0.55), xlim=(1.05 * low, low + 1.15 * (high - low)))
    axes.axvline(0, color=SOFT, linewidth=1)
    return inline_svg(figure, label)


def calibration_chart(calibration: Calibration, number: int) -> str:
    """Return the chart of tIoU over score, in bins of equal size, with quartiles."""
    figure, axes = new_chart(_WIDTH, _HEIGHT, "Proposal score", "Achieved tIoU")
    low, high = min(0.0, float(calibration.score.min())), float(calibration.score.max())
    high = high if high > low else 1.0
    colour, equal = COLOURS[number], max(min(1.0, high), 0.0)
    axes.plot([0, equal], [0, equal], color=SOFT, linestyle=":", linewidth=1)
    axes.fill_between(
        calibration.score, calibration.low, calibration.high, color=colour, alpha=0.18, linewidth=0
    )
    axes.plot(calibration.score, calibration.tiou, color=colour, linewidth=2)
    for score, tiou in zip(calibration.score.tolist(), calibration.tiou.tolist(), strict=True):
        (dot,) = axes.plot(score, tiou, "o", color=colour, markersize=4.5)
        set_tip(dot, f"score {score:.3f}: tIoU {tiou:.3f}")
    axes.set(xlim=(low, high + 0.02 * (high - low)), ylim=(0, 1))
    return inline_svg(
        figure,
        "Score against the tIoU that proposals achieve. The best twentieth by score has a mean "
        f"tIoU of {calibration.tiou[-1]:.2f} at a mean score of {calibration.score[-1]:.2f}.",
    )
