"""Sections of the report page: charts, each with a table of its values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actspan.core.types import Float64
from actspan.core.wording import counted
from actspan.evaluation.counting import REPORTED
from actspan.evaluation.detection import KINDS
from actspan.evaluation.diagnosis import Diagnosis
from actspan.evaluation.recall import RecallResult
from actspan.evaluation.stage_losses import IDEAL, STAGES
from actspan.report.charts import LETTERS, bar_chart, calibration_chart, recall_chart, stage_chart
from actspan.report.contents import Contents, EvaluatedRun

Runs = Sequence[EvaluatedRun]

_KINDS_OF_BINS = {
    "length": "By length of the instance",
    "coverage": "By its share of the video",
    "instances": "By number of instances in the video",
}


@dataclass(frozen=True, slots=True)
class Table:
    """Table of values as text; the first column names the rows.

    `best` has the (row, column) of cells to highlight.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Figure:
    """Chart (SVG) and the table of its values; either may be missing."""

    title: str
    chart: str = ""
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Section of the page."""

    id: str
    title: str
    text: str
    figures: tuple[Figure, ...]


def make_sections(contents: Contents) -> list[Section]:
    """Return the sections for which the runs have values."""
    first = contents.runs[0].recall
    if first is None:
        return []
    videos, instances = counted(first.videos, "video"), counted(first.instances, "instance")
    sections = []
    for name, (title, text, figures_of) in _SECTIONS.items():
        if figures := tuple(figures_of(contents.runs)):
            filled = text.format(videos=videos, instances=instances)
            sections.append(Section(name, title, filled, figures))
    return sections


def facts(contents: Contents) -> Table:
    """Return the origin of each run, as far as it is recorded."""
    rows: dict[str, Callable[[EvaluatedRun], object]] = {
        "created": lambda run: str(run.info.get("created", "–")).replace("T", " ")[:16],
        "bundle": lambda run: Path(run.info.get("bundle", {}).get("path", "–")).name,
        "mode": lambda run: run.info.get("pipeline", {}).get("mode", "–"),
        "ActSpan": lambda run: run.info.get("versions", {}).get("actspan", "–"),
        "videos": lambda run: f"{len(run.proposals):,}",
        "proposals": lambda run: f"{sum(map(len, run.proposals.values())):,}",
        "detections": lambda run: f"{sum(map(len, run.detections.values())):,}",
    }
    runs = contents.runs
    header = ("", *(_title(runs, run, run.name) for run in runs))
    return Table(
        header, tuple((name, *(str(fact(r)) for r in runs)) for name, fact in rows.items())
    )


def _recall(runs: Runs) -> Iterator[Figure]:
    recalls = [(run, run.recall) for run in runs if run.recall is not None]
    results = [result for _, result in recalls]
    yield Figure("AR and AUC", table=_summary_table(runs, results))
    if len(runs) > 1:
        yield Figure("Average recall of the runs", recall_chart(results))
    for run, result in recalls:
        name = _title(runs, run)
        title = f"{name}: recall at every tIoU" if name else "Recall at every tIoU"
        yield Figure(title, recall_chart([result]), _tiou_table(result))


def _summary_table(runs: Runs, results: Sequence[RecallResult]) -> Table:
    """Return a table with a row per run and, for two runs, a row of differences."""
    summaries = [result.summary() for result in results]
    rows = [
        (_title(runs, run, run.name), *(f"{value:.2f}" for value in summary.values()))
        for run, summary in zip(runs, summaries, strict=True)
    ]
    best = set()
    for c in range(1, len(rows[0])):
        values = [float(row[c]) for row in rows]
        if len(set(values)) > 1:
            best |= {(r, c) for r, value in enumerate(values) if value == max(values)}
    if len(rows) == 2:
        first, second = summaries
        rows.append(("B - A", *(f"{second[key] - first[key]:+.2f}" for key in first)))
    return Table(("run", *summaries[0]), tuple(rows), frozenset(best))


def _tiou_table(result: RecallResult) -> Table:
    budgets = [n for n in REPORTED if n <= result.max_proposals]
    names = [*(f"{tiou:.2f}" for tiou in result.tiou), "average"]
    curves = (*result.recall, result.average_recall)
    rows = tuple(
        (name, *(f"{100 * curve[n - 1]:.1f}" for n in budgets))
        for name, curve in zip(names, curves, strict=True)
    )
    return Table(("tIoU", *(f"AN {n}" for n in budgets)), rows)


def _stages(runs: Runs) -> Iterator[Figure]:
    for run in runs:
        if run.diagnosis is not None:
            shares = 100.0 * run.diagnosis.losses()
            names = [*(f"{tiou:.2f}" for tiou in run.diagnosis.recall.tiou), "mean"]
            rows = zip(names, (*shares, shares.mean(axis=0)), strict=True)
            cells = tuple((name, *(f"{share:.1f}" for share in row)) for name, row in rows)
            title = _title(runs, run, "Share of instances at every tIoU")
            table = Table(("tIoU", *STAGES, "found"), cells)
            yield Figure(title, stage_chart(run.diagnosis), table)


def _gains(runs: Runs) -> Iterator[Figure]:
    gains = [run.diagnosis.gains() if run.diagnosis else {} for run in runs]
    names = next((list(next(iter(gain.values()))) for gain in gains if gain), [])
    for name in names:
        if name in ("AR@1", names[-2], "AUC"):
            rows = ({k: gain[k][name] for k in IDEAL if k in gain} for gain in gains)
            yield from _bars(runs, name, rows, "points", "+.2f")


def _bins(runs: Runs) -> Iterator[Figure]:
    first = next((run.diagnosis for run in runs if run.diagnosis), None)
    for by in first.bins if first else ():
        rows = (_bin_recall(run.diagnosis, by) for run in runs)
        yield from _bars(runs, _KINDS_OF_BINS[by], rows, "AR (%)", ".1f", full=100.0)


def _bin_recall(diagnosis: Diagnosis | None, by: str) -> dict[str, float]:
    bins = diagnosis.bins[by] if diagnosis else ()
    named = {f"{b.name}: {b.range} ({b.instances:,})": b for b in bins if b.instances}
    return {name: 100.0 * b.average_recall for name, b in named.items()}


def _calibration(runs: Runs) -> Iterator[Figure]:
    for number, run in enumerate(runs):
        if (calibration := run.calibration) is not None:
            rows = (
                ("proposals", f"{calibration.proposals:,}"),
                (
                    "rank correlation of score and tIoU (Spearman)",
                    f"{calibration.rank_correlation:.3f}",
                ),
                ("mean distance of score and tIoU", f"{calibration.gap:.3f}"),
            )
            title = _title(runs, run, "Score against achieved tIoU")
            yield Figure(title, calibration_chart(calibration, number), Table(("", "value"), rows))


def _detections(runs: Runs) -> Iterator[Figure]:
    detections = [run.detection for run in runs]
    if not any(detections):
        return
    summaries = (each.summary() if each else {} for each in detections)
    spaced = ({k.replace("_", " "): value for k, value in each.items()} for each in summaries)
    yield from _bars(runs, "mAP", spaced, "mAP (%)", ".2f", full=100.0)
    mistakes = [run.mistakes for run in runs]
    shares = (_by_kind(each.share.mean(axis=0)) if each else {} for each in mistakes)
    yield from _bars(runs, "Share of the best detections", shares, "percent", ".1f")
    gains = (_by_kind(each.gain) if each else {} for each in mistakes)
    yield from _bars(runs, "Average mAP gained without them", gains, "points", "+.2f")
    classes = _by_name(each.by_class() if each else {} for each in detections)
    table = _value_table(runs, classes, "AP (%)", ".2f")
    yield Figure("AP by class, mean over the thresholds", table=table)


# Title and text of every section, and the function that makes its figures.
_SECTIONS = {
    "recall": (
        "Average recall",
        "{videos} with {instances}. AR@AN is the share of instances found by AN proposals per "
        "video, averaged over the tIoU thresholds; AUC is the area under it. In percent.",
        _recall,
    ),
    "stages": (
        "Where instances are missed",
        "Instances that no proposal within the budget reaches, by the first stage that left no "
        "candidate: video (it has no proposals), resolution (no two cells reach the tIoU), "
        "boundaries (no pair of peaks does), top-k (the pair was not among the best), ranking (its "
        "score is too low), suppression (a neighbour lowered its score).",
        _stages,
    ),
    "gains": (
        "Gain of a perfect stage",
        "Points of AR and AUC that would be gained if one stage were replaced by an oracle and "
        "the others did not change. Gains do not add up.",
        _gains,
    ),
    "kinds": (
        "Recall by kind of instance",
        "Average recall at the largest budget; the number of instances in brackets. Lengths "
        "are fifths of the instances, the other limits are those of DETAD.",
        _bins,
    ),
    "calibration": (
        "Scores and achieved tIoU",
        "Proposals in twenty groups of equal size by score, with the tIoU that they achieve (mean, "
        "and quartiles as a band). On the dotted diagonal score and tIoU would be equal. BSN's "
        "score is a product of three probabilities and mostly smaller than the tIoU, so the line "
        "is above the diagonal. For AR it matters only that the line rises.",
        _calibration,
    ),
    "detections": (
        "Detections",
        "Labelled proposals: average mAP, and wrong detections by kind, mean over the thresholds.",
        _detections,
    ),
}


def _by_kind(values: Float64) -> dict[str, float]:
    """Return shares or gains, (5,), by kind of mistake, in percent."""
    return dict(zip(KINDS, (100.0 * values).tolist(), strict=True))


def _title(runs: Runs, run: EvaluatedRun, only: str = "") -> str:
    """Return `A · name`, or `only` if there is only one run."""
    return only if len(runs) == 1 else f"{LETTERS[runs.index(run)]} · {run.name}"


def _by_name(values_by_run: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return the values of all runs by name, NaN if a run lacks one."""
    runs = list(values_by_run)
    names = dict.fromkeys(name for each in runs for name in each)
    return {name: [each.get(name, math.nan) for each in runs] for name in names}


def _bars(
    runs: Runs,
    title: str,
    values_by_run: Iterable[Mapping[str, float]],
    axis: str,
    digits: str,
    full: float | None = None,
) -> Iterator[Figure]:
    """Yield a chart of bars to compare, and its table, if there are any values.

    `digits` formats the values of the table.
    """
    rows = _by_name(values_by_run)
    if not rows:
        return
    table = _value_table(runs, rows, axis, digits)
    label = f"{title}: " + "; ".join(f"{row[0]}: {' and '.join(row[1:])}" for row in table.rows)
    yield Figure(title, bar_chart(label, rows, axis, full=full), table)


def _value_table(runs: Runs, rows: Mapping[str, Sequence[float]], axis: str, digits: str) -> Table:
    header = ("", *(_title(runs, run, axis) for run in runs))

    def text(value: float) -> str:
        return f"{value:{digits}}" if math.isfinite(value) else "–"

    return Table(header, tuple((name, *map(text, row)) for name, row in rows.items()))
