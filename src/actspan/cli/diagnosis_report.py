"""Output of `actspan evaluate --diagnose`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from actspan.evaluation.diagnosis import Diagnosis

_SHOWN = (0.5, 0.75, 0.95)  # thresholds that get a row, if they were evaluated


def diagnosis_document(found: Diagnosis) -> dict[str, Any]:
    """Return the whole diagnosis for JSON: shares and gains in percent, segments in seconds."""
    return {
        "lost": _losses(found),
        "gains": found.gains(),
        "recall": {
            by: [
                {
                    "bin": b.name,
                    "range": b.range,
                    "instances": b.instances,
                    "AR": _number(100.0 * b.average_recall),
                    "by_tiou": _by_threshold(found, [100.0 * r for r in b.recall]),
                }
                for b in bins
            ]
            for by, bins in found.bins.items()
        },
        "missed": _missed(found),
        "notes": list(found.notes),
    }


def _losses(found: Diagnosis) -> dict[str, dict[str, float]]:
    """Return the share of instances lost at each stage, per threshold and as their mean."""
    from actspan.evaluation.stages import STAGES

    shares = 100.0 * found.losses()
    rows = dict(zip((f"{t:.2f}" for t in found.recall.tiou), shares.tolist(), strict=True))
    rows["mean"] = shares.mean(axis=0).tolist()
    names = (*STAGES, "found")
    return {tiou: dict(zip(names, row, strict=True)) for tiou, row in rows.items()}


def _missed(found: Diagnosis) -> list[dict[str, Any]]:
    """Return every instance that is missed at some threshold, with the stage that loses it."""
    import numpy as np

    from actspan.evaluation.stages import STAGES

    rows = []
    for i in np.flatnonzero(np.any(found.lost < len(STAGES), axis=0)).tolist():
        lost = found.lost[:, i].tolist()
        stages = [None if stage == len(STAGES) else STAGES[stage] for stage in lost]
        rows.append(
            {
                "video": found.videos[i],
                "segment": found.segments[i].tolist(),
                "label": found.labels[i],
                "best_tiou": float(found.best[i, -1]),
                "lost": {t: s for t, s in _by_threshold(found, stages).items() if s is not None},
            }
        )
    return rows


def _by_threshold(found: Diagnosis, values: list[Any]) -> dict[str, Any]:
    named = (f"{tiou:.2f}" for tiou in found.recall.tiou)
    return {t: _number(v) for t, v in zip(named, values, strict=True)}


def _number(value: Any) -> Any:
    """Return the value, or None for NaN, which JSON lacks (recall of a bin without instances)."""
    return None if isinstance(value, float) and math.isnan(value) else value


def print_diagnosis(found: Diagnosis) -> None:
    """Print instances lost per stage, gains of perfect stages, and recall by kind of instance."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_loss_table(found))
    console.print(_gain_table(found))
    if any(gain < -0.005 for gains in found.gains().values() for gain in gains.values()):
        click.echo(
            "below zero: what a perfect stage lets through can outrank better neighbours, or lower "
            "them in\nSoft-NMS, and the stages after it stay as they are: docs/diagnosis.md\n"
        )
    console.print(_bin_table(found))
    for note in found.notes:
        click.echo(f"note: {note}")


def _table(title: str, *headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right")
    return table


def _loss_table(found: Diagnosis) -> Table:
    losses = _losses(found)
    shown = [f"{tiou:.2f}" for tiou in _SHOWN if f"{tiou:.2f}" in losses]
    title = f"Instances lost at each stage, AN = {found.recall.max_proposals}, in percent"
    table = _table(title, "tIoU", *losses["mean"])
    for name in (*shown, "mean"):
        table.add_row(name, *(f"{share:.1f}" for share in losses[name].values()))
    return table


def _gain_table(found: Diagnosis) -> Table:
    now = found.recall.summary()
    table = _table("What a perfect stage would gain, in points", "stage", *now)
    table.add_row("(as it is)", *(f"{value:.2f}" for value in now.values()))
    for stage, gains in found.gains().items():
        table.add_row(stage, *(f"{gain:+.2f}" for gain in gains.values()))
    return table


def _bin_table(found: Diagnosis) -> Table:
    largest = found.recall.max_proposals
    table = _table("Recall by kind of instance", "by", "bin", "range", "instances", f"AR@{largest}")
    for by, bins in found.bins.items():
        for number, b in enumerate(bins):
            recall = 100.0 * b.average_recall
            table.add_row(
                by if number == 0 else "",
                b.name,
                b.range,
                f"{b.instances:,}",
                "-" if math.isnan(recall) else f"{recall:.1f}",
            )
    return table
