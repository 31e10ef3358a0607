"""Which videos are meant: files, folders, patterns, lists, or a dataset folder with `videos/`."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actspan.data.annotations import Annotations, canonical_id, find_annotations, read_annotations
from actspan.data.problems import Loss, Problem
from actspan.errors import VideoError
from actspan.files import read_text, similar_path
from actspan.limits import DOCUMENT

VIDEOS = "videos"
_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".divx", ".flv", ".h264", ".h265", ".hevc", ".m1v", ".m2ts", ".m2v"),
    *(".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv"),
    *(".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)


@dataclass(frozen=True, slots=True)
class Sources:
    """The videos to look at.

    Attributes
    ----------
    paths : mapping of video id to Path
        Ids are file names without suffix, and without the `v_` that some sets put before them.
    annotations : Annotations, optional
        Where the videos are those of a dataset.
    problems : tuple of Problem
        Videos that are missing or there twice.
    """

    paths: dict[str, Path]
    annotations: Annotations | None = None
    problems: tuple[Problem, ...] = ()


def find_videos(given: Sequence[str]) -> Sources:
    """Find the videos that arguments stand for.

    Parameters
    ----------
    given : sequence of str
        Files; folders, searched with all below them; patterns (`'day1/*.mp4'`); `@list.txt`, a file
        with any of these a line, relative to its own place; or one dataset folder with `videos/`.

    Raises
    ------
    VideoError
        An argument stands for nothing.
    AnnotationError
        The dataset's annotations cannot be read.
    """
    if len(given) == 1 and (Path(given[0]) / VIDEOS).is_dir():
        return _of_dataset(Path(given[0]))
    paths, problems = _by_id(path for text in given for path in _expand(text, Path()))
    if not paths:
        raise VideoError("no videos: name files, folders, patterns, or @list.txt")
    return Sources(paths, problems=tuple(problems))


def _expand(text: str, place: Path) -> Iterator[Path]:
    if text.startswith("@"):
        yield from _listed(place / text[1:])
        return
    path = place / text
    if path.is_dir():
        yield from _in_folder(path)
    elif path.exists() or not glob.has_magic(text):
        if not path.exists():
            raise VideoError(f"{path}: no such file or folder{similar_path(path)}")
        yield path
    else:
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        if not found:
            raise VideoError(f"{path}: no file fits this pattern")
        yield from found


def _in_folder(folder: Path) -> list[Path]:
    found = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.name[0] != "."
    )
    if not found:
        raise VideoError(f"{folder}: no videos in this folder ({', '.join(_SUFFIXES)})")
    return found


def _listed(file: Path) -> Iterator[Path]:
    try:
        lines = read_text(file, DOCUMENT).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VideoError(f"{file}: cannot be read as a list of videos: {error}") from error
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line and not line.startswith("#"):
            try:
                yield from _expand(line, file.parent)
            except VideoError as error:
                raise VideoError(f"{file}, line {number}: {error}") from error


def _by_id(paths: Iterable[Path]) -> tuple[dict[str, Path], list[Problem]]:
    """Index videos by id; a second one of the same id is a problem."""
    found: dict[str, Path] = {}
    problems = []
    for path in paths:
        name = canonical_id(path.stem)
        first = found.setdefault(name, path)
        if first.resolve() != path.resolve():
            what = f"a second video of this name, beside {first}"
            problems.append(Problem(name, str(path), what, "rename one of the two", Loss.FILE))
    return found, problems


def _of_dataset(folder: Path) -> Sources:
    """The annotated videos of a dataset, or all where nothing is annotated."""
    paths, problems = _by_id(_in_folder(folder / VIDEOS))
    if find_annotations(folder) is None:
        return Sources(paths, problems=tuple(problems))
    annotations = read_annotations(folder)
    annotated = {video.id for video in annotations}
    for name in sorted(annotated - paths.keys()):
        remedy = "put it there, or remove it from the annotations"
        problems.append(Problem(name, str(folder / VIDEOS), "no such video", remedy))
    for name in sorted(paths.keys() - annotated):
        what = "not in the annotations, so left alone"
        problems.append(Problem(name, str(paths[name]), what, "annotate it", Loss.NOTHING))
    kept = {name: path for name, path in paths.items() if name in annotated}
    return Sources(kept, annotations, (*annotations.problems, *problems))
