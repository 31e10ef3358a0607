"""Sections of the report page: charts, and beside each the table of its values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actspan.core.types import Float64
from actspan.core.wording import counted
from actspan.evaluation.counting import REPORTED
from actspan.evaluation.diagnosis import Diagnosis
from actspan.evaluation.mistakes import KINDS
from actspan.evaluation.recall import RecallResult
from actspan.evaluation.stage_losses import IDEAL, STAGES
from actspan.report.charts import LETTERS, bar_chart, calibration_chart, loss_chart, recall_chart
from actspan.report.contents import Contents, EvaluatedRun

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
    if not contents.has_truth:
        return []
    makers = (_recall, _lost, _gains, _bins, _calibration, _detections)
    made = [make(contents) for make in makers]
    return [section for section in made if section.figures]


def facts(contents: Contents) -> Table:
    """Return the origin of each run, as far as it is recorded."""
    rows = {
        "made": lambda run: str(run.info.get("created", "–")).replace("T", " ")[:16],
        "bundle": lambda run: Path(run.info.get("bundle", {}).get("path", "–")).name,
        "mode": lambda run: run.info.get("pipeline", {}).get("mode", "–"),
        "ActSpan": lambda run: run.info.get("versions", {}).get("actspan", "–"),
        "videos": lambda run: f"{len(run.proposals):,}",
        "proposals": lambda run: f"{sum(map(len, run.proposals.values())):,}",
        "detections": lambda run: f"{sum(map(len, run.detections.values())):,}",
    }
    header = ("", *(_row_name(contents, run) for run in contents.runs))
    return Table(header, tuple((k, *map(str, map(f, contents.runs))) for k, f in rows.items()))


def _recall(contents: Contents) -> Section:
    judged = [(run, run.recall) for run in contents.runs if run.recall is not None]
    results = [result for _, result in judged]
    figures = [Figure("AR and AUC", table=_summary_table(contents, results))]
    if len(results) > 1:
        figures.append(Figure("Average recall of the runs", recall_chart(results)))
    for run, result in judged:
        name = _title(contents, run)
        title = f"{name}: recall at every tIoU" if name else "Recall at every tIoU"
        figures.append(Figure(title, recall_chart([result]), _tiou_table(result)))
    count = counted(results[0].videos, "video")
    count += f" with {counted(results[0].instances, 'instance')}"
    text = (
        f"{count}. AR@AN is the share of instances found by AN proposals per video, averaged over "
        "the tIoU thresholds; AUC is the area under it. In percent."
    )
    return Section("recall", "Average recall", text, tuple(figures))


def _summary_table(contents: Contents, results: Sequence[RecallResult]) -> Table:
    """Return a table with a row per run and, for two runs, a row of differences."""
    summaries = [result.summary() for result in results]
    names = [_row_name(contents, run) for run in contents.runs]
    rows = []
    for name, summary in zip(names, summaries, strict=True):
        rows.append((name, *(f"{value:.2f}" for value in summary.values())))
    columns = [[row[c] for row in rows] for c in range(1, len(rows[0]))]
    best = frozenset(
        (r, c)
        for c, cells in enumerate(columns, start=1)
        for r, cell in enumerate(cells)
        if len(rows) > 1 and float(cell) == max(map(float, cells)) and len(set(cells)) > 1
    )
    if len(rows) == 2:
        first, second = summaries
        gap = (f"{second[key] - first[key]:+.2f}" for key in first)
        rows.append(("B less A", *gap))
    return Table(("run", *summaries[0]), tuple(rows), best)


def _tiou_table(result: RecallResult) -> Table:
    budgets = [n for n in REPORTED if n <= result.max_proposals]
    rows = [
        (f"{tiou:.2f}", *(f"{100 * row[n - 1]:.1f}" for n in budgets))
        for tiou, row in zip(result.tiou, result.recall, strict=True)
    ]
    average = (f"{100 * result.average_recall[n - 1]:.1f}" for n in budgets)
    return Table(("tIoU", *(f"AN {n}" for n in budgets)), (*rows, ("average", *average)))


def _lost(contents: Contents) -> Section:
    text = (
        "An instance that no counted proposal reaches is lost at the first stage that leaves "
        "nothing for it: the video has no proposals; no two cells reach it (resolution); no pair "
        "of peaks does (boundaries); the pair is cut (top-k); its score is too low (ranking); a "
        "neighbour lowered it (suppression)."
    )
    figures = []
    for run in contents.runs:
        if run.diagnosis is None:
            continue
        shares = 100.0 * run.diagnosis.losses()
        named = [f"{tiou:.2f}" for tiou in run.diagnosis.recall.tiou]
        rows = [*zip(named, shares, strict=True), ("mean", shares.mean(axis=0))]
        cells = tuple((name, *(f"{share:.1f}" for share in row)) for name, row in rows)
        title = _title(contents, run) or "Share of instances at every tIoU"
        table = Table(("tIoU", *STAGES, "found"), cells)
        figures.append(Figure(title, loss_chart(run.diagnosis), table))
    return Section("lost", "Where instances are missed", text, tuple(figures))


def _gains(contents: Contents) -> Section:
    text = (
        "Points of AR and AUC that would be gained if one stage were replaced by an oracle and the "
        "others stayed as they are. Gains do not add up."
    )
    gains = [run.diagnosis.gains() if run.diagnosis else {} for run in contents.runs]
    names = next((list(next(iter(gain.values()))) for gain in gains if gain), [])
    shown = [name for name in names if name in ("AR@1", names[-2], "AUC")]

    def chart(metric: str) -> Figure:
        rows = _by_name([{k: gain[k][metric] for k in IDEAL if k in gain} for gain in gains])
        return _bars(contents, metric, rows, "points", "+.2f")

    return Section("gains", "Gain of a perfect stage", text, tuple(map(chart, shown)))


def _bins(contents: Contents) -> Section:
    first = next((run.diagnosis for run in contents.runs if run.diagnosis), None)
    if first is None:
        return Section("kinds", "", "", ())
    text = (
        "Average recall at the largest budget; the number of instances in brackets. Lengths "
        "are fifths of the instances, the other limits are those of DETAD."
    )

    def chart(by: str) -> Figure:
        rows = _by_name([_bin_recall(run.diagnosis, by) for run in contents.runs])
        return _bars(contents, _KINDS_OF_BINS[by], rows, "AR (%)", ".1f", full=100.0)

    figures = tuple(map(chart, first.bins))
    return Section("kinds", "Recall by kind of instance", text, figures)


def _bin_recall(found: Diagnosis | None, by: str) -> dict[str, float]:
    bins = found.bins[by] if found else ()
    return {
        f"{b.name}: {b.range} ({b.instances:,})": 100.0 * b.average_recall
        for b in bins
        if b.instances
    }


def _calibration(contents: Contents) -> Section:
    text = (
        "Proposals in twenty groups of equal size by score, with the tIoU that they achieve (mean, "
        "and quartiles as a band). On the dotted diagonal score and tIoU would be equal. BSN's "
        "score is a product of three probabilities and mostly smaller than the tIoU, which puts "
        "the line above the diagonal; what AR needs is that the line rises."
    )
    figures = []
    for number, run in enumerate(contents.runs):
        found = run.calibration
        if found is None:
            continue
        rows = (
            ("proposals", f"{found.proposals:,}"),
            ("rank correlation of score and tIoU (Spearman)", f"{found.rank_correlation:.3f}"),
            ("mean distance of score and tIoU", f"{found.gap:.3f}"),
        )
        title = _title(contents, run) or "Score against achieved tIoU"
        figures.append(Figure(title, calibration_chart(found, number), Table(("", "value"), rows)))
    return Section("calibration", "Scores and achieved tIoU", text, tuple(figures))


def _detections(contents: Contents) -> Section:
    text = (
        "Labelled proposals: average mAP, and wrong detections by kind, mean over the thresholds."
    )
    return Section("detections", "Detections", text, tuple(_detection_figures(contents)))


def _detection_figures(contents: Contents) -> Iterator[Figure]:
    found = [run.detection for run in contents.runs]
    if not any(found):
        return
    precision = _by_name([each.summary() if each else {} for each in found])
    precision = {name.replace("_", " "): values for name, values in precision.items()}
    yield _bars(contents, "mAP", precision, "mAP (%)", ".2f", full=100.0)
    mistakes = [run.mistakes for run in contents.runs]
    shares = [_by_kind(each.share.mean(axis=0)) if each else {} for each in mistakes]
    yield _bars(contents, "Share of the best detections", _by_name(shares), "percent", ".1f")
    gains = [_by_kind(each.gain) if each else {} for each in mistakes]
    yield _bars(contents, "Average mAP gained without them", _by_name(gains), "points", "+.2f")
    classes = _by_name([each.by_class() if each else {} for each in found])
    table = _value_table(contents, classes, "AP (%)", ".2f")
    yield Figure("AP by class, mean over the thresholds", table=table)


def _by_kind(values: Float64) -> dict[str, float]:
    """Return shares or gains, (5,), by kind of mistake, in percent."""
    return dict(zip(KINDS, (100.0 * values).tolist(), strict=True))


def _title(contents: Contents, run: EvaluatedRun) -> str:
    """Return `A · name`, or "" if there is only one run."""
    if len(contents.runs) == 1:
        return ""
    return f"{LETTERS[contents.runs.index(run)]} · {run.name}"


def _row_name(contents: Contents, run: EvaluatedRun) -> str:
    return _title(contents, run) or run.name


def _by_name(found: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return the values of all runs by name, NaN if a run lacks one."""
    names = dict.fromkeys(name for each in found for name in each)
    return {name: [each.get(name, math.nan) for each in found] for name in names}


def _bars(
    contents: Contents,
    title: str,
    rows: Mapping[str, Sequence[float]],
    axis: str,
    digits: str,
    full: float | None = None,
) -> Figure:
    """Return a chart of bars to compare, and its table; `digits` formats the table's values."""
    table = _value_table(contents, rows, axis, digits)
    label = f"{title}: " + "; ".join(f"{row[0]}: {' and '.join(row[1:])}" for row in table.rows)
    return Figure(title, bar_chart(label, rows, axis, full=full), table)


def _value_table(
    contents: Contents, rows: Mapping[str, Sequence[float]], axis: str, digits: str
) -> Table:
    header = ("", *(_title(contents, run) or axis for run in contents.runs))

    def text(value: float) -> str:
        return f"{value:{digits}}" if math.isfinite(value) else "–"

    return Table(header, tuple((name, *map(text, row)) for name, row in rows.items()))
