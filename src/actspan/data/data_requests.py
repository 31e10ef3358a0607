"""Requests to convert, export and pack data. Commands make their options of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from msgspec import field

from actspan.config.base import Bounds, Config, Existing, OnError, Positive, Seconds, doc
from actspan.config.stages import DType, Edge, Unit

ANSWER_SUFFIXES = (".json", ".csv", ".parquet")  # of result files
SHARD_SIZE = 256_000_000  # bytes
UNLABELLED = "action"  # the label of proposals without one, in tools that need a label


class ConvertRequest(Config, frozen=True):
    """Request to convert annotations.

    In an existing folder as `target`, `annotations.json` is written. `columns` are the names of a
    table's columns by role ("video", "label", ...), and `rename_subsets` new names of subsets; ""
    stands for videos without subset.
    """

    source: Existing
    target: Path
    format: Annotated[
        str | None,
        doc(
            "Format of SOURCE. [default: detected from its names and content]",
            "FORMAT",
            group="Input",
        ),
    ] = None
    target_format: Annotated[
        str | None, doc("Format of TARGET. [default: by its suffix]", group="Output")
    ] = None
    rename_subsets: Mapping[str, str] = field(default_factory=dict)
    subset: Annotated[
        str | None,
        doc(
            "Convert only the videos of this subset, by its name in TARGET. [default: all]",
            "NAME",
            group="Input",
        ),
    ] = None
    fps: Annotated[
        Seconds | None,
        doc(
            "Frame rate of videos that do not give their own, where times are frames.",
            "FPS",
            group="Input",
        ),
    ] = None
    times: Annotated[
        Unit | None,
        doc(
            "Unit of SOURCE's times; frames need a rate (--fps). [default: seconds; an error if "
            "they cannot be seconds]",
            group="Input",
        ),
    ] = None
    clip: Annotated[bool, doc("Clip instances to the duration of their video.", group="Output")] = (
        False
    )
    durations: Annotated[
        Existing | None,
        doc(
            "Read durations, subsets and frame rates from here: a table (video, duration), "
            "annotations or a dataset folder.",
            group="Input",
        ),
    ] = None
    tiers: Annotated[
        tuple[str, ...],
        doc("ELAN, Praat: read only tiers that match this pattern.", "PATTERN", group="Input"),
    ] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    on_error: Annotated[
        OnError, doc("Stop at problems, or skip what cannot be used.", group="Input")
    ] = "fail"
    overwrite: Annotated[bool, doc("Replace TARGET if it exists.", group="Output")] = False


class SplitRequest(Config, frozen=True):
    """Request to divide annotations into training and validation."""

    source: Existing
    out: Annotated[
        Path, doc("File to write: .json or .csv, as for annotate convert.", group="Output")
    ]
    validation: Annotated[
        float,
        Bounds(0, 1, excluded=0),
        doc("Share of the instances that validation gets.", "SHARE"),
    ] = 0.2
    by: Annotated[
        str | None,
        doc(
            "Groups of videos that stay together: a regular expression over the id with one "
            "group, or the name of a column (tables) or key (ActivityNet's JSON). [default: every "
            "video is a group]",
            "GROUP",
        ),
    ] = None
    seed: Annotated[int, Bounds(0), doc("Seed of all random choices.")] = 0
    on_error: Annotated[OnError, doc("Stop at problems, or skip what cannot be used.")] = "fail"
    overwrite: Annotated[bool, doc("Replace the file if it exists.")] = False


class ExportRequest(Config, frozen=True):
    """Request to export a run, a result or annotations to a tool."""

    source: Existing
    target: Path
    format: Annotated[
        str, doc("Format to write: the tool that TARGET is for.", "FORMAT", group="Output")
    ]
    top: Annotated[
        Positive | None, doc("Export only the N best per video. [default: all]", group="Output")
    ] = None
    min_score: Annotated[
        float | None,
        doc(
            "Leave out segments that score less than this. [default: none]", "SCORE", group="Output"
        ),
    ] = None
    label: Annotated[str, doc("Label of proposals in the tool.", group="Output")] = UNLABELLED
    videos: Annotated[
        str | None,
        doc(
            "Where the tool finds the videos: a folder, or an address with {id} (for formats that "
            "say where a video is).",
            "WHERE",
            group="Output",
        ),
    ] = None
    durations: Annotated[
        Existing | None,
        doc(
            "Read durations, subsets and frame rates from here: annotations, a table or a dataset "
            "folder. [default: for a run, the dataset it was made from]",
            group="Input",
        ),
    ] = None
    subset: Annotated[
        str | None,
        doc("Export only the videos of this subset. [default: all]", "NAME", group="Input"),
    ] = None
    fps: Annotated[
        Seconds | None,
        doc(
            "Frames per second of videos that do not give their own, for formats that count "
            "frames (EDL, OpenTimelineIO, Label Studio). [default: 25 for Label Studio, with a "
            "note]",
            "FPS",
            group="Input",
        ),
    ] = None
    on_error: Annotated[
        OnError, doc("Stop at problems, or skip what cannot be used.", group="Input")
    ] = "fail"
    overwrite: Annotated[bool, doc("Replace existing files.", group="Output")] = False


class PackRequest(Config, frozen=True):
    """Request to pack a dataset folder, or to pack a store again."""

    dataset: Existing
    out: Annotated[Path, doc("Store folder to write.", group="Output")]
    dtype: Annotated[
        DType,
        doc(
            "Type of the stored features; float16 halves the size and rounds them.",
            group="Features",
        ),
    ] = "float32"
    length: Annotated[
        Positive | None,
        doc(
            "Rescale every video to this many cells, as a model of that length would. [default: "
            "keep the snippets as they are]",
            group="Features",
        ),
    ] = None
    edge: Annotated[
        Edge | None,
        doc(
            "How --length fills the cells beyond the outer snippets. [default: as the dataset "
            "does]",
            group="Features",
        ),
    ] = None
    subset: Annotated[
        str | None,
        doc(
            "Pack only the videos of this subset: training, validation, ... [default: all]",
            "NAME",
            group="Input",
        ),
    ] = None
    shard_size: Annotated[
        int, Bounds(1), doc("Size of the features per file.", "SIZE", group="Output")
    ] = SHARD_SIZE
    on_error: Annotated[
        OnError, doc("Stop at problems in the dataset, or skip what cannot be used.", group="Input")
    ] = "fail"
    overwrite: Annotated[bool, doc("Replace an existing store.", group="Output")] = False
