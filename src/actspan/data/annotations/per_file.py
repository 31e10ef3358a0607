"""Reading formats with one file per video: one file, or a folder of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.core.problems import Skipped
from actspan.core.wording import listed, suggestion
from actspan.data.annotations.base import canonical_id
from actspan.data.annotations.rows import Facts, Rows
from actspan.data.names import Ignored

SUFFIXES = (".eaf", ".vtt", ".srt", ".textgrid")  # of every format with one file per video


def files_of(path: Path, suffix: str) -> Iterator[Path]:
    """Yield the files with a suffix: `path` itself, or those directly in the folder `path`."""
    return (f for f in _visible(path) if f.suffix.lower() == suffix)


def _visible(path: Path) -> Iterator[Path]:
    files = path.iterdir() if path.is_dir() else iter([path])
    return (f for f in files if not f.name.startswith("."))


def read_each(
    path: Path,
    suffix: str,
    read_file: Callable[[Path, Rows], None],
    ignored: Ignored,
    *,
    will_clip: bool = False,
) -> Rows:
    """Read one file, or all files with a suffix in a folder; count others as ignored.

    Raises
    ------
    AnnotationError
        There is no such file, or the only one is damaged. In a folder, a damaged one is a problem.
    """
    files = sorted(files_of(path, suffix)) if path.is_dir() else [path]
    if not files:
        raise AnnotationError(f"{path}: holds no {suffix} files")
    rows = Rows(will_clip=will_clip)
    for file in files:
        try:
            read_file(file, rows)
        except AnnotationError as error:
            if not path.is_dir():
                raise
            what = str(error).removeprefix(f"{file}: ")
            rows.refuse(file.stem, str(file), what, Skipped.VIDEO)
    if path.is_dir():
        for other in _visible(path):
            if other.suffix.lower() in SUFFIXES and other.suffix.lower() != suffix:
                ignored.add("files of other formats, which --from takes", other.suffix)
    return rows


def add_video(rows: Rows, video: str, file: Path, facts: Facts | None = None) -> None:
    """Add the video of a file.

    Raises
    ------
    AnnotationError
        Another file is of the same video, or it has no name.
    """
    if canonical_id(video.strip()) in rows:
        raise AnnotationError(
            f"{file}: video {video!r} is in another {file.suffix} file too; keep one"
        )
    try:
        rows.add(video, facts=facts)
    except ValueError as error:
        raise AnnotationError(f"{file}: {error}") from error


def require_tiers(path: Path, patterns: Iterable[str], tiers: Sequence[str]) -> None:
    """Raise AnnotationError if one of the given patterns matches no tier."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in tiers):
            raise AnnotationError(
                f"{path}: no tier matches {pattern!r}{suggestion(pattern, tiers)}; there are: "
                f"{listed(map(repr, tiers), most=12) or 'none'}"
            )
