"""The table of annotation formats, and reading with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.files import folder_kind
from actspan.core.types import Video
from actspan.data.annotations import (
    activitynet,
    authors,
    boris,
    elan,
    labelstudio,
    srt,
    table,
    textgrid,
    thumos,
    via,
    vtt,
)
from actspan.data.annotations.authors import AUTHORS_JSON
from actspan.data.annotations.base import Annotations, Hints
from actspan.data.annotations.doubts import doubts
from actspan.data.annotations.source import Source
from actspan.data.annotations.unknown import refuse_table_of_tool, unknown
from actspan.data.annotations.writing import Style

DATASET_JSON = "annotations.json"
DATASET_TABLE = "annotations.csv"
# Places of annotations in the authors' repository, relative to its root or its data folder.
_AUTHORS_PLACES = (".", "activitynet_annotations", "data/activitynet_annotations")

Encoder = Callable[[Sequence[Video], Style], Iterator[tuple[str, bytes]]]


@dataclass(frozen=True, slots=True)
class Format:
    """One format of annotations.

    Attributes
    ----------
    name : str
        Name in `--from` and `--to`.
    what : str
        A description for people.
    fits : callable
        Returns whether a file or folder has this format, by its names and content.
    read : callable
    encode : callable, optional
        Yields names and contents of files for some videos; None if it can only be read.
    suffix : str
        Suffix of a dataset's annotation file; empty for formats of other tools.
    in_folder : str
        Files that are read from a folder; empty if the file has to be given itself.
    file_a_video : bool
        Whether each video is written to a separate file.
    has_tiers : bool
        Whether its files have tiers that can be selected.
    """

    name: str
    what: str
    fits: Callable[[Source], bool]
    read: Callable[[Source, Hints], Annotations]
    encode: Encoder | None = None
    suffix: str = ""
    in_folder: str = ""
    file_a_video: bool = False
    has_tiers: bool = False


# The first format that fits is used.
FORMATS = {
    format.name: format
    for format in (
        Format(
            "activitynet",
            "JSON with a 'database' of videos (ActivityNet, HACS Segments, THUMOS14, ...)",
            activitynet.fits,
            activitynet.read,
            activitynet.encode,
            ".json",
            DATASET_JSON,
        ),
        Format(
            "authors",
            f"{AUTHORS_JSON} of the BSN authors",
            authors.fits,
            authors.read,
            in_folder=AUTHORS_JSON,
        ),
        Format(
            "csv",
            "a table: video,start,end,label",
            table.fits,
            table.read,
            table.encode,
            ".csv",
            DATASET_TABLE,
        ),
        Format(
            "elan",
            "ELAN's .eaf file, or a folder of them",
            elan.fits,
            elan.read,
            elan.encode,
            in_folder=".eaf files",
            file_a_video=True,
            has_tiers=True,
        ),
        Format(
            "vtt",
            "WebVTT, as players read it: a .vtt file, or a folder of them",
            vtt.fits,
            vtt.read,
            vtt.encode,
            in_folder=".vtt files",
            file_a_video=True,
        ),
        Format(
            "srt",
            "SubRip subtitles: an .srt file, or a folder of them",
            srt.fits,
            srt.read,
            in_folder=".srt files",
        ),
        Format(
            "textgrid",
            "Praat's .TextGrid file, or a folder of them",
            textgrid.fits,
            textgrid.read,
            in_folder=".TextGrid files",
            has_tiers=True,
        ),
        Format(
            "thumos14",
            "a folder of <Class>_val.txt and <Class>_test.txt",
            thumos.fits,
            thumos.read,
            in_folder="<Class>_val.txt and <Class>_test.txt of THUMOS14",
        ),
        Format(
            "labelstudio",
            "Label Studio's export: JSON or JSON-MIN",
            labelstudio.fits,
            labelstudio.read,
            labelstudio.encode,
        ),
        Format("boris", "a project of BORIS (.boris, JSON)", boris.fits, boris.read),
        Format("via", "a project of VGG Image Annotator 3 (JSON)", via.fits, via.read),
    )
}


def find_annotations(folder: Path) -> Path | None:
    """Return the annotation file of a folder: `annotations.json`, the authors', or a table."""
    named = (folder / DATASET_JSON, *(folder / p / AUTHORS_JSON for p in _AUTHORS_PLACES))
    return next((p for p in (*named, folder / DATASET_TABLE) if p.is_file()), None)


