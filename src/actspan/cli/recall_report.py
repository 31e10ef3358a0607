"""Output of `actspan evaluate` for recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from actspan.cli.common import say, say_findings
from actspan.cli.tables import name_some, row_table
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.evaluation.recall import RecallResult


def _recall_by_tiou(found: RecallResult) -> dict[str, float]:
    """Return recall in percent at the largest budget, by threshold."""
    pairs = zip(found.tiou.tolist(), found.recall[:, -1].tolist(), strict=True)
    return {f"{tiou:.2f}": 100.0 * recall for tiou, recall in pairs}


def recall_document(found: RecallResult, subset: str) -> dict[str, Any]:
    """Return the result for JSON, all recall in percent."""
    return {
        **found.summary(),
        "recall_by_tiou": _recall_by_tiou(found),
        "curve": {
            "proposals_per_video": found.proposals_per_video.tolist(),
            "average_recall": (100.0 * found.average_recall).tolist(),
        },
        "subset": subset,
        "max_proposals": found.max_proposals,
        "videos": found.videos,
        "instances": found.instances,
        "proposals": found.proposals,
        "missing": list(found.missing),
        "extra": list(found.extra),
        "notes": list(found.notes),
        "problems": [
            {"video": p.video, "file": p.file, "problem": p.problem} for p in found.problems
        ],
    }


def print_recall(found: RecallResult, subset: str) -> None:
    """Print AR and AUC, and recall at every threshold, in percent."""
    from rich.console import Console

    console = Console(highlight=False)
    videos, instances = counted(found.videos, "video"), counted(found.instances, "instance")
    click.echo(f"{subset}: {videos}, {instances}; in percent")
    console.print(row_table(found.summary(), digits=2))
    click.echo(f"recall at AN = {found.max_proposals}, by tIoU")
    console.print(row_table(_recall_by_tiou(found), digits=1))


def say_about_recall(found: RecallResult) -> None:
    """Print what was skipped and what counts as missed."""
    if found.missing:
        say(f"videos without proposals, counted as missed: {name_some(found.missing)}")
    if found.extra:
        names = name_some(found.extra)
        say(f"videos with results, not evaluated (other subset, no instances): {names}")
    say_findings(found.problems, found.notes)
