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
from actspan.wording import counted

FORMS = ("csv", "elan", "labelstudio", "vtt")


@click.command()
@click.argument("source", type=ExistingPath())
@click.argument("target", type=PlainPath())
@click.option("--to", "form", type=click.Choice(FORMS), required=True, help="For which tool it is.")
@click.option(
    "--top", type=click.IntRange(1), help="The best so many of each video. [default: all]"
)
@click.option("--min-score", type=float, help="Those that score at least so much. [default: all]")
@click.option(
    "--label", default="action", show_default=True, help="What proposals are called, for a start."
)
@click.option(
    "--videos",
    metavar="WHERE",
    help="Where the tool finds the videos: a folder, or an address with {id} (ELAN, Label Studio).",
)
@click.option(
    "--durations",
    type=ExistingPath(),
    help="Annotations, a table or a dataset folder that say durations, subsets and frame rates. "
    "[default: of a run, what it was made from]",
)
@click.option("--subset", help="Only these videos. [default: all]")
@click.option(
    "--fps",
    type=click.FloatRange(0, min_open=True),
    help="Frames a second of videos that do not say theirs (Label Studio counts frames). "
    "[default: 25, with a note]",
)
@on_error_option("Stop at problems, or leave out what is bad.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@json_option
@reports_errors
def export(
    source: Path,
    target: Path,
    form: str,
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
    """Hand what is in SOURCE to an annotation tool or a player.

    SOURCE is a run (its detections, if it has any), a result or detections file, or annotations of
    any form. TARGET is a folder for ELAN and WebVTT, which have a file a video, else a file.
    Proposals come to Label Studio as predictions, with the labelling interface beside them (.xml);
    to ELAN with their scores on tiers of their own. What was corrected is read back by annotate
    convert.

    \b
    Example:
      actspan annotate export run/ sessions/ --to elan --top 10 --videos videos/
      actspan annotate export result.json tasks.json --to labelstudio --min-score 0.5 \\
          --videos '/data/local-files/?d=videos/{id}.mp4'
      actspan annotate export annotations.json captions/ --to vtt
    """
    from actspan.exchange import Chosen, Handout, hand_out

    request = Handout(
        source=source,
        target=target,
        form=form,
        chosen=Chosen(top, min_score),
        label=label,
        videos=videos,
        known=durations,
        subset=subset,
        fps=fps,
        on_error=on_error,
        overwrite=force,
    )
    done = hand_out(request)
    counts = {"videos": len(done.videos), "instances": sum(len(v.segments) for v in done.videos)}
    if as_json:
        files = [str(file) for file in done.files]
        answer = {
            "what": done.what,
            **counts,
            "files": files,
            "problems": [problem.record for problem in done.problems],
            "assumptions": list(done.assumptions),
        }
        click.echo(json.dumps(answer, indent=1, ensure_ascii=False))
    else:
        found = counted(counts["instances"], done.what.removesuffix("s"))
        click.echo(f"{form}: {found} of {counted(counts['videos'], 'video')}")
        shown = done.files if len(done.files) <= 2 else [f"{len(done.files):,} files in {target}"]
        click.echo(f"written: {', '.join(map(str, shown))}")
    say_findings(done.problems, done.assumptions)
