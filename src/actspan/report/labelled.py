"""Section on detections: mAP, and wrong detections by kind."""

from __future__ import annotations

from collections.abc import Iterator

from actspan.core.types import Float64
from actspan.evaluation.detection import DetectionResult
from actspan.evaluation.mistakes import KINDS
from actspan.report.contents import Contents
from actspan.report.parts import Figure, Section, bars, side_by_side, value_table


def detections(contents: Contents) -> Section:
    """Return the section on detections, without figures if no run has detections."""
    return Section(
        "detections",
        "Detections",
        "Labelled proposals: average mAP, and wrong detections by kind, mean over the thresholds.",
        tuple(_figures(contents)),
    )


def _figures(contents: Contents) -> Iterator[Figure]:
    found = [side.detection for side in contents.sides]
    if not any(found):
        return
    precision = side_by_side([_precision(each) if each else {} for each in found])
    yield bars(contents, "mAP", precision, "mAP (%)", ".2f", full=100.0)
    mistakes = [side.mistakes for side in contents.sides]
    shares = side_by_side([_by_kind(each.share.mean(axis=0)) if each else {} for each in mistakes])
    yield bars(contents, "Share of the best detections", shares, "percent", ".1f")
    gains = side_by_side([_by_kind(each.gain) if each else {} for each in mistakes])
    yield bars(contents, "Average mAP gained without them", gains, "points", "+.2f")
    classes = side_by_side([each.by_class() if each else {} for each in found])
    table = value_table(contents, classes, "AP (%)", ".2f")
    yield Figure("AP by class, mean over the thresholds", table=table)


def _precision(found: DetectionResult) -> dict[str, float]:
    return {name.replace("_", " "): value for name, value in found.summary().items()}


def _by_kind(values: Float64) -> dict[str, float]:
    """Return shares or gains, (5,), by kind of mistake, in percent."""
    return dict(zip(KINDS, (100.0 * values).tolist(), strict=True))
