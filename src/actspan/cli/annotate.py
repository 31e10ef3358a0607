"""`actspan annotate`: convert annotations, and exchange them with annotation tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import click
from msgspec.structs import replace

from actspan.cli.console import findings, print_findings, print_json, print_text
from actspan.cli.help import Group, Text
from actspan.cli.options import command
from actspan.config.base import doc
from actspan.core.wording import counted
from actspan.data.data_requests import ConvertRequest, ExportRequest, SplitRequest

# These repeat `FORMATS`, which is not imported so that --help stays fast. A test compares the two.
READ = ["activitynet", "authors", "csv", "elan", "vtt", "srt", "textgrid", "thumos14"]
READ += ["labelstudio", "boris", "via", "edl", "otio", "losslesscut", "audacity", "fiftyone"]
WRITTEN = ["activitynet", "csv"]
EXPORTED = ["csv", "elan", "labelstudio", "vtt", "textgrid", "boris", "edl", "otio"]
EXPORTED += ["losslesscut", "audacity", "fiftyone", "youtube"]

_Name = Annotated[str, Text("NAME")]
_ROLES = ("video", "label", "start", "end", "subset", "duration")  # of a table's columns


@click.group(cls=Group)
def annotate() -> None:
    """Read, check and convert annotations; export proposals to annotation tools.

    \b
    Example:
      actspan annotate convert segments.csv annotations.json
      actspan annotate export run/ sessions/ --to elan --top 10 --videos videos/
      actspan annotate convert sessions/ annotations.json
    """


@command(
    annotate,
    arguments=["source", "target"],
    names={
        "format": "from_",
        "target_format": "to",
        "tiers": "tier",
        "rename_subsets": "rename_subset",
    },
    without=["columns"],
    rename_subset=doc(
        "Rename a subset: validation=training. '=training' names the subset of videos that have "
        "none.",
        group="Output",
    ),
    video_column=doc("Column of video ids or file names.", group="Columns of tables"),
    label_column=doc("Column of labels.", group="Columns of tables"),
    start_column=doc("Column of start times.", group="Columns of tables"),
    end_column=doc("Column of end times.", group="Columns of tables"),
    subset_column=doc("Column of subsets.", group="Columns of tables"),
    duration_column=doc(
        "Column of durations of videos (in the table of --durations, if given).",
        group="Columns of tables",
    ),
)
def convert(
    request: ConvertRequest,
    *,
    from_: Annotated[str, click.Choice(READ)] | None = None,
    to: Annotated[str, click.Choice(WRITTEN)] | None = None,
    rename_subset: tuple[Annotated[str, Text("OLD=NEW")], ...] = (),
    video_column: _Name | None = None,
    label_column: _Name | None = None,
    start_column: _Name | None = None,
    end_column: _Name | None = None,
    subset_column: _Name | None = None,
    duration_column: _Name | None = None,
    json_: bool = False,
) -> None:
    """Convert annotations from SOURCE to TARGET.

    SOURCE is ActivityNet's JSON (also the format of HACS and THUMOS14), the BSN authors' JSON, a
    CSV table, ELAN's .eaf, WebVTT's .vtt, SubRip's .srt, Praat's .TextGrid, an .edl (with --fps),
    an .otio, LosslessCut's .llc, Audacity's labels (.txt) or a folder of them, THUMOS14's folder of
    text files, Label Studio's JSON export, LosslessCut's table, FiftyOne's labels.json or its
    folder, or a project of BORIS or of VGG Image Annotator 3. TARGET is ActivityNet's JSON (.json)
    or a table (.csv). Rows and entries that cannot be used are reported together, with their
    places.

    \b
    Example:
      actspan annotate convert segments.csv my-videos/annotations.json \\
          --durations lengths.csv
      actspan annotate convert TH14_annotations/ thumos14/annotations.json \\
          --rename-subset validation=training --rename-subset test=validation
    """
    renamed = _new_names(rename_subset)
    from actspan.data.annotations.convert import convert_annotations

    params = click.get_current_context().params
    columns = {role: params[f"{role}_column"] for role in _ROLES if params[f"{role}_column"]}
    done = convert_annotations(replace(request, columns=columns, rename_subsets=renamed))
    counts = done.summary()
    if json_:
        problems = findings(done.problems, done.notes)
        print_json({"format": done.format, "target": done.target, **counts, **problems})
    else:
        line = ", ".join(counted(counts[thing + "s"], thing) for thing in ("video", "instance"))
        line += f", {counted(len(counts['labels']), 'label')}"
        if counts["unlabelled"]:
            line += f", {counts['unlabelled']:,} without a label"
        if counts["ignored"]:
            line += f", {counted(counts['ignored'], 'ambiguous segment')}"
        print_text(f"{done.format}: {line}")
        subsets = (f"{name or 'none'} {count:,}" for name, count in counts["subsets"].items())
        print_text(f"subsets: {', '.join(subsets)}")
        print_text(f"written: {done.target}")
    print_findings(done.problems, done.notes)


def _new_names(pairs: Sequence[str]) -> dict[str, str]:
    """Return new names of subsets by their old ones, of all `--rename-subset OLD=NEW`."""
    names: dict[str, str] = {}
    for pair in pairs:
        old, _, new = pair.partition("=")
        if not new:
            what = "OLD=NEW is needed, as in validation=training"
            raise click.BadParameter(what, param_hint="'--rename-subset'")
        if names.setdefault(old, new) != new:
            what = f"{old!r} gets two names, {names[old]!r} and {new!r}: give one"
            raise click.BadParameter(what, param_hint="'--rename-subset'")
    return names


@command(annotate, arguments=["source"])
def split(request: SplitRequest, *, json_: bool = False) -> None:
    """Divide the videos of SOURCE into training and validation.

    SOURCE is annotations in any format, or a dataset folder. Videos of one group (a person, a day,
    a camera) stay in one part, so that validation tells how the model does on others. Instances,
    in all and of each label, are balanced. The seed alone determines the parts. Videos of other
    subsets, such as testing, keep theirs.

    \b
    Example:
      actspan annotate split annotations.json --out split.json --by '^([^_]+)_'
      actspan annotate split segments.csv --out split.json --by person \\
          --validation 0.3
      actspan annotate split my-videos/ --out my-videos/annotations.json \\
          --by camera --force
    """
    from actspan.cli.tables import print_table
    from actspan.data.annotations.split import split_annotations

    done = split_annotations(request)
    target, problems = done.conversion.target, done.conversion.problems
    if json_:
        print_json({"target": target, "parts": done.summary(), **findings(problems, done.notes)})
    else:
        rows = []
        for part in done.parts:
            counts = (part.groups, part.videos, part.instances, len(part.labels))
            rows.append([part.subset, *(f"{count:,}" for count in counts)])
        print_table(["subset", "groups", "videos", "instances", "labels"], rows)
        print_text(f"written: {target}")
    print_findings(problems, done.notes)


@command(annotate, arguments=["source", "target"], names={"format": "to"})
def export(
    request: ExportRequest,
    *,
    to: Annotated[str, click.Choice(EXPORTED)],
    json_: bool = False,
) -> None:
    """Export SOURCE to an annotation tool or a player.

    SOURCE is a run (its detections, if it has any), a result or detections file, or annotations in
    any format. TARGET is a file for csv, labelstudio and boris, and a folder for the others, which
    have one file per video; that of FiftyOne has labels.json and, with --videos, data.json with the
    paths of the videos. EDL and OpenTimelineIO count frames: the frame rate has to be known.
    YouTube's chapters cannot be read back, because they have no ends. Label Studio gets proposals
    as predictions, and the labelling interface is written next to them (.xml). ELAN and Praat get
    them with their scores on separate tiers. Read corrections back with annotate convert.

    \b
    Example:
      actspan annotate export run/ sessions/ --to elan --top 10 --videos videos/
      actspan annotate export result.json tasks.json --to labelstudio \\
          --min-score 0.5 \\
          --videos '/data/local-files/?d=videos/{id}.mp4'
      actspan annotate export annotations.json captions/ --to vtt
      actspan annotate export run/ cuts/ --to edl --top 10 --fps 25 \\
          --videos videos/
    """
    from actspan.report.tool_export import export_to_tool

    done = export_to_tool(request)
    videos_, instances = len(done.videos), sum(len(video.segments) for video in done.videos)
    if json_:
        figures = {"what": done.what, "videos": videos_, "instances": instances}
        print_json({**figures, "files": done.files, **findings(done.problems, done.notes)})
    else:
        summary = counted(instances, done.what.removesuffix("s"))
        print_text(f"{to}: {summary} of {counted(videos_, 'video')}")
        shown = (
            done.files
            if len(done.files) <= 2
            else [f"{len(done.files):,} files in {request.target}"]
        )
        print_text(f"written: {', '.join(map(str, shown))}")
    print_findings(done.problems, done.notes)
