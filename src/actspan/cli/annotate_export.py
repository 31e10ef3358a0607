"""`actspan annotate export`: proposals and annotations for annotation tools and players."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    json_option,
    on_error_option,
    reports_errors,
    say_findings,
)
from actspan.core.wording import counted

FORMATS = ("csv", "elan", "labelstudio", "vtt")


@click.command()
@click.argument("source", type=ExistingPath())
@click.argument("target", type=PlainPath())
@click.option(
    "--to",
    "format",
    type=click.Choice(FORMATS),
    required=True,
    help="Format to write: the tool that TARGET is for.",
)
@click.option(
    "--top", type=click.IntRange(1), help="Export only the N best per video. [default: all]"
)
@click.option(
    "--min-score", type=float, help="Leave out segments that score less than this. [default: none]"
)
@click.option(
    "--label", default="action", show_default=True, help="Label that proposals get in the tool."
)
@click.option(
    "--videos",
    metavar="WHERE",
    help="Where the tool finds the videos: a folder, or an address with {id} (ELAN, Label Studio).",
)
@click.option(
    "--durations",
    type=ExistingPath(),
    help="Read durations, subsets and frame rates from here: annotations, a table or a dataset "
    "folder. [default: for a run, the dataset it was made from]",
)
@click.option("--subset", help="Export only the videos of this subset. [default: all]")
@click.option(
    "--fps",
    type=click.FloatRange(0, min_open=True),
    help="Frames per second of videos that do not give their own (Label Studio counts frames). "
    "[default: 25, with a note]",
)
@on_error_option("Stop at problems, or skip what cannot be used.")
@click.option("--force", is_flag=True, help="Replace existing files.")
@json_option
@reports_errors
def export(
    source: Path,
    target: Path,
    format: str,
    top: int | None,
    min_score: float | None,
    label: str,
    videos: str | None,
    durations: Path | None,
    subset: str | None,
    fps: float | None,
    on_error: Literal["fail", "skip"],
    force: bool,
    as_json: bool,
) -> None:
    """Export SOURCE to an annotation tool or a player.

    SOURCE is a run (its detections, if it has any), a result or detections file, or annotations in
    any format. TARGET is a folder for ELAN and WebVTT, which have one file per video, else a file.
    Label Studio gets proposals as predictions, and the labelling interface is written beside them
    (.xml). ELAN gets them with their scores on separate tiers. Read corrections back with annotate
    convert.

    \b
    Example:
      actspan annotate export run/ sessions/ --to elan --top 10 --videos videos/
      actspan annotate export result.json tasks.json --to labelstudio --min-score 0.5 \\
          --videos '/data/local-files/?d=videos/{id}.mp4'
      actspan annotate export annotations.json captions/ --to vtt
    """
    from actspan.report.tool_export import ExportRequest, export_to_tool

    request = ExportRequest(
        source=source,
        target=target,
        format=format,
        top=top,
        min_score=min_score,
        label=label,
        videos=videos,
        known=durations,
        subset=subset,
        fps=fps,
        on_error=on_error,
        overwrite=force,
    )
    done = export_to_tool(request)
    counts = {"videos": len(done.videos), "instances": sum(len(v.segments) for v in done.videos)}
    if as_json:
        files = [str(file) for file in done.files]
        answer = {
            "what": done.what,
            **counts,
            "files": files,
            "problems": [problem.record for problem in done.problems],
            "notes": list(done.notes),
        }
        click.echo(json.dumps(answer, indent=1, ensure_ascii=False))
    else:
        found = counted(counts["instances"], done.what.removesuffix("s"))
        click.echo(f"{format}: {found} of {counted(counts['videos'], 'video')}")
        shown = done.files if len(done.files) <= 2 else [f"{len(done.files):,} files in {target}"]
        click.echo(f"written: {', '.join(map(str, shown))}")
    say_findings(done.problems, done.notes)
