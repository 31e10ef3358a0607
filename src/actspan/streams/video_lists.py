"""Video arguments: files, folders, patterns, lists, or a dataset folder with `videos/`."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actspan.core.errors import VideoError
from actspan.core.files import folder_kind, read_text, similar_path
from actspan.core.limits import DOCUMENT
from actspan.core.problems import Problem, Skipped
from actspan.core.progress import Progress, no_progress
from actspan.core.wording import counted, listed, quoted
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.formats import find_annotations, read_annotations
from actspan.data.names import VIDEO_SUFFIXES, VIDEOS, is_video
from actspan.data.videos import canonical_id
from actspan.streams.video_decoding import VideoFile

_BY_NAME = "pass the videos among them by name, or rename them (.mp4)"
_TEXTS = (".csv", ".json", ".list", ".lst", ".tsv", ".txt")
_NAMED = 8  # suffixes named in a message


@dataclass(frozen=True, slots=True)
class VideoList:
    """Videos that arguments name."""

    paths: dict[str, Path]  # by id: file names without suffix and without the prefix `v_`
    annotations: Annotations | None = None  # if the videos belong to a dataset
    problems: tuple[Problem, ...] = ()  # missing or duplicate videos, and ignored files


def find_videos(names: Sequence[str]) -> VideoList:
    """Find the videos that arguments name.

    Parameters
    ----------
    names : sequence of str
        Files of any suffix except text files; folders, searched recursively; patterns
        (`'day1/*.mp4'`); `@list.txt`, a file with one of these per line, relative to its folder;
        or one dataset folder with `videos/`.

    Raises
    ------
    VideoError, AnnotationError
        An argument matches no video, or the dataset's annotations cannot be read.
    """
    if len(names) == 1 and (Path(names[0]) / VIDEOS).is_dir():
        return _find_in_dataset(Path(names[0]))
    notes: list[Problem] = []
    paths, problems = _index_by_id(path for text in names for path in _expand(text, Path(), notes))
    if not paths:
        raise VideoError("no videos: name files, folders, patterns, or @list.txt")
    return VideoList(paths, problems=(*problems, *notes))


def _expand(text: str, place: Path, notes: list[Problem]) -> Iterator[Path]:
    if text.startswith("@"):
        yield from _read_list(place / text[1:], notes)
        return
    path = place / text
    if path.is_dir():
        yield from _find_in_folder(path, notes)
    elif path.exists() or not glob.has_magic(text):
        if not path.exists():
            raise VideoError(f"{path}: no such file or folder{similar_path(path)}")
        if path.suffix.lower() in _TEXTS:
            raise VideoError(f"{path}: not a video; a list of videos is given as @{path}")
        yield path
    else:
        matches = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        if not matches:
            raise VideoError(f"{path}: no file matches this pattern")
        for match in matches:
            yield from (
                _find_in_folder(match, notes, may_be_empty=True) if match.is_dir() else [match]
            )


def _find_in_folder(
    folder: Path, notes: list[Problem], *, may_be_empty: bool = False
) -> list[Path]:
    """Return the files in and below a folder that have a video's suffix; note the others."""
    files = sorted(p for p in folder.rglob("*") if p.name[0] != "." and p.is_file())
    videos = list(filter(is_video, files))
    others = Counter(path.suffix.lower() or "none" for path in files if not is_video(path))
    if not (videos or may_be_empty):
        if folder_kind(folder) in (" (a dataset)", " (a packed dataset)"):
            raise VideoError(
                f"{folder}: this is a dataset of features, not of videos: "
                f"actspan propose --dataset {quoted(folder)}"
            )
        if kind := folder_kind(folder):
            raise VideoError(f"{folder}{kind}: contains no videos")
        ignored = f"; {_ignored_note(others)}; {_BY_NAME}" if others else ""
        raise VideoError(
            f"{folder}: no videos in this folder ({', '.join(VIDEO_SUFFIXES)}){ignored}"
        )
    if others:
        notes.append(Problem("", str(folder), _ignored_note(others), _BY_NAME, Skipped.NOTHING))
    return videos


