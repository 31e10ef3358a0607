"""AR-AN curve: recall over the average number of proposals per video."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actspan.core.errors import ConfigError
from actspan.evaluation.recall import RecallResult
from actspan.report.figures import COLOURS, INK, check_picture, new_figure, save, tidy


def plot_recall(result: RecallResult | Mapping[str, RecallResult], path: Path | str) -> None:
    """Draw recall over the average number of proposals per video, as .png, .svg or .pdf.

    One result is drawn with a line per tIoU; several, by name, as averages, to compare.

    Raises
    ------
    ConfigError
        No result, or not the suffix of a picture.
    DataError, MissingExtraError
        The picture cannot be written, or matplotlib is not installed.

    Examples
    --------
    >>> plot_recall(evaluate_recall("my-videos/", "run/"), "ar.png")  # doctest: +SKIP
    """
    path = check_picture(path)
    results = {"": result} if isinstance(result, RecallResult) else dict(result)
    if not results:
        raise ConfigError("no result to plot")
    figure = new_figure(7.8, 4.8)
    draw_recall(figure, results)
    save(figure, path)


def draw_recall(figure: Any, results: Mapping[str, RecallResult], *, darkest: float = 0.0) -> None:
    """Draw one result with a line per tIoU, or the averages of several, into an empty figure.

    Pages also have a dark ground, on which the `darkest` of the lines (0 to 1) has to be brighter.
    """
    single = len(results) == 1
    axes = figure.subplots()
    tidy(axes)
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
    axes.set_xlabel("Average number of proposals a video (AN)", color=INK)
    axes.set_ylabel("Recall (%)" if single else "Average recall (%)", color=INK)
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
