"""Writing annotations in any format of the table: in memory, or to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from actspan.core.errors import ActSpanError, AnnotationError, ConfigError
from actspan.core.files import atomic_file
from actspan.core.types import Video
from actspan.core.wording import it_or_them
from actspan.data.annotations.encoding import FPS, WriteOptions
from actspan.data.annotations.formats import FORMATS, Format, format_named


def encode_annotations(
    videos: Iterable[Video],
    format: str,
    *,
    media: Callable[[Video], str] | None = None,
    fps: float = FPS,
    document: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """Return annotations as files in memory, by name.

    It is one file of all videos, or one each (ELAN, WebVTT); for Label Studio its tasks, and the
    labelling interface that shows them. Names have no parts that lead to another folder.

    Parameters
    ----------
    videos : iterable of Video
        With `scores` where their instances are proposals that a person is to correct.
    format : str
        A key of `FORMATS`.
    media, fps, document
        As for `WriteOptions`. ELAN and Label Studio open the `media`; Label Studio needs it.

    Raises
    ------
    ConfigError
        The format is unknown, can only be read, or needs `media`.
    AnnotationError
        Two videos would be written to the same file, or some text cannot be written.

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
        known = ", ".join(f.name for f in FORMATS.values() if f.encode is not None)
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
    """Write annotations; each file appears only when it is complete. Return their paths.

    Parameters
    ----------
    path : Path or str
        A file, or an existing folder; for formats with a file per video a folder, which is made.
    format : str, optional
        A key of `FORMATS`; from the suffix by default, or ActivityNet's in a folder.
    media, fps, document
        The same as for `encode_annotations`.
    overwrite : bool
        Replace files that exist.

    Raises
    ------
    ConfigError, AnnotationError
        The same as for `encode_annotations`; or an unknown suffix; or a file exists and must not be
        replaced, or where a folder is needed.
    ActSpanError
        A file cannot be written.
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
            raise ActSpanError(f"{path}: cannot be made a folder: {error.strerror}") from error
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
    """Return the format with this name, or the one that belongs to a file's suffix.

    Raises ConfigError if there is none.
    """
    if name is not None:
        return format_named(name)
    if path.is_dir():
        return FORMATS["activitynet"]
    by_suffix = {format.suffix: format for format in FORMATS.values() if format.suffix}
    if path.suffix.lower() not in by_suffix:
        what = f"suffix {path.suffix!r} is" if path.suffix else "a name without a suffix is"
        known = " or ".join(by_suffix)
        raise ConfigError(
            f"{path}: {what} of no format that is written: {known} is needed (or --to)"
        )
    return by_suffix[path.suffix.lower()]
