"""Kinds of streams: which files are of which, by suffix and content."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actspan.config.streams import StreamKind
from actspan.core.errors import ConfigError
from actspan.core.files import read_text
from actspan.core.limits import DOCUMENT
from actspan.data.names import VIDEO_SUFFIXES, VIDEOS
from actspan.streams.addresses import Address, Location, is_address

_TABLES = (".csv", ".parquet", ".pq", ".tsv")
_POSES = (".csv", ".h5", ".hdf5")
_SOUNDS = (
    *(".aac", ".aif", ".aiff", ".au", ".caf", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg"),
    *(".opus", ".w64", ".wav", ".wma"),
)
_LISTS = (".json", ".list", ".lst")
_TEXTS = (*_LISTS, ".csv", ".tsv", ".txt")
RECORDINGS = "recordings"  # folder of a dataset, of any kind


@dataclass(frozen=True, slots=True)
class KindOfFiles:
    """The files of one kind of stream."""

    kind: StreamKind
    noun: str  # of one of them, in messages
    suffixes: tuple[str, ...]
    texts: tuple[str, ...]  # suffixes of texts, which are never of this kind
    folders: tuple[str, ...]  # of a dataset

    @property
    def plural(self) -> str:
        """Word for several of them."""
        return f"{self.noun}s"

    @property
    def suffix(self) -> str:
        """Most common suffix."""
        return {"video": ".mp4", "audio": ".wav"}.get(self.kind, self.suffixes[0])

    def has(self, path: Path) -> bool:
        """Return whether a file in a folder is of this kind."""
        if path.suffix.lower() not in self.suffixes or path.name[0] == ".":
            return False
        return path.suffix.lower() != ".csv" or kind_of(path) == self.kind


KINDS = {
    of.kind: of
    for of in (
        KindOfFiles("video", "video", VIDEO_SUFFIXES, _TEXTS, (VIDEOS, RECORDINGS)),
        KindOfFiles("sensors", "table", _TABLES, _LISTS, (RECORDINGS, "sensors")),
        KindOfFiles("audio", "recording", _SOUNDS, _TEXTS, (RECORDINGS, "audio", VIDEOS)),
        KindOfFiles("pose", "pose file", _POSES, (*_LISTS, ".txt"), (RECORDINGS, "pose")),
    )
}


def kind_of(path: Location) -> StreamKind | None:
    """Return the kind of stream in a file, by its suffix and first line, if it is known."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return "pose" if isinstance(path, Path) and is_deeplabcut(path) else "sensors"
    for kind, of in KINDS.items():
        if suffix in of.suffixes:
            return kind
    return None


def is_deeplabcut(path: Path) -> bool:
    """Return whether a text begins as a CSV file of DeepLabCut does."""
    try:
        with path.open("rb") as stream:
            return stream.read(7).lower() == b"scorer,"
    except OSError:
        return False


def find_kind(given: Sequence[str]) -> StreamKind:
    """Return the kind of stream that arguments name; video if that cannot be said.

    The videos in a folder come before other files in it. Raises ConfigError if there are several
    other kinds.
    """
    found: set[StreamKind] = set()
    for text in given:
        kinds = {kind for kind in map(kind_of, _files(text, Path())) if kind is not None}
        found.update(["video"] if "video" in kinds else kinds)
    if len(found) <= 1:
        return next(iter(found), "video")
    kinds_found = ", ".join(sorted(found))
    raise ConfigError(f"the files are of several kinds: {kinds_found}; choose one with --kind")


def _files(text: str, place: Path) -> Iterator[Location]:
    """Yield the files that an argument of `find_videos` names; faults are found there."""
    if is_address(text):
        yield Address(text)
        return
    path = place / text.removeprefix("@")
    if text.startswith("@"):
        try:
            lines = [line.strip() for line in read_text(path, DOCUMENT).splitlines()]
        except (OSError, UnicodeDecodeError):
            return
        for line in lines:
            if line and line[0] not in "#@":
                yield from _files(line, path.parent)
    elif path.is_dir():
        folders = (path / name for of in KINDS.values() for name in of.folders)
        inside = next(filter(Path.is_dir, folders), path)
        yield from (file for file in inside.rglob("*") if file.name[0] != "." and file.is_file())
    elif path.exists() or not glob.has_magic(text):
        yield path
    else:
        for name in glob.glob(str(path), recursive=True):
            yield from _files(name, Path())
