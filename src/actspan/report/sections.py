"""Sections of a page: charts, and beside each the table of its values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from actspan.core.wording import counted
from actspan.evaluation.counting import REPORTED
from actspan.evaluation.diagnosis import Diagnosis
from actspan.evaluation.recall import RecallResult
from actspan.evaluation.stages import IDEAL, STAGES
from actspan.report.charts import (
    calibration_chart,
    compared_recall_chart,
    loss_chart,
    recall_chart,
)
from actspan.report.contents import Contents
from actspan.report.labelled import detections
from actspan.report.parts import Figure, Section, Table, bars, row_name, side_by_side, title_of

_KINDS_OF_BINS = {
    "length": "By length of the instance",
    "coverage": "By its share of the video",
    "instances": "By number of instances in the video",
}


def make_sections(contents: Contents) -> list[Section]:
    """Return the sections for which the runs have values."""
    if not contents.has_truth:
        return []
    made = [_recall(contents), _lost(contents), _gains(contents), _bins(contents)]
    made += [_calibration(contents), detections(contents)]
    return [section for section in made if section.figures]


def facts(contents: Contents) -> Table:
    """Return the origin of each run, as far as it is recorded."""
    rows = {
        "made": lambda side: str(side.info.get("created", "–")).replace("T", " ")[:16],
        "bundle": lambda side: Path(side.info.get("bundle", {}).get("path", "–")).name,
        "mode": lambda side: side.info.get("pipeline", {}).get("mode", "–"),
        "ActSpan": lambda side: side.info.get("versions", {}).get("actspan", "–"),
        "videos": lambda side: f"{len(side.proposals):,}",
        "proposals": lambda side: f"{sum(map(len, side.proposals.values())):,}",
        "detections": lambda side: f"{sum(map(len, side.detections.values())):,}",
    }
    header = ("", *(row_name(contents, side) for side in contents.sides))
    return Table(header, tuple((k, *map(str, map(f, contents.sides))) for k, f in rows.items()))


def _recall(contents: Contents) -> Section:
    judged = [(side, side.recall) for side in contents.sides if side.recall is not None]
    results = [result for _, result in judged]
    figures = [Figure("AR and AUC", table=_summary_table(contents, results))]
    if len(results) > 1:
        figures.append(Figure("Average recall of the runs", compared_recall_chart(results)))
    for side, result in judged:
        name = title_of(contents, side)
        title = f"{name}: recall at every tIoU" if name else "Recall at every tIoU"
        figures.append(Figure(title, recall_chart(result), _tiou_table(result)))
    count = counted(results[0].videos, "video")
    count += f" with {counted(results[0].instances, 'instance')}"
    text = (
        f"{count}. AR@AN is the share of instances found by AN proposals a video, averaged over "
        "the tIoU thresholds; AUC is the area under it. In percent."
    )
    return Section("recall", "Average recall", text, tuple(figures))


def _summary_table(contents: Contents, results: Sequence[RecallResult]) -> Table:
    """Return a table with a row per run and, for two runs, a row of differences."""
    summaries = [result.summary() for result in results]
    names = [row_name(contents, side) for side in contents.sides]
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
    for side in contents.sides:
        if side.diagnosis is None:
            continue
        shares = 100.0 * side.diagnosis.losses()
        named = [f"{tiou:.2f}" for tiou in side.diagnosis.recall.tiou]
        rows = [*zip(named, shares, strict=True), ("mean", shares.mean(axis=0))]
        cells = tuple((name, *(f"{share:.1f}" for share in row)) for name, row in rows)
        title = title_of(contents, side) or "Share of instances at every tIoU"
        table = Table(("tIoU", *STAGES, "found"), cells)
        figures.append(Figure(title, loss_chart(side.diagnosis), table))
    return Section("lost", "Where instances are lost", text, tuple(figures), (*STAGES, "found"))


def _gains(contents: Contents) -> Section:
    text = (
        "What AR and AUC would win, in points, if one stage were replaced by an oracle and the "
        "others stayed as they are. Gains do not add up."
    )
    gains = [side.diagnosis.gains() if side.diagnosis else {} for side in contents.sides]
    names = next((list(next(iter(gain.values()))) for gain in gains if gain), [])
    shown = [name for name in names if name in ("AR@1", names[-2], "AUC")]

    def chart(metric: str) -> Figure:
        rows = side_by_side([{k: gain[k][metric] for k in IDEAL if k in gain} for gain in gains])
        return bars(contents, metric, rows, "points", "+.2f")

    return Section("gains", "What a perfect stage would gain", text, tuple(map(chart, shown)))


def _bins(contents: Contents) -> Section:
    first = next((side.diagnosis for side in contents.sides if side.diagnosis), None)
    if first is None:
        return Section("kinds", "", "", ())
    text = (
        "Average recall at the largest budget; in brackets, how many instances there are. Lengths "
        "are fifths of the instances, the other limits are those of DETAD."
    )

    def chart(by: str) -> Figure:
        rows = side_by_side([_bin_recall(side.diagnosis, by) for side in contents.sides])
        return bars(contents, _KINDS_OF_BINS[by], rows, "AR (%)", ".1f", full=100.0)

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
    for number, side in enumerate(contents.sides):
        found = side.calibration
        if found is None:
            continue
        rows = (
            ("proposals", f"{found.proposals:,}"),
            ("rank correlation of score and tIoU (Spearman)", f"{found.rank_correlation:.3f}"),
            ("mean distance of score and tIoU", f"{found.gap:.3f}"),
        )
        title = title_of(contents, side) or "Score against achieved tIoU"
        figures.append(Figure(title, calibration_chart(found, number), Table(("", "value"), rows)))
    return Section("calibration", "What a score is worth", text, tuple(figures))
