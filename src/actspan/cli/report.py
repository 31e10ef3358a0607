"""`actspan report`: write a page about one or more runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    json_option,
    on_error_option,
    progress_report,
    reports_errors,
    say,
    say_findings,
)
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.report.page import WrittenReport

_existing = ExistingPath()
_LARGE = 15_000_000  # bytes; larger pages are slow to open


@click.command()
@click.argument("runs", nargs=-1, required=True, type=_existing, metavar="RUN...")
@click.option(
    "--out",
    type=PlainPath(dir_okay=False),
    required=True,
    help="HTML file to write; it needs no other files.",
)
@click.option(
    "--ground-truth",
    type=_existing,
    help="Annotations or a dataset folder. [default: the dataset of a run, if unchanged]",
)
@click.option(
    "--subset",
    default="validation",
    show_default=True,
    help="Evaluate on the videos of this subset.",
)
@click.option(
    "--protocol",
    type=click.Choice(["activitynet", "thumos14"]),
    default="activitynet",
    show_default=True,
    help="Thresholds and budgets, as in `actspan evaluate`.",
)
@click.option(
    "--videos",
    metavar="N|IDS",
    help="List N videos, half of them the worst and half the best, or the videos with these "
    "ids, separated by commas (v_7 for a video 7). [default: all]",
)
@click.option(
    "--pictures",
    type=PlainPath(file_okay=False),
    help="Also write recall curves and timelines into this folder, as PNG and SVG.",
)
@on_error_option("Stop at annotations that cannot be read, or skip them.")
@json_option
@reports_errors
def command(
    runs: tuple[Path, ...],
    out: Path,
    ground_truth: Path | None,
    subset: str,
    protocol: str,
    videos: str | None,
    pictures: Path | None,
    on_error: Literal["fail", "skip"],
    as_json: bool,
) -> None:
    """Write a page about one or more RUNs, to open in a browser.

    The page shows average recall side by side, the stages at which instances are lost, the quality
    of scores, detections if there are any, and a timeline per video. A RUN is a run folder or a
    result.json. The page says what a result.json alone cannot show.

    \b
    Example:
      actspan report run/ --out report.html
      actspan report old-run/ new-run/ --out report.html --ground-truth my-videos/
      actspan report run/ --out report.html --videos 40 --pictures figures/
    """
    from actspan.report.contents import GroundTruth
    from actspan.report.page import write_report
    from actspan.report.pictures import check_pictures, write_pictures

    if pictures is not None:
        check_pictures(pictures)
    wanted = [name for name in (videos or "").split(",") if name.strip()]
    truth = GroundTruth(ground_truth, subset, protocol, on_error)
    with progress_report() as report:
        written = write_report(runs, out, truth=truth, videos=wanted, progress=report)
    drawn = write_pictures(written.contents, written.listing, pictures) if pictures else ()
    if as_json:
        click.echo(json.dumps(_document(written, drawn), indent=1))
        return
    for note in written.contents.notes:
        say(f"note: {note}")
    listed = counted(len(written.listing.videos), "video")
    count = f"{counted(len(written.contents.runs), 'run')}, {listed}"
    click.echo(f"{out}: {count}, {written.size / 1e6:.1f} MB; open it in a browser")
    if drawn:
        click.echo(f"{counted(len(drawn), 'picture')} in {pictures}")
    if written.size > _LARGE:
        say("a large page opens slowly: --videos N lists fewer videos")
    say_findings(written.contents.problems)


def _document(written: WrittenReport, drawn: tuple[Path, ...]) -> dict[str, object]:
    return {
        "out": str(written.path),
        "bytes": written.size,
        "ground_truth": written.contents.source or None,
        "runs": [
            {"name": run.name, **(run.recall.summary() if run.recall else {})}
            for run in written.contents.runs
        ],
        "videos": len(written.listing.videos),
        "unlisted": written.listing.unlisted,
        "pictures": [str(path) for path in drawn],
        "notes": list(written.contents.notes),
        "left_out": written.contents.left_out,
    }
