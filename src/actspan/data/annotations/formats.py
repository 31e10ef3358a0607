"""The table of annotation formats, and reading with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.files import folder_kind
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations import (
    activitynet,
    authors,
    boris,
    elan,
    labelstudio,
    subtitles,
    table,
    textgrid,
    thumos,
    via,
)
from actspan.data.annotations.annotation_set import Annotations, ReadOptions, Source
from actspan.data.annotations.authors import AUTHORS_JSON
from actspan.data.annotations.encoding import WriteOptions
from actspan.data.annotations.video_builder import has_files
from actspan.data.names import composed
from actspan.data.videos import Videos

DATASET_JSON = "annotations.json"
DATASET_TABLE = "annotations.csv"
# Places of annotations in a dataset, and in the authors' repository or its data folder.
_PLACES = (
    DATASET_JSON,
    AUTHORS_JSON,
    f"activitynet_annotations/{AUTHORS_JSON}",
    f"data/activitynet_annotations/{AUTHORS_JSON}",
    DATASET_TABLE,
)

_SHEET = "a spreadsheet: save the sheet as CSV with the columns video, start, end, label"
_PAGE = "a document: save its table as CSV with the columns video, start, end, label"
_SUBTITLES = "subtitles: save them as WebVTT (.vtt) or SubRip (.srt)"
_PACKED = "packed: unpack it, and give what is inside"
_VIDEO = "a video: annotations are needed here"
_REMEDIES = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), _SHEET),
    **dict.fromkeys((".html", ".htm", ".docx", ".doc", ".odt", ".pdf"), _PAGE),
    **dict.fromkeys((".sbv", ".ass", ".ssa", ".ttml", ".dfxp", ".sub"), _SUBTITLES),
    **dict.fromkeys((".gz", ".zip", ".tar", ".7z", ".xz"), _PACKED),
    **dict.fromkeys((".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg"), _VIDEO),
    ".txt": "only <Class>_val.txt and <Class>_test.txt are; save a table as .csv or .tsv",
    ".anvil": "of Anvil: export it to ELAN (.eaf), or as a table",
    ".xml": "XML (CVAT, Anvil, ...): export it as CSV or JSON with times in seconds",
}
_OTHER = "export it as CSV (video, start, end, label) or JSON"

Encoder = Callable[[Sequence[Video], WriteOptions], Iterator[tuple[str, bytes]]]


@dataclass(frozen=True, slots=True)
class Format:
    """One format of annotations."""

    name: str  # in `--from` and `--to`
    what: str  # a description for people
    fits: Callable[[Source], bool]  # whether a source has this format, by names and content
    read: Callable[[Source, ReadOptions], Annotations]
    encode: Encoder | None = None  # None if it can only be read
    needs: str = ""  # what JSON must have for `read`, for messages
    in_folder: str = ""  # files that are read from a folder, if it reads folders
    suffix: str = ""  # of a dataset's annotation file; empty for formats of other tools
    file_per_video: bool = False  # each video is written to a separate file
    has_tiers: bool = False  # its files have tiers that can be selected
    has_own_unit: bool = False  # it fixes the unit of its times


# The first format that fits is used.
_ALL = (
    Format("activitynet", "JSON with a 'database' of videos (ActivityNet, HACS Segments, THUMOS14, "
           "...)", activitynet.fits, activitynet.read, activitynet.encode,
           "not ActivityNet's format: an object 'database' of videos is needed", DATASET_JSON,
           suffix=".json"),
    Format("authors", f"{AUTHORS_JSON} of the BSN authors", authors.fits, authors.read, None,
           "not the BSN authors' format: videos with 'duration_second' are needed", AUTHORS_JSON),
    Format("csv", "a table: video,start,end,label", table.fits, table.read, table.encode,
           in_folder=DATASET_TABLE, suffix=".csv"),
    Format("elan", "ELAN's .eaf file, or a folder of them", partial(has_files, suffix=".eaf"),
           elan.read, elan.encode, in_folder=".eaf files", file_per_video=True, has_tiers=True,
           has_own_unit=True),
    Format("vtt", "WebVTT, as players read it: a .vtt file, or a folder of them",
           partial(has_files, suffix=".vtt"), subtitles.read_vtt, subtitles.encode_vtt,
           in_folder=".vtt files", file_per_video=True, has_own_unit=True),
    Format("srt", "SubRip subtitles: an .srt file, or a folder of them",
           partial(has_files, suffix=".srt"), subtitles.read_srt, in_folder=".srt files",
           has_own_unit=True),
    Format("textgrid", "Praat's .TextGrid file, or a folder of them",
           partial(has_files, suffix=".textgrid"), textgrid.read, in_folder=".TextGrid files",
           has_tiers=True, has_own_unit=True),
    Format("thumos14", "a folder of <Class>_val.txt and <Class>_test.txt", thumos.fits,
           thumos.read, in_folder="<Class>_val.txt and <Class>_test.txt of THUMOS14"),
    Format("labelstudio", "Label Studio's export: JSON or JSON-MIN", labelstudio.fits,
           labelstudio.read, labelstudio.encode, "not a list of Label Studio tasks",
           has_own_unit=True),
    Format("boris", "a project of BORIS (.boris, JSON)", boris.fits, boris.read, None,
           "not a project of BORIS: 'observations' and 'behaviors_conf' are needed",
           has_own_unit=True),
    Format("via", "a project of VGG Image Annotator 3 (JSON)", via.fits, via.read, None,
           "not a project of VGG Image Annotator 3: the objects 'attribute', 'file', 'view', "
           "'metadata' are needed", has_own_unit=True),
)  # fmt: skip
FORMATS = {format.name: format for format in _ALL}


def find_annotations(folder: Path) -> Path | None:
    """Return the annotation file of a folder: `annotations.json`, the authors', or a table."""
    return next((folder / p for p in _PLACES if (folder / p).is_file()), None)


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
    fps, tiers, columns, will_clip, only_facts
        As for `ReadOptions`.

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
    if format is not None:
        chosen = format_named(format)
        if chosen.needs and not chosen.fits(source):
            raise AnnotationError(f"{source.path}: {chosen.needs}")
    elif (fitting := next((f for f in _ALL if f.fits(source)), None)) is not None:
        chosen = fitting
    else:
        raise _unknown_format(source)
    options = ReadOptions(fps, tuple(tiers), columns or {}, will_clip, only_facts)
    if options.tiers and not chosen.has_tiers:
        raise ConfigError(f"{source.path}: {chosen.name} has no tiers; leave out --tier")
    if options.columns and chosen.name != "csv":
        flags = ", ".join(f"--{role}-column" for role in options.columns)
        raise ConfigError(f"{source.path}: {chosen.name} has no columns; leave out {flags}")
    read = chosen.read(source, options)
    notes = read.notes
    if not only_facts:
        notes = (*notes, *_possible_mistakes(read.videos, source.path))
    beside = path / DATASET_TABLE
    if found is not None and found != beside and beside.is_file():
        notes = (f"{beside}: ignored, because {found.name} exists too", *notes)
    return replace(read, notes=notes)


