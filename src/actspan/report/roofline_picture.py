"""Picture of a roofline, for papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from actspan.bench.records import BenchResult, Roof, Stage
from actspan.bench.result_tables import title_of
from actspan.bench.roof import TOO_NOISY
from actspan.core.errors import BenchError
from actspan.report.figures import COLOURS, INK, SOFT, check_picture, new_figure, save, tidy

_MARKERS = ("o", "s", "^", "D", "v")  # of batch sizes


def plot_roofline(result: BenchResult, path: Path | str) -> None:
    """Draw operations per second over operations per byte, and each stage's share of the roof.

    `path` ends in .png, .svg or .pdf. Raises BenchError if the result has no roof or no costs, and
    ConfigError, DataError or MissingExtraError if the picture cannot be written.
    """
    path = check_picture(path)
    stages = [s for s in result.stages if s.cost is not None]
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
            found = stage.cost.share if stage.cost else None
            share = 100 * (found or 0.0)
            place = row + height * (number - (len(stages_of_title) - 1) / 2)
            axes.barh(place, share, height=0.9 * height, color=colours[name])
            text = TOO_NOISY if found is None else f"{share:.{0 if share >= 10 else 2}f} %"
            text += f", batch {stage.batch}" if stage.batch else ""
            axes.annotate(text, (share, place), xytext=(4, 0), bbox=box, **style)
    axes.set_yticks(range(len(colours)), colours)
    axes.set_ylim(len(colours) - 0.4, -0.6)
    axes.axvline(100, color=INK, linewidth=1.2)
    axes.set_xlim(0, max(130.0, 1.3 * axes.get_xlim()[1]))