def read_annotations(
    path: Path | str,
    *,
    format: str | None = None,
    fps: float | None = None,
    tiers: Iterable[str] = (),
    columns: Mapping[str, str] | None = None,
    will_clip: bool = False,
    only_facts: bool = False,
) -> Annotations:
    """Read annotations in any known format, which is detected from names and content.

    Parameters
    ----------
    path : Path or str
        A file, a dataset folder with one, or a folder of THUMOS14's or ELAN's files.
    format : str, optional
        A key of `FORMATS`; detected from the content by default.
    fps : float, optional
        Frames per second of videos that do not give their own, if times are frame numbers.
    tiers : iterable of str
        Patterns of the tiers to read (ELAN, Praat); all by default.
    columns : mapping, optional
        Names of a table's columns by role: "video", "start", "end", "label", "subset", "duration".
    will_clip : bool
        Whether segments that start before their video will be clipped, and are not refused.
    only_facts : bool
        Whether only durations, subsets and rates of videos are needed, and no segments.

    Returns
    -------
    Annotations
        Its `problems` include what could not be read.

    Raises
    ------
    AnnotationError
        Missing, damaged, or in no known format; the message names the file and the place.
    ConfigError
        There is no such format, or tiers or columns are given and it has none.

    Examples
    --------
    >>> found = read_annotations("TH14_annotations/")  # doctest: +SKIP
    >>> found.format, len(found.videos)  # doctest: +SKIP
    ('thumos14', 413)
    """
    path = Path(path)
    if not path.exists():
        raise AnnotationError(f"{path}: cannot be read: no such file or folder")
    found = find_annotations(path) if path.is_dir() else None
    source = Source(found or path, format_is_given=format is not None)
    chosen = _detect(source) if format is None else format_named(format)
    hints = Hints(fps, tuple(tiers), columns or {}, will_clip, only_facts)
    if hints.tiers and not chosen.has_tiers:
        raise ConfigError(f"{source.path}: {chosen.name} has no tiers; leave out --tier")
    if hints.columns and chosen.name != "csv":
        options = ", ".join(f"--{role}-column" for role in hints.columns)
        raise ConfigError(f"{source.path}: {chosen.name} has no columns; leave out {options}")
    read = chosen.read(source, hints)
    if not only_facts:
        read = replace(read, notes=(*read.notes, *doubts(read.videos, source.path)))
    beside = path / DATASET_TABLE
    if found is not None and found != beside and beside.is_file():
        note = f"{beside}: ignored, for {found.name} is there too"
        read = replace(read, notes=(note, *read.notes))
    return read


def format_named(name: str) -> Format:
    """Return the format with this name.

    Raises
    ------
    ConfigError
        There is no such format; the message lists the known ones.
    """
    if name not in FORMATS:
        raise ConfigError(f"no format {name!r} of annotations; there are: {', '.join(FORMATS)}")
    return FORMATS[name]


def _detect(source: Source) -> Format:
    refuse_table_of_tool(source.path)
    for format in FORMATS.values():
        if format.fits(source):
            return format
    if source.path.is_dir():
        known = ", ".join(format.in_folder for format in FORMATS.values() if format.in_folder)
        raise AnnotationError(
            f"{source.path}{folder_kind(source.path)}: holds none of: {known}; a file "
            "of another format has to be named itself"
        )
    document = source.json.document if source.may_be_json else None
    raise unknown(source.path, document, (format.what for format in FORMATS.values()))
