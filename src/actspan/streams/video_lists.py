"""Video arguments: files, folders, patterns, lists, or a dataset folder with `videos/`."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actspan.config.streams import TIMEOUT, StreamKind
from actspan.core.errors import VideoError
from actspan.core.files import folder_kind, read_text, similar_path
from actspan.core.limits import DOCUMENT
from actspan.core.problems import Problem, Skipped
from actspan.core.progress import Progress, no_progress
from actspan.core.wording import counted, listed, quoted
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.formats import find_annotations, read_annotations
from actspan.data.names import VIDEO_SUFFIXES
from actspan.data.videos import canonical_id
from actspan.streams.addresses import Address, Location, is_address
from actspan.streams.stream_kinds import KINDS, KindOfFiles, kind_of
from actspan.streams.video_decoding import VideoFile

_NAMED = 8  # suffixes named in a message


@dataclass(frozen=True, slots=True)
class VideoList:
    """Videos that arguments name."""

    paths: dict[str, Location]  # by id: file names without suffix and without the prefix `v_`
    annotations: Annotations | None = None  # if the videos belong to a dataset
    problems: tuple[Problem, ...] = ()  # missing or duplicate videos, and ignored files

    @property
    def files(self) -> dict[str, Path]:
        """Files by id, without addresses."""
        return {name: path for name, path in self.paths.items() if isinstance(path, Path)}


def find_videos(
    names: Sequence[str], kind: StreamKind = "video", timeout: float = TIMEOUT
) -> VideoList:
    """Find the videos, or the recordings of another kind, that arguments name.

    Parameters
    ----------
    names : sequence of str
        Files of any suffix except text files; folders, searched recursively; patterns
        (`'day1/*.mp4'`); addresses (`https://...`) of videos or sound; `@list.txt`, a file with one
        of these per line, relative to its folder; or one dataset folder with `videos/`.
    kind : StreamKind
        What to find, video by default.
    timeout : float
        Seconds without data after which the connection to an address counts as interrupted.

    Raises
    ------
    VideoError, AnnotationError
        An argument matches no video, or the dataset's annotations cannot be read.
    """
    of = KINDS[kind]
    for folder in of.folders if len(names) == 1 else ():
        if (Path(names[0]) / folder).is_dir():
            return _find_in_dataset(Path(names[0]), folder, of)
    notes: list[Problem] = []
    files = [path for text in names for path in _expand(text, Path(), of, notes)]
    files = [replace(f, timeout=timeout) if isinstance(f, Address) else f for f in files]
    paths, problems = _index_by_id(files, of)
    if not paths:
        raise VideoError(f"no {of.plural}: name files, folders, patterns, or @list.txt")
    return VideoList(paths, problems=(*problems, *notes))


def _expand(text: str, place: Path, of: KindOfFiles, notes: list[Problem]) -> Iterator[Location]:
    if is_address(text):
        address = Address.parse(text)
        if of.kind not in ("video", "audio"):
            raise VideoError(f"{address}: a {of.noun} is read from a file: download it first")
        yield address
        return
    if text.startswith("@"):
        yield from _read_list(place / text[1:], of, notes)
        return
    path = place / text
    if path.is_dir():
        yield from _find_in_folder(path, of, notes)
    elif path.exists() or not glob.has_magic(text):
        if not path.exists():
            raise VideoError(f"{path}: no such file or folder{similar_path(path)}")
        if path.suffix.lower() in of.texts:
            raise VideoError(f"{path}: not a {of.noun}; a list of {of.plural} is given as @{path}")
        yield path
    else:
        matches = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        if not matches:
            raise VideoError(f"{path}: no file matches this pattern")
        for one in matches:
            is_folder = one.is_dir()
            yield from _find_in_folder(one, of, notes, may_be_empty=True) if is_folder else [one]


def _find_in_folder(
    folder: Path, of: KindOfFiles, notes: list[Problem], *, may_be_empty: bool = False
) -> list[Path]:
    """Return the files in and below a folder that have a suffix of the kind; note the others."""
    files = sorted(p for p in folder.rglob("*") if p.name[0] != "." and p.is_file())
    found = list(filter(of.has, files))
    if not found and of.kind == "audio":  # the sound of videos
        found = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    chosen = set(found)
    ignored = list(_ignored([path for path in files if path not in chosen], of))
    # Tables in a dataset or a run are not recordings.
    kind = "" if (found and of.kind == "video") or may_be_empty else folder_kind(folder)
    if kind in (" (a dataset)", " (a packed dataset)"):
        raise VideoError(
            f"{folder}: this is a dataset of features, not of {of.plural}: "
            f"actspan propose --dataset {quoted(folder)}"
        )
    if kind:
        raise VideoError(f"{folder}{kind}: contains no videos or other recordings")
    if not (found or may_be_empty):
        there = "".join(f"; {what}; {remedy}" for what, remedy in ignored)
        kinds = KINDS.values() if of.kind == "video" else [of]
        read = ", ".join(f"{one.plural} ({one.suffix}, ...)" for one in kinds)
        raise VideoError(f"{folder}: no {of.plural} in this folder; read are {read}{there}")
    for what, remedy in ignored:
        notes.append(Problem("", str(folder), what, remedy, Skipped.NOTHING))
    return found


def _ignored(paths: Iterable[Path], of: KindOfFiles) -> Iterator[tuple[str, str]]:
    """Yield what is ignored in a folder, and what to do about it: other kinds, then the others."""
    suffixes: dict[StreamKind | None, Counter[str]] = {kind: Counter() for kind in (*KINDS, None)}
    for path in paths:
        kind = kind_of(path)
        suffixes[None if kind == of.kind else kind][path.suffix.lower() or "none"] += 1
    for kind, counts in suffixes.items():
        count = counts.total()
        named = listed((s if n == 1 else f"{s} ({n:,})" for s, n in counts.most_common()), _NAMED)
        if kind is not None and count:
            other = KINDS[kind]
            remedy = f"give {other.plural} to a command of their own"
            yield f"{counted(count, other.noun)} ignored: {named}", remedy
        elif count:
            suffix = "another suffix" if count == 1 else "other suffixes"
            yield (
                f"{counted(count, 'file')} of {suffix} ignored: {named}",
                f"pass the {of.plural} among them by name, or rename them ({of.suffix})",
            )


def _read_list(file: Path, of: KindOfFiles, notes: list[Problem]) -> Iterator[Location]:
    try:
        lines = read_text(file, DOCUMENT).splitlines()
    except FileNotFoundError as error:
        raise VideoError(f"{file}: no such list of {of.plural}{similar_path(file)}") from error
    except OSError as error:
        raise VideoError(f"{file}: this list cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise VideoError(f"{file}: not a list of {of.plural}: not text in UTF-8") from error
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line and not line.startswith("#"):
            try:
                yield from _expand(line, file.parent, of, notes)
            except VideoError as error:
                raise VideoError(f"{file}, line {number}: {error}") from error


def _index_by_id(
    paths: Iterable[Location], of: KindOfFiles
) -> tuple[dict[str, Location], list[Problem]]:
    """Index files by id; a second one of the same id is a problem."""
    by_id: dict[str, Location] = {}
    problems = []
    for path in paths:
        name = canonical_id(path.stem)
        first = by_id.setdefault(name, path)
        if first.resolve() != path.resolve():
            what = f"another {of.noun} has this name: {first}"
            is_file = isinstance(path, Path)
            remedy = "rename one of the two" if is_file else "give it to a command of its own"
            problems.append(Problem(name, str(path), what, remedy, Skipped.FILE))
    return by_id, problems


def _find_in_dataset(folder: Path, name: str, of: KindOfFiles) -> VideoList:
    """Find the annotated files of a dataset, in its folder `name`; all without annotations."""
    notes: list[Problem] = []
    media = folder / name
    paths, problems = _index_by_id(_find_in_folder(media, of, notes), of)
    problems += notes
    if find_annotations(folder) is None:
        return VideoList(paths, problems=tuple(problems))
    annotations = read_annotations(folder)
    annotated = {video.id for video in annotations}
    for name in sorted(annotated - paths.keys()):
        remedy = "put it there, or remove it from the annotations"
        problems.append(Problem(name, str(media), f"no such {of.noun}", remedy))
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
    paths: Mapping[str, Location],
    progress: Progress = no_progress,
    open_file: Callable[[Location], Any] = VideoFile,
) -> tuple[dict[str, float], list[Problem]]:
    """Open every file; return the announced lengths, seconds, and the problems of the others.

    `open_file` returns a context manager with the length, `announced`.
    """
    lengths, problems = {}, []
    for done, (name, path) in enumerate(paths.items(), start=1):
        try:
            with open_file(path) as video:
                lengths[name] = video.announced or 0.0
        except VideoError as error:
            problems.append(video_problem(name, path, error))
        progress("opening", done, len(paths))
    return lengths, problems


def video_problem(name: str, path: Location, error: VideoError) -> Problem:
    """Return the problem of a video that cannot be used."""
    return Problem(name, str(path), str(error).removeprefix(f"{path}: "), error.remedy)


def shortfall_note(name: str, path: str, note: str) -> Problem:
    """Return the note on a video that is partly missing or damaged."""
    return Problem(name, path, note, "none needed if the rest is enough", Skipped.NOTHING)
