"""`actspan evaluate`: average recall of proposals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from actspan.cli.common import json_option, reports_errors, say

if TYPE_CHECKING:
    from actspan.evaluation.recall import RecallResult

_NAMED = 5  # how many missing or extra videos are named on the terminal; --json names all

_existing = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("result", type=_existing)
@click.option(
    "--ground-truth",
    type=_existing,
    required=True,
    help="Annotations: ActivityNet's JSON, the BSN authors', or a folder that holds either.",
)
@click.option("--subset", default="validation", show_default=True, help="Videos to evaluate.")
@click.option(
    "--max-proposals",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Largest average number of proposals a video (THUMOS14: 1000).",
)
@click.option(
    "--blocked",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of videos to leave out: a JSON list of ids, or one id a line.",
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do about annotations that cannot be read.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the AR-AN picture: .png, .svg or .pdf.",
)
@json_option
@reports_errors
def command(
    result: Path,
    ground_truth: Path,
    subset: str,
    max_proposals: int,
    blocked: Path | None,
    on_error: Literal["fail", "skip"],
    plot: Path | None,
    as_json: bool,
) -> None:
    """Average recall of RESULT (a result.json or a run folder), the ActivityNet protocol.

    Prints AR@1 ... AR@100 and AUC in percent, and recall at every tIoU. Videos without proposals
    count as missed; they, and videos that were not evaluated, are named.

    \b
    Example:
      actspan evaluate run/ --ground-truth my-videos/ --plot curve.png
      actspan evaluate result.json --ground-truth annotations.json --json
    """
    from actspan.evaluation.recall import evaluate_recall

    if plot is not None:
        from actspan.report.canvas import check_picture

        check_picture(plot)
    found = evaluate_recall(
        ground_truth,
        result,
        subset=subset,
        max_proposals=max_proposals,
        blocked=blocked,
        on_error=on_error,
    )
    if as_json:
        click.echo(json.dumps(_document(found, subset), indent=1, ensure_ascii=False))
    else:
        _print_tables(found, subset)
    _say_what_differs(found)
    if plot is not None:
        from actspan.report.curves import plot_recall

        plot_recall(found, plot)
        say(f"picture: {plot}")


def _recall_by_tiou(found: RecallResult) -> dict[str, float]:
    """Recall in percent at the largest budget, by threshold."""
    pairs = zip(found.tiou.tolist(), found.recall[:, -1].tolist(), strict=True)
    return {f"{tiou:.2f}": 100.0 * recall for tiou, recall in pairs}


def _document(found: RecallResult, subset: str) -> dict[str, Any]:
    """The answer for machines: recall in percent throughout."""
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
        "problems": [
            {"video": p.video, "file": p.file, "problem": p.problem} for p in found.problems
        ],
    }


def _print_tables(found: RecallResult, subset: str) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    click.echo(f"{subset}: {found.videos:,} videos, {found.instances:,} instances; in percent")
    console.print(_row(found.summary(), digits=2))
    click.echo(f"recall at AN = {found.max_proposals}, by tIoU")
    console.print(_row(_recall_by_tiou(found), digits=1))


def _row(values: dict[str, float], digits: int) -> Any:
    """A table of one row."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in values:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(*(f"{value:.{digits}f}" for value in values.values()))
    return table


def _say_what_differs(found: RecallResult) -> None:
    if found.missing:
        say(f"{_names(found.missing)} without proposals, counted as missed")
    if found.extra:
        say(f"{_names(found.extra)} with results but not evaluated (other subset, no instances)")
    if found.problems:
        names = tuple(problem.video for problem in found.problems)
        say(f"{_names(names)} left out: annotations cannot be read")


def _names(videos: tuple[str, ...]) -> str:
    """`3 videos (a, b, c)`, with at most a few of them by name."""
    first = ", ".join(videos[:_NAMED])
    rest = ", ..." if len(videos) > _NAMED else ""
    return f"{len(videos)} video{'s' if len(videos) > 1 else ''} ({first}{rest})"
