"""Summary of a report: the verdict in one sentence, and the figures as text to copy."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from actspan.core.wording import counted, markdown_table
from actspan.evaluation.paired import FEWEST_VIDEOS, VideoRecall, compare_recall, estimate_auc
from actspan.report.charts import LETTERS
from actspan.report.contents import Contents, EvaluatedRun

Evaluated = tuple[EvaluatedRun, str, VideoRecall]  # run, its name in sentences, and its recall


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict of a report in one sentence; `details` are further sentences."""

    sentence: str
    details: tuple[str, ...] = ()


def give_verdict(contents: Contents) -> Verdict:
    """Return the verdict: AUC of one run, or the difference of two, with an interval of 95 %.

    Of more than two runs, the best is compared with the next best. Fewer than ten videos have no
    interval, and no run is called better.
    """
    named = [(run, _name(contents, run), run.by_video) for run in contents.runs]
    evaluated = [(run, name, recall) for run, name, recall in named if recall is not None]
    if not evaluated:
        proposals = sum(len(each) for run in contents.runs for each in run.proposals.values())
        found = f"{counted(proposals, 'proposal')} in {counted(len(contents.videos), 'video')}"
        who = " and ".join(name for _, name, _ in named)
        return Verdict(f"No verdict on {who}: {found}, without ground truth to evaluate them.")
    if len(evaluated) == 1:
        return Verdict(_alone(evaluated[0]), (_missed(evaluated),))
    notes = [_missed(evaluated)]
    if _has_interval(evaluated[0][2]):
        notes.append(
            "The interval says how much the difference depends on the choice of videos, not on the "
            "seed of a training."
        )
    return Verdict(_compared(evaluated), tuple(notes))


def _has_interval(recall: VideoRecall) -> bool:
    return len(recall.instances) >= FEWEST_VIDEOS


def _too_few(recall: VideoRecall) -> str:
    videos = len(recall.instances)
    return f"{counted(videos, 'video')} {'is' if videos == 1 else 'are'} too few for an interval"


def _name(contents: Contents, run: EvaluatedRun) -> str:
    """Return the name of a run in sentences: `B (new, label-free)`."""
    about = ["label-free"] * run.is_label_free
    if len(contents.runs) == 1:
        return f"{run.name} ({about[0]})" if about else run.name
    return f"{LETTERS[contents.runs.index(run)]} ({', '.join([run.name, *about])})"


def _alone(evaluated: Evaluated) -> str:
    _, name, recall = evaluated
    estimate, videos = estimate_auc(recall), len(recall.instances)
    start = f"AUC of {name} is {estimate.auc:.1f} %"
    if not _has_interval(recall):
        return f"{start}; {_too_few(recall)}."
    return (
        f"{start}; on other videos like these {videos:,} it would probably be between "
        f"{estimate.low:.1f} and {estimate.high:.1f} % (95 % interval)."
    )


def _compared(evaluated: Sequence[Evaluated]) -> str:
    a, b = evaluated[:2]
    rank = ""
    if len(evaluated) > 2:
        b, a = sorted(evaluated, key=lambda one: -one[2].figures()["AUC"])[:2]
        rank = f", the next best of {len(evaluated)} runs"
    difference = compare_recall(a[2], b[2])
    aucs = " and ".join(f"{one[2].figures()['AUC']:.1f}" for one in (b, a))
    signed = f"{b[1][0]} - {a[1][0]} is {_points(difference.auc)} points of AUC ({aucs} %)"
    interval = f"95 % interval {_points(difference.low)} to {_points(difference.high)}"
    if not _has_interval(a[2]):
        return f"{b[1]} against {a[1]}{rank}: {signed}; {_too_few(a[2])}."
    if difference.low == difference.high == 0:
        return f"{b[1]} and {a[1]}{rank} find the same: {signed}, {interval}."
    if difference.low <= 0 <= difference.high:
        return f"{b[1]} and {a[1]}{rank} cannot be told apart: {signed}, {interval}, across zero."
    side = "better" if difference.auc > 0 else "worse"
    return f"{b[1]} is {side} than {a[1]}{rank}: {signed}, {interval}."


def _points(value: float) -> str:
    return f"{value:+.1f}".replace("-0.0", "+0.0")


def _missed(evaluated: Sequence[Evaluated]) -> str:
    """Return a sentence with the number of missed instances of every run."""
    instances = counted(int(evaluated[0][2].instances.sum()), "instance")
    counts = {name: f"{int(recall.missed.sum()):,}" for _, name, recall in evaluated}
    missed = ", ".join(f"{name} misses {count}" for name, count in counts.items())
    tiou = min(run.recall.tiou[0] for run, _, _ in evaluated if run.recall is not None)
    return f"Of {instances}, at a tIoU of {tiou:.2f}, {missed}."


def table_to_copy(contents: Contents) -> list[list[str]]:
    """Return AR@AN and AUC as rows, percent: a row per AN, a column per run; the first is a header.

    Two runs are called before and after, with their difference, as in tables that compare a model
    before and after a conversion. AUC has its interval. Empty without ground truth.
    """
    runs = [run for run in contents.runs if run.recall is not None]
    if not runs:
        return []
    header = ["", *(run.name for run in runs)]
    figures = [run.recall.summary() for run in runs if run.recall is not None]
    rows = [[name, *(f"{each[name]:.2f}" for each in figures)] for name in figures[0]]
    recalls = [run.by_video for run in runs if run.by_video is not None]
    estimates = [estimate_auc(recall) for recall in recalls]
    interval = [f"{each.low:.2f} to {each.high:.2f}" for each in estimates]
    if len(runs) == 2:
        header = ["", f"before: {runs[0].name}", f"after: {runs[1].name}", "after - before"]
        for row, name in zip(rows, figures[0], strict=True):
            row.append(f"{figures[1][name] - figures[0][name]:+.2f}")
        difference = compare_recall(*recalls)
        interval.append(f"{difference.low:+.2f} to {difference.high:+.2f}")
    if _has_interval(recalls[0]):
        rows.append(["95 % interval of AUC", *interval])
    return [header, *rows]


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table, of which the first row is the header, in Markdown."""
    header, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(markdown_table(header, body))


def as_csv(rows: Sequence[Sequence[str]]) -> str:
    """Return a table as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")