def _ignored_note(others: Counter[str]) -> str:
    count = others.total()
    suffixes = listed((s if n == 1 else f"{s} ({n:,})" for s, n in others.most_common()), _NAMED)
    of = "of another suffix" if count == 1 else "of other suffixes"
    return f"{counted(count, 'file')} {of} ignored: {suffixes}"


def _read_list(file: Path, notes: list[Problem]) -> Iterator[Path]:
    try:
        lines = read_text(file, DOCUMENT).splitlines()
    except FileNotFoundError as error:
        raise VideoError(f"{file}: no such list of videos{similar_path(file)}") from error
    except OSError as error:
        raise VideoError(f"{file}: this list cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise VideoError(f"{file}: not a list of videos: not text in UTF-8") from error
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line and not line.startswith("#"):
            try:
                yield from _expand(line, file.parent, notes)
            except VideoError as error:
                raise VideoError(f"{file}, line {number}: {error}") from error


def _index_by_id(paths: Iterable[Path]) -> tuple[dict[str, Path], list[Problem]]:
    """Index videos by id; a second one of the same id is a problem."""
    by_id: dict[str, Path] = {}
    problems = []
    for path in paths:
        name = canonical_id(path.stem)
        first = by_id.setdefault(name, path)
        if first.resolve() != path.resolve():
            what = f"another video has this name: {first}"
            problems.append(Problem(name, str(path), what, "rename one of the two", Skipped.FILE))
    return by_id, problems


def _find_in_dataset(folder: Path) -> VideoList:
    """Find the annotated videos of a dataset, or all if there are no annotations."""
    notes: list[Problem] = []
    paths, problems = _index_by_id(_find_in_folder(folder / VIDEOS, notes))
    problems += notes
    if find_annotations(folder) is None:
        return VideoList(paths, problems=tuple(problems))
    annotations = read_annotations(folder)
    annotated = {video.id for video in annotations}
    for name in sorted(annotated - paths.keys()):
        remedy = "put it there, or remove it from the annotations"
        problems.append(Problem(name, str(folder / VIDEOS), "no such video", remedy))
    for name in sorted(paths.keys() - annotated):
        what = "not in the annotations, so skipped"
        problems.append(Problem(name, str(paths[name]), what, "annotate it", Skipped.NOTHING))
    kept = {name: path for name, path in paths.items() if name in annotated}
    return VideoList(kept, annotations, (*_annotation_problems(annotations.problems), *problems))


def _annotation_problems(faults: Iterable[Problem]) -> Iterator[Problem]:
    """Yield faults of annotations; only missing whole videos count as failures."""
    for fault in faults:
        yield fault if fault.skipped is Skipped.VIDEO else replace(fault, skipped=Skipped.NOTHING)


def probe_videos(
    paths: Mapping[str, Path], progress: Progress = no_progress
) -> tuple[dict[str, float], list[Problem]]:
    """Open every video; return the announced lengths, seconds, and the problems of the others."""
    lengths, problems = {}, []
    for done, (name, path) in enumerate(paths.items(), start=1):
        try:
            with VideoFile(path) as video:
                lengths[name] = video.announced or 0.0
        except VideoError as error:
            problems.append(video_problem(name, path, error))
        progress("opening", done, len(paths))
    return lengths, problems


def video_problem(name: str, path: Path, error: VideoError) -> Problem:
    """Return the problem of a video that cannot be used."""
    return Problem(name, str(path), str(error).removeprefix(f"{path}: "), error.remedy)


def shortfall_note(name: str, path: str, note: str) -> Problem:
    """Return the note on a video that is partly missing or damaged."""
    return Problem(name, path, note, "none needed if the rest is enough", Skipped.NOTHING)