def format_named(name: str) -> Format:
    """Return the format with this name; raise ConfigError with the known ones if there is none."""
    if name not in FORMATS:
        raise ConfigError(f"no format {name!r} of annotations; there are: {', '.join(FORMATS)}")
    return FORMATS[name]


def _unknown_format(source: Source) -> AnnotationError:
    """Return the error about a source that no format fits: what it is, and what to do."""
    path, known = source.path, f"known are: {'; '.join(f.what for f in FORMATS.values())}"
    if path.is_dir():
        in_folders = ", ".join(f.in_folder for f in FORMATS.values() if f.in_folder)
        return AnnotationError(
            f"{path}{folder_kind(path)}: holds none of: {in_folders}; a file of another format has "
            "to be named itself"
        )
    if not source.may_be_json:
        suffix = path.suffix
        remedy = _REMEDIES.get(suffix.lower(), _OTHER)
        what = f"{suffix} is not read: {remedy}" if suffix else remedy
        return AnnotationError(f"{path}: of no known format; {what}; {known}")
    document = source.document[0]
    what = type(document).__name__
    if isinstance(document, dict):
        what = f"an object with {listed(map(repr, document), most=6) or 'no keys'}"
    elif isinstance(document, list) and document and isinstance(document[0], dict) and document[0]:
        what = f"a list of objects with {listed(map(repr, document[0]), most=6)}"
    return AnnotationError(f"{path}: JSON of no known format, {what}; {known}")


def _possible_mistakes(videos: Videos, path: Path) -> Iterator[str]:
    """Yield notes about instances that occur twice, and labels that are nearly equal."""
    start, end = videos.segments.T
    video = np.repeat(np.arange(len(videos)), videos.counts)
    order = np.lexsort((end, start, video))
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for column in (video, start, end):
        same &= column[order[1:]] == column[order[:-1]]
    alike = np.union1d(order[:-1][same], order[1:][same]).tolist() if same.any() else ()
    keys = Counter((video.item(i), start.item(i), end.item(i), videos.labels[i]) for i in alike)
    count = sum(number - 1 for number in keys.values())
    if count:
        names = dict.fromkeys(videos.ids[key[0]] for key, number in keys.items() if number > 1)
        occur = "instances occur" if count > 1 else "instance occurs"
        yield (
            f"{path}: {count:,} {occur} twice, with the same video, times and label: "
            f"{counted(len(names), 'video')} ({listed(names)})"
        )
    variants: dict[str, list[str]] = {}
    for label in dict.fromkeys(videos.labels):
        variants.setdefault(" ".join(composed(label).casefold().split()), []).append(label)
    groups = [" and ".join(map(repr, labels)) for labels in variants.values() if len(labels) > 1]
    if groups:
        yield (
            f"{path}: labels that differ only in capitals, blanks or Unicode form are "
            f"different classes: {listed(groups, 12)}"
        )
