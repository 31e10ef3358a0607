"""`actspan annotate`: annotations from one form to another, and to tools and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from actspan.cli.common import (
    ExistingPath,
    json_option,
    on_error_option,
    reports_errors,
    say_findings,
)
from actspan.wording import counted

if TYPE_CHECKING:
    from actspan.data.annotations.convert import Converted
    from actspan.data.times import Times

_existing = ExistingPath()
# as in `FORMS`, which is not imported for --help; a test compares the two
_READ = (
    "activitynet",
    "authors",
    "csv",
    "elan",
    "vtt",
    "srt",
    "textgrid",
    "thumos14",
    "labelstudio",
    "boris",
    "via",
)
_WRITTEN = ("activitynet", "csv")
_COLUMNS = {
    "video": "video ids or file names",
    "label": "labels",
    "start": "start times",
    "end": "end times",
    "subset": "subsets",
    "duration": "durations of videos",
}
_HANDED_OUT = ("csv", "elan", "labelstudio", "vtt")


@click.group()
def command() -> None:
    """Read, check and convert annotations; hand proposals to annotation tools.

    \b
    Example:
      actspan annotate convert segments.csv annotations.json
      actspan annotate export run/ sessions/ --to elan --top 10 --videos videos/
      actspan annotate convert sessions/ annotations.json
    """


def _pairs(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Any:
    pairs = [value.partition("=") for value in values]
    if not all(sign and new for _, sign, new in pairs):
        raise click.BadParameter("OLD=NEW is needed, as in validation=training")
    return {old: new for old, _, new in pairs}


def _column_options(function: Callable[..., None]) -> Callable[..., None]:
    for role, what in reversed(_COLUMNS.items()):
        option = click.option(
            f"--{role}-column", metavar="NAME", help=f"Tables: the column of {what}."
        )
        function = option(function)
    return function


@command.command()
@click.argument("source", type=_existing)
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source_form",
    type=click.Choice(_READ),
    help="Form of SOURCE. [default: by its names and content]",
)
@click.option(
    "--to",
    "target_form",
    type=click.Choice(_WRITTEN),
    help="Form of TARGET. [default: by its suffix]",
)
@click.option(
    "--rename-subset",
    "rename_subsets",
    multiple=True,
    metavar="OLD=NEW",
    callback=_pairs,
    help="Call a subset otherwise: validation=training; '=training' for videos that have none.",
)
@click.option("--subset", help="Only these videos (by their new name). [default: all]")
@click.option(
    "--fps",
    type=click.FloatRange(0, min_open=True),
    help="Frames a second of videos that do not say theirs (Label Studio counts frames).",
)
@click.option(
    "--times",
    type=click.Choice(["seconds", "frames", "milliseconds"]),
    help="Unit of SOURCE's times; frames need a rate (--fps). [default: seconds, if they can be]",
)
@click.option(
    "--clip", is_flag=True, help="Cut instances off at the end (and start) of their video."
)
@click.option(
    "--durations",
    type=_existing,
    help="Where durations are: a table (video, duration), or annotations, or a dataset folder. "
    "Subsets and frame rates are taken from there too.",
)
@click.option("--tier", "tiers", multiple=True, help="ELAN, Praat: only tiers like this pattern.")
@_column_options
@on_error_option("Stop at problems, or leave out what is bad.")
@click.option("--force", is_flag=True, help="Replace TARGET if it is there.")
@json_option
@reports_errors
def convert(
    source: Path,
    target: Path,
    source_form: str | None,
    target_form: str | None,
    rename_subsets: dict[str, str],
    subset: str | None,
    fps: float | None,
    times: Times | None,
    clip: bool,
    durations: Path | None,
    tiers: tuple[str, ...],
    on_error: Literal["fail", "skip"],
    force: bool,
    as_json: bool,
    **columns: str | None,
) -> None:
    """Convert annotations from SOURCE to TARGET.

    SOURCE is ActivityNet's JSON (HACS and THUMOS14 come in it too), the BSN authors' JSON, a CSV
    table, ELAN's .eaf, WebVTT's .vtt, SubRip's .srt or Praat's .TextGrid or a folder of them,
    THUMOS14's folder of text files, Label Studio's JSON export, or a project of BORIS or of VGG
    Image Annotator 3. TARGET is ActivityNet's JSON, or a table where it ends in .csv.
    Rows and entries that cannot be used are shown together, with their places.

    \b
    Example:
      actspan annotate convert segments.csv my-videos/annotations.json --durations lengths.csv
      actspan annotate convert TH14_annotations/ thumos14/annotations.json \\
          --rename-subset validation=training --rename-subset test=validation
    """
    from actspan.data.annotations.convert import Conversion, convert_annotations

    request = Conversion(
        source=source,
        target=target,
        form=source_form,
        target_form=target_form,
        rename_subsets=rename_subsets,
        subset=subset,
        fps=fps,
        times=times,
        clip=clip,
        durations=durations,
        tiers=tiers,
        columns={name.removesuffix("_column"): told for name, told in columns.items() if told},
        on_error=on_error,
        overwrite=force,
    )
    done = convert_annotations(request)
    if as_json:
        click.echo(json.dumps(_answer(done), indent=1, ensure_ascii=False))
    else:
        _print(done)
    say_findings(done.problems, done.assumptions)


def _print(done: Converted) -> None:
    counts = done.summary()
    line = ", ".join(
        (
            counted(counts["videos"], "video"),
            counted(counts["instances"], "instance"),
            counted(len(counts["labels"]), "label"),
        )
    )
    if counts["unlabelled"]:
        line += f", {counts['unlabelled']:,} without a label"
    if counts["ignored"]:
        line += f", {counted(counts['ignored'], 'ambiguous segment')}"
    click.echo(f"{done.form}: {line}")
    subsets = (f"{name or 'none'} {count:,}" for name, count in counts["subsets"].items())
    click.echo(f"subsets: {', '.join(subsets)}")
    click.echo(f"written: {done.target}")


@command.command()
@click.argument("source", type=_existing)
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--to", "form", type=click.Choice(_HANDED_OUT), required=True, help="For which tool it is."
)
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
    type=_existing,
    help="Annotations, a table or a dataset folder that say durations, subsets and frame rates. "
    "[default: of a run, what it was made from]",
)
@click.option("--subset", help="Only these videos. [default: all]")
@click.option(
    "--fps",
    type=click.FloatRange(0, min_open=True),
    default=25.0,
    show_default=True,
    help="Frames a second of videos that do not say theirs (Label Studio counts frames).",
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
    fps: float,
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
        click.echo(f"{form}: {counts['instances']:,} {done.what} of {counts['videos']:,} videos")
        shown = done.files if len(done.files) <= 2 else [f"{len(done.files):,} files in {target}"]
        click.echo(f"written: {', '.join(map(str, shown))}")
    say_findings(done.problems, done.assumptions)


def _answer(done: Converted) -> dict[str, Any]:
    return {
        "form": done.form,
        "target": str(done.target),
        **done.summary(),
        "problems": [problem.record for problem in done.problems],
        "assumptions": list(done.assumptions),
    }
