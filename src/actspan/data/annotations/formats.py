"""The table of annotation formats, and reading and writing with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from actspan.core.errors import ActSpanError, AnnotationError, ConfigError
from actspan.core.files import atomic_file, folder_kind
from actspan.core.types import Video
from actspan.core.wording import it_or_them, listed
from actspan.data.annotations import (
    activitynet,
    elan,
    labelstudio,
    projects,
    table,
    table_lines,
    text_files,
    writing,
)
from actspan.data.annotations.activitynet import AUTHORS_JSON
from actspan.data.annotations.annotation_set import Annotations, JsonError, ReadOptions, Source
from actspan.data.annotations.video_builder import has_files, read_files
from actspan.data.annotations.writing import FPS, WriteOptions
from actspan.data.videos import possible_mistakes

DATASET_JSON = "annotations.json"
DATASET_TABLE = "annotations.csv"
# Places of annotations in a dataset, and in the authors' repository or its data folder.
_FOLDERS = ("", "activitynet_annotations/", "data/activitynet_annotations/")
_PLACES = (DATASET_JSON, *(folder + AUTHORS_JSON for folder in _FOLDERS), DATASET_TABLE)

_COLUMNS = "the columns video, start, end, label"
_REMEDIES = {
    ".xlsx .xls .ods": f"a spreadsheet: save the sheet as CSV with {_COLUMNS}",
    ".html .htm .docx .doc .odt .pdf": f"a document: save its table as CSV with {_COLUMNS}",
    ".sbv .ass .ssa .ttml .dfxp .sub": "subtitles: save them as WebVTT (.vtt) or SubRip (.srt)",
    ".gz .zip .tar .7z .xz": "packed: unpack it, and give what is inside",
    ".mp4 .avi .mkv .mov .webm .mpg": "a video: annotations are needed here",
    ".txt": "only <Class>_val.txt and <Class>_test.txt are; save a table as .csv or .tsv",
    ".anvil": "of Anvil: export it to ELAN (.eaf), or as a table",
    ".xml": "XML (CVAT, Anvil, ...): export it as CSV or JSON with times in seconds",
}
_DEFAULT_REMEDY = "export it as CSV (video, start, end, label) or JSON"

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
    Format("authors", f"{AUTHORS_JSON} of the BSN authors", activitynet.fits_authors,
           activitynet.read_authors, None,
           "not the BSN authors' format: videos with 'duration_second' are needed", AUTHORS_JSON),
    Format("csv", "a table: video,start,end,label", table_lines.fits, table.read, table.encode,
           in_folder=DATASET_TABLE, suffix=".csv"),
    Format("elan", "ELAN's .eaf file, or a folder of them", partial(has_files, ".eaf"),
           elan.read, writing.encode_elan, in_folder=".eaf files", file_per_video=True,
           has_tiers=True, has_own_unit=True),
    Format("vtt", "WebVTT, as players read it: a .vtt file, or a folder of them",
           partial(has_files, ".vtt"), partial(read_files, "vtt", ".vtt", text_files.read_vtt),
           text_files.encode_vtt, in_folder=".vtt files", file_per_video=True, has_own_unit=True),
    Format("srt", "SubRip subtitles: an .srt file, or a folder of them",
           partial(has_files, ".srt"), partial(read_files, "srt", ".srt", text_files.read_srt),
           in_folder=".srt files", has_own_unit=True),
    Format("textgrid", "Praat's .TextGrid file, or a folder of them",
           partial(has_files, ".textgrid"),
           partial(read_files, "textgrid", ".textgrid", text_files.read_textgrid),
           in_folder=".TextGrid files", has_tiers=True, has_own_unit=True),
    Format("thumos14", "a folder of <Class>_val.txt and <Class>_test.txt", text_files.fits_thumos,
           text_files.read_thumos, in_folder="<Class>_val.txt and <Class>_test.txt of THUMOS14"),
    Format("labelstudio", "Label Studio's export: JSON or JSON-MIN", labelstudio.fits,
           labelstudio.read, writing.encode_labelstudio, "not a list of Label Studio tasks",
           has_own_unit=True),
    Format("boris", "a project of BORIS (.boris, JSON)", partial(projects.fits, projects.BORIS),
           projects.read_boris, None,
           "not a project of BORIS: 'observations' and 'behaviors_conf' are needed",
           has_own_unit=True),
    Format("via", "a project of VGG Image Annotator 3 (JSON)", partial(projects.fits, projects.VIA),
           projects.read_via, None,
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
    """Read annotations in any known format: of a file, or a folder with one or several.

    `format` is a key of `FORMATS`; by default it is detected from names and content. The others are
    the fields of `ReadOptions`. Raises AnnotationError if the source is missing, damaged or in no
    known format, and ConfigError if the format is unknown, or has no tiers or columns.

    Examples
    --------
    >>> found = read_annotations("TH14_annotations/")  # doctest: +SKIP
    >>> found.format, len(found.videos)  # doctest: +SKIP
    ('thumos14', 413)
    """
    path = Path(path)
    if not path.exists():
        raise AnnotationError(f"{path}: cannot be read: no such file or folder")
    annotation_file = find_annotations(path) if path.is_dir() else None
    source = Source(annotation_file or path, format_is_given=format is not None)
    options = ReadOptions(fps, tuple(tiers), columns or {}, will_clip, only_facts)
    annotations = None
    try:
        if format in (None, "activitynet") and not (options.tiers or options.columns):
            annotations = activitynet.read_plain(source)
        if annotations is None:
            annotations = _read_as(source, format, options)
    except OSError as error:
        raise AnnotationError(
            f"{source.path}: cannot be read: {error.strerror or error}"
        ) from error
    except RecursionError as error:
        raise AnnotationError(f"{source.path}: JSON nested too deeply to be annotations") from error
    except JsonError as error:
        raise AnnotationError(f"{source.path}: not valid JSON: {error}") from error
    notes = (
        annotations.notes
        if only_facts
        else (*annotations.notes, *possible_mistakes(annotations.path, annotations.videos))
    )
    table_file = path / DATASET_TABLE
    if annotation_file is not None and annotation_file != table_file and table_file.is_file():
        notes = (f"{table_file}: ignored, because {annotation_file.name} exists too", *notes)
    return replace(annotations, notes=notes)


def _read_as(source: Source, format: str | None, options: ReadOptions) -> Annotations:
    """Read a source in a format, or in the first one that fits; raise AnnotationError for none."""
    if format is None:
        chosen = next((f for f in _ALL if f.fits(source)), None)
        if chosen is None:
            raise AnnotationError(_unknown_format(source))
    else:
        chosen = format_named(format)
        if chosen.needs and not chosen.fits(source):
            raise AnnotationError(f"{source.path}: {chosen.needs}")
    if options.tiers and not chosen.has_tiers:
        raise ConfigError(f"{source.path}: {chosen.name} has no tiers; leave out --tier")
    if options.columns and chosen.name != "csv":
        flags = ", ".join(f"--{role}-column" for role in options.columns)
        raise ConfigError(f"{source.path}: {chosen.name} has no columns; leave out {flags}")
    return chosen.read(source, options)


def format_named(name: str) -> Format:
    """Return the format with this name; raise ConfigError with the known ones if there is none."""
    if name not in FORMATS:
        raise ConfigError(f"no annotation format {name!r}; choose one of: {', '.join(FORMATS)}")
    return FORMATS[name]


def _unknown_format(source: Source) -> str:
    """Return the message about a source that no format fits: what it is, and what to do."""
    path, forms = source.path, f"known are: {'; '.join(f.what for f in _ALL)}"
    if path.is_dir():
        in_folders = ", ".join(f.in_folder for f in _ALL if f.in_folder)
        return (
            f"{path}{folder_kind(path)}: contains none of: {in_folders}; give the path "
            "of a file of another format"
        )
    if source.json is None:
        suffix = path.suffix.lower()
        remedy = next(
            (r for known, r in _REMEDIES.items() if suffix in known.split()), _DEFAULT_REMEDY
        )
        what = f"{path.suffix} is not read: {remedy}" if path.suffix else remedy
        return f"{path}: unknown format; {what}; {forms}"
    document = source.document[0]
    what = type(document).__name__
    if isinstance(document, dict):
        what = f"an object with {listed(map(repr, document), most=6) or 'no keys'}"
    elif isinstance(document, list) and document and isinstance(document[0], dict) and document[0]:
        what = f"a list of objects with {listed(map(repr, document[0]), most=6)}"
    return f"{path}: JSON in an unknown format, {what}; {forms}"


def encode_annotations(
    videos: Iterable[Video],
    format: str,
    *,
    media: Callable[[Video], str] | None = None,
    fps: float = FPS,
    document: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """Return annotations as files in memory, by name; names have no folders.

    Videos have `scores` where their instances are proposals that a person is to correct. `media`,
    `fps` and `document` are the fields of `WriteOptions`. Raises ConfigError if the format is
    unknown, can only be read, or needs `media`, and AnnotationError if two videos would be written
    to the same file, or some text cannot be written.

    Examples
    --------
    >>> video = Video("clip", 60.0, segments=[[1.5, 4.0]], labels=("jump",))
    >>> print(encode_annotations([video], "csv")["annotations.csv"].decode())
    video,start,end,label,subset,duration
    clip,1.5,4.0,jump,,60.0
    <BLANKLINE>
    """
    encode = format_named(format).encode
    if encode is None:
        known = ", ".join(f.name for f in _ALL if f.encode is not None)
        raise ConfigError(f"{format} can only be read; these can be written: {known}")
    return dict(encode(tuple(videos), WriteOptions(document or {}, media, fps)))


def write_annotations(
    path: Path | str,
    videos: Iterable[Video],
    *,
    format: str | None = None,
    media: Callable[[Video], str] | None = None,
    fps: float = FPS,
    document: Mapping[str, Any] | None = None,
    overwrite: bool = True,
) -> tuple[Path, ...]:
    """Write annotations to a file, or into a folder, and return the paths of the files.

    The default format is that of the suffix, or ActivityNet's in a folder; the others are as for
    `encode_annotations`, which raises the same errors. Raises ConfigError for an unknown suffix,
    AnnotationError if a file exists and must not be replaced, or is where a folder is needed, and
    ActSpanError if a file cannot be written. Files appear only when they are complete.
    """
    path = Path(path)
    chosen = format_to_write(path, format)
    if chosen.file_per_video and path.is_file():
        raise AnnotationError(
            f"{path}: is a file; {chosen.name} is one file per video, in a folder"
        )
    encoded = encode_annotations(videos, chosen.name, media=media, fps=fps, document=document)
    if chosen.file_per_video or path.is_dir():
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ActSpanError(
                f"{path}: cannot be created as a folder: {error.strerror}"
            ) from error
        files = {path / name: content for name, content in encoded.items()}
    else:  # side by side under one name
        names = [path, *(path.with_suffix(Path(name).suffix) for name in [*encoded][1:])]
        files = dict(zip(names, encoded.values(), strict=True))
    existing = [str(file) for file in files if file.exists()]
    if existing and not overwrite:
        more = len(existing) - 1
        exist = f" and {more:,} more already exist" if more else ": already exists"
        raise AnnotationError(f"{existing[0]}{exist}; --force replaces {it_or_them(len(existing))}")
    for file, content in files.items():
        with atomic_file(file) as stream:
            stream.write(content)
    return tuple(files)


def format_to_write(path: Path, name: str | None = None) -> Format:
    """Return the format with this name, or of a path; raise ConfigError if there is none."""
    if name is not None or path.is_dir():
        return format_named(name or "activitynet")
    by_suffix = {format.suffix: format for format in _ALL if format.suffix}
    if path.suffix.lower() not in by_suffix:
        what = f"suffix {path.suffix!r} is" if path.suffix else "a name without a suffix is"
        known = " or ".join(by_suffix)
        raise ConfigError(
            f"{path}: {what} not a supported output format: {known} is needed (or --to)"
        )
    return by_suffix[path.suffix.lower()]
