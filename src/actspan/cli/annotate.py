"""`actspan annotate`: convert annotations, and exchange them with annotation tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from actspan.cli.annotate_export import export
from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    json_option,
    on_error_option,
    reports_errors,
    say_findings,
)
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.data.annotations.annotation_set import Unit
    from actspan.data.annotations.convert import Converted

_existing = ExistingPath()
# These repeat `FORMATS`, which is not imported so that --help stays fast. A test compares the two.
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
    "duration": "durations of videos (in the table of --durations, if given)",
}


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
    made: dict[str, str] = {}
    for old, _, new in pairs:
        if made.setdefault(old, new) != new:
            raise click.BadParameter(f"{old!r} gets two names, {made[old]!r} and {new!r}: give one")
    return made


def _column_options(function: Callable[..., None]) -> Callable[..., None]:
    for role, what in reversed(_COLUMNS.items()):
        option = click.option(
            f"--{role}-column", metavar="NAME", help=f"Tables: name of the column of {what}."
        )
        function = option(function)
    return function


@command.command()
@click.argument("source", type=_existing)
@click.argument("target", type=PlainPath())
@click.option(
    "--from",
    "source_format",
    type=click.Choice(_READ),
    help="Format of SOURCE. [default: detected from its names and content]",
)
@click.option(
    "--to",
    "target_format",
    type=click.Choice(_WRITTEN),
    help="Format of TARGET. [default: by its suffix]",
)
@click.option(
    "--rename-subset",
    "rename_subsets",
    multiple=True,
    metavar="OLD=NEW",
    callback=_pairs,
    help="Rename a subset: validation=training. '=training' names the subset of videos that "
    "have none.",
)
@click.option(
    "--subset", help="Convert only the videos of this subset (its new name). [default: all]"
)
@click.option(
    "--fps",
    type=click.FloatRange(0, min_open=True),
    help="Frame rate of videos that do not give their own, where times are frames.",
)
@click.option(
    "--times",
    type=click.Choice(["seconds", "frames", "milliseconds"]),
    help="Unit of SOURCE's times; frames need a rate (--fps). [default: seconds, if they can be]",
)
@click.option("--clip", is_flag=True, help="Clip instances to the duration of their video.")
@click.option(
    "--durations",
    type=_existing,
    help="Read durations, subsets and frame rates from here: a table (video, duration), "
    "annotations or a dataset folder.",
)
@click.option(
    "--tier", "tiers", multiple=True, help="ELAN, Praat: read only tiers that match this pattern."
)
@_column_options
@on_error_option("Stop at problems, or skip what cannot be used.")
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
@json_option
@reports_errors
def convert(
    source: Path,
    target: Path,
    source_format: str | None,
    target_format: str | None,
    rename_subsets: dict[str, str],
    subset: str | None,
    fps: float | None,
    times: Unit | None,
    clip: bool,
    durations: Path | None,
    tiers: tuple[str, ...],
    on_error: Literal["fail", "skip"],
    force: bool,
    as_json: bool,
    **columns: str | None,
) -> None:
    """Convert annotations from SOURCE to TARGET.

    SOURCE is ActivityNet's JSON (also the format of HACS and THUMOS14), the BSN authors' JSON, a
    CSV table, ELAN's .eaf, WebVTT's .vtt, SubRip's .srt or Praat's .TextGrid or a folder of them,
    THUMOS14's folder of text files, Label Studio's JSON export, or a project of BORIS or of VGG
    Image Annotator 3. TARGET is ActivityNet's JSON (.json) or a table (.csv). Rows and entries that
    cannot be used are reported together, with their places.

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
        format=source_format,
        target_format=target_format,
        rename_subsets=rename_subsets,
        subset=subset,
        fps=fps,
        times=times,
        clip=clip,
        durations=durations,
        tiers=tiers,
        columns={role.removesuffix("_column"): name for role, name in columns.items() if name},
        on_error=on_error,
        overwrite=force,
    )
    done = convert_annotations(request)
    if as_json:
        click.echo(json.dumps(_answer(done), indent=1, ensure_ascii=False))
    else:
        _print(done)
    say_findings(done.problems, done.notes)


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
    click.echo(f"{done.format}: {line}")
    subsets = (f"{name or 'none'} {count:,}" for name, count in counts["subsets"].items())
    click.echo(f"subsets: {', '.join(subsets)}")
    click.echo(f"written: {done.target}")


def _answer(done: Converted) -> dict[str, Any]:
    return {
        "format": done.format,
        "target": str(done.target),
        **done.summary(),
        "problems": [problem.record for problem in done.problems],
        "notes": list(done.notes),
    }


command.add_command(export)
