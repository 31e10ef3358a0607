"""Reading and writing annotations in all formats of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from actspan.core.errors import ActSpanError, AnnotationError, ConfigError
from actspan.core.files import atomic_file
from actspan.core.types import Video
from actspan.core.wording import it_or_them
from actspan.data.annotations import activitynet
from actspan.data.annotations.activitynet import AUTHORS_JSON
from actspan.data.annotations.annotation_set import Annotations, JsonError, ReadOptions, Source
from actspan.data.annotations.format_table import (
    ALL_FORMATS,
    DATASET_JSON,
    DATASET_TABLE,
    Format,
    format_named,
    unknown_format,
)
from actspan.data.annotations.writing import WriteOptions
from actspan.data.videos import possible_mistakes

# Places of annotations in a dataset, and in the authors' repository or its data folder.
_FOLDERS = ("", "activitynet_annotations/", "data/activitynet_annotations/")
_PLACES = (DATASET_JSON, *(folder + AUTHORS_JSON for folder in _FOLDERS), DATASET_TABLE)


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
        chosen = next((f for f in ALL_FORMATS if f.fits(source)), None)
        if chosen is None:
            raise AnnotationError(unknown_format(source))
    else:
        chosen = format_named(format)
        if chosen.read is None:
            raise ConfigError(f"{format} can only be written: it has no ends of segments")
        if chosen.needs and not chosen.fits(source):
            raise AnnotationError(f"{source.path}: {chosen.needs}")
    assert chosen.read is not None  # others fit no source
    if options.tiers and not chosen.has_tiers:
        raise ConfigError(f"{source.path}: {chosen.name} has no tiers; leave out --tier")
    if options.columns and chosen.name != "csv":
        flags = ", ".join(f"--{role}-column" for role in options.columns)
        raise ConfigError(f"{source.path}: {chosen.name} has no columns; leave out {flags}")
    return chosen.read(source, options)


def encode_annotations(
    videos: Iterable[Video],
    format: str,
    *,
    media: Callable[[Video], str] | None = None,
    fps: float | None = None,
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
        known = ", ".join(f.name for f in ALL_FORMATS if f.encode is not None)
        raise ConfigError(f"{format} can only be read; these can be written: {known}")
    return dict(encode(tuple(videos), WriteOptions(document or {}, media, fps)))


def write_annotations(
    path: Path | str,
    videos: Iterable[Video],
    *,
    format: str | None = None,
    media: Callable[[Video], str] | None = None,
    fps: float | None = None,
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
    if chosen.writes_folder and path.is_file():
        raise AnnotationError(f"{path}: is a file; {chosen.name} is written as files in a folder")
    encoded = encode_annotations(videos, chosen.name, media=media, fps=fps, document=document)
    if chosen.writes_folder or path.is_dir():
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
    by_suffix = {format.suffix: format for format in ALL_FORMATS if format.suffix}
    if path.suffix.lower() not in by_suffix:
        what = f"suffix {path.suffix!r} is" if path.suffix else "a name without a suffix is"
        known = " or ".join(by_suffix)
        raise ConfigError(
            f"{path}: {what} not a supported output format: {known} is needed (or --to)"
        )
    return by_suffix[path.suffix.lower()]
