"""Output of `actspan evaluate --task detection`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from actspan.cli.common import say, say_findings
from actspan.cli.tables import name_some, print_table, row_table
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.evaluation.detection import DetectionResult
    from actspan.evaluation.mistakes import Mistakes


def detection_document(found: DetectionResult) -> dict[str, Any]:
    """Return the result for JSON, all of it in percent."""
    thresholds = [f"{tiou:.2f}" for tiou in found.tiou.tolist()]
    columns = (100.0 * found.average_precision.T).tolist()
    means = found.by_class()
    return {
        **found.summary(),
        "classes": {
            name: {
                "AP": means[name],
                "by_tiou": dict(zip(thresholds, column, strict=True)),
                "instances": instances,
                "detections": detections,
            }
            for name, column, instances, detections in zip(
                found.classes,
                columns,
                found.instances.tolist(),
                found.detections.tolist(),
                strict=True,
            )
        },
        "videos": found.videos,
        "undetected": list(found.undetected),
        "unknown": dict(found.unknown),
        "missing": list(found.missing),
        "extra": list(found.extra),
        "notes": list(found.notes),
        "problems": [
            {"video": p.video, "file": p.file, "problem": p.problem} for p in found.problems
        ],
    }


def print_detection(found: DetectionResult, subset: str) -> None:
    """Print mAP by threshold and AP by class, in percent."""
    from rich.console import Console

    instances = int(found.instances.sum())
    counts = (found.videos, "video"), (instances, "instance"), (len(found.classes), "class")
    click.echo(f"{subset}: {', '.join(counted(*pair) for pair in counts)}; in percent")
    click.echo("mAP, by tIoU")
    means = {name.removeprefix("mAP@"): value for name, value in found.summary().items()}
    means["average"] = means.pop("average_mAP")
    Console(highlight=False).print(row_table(means, digits=2))
    precision = found.by_class()
    rows = [
        (name, f"{precision[name]:.2f}", f"{count:,}", f"{detections:,}")
        for name, count, detections in zip(
            found.classes, found.instances.tolist(), found.detections.tolist(), strict=True
        )
    ]
    print_table(("class", "AP", "instances", "detections"), rows)


def say_about_detection(found: DetectionResult) -> None:
    """Print what was skipped and what counts as missed."""
    if found.undetected:
        say(f"classes without detections, AP 0: {name_some(found.undetected)}")
    if found.unknown:
        names = name_some([name or "''" for name in found.unknown])
        count = sum(found.unknown.values())
        what = counted(count, "detection")
        say(f"{what} with labels that the ground truth lacks, left out: {names}")
    if found.missing:
        say(f"videos without detections: {name_some(found.missing)}")
    if found.extra:
        say(f"videos with detections but not evaluated: {name_some(found.extra)}")
    say_findings(found.problems, found.notes)


def mistakes_document(found: Mistakes) -> dict[str, Any]:
    """Return shares of the best detections, and gains of average mAP, in percent."""
    from actspan.evaluation.mistakes import KINDS

    shares, gains = 100.0 * found.share, 100.0 * found.gain
    thresholds = [f"{tiou:.2f}" for tiou in found.tiou.tolist()]
    return {
        "right": 100.0 * float(found.right.mean()),
        "kinds": {
            kind: {
                "share": float(shares[:, number].mean()),
                "by_tiou": dict(zip(thresholds, shares[:, number].tolist(), strict=True)),
                "gain": float(gains[number]),
            }
            for number, kind in enumerate(KINDS)
        },
    }


def print_mistakes(found: Mistakes) -> None:
    """Print one row per kind of error."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    document = mistakes_document(found)
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="Wrong detections, mean over the thresholds",
        title_justify="left",
    )
    table.add_column("kind")
    table.add_column("share of the best", justify="right")
    table.add_column("gain of average mAP without them", justify="right")
    for kind, row in document["kinds"].items():
        table.add_row(kind, f"{row['share']:.1f}", f"{row['gain']:+.2f}")
    table.add_row("(right)", f"{document['right']:.1f}", "")
    Console(highlight=False).print(table)
