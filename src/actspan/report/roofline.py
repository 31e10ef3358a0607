"""Picture of the roofline: what the machine can do, and how close each stage comes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actspan.bench.result import BenchResult, Cost, Roof, Stage
from actspan.bench.tables import title_of
from actspan.core.errors import BenchError
from actspan.report.figures import COLOURS, INK, check_picture, new_figure, save, tidy

__all__ = ["plot_roofline"]

_MARKERS = ("o", "s", "^", "D", "v")


def plot_roofline(result: BenchResult, path: Path | str) -> None:
    """Draw operations per second over operations per byte, and each stage's share of the roof.

    `path` ends in .png, .svg or .pdf. Raises BenchError if the result has no roof or no costs, and
    ConfigError, DataError or MissingExtraError if the picture cannot be written.
    """
    path = check_picture(path)
    stages = [s for s in result.stages if s.cost is not None and s.cost.share is not None]
    if result.roof is None or not stages:
        raise BenchError("the result has no roof or no costs: write it again with actspan bench")
    names = list(dict.fromkeys(map(title_of, stages)))
    batches = sorted({s.batch or 1 for s in stages})
    figure = new_figure(12.0, 5.0)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1])
    tidy(left)
    tidy(right)
    _draw_points(left, stages, names, batches)
    _draw_roof(left, result.roof)
    _draw_shares(right, stages, names)
    save(figure, path)


def _draw_points(
    axes: Any, stages: Sequence[Stage], names: Sequence[str], batches: Sequence[int]
) -> None:
    """Draw the stages that compute: a colour per stage, a marker per batch size."""
    drawn = [s for s in stages if s.cost is not None and s.cost.flops and s.samples_per_second]
    for stage in drawn:
        cost, rate = stage.cost, stage.samples_per_second
        assert cost is not None
        assert rate is not None
        axes.plot(
            cost.flops / cost.bytes,
            cost.flops * rate / 1e9,
            **_dot(_marker(stage, batches), _colour(title_of(stage), names)),
        )
    for batch in dict.fromkeys(stage.batch for stage in drawn):
        marker = _MARKERS[batches.index(batch or 1) % len(_MARKERS)]
        axes.plot([], [], label=f"batch {batch}", **_dot(marker, "#707070"))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("Operations a byte (FLOP/B)", color=INK)
    axes.set_ylabel("GFLOP/s", color=INK)


def _dot(marker: str, colour: str) -> dict[str, Any]:
    style = {"linestyle": "", "markersize": 9, "markeredgecolor": "white", "zorder": 3}
    return style | {"marker": marker, "color": colour}


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


def _draw_shares(axes: Any, stages: Sequence[Stage], names: Sequence[str]) -> None:
    """Draw each stage's share of the roof: a row per stage, a bar per batch size."""
    axes.grid(visible=False, axis="y")
    for row, name in enumerate(names):
        own = [stage for stage in stages if title_of(stage) == name]
        height = 0.8 / len(own)
        for number, stage in enumerate(own):
            share = 100 * _share(stage.cost)
            place = row + height * (number - (len(own) - 1) / 2)
            axes.barh(place, share, height=0.9 * height, color=_colour(name, names))
            size = f", batch {stage.batch}" if stage.batch else ""
            axes.annotate(
                f"{share:.{0 if share >= 10 else 2}f} %{size}",
                (share, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
                color=INK,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},  # hides the line
            )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.axvline(100, color=INK, linewidth=1.2)
    axes.set_xlim(0, max(130.0, 1.3 * axes.get_xlim()[1]))
    axes.set_xlabel("Share of what the roof allows (%)", color=INK)


def _share(cost: Cost | None) -> float:
    return 0.0 if cost is None or cost.share is None else cost.share


def _colour(name: str, names: Sequence[str]) -> str:
    return COLOURS[names.index(name) % len(COLOURS)]


def _marker(stage: Stage, batches: Sequence[int]) -> str:
    return _MARKERS[batches.index(stage.batch or 1) % len(_MARKERS)]
