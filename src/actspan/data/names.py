"""Names in files of other tools: ids that are names of video files, and names that are ignored."""

from __future__ import annotations

import shlex
import unicodedata
from collections import Counter
from pathlib import Path, PurePosixPath

from actspan.core.wording import listed

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".divx", ".flv", ".h264", ".h265", ".hevc", ".m1v", ".m2ts", ".m2v"),
    *(".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv"),
    *(".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)
_KNOWN = frozenset(VIDEO_SUFFIXES)
VIDEOS = "videos"  # folder of a dataset
_NAMED = 12  # ignored names in one line; the others are only counted


def file_stem(name: str) -> str:
    """Return a video file's name without folder and suffix; return other names unchanged.

    Examples
    --------
    >>> file_stem("day 1/clip.MP4"), file_stem("a.b"), file_stem("a/b")
    ('clip', 'a.b', 'a/b')
    """
    while "." in name and name[name.rindex(".") :].lower() in _KNOWN:
        stem = PurePosixPath(name.replace("\\", "/")).stem
        if stem.lower() in _KNOWN or stem == name:  # a suffix alone is a name
            break
        name = stem
    return name


def composed(name: str) -> str:
    """Return a name in Unicode NFC; macOS writes file names in NFD, which looks the same."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def composed_note(where: object, count: int) -> str:
    """Return a note about ids that were not in Unicode NFC."""
    return f"{where}: ids were converted to Unicode NFC: {count:,}"


class FileNames:
    """The ids of a source that are file names, which are shortened to their stems."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}  # by stem
        self._composed: set[str] = set()  # names that were not in Unicode NFC

    def stem(self, name: str) -> str:
        """Return the id of a name, without folder and suffix.

        Raises ValueError if another file has the same stem.
        """
        if name.isascii() and "." not in name:  # most names
            return name
        original, name = name, composed(name)
        if name != original:
            self._composed.add(original)
        stem = file_stem(name)
        if stem is not name:
            first = self._files.setdefault(stem, name)
            if first.lower() != name.lower():
                raise ValueError(f"files {first!r} and {name!r} have one id, {stem!r}: rename one")
        return stem

    def notes(self, where: object) -> tuple[str, ...]:
        """Return notes about what was removed and changed."""
        notes = (composed_note(where, len(self._composed)),) if self._composed else ()
        if not self._files:
            return notes
        suffixes = Counter(name[name.rindex(".") :] for name in self._files.values())
        counts = listed(f"{suffix} from {n:,}" for suffix, n in suffixes.items())
        has_folders = any("/" in name or "\\" in name for name in self._files.values())
        what = "folder and suffix" if has_folders else "the suffix"
        return (f"{where}: ids are file names: dropped {what} {counts}", *notes)


class Ignored(Counter[tuple[str, str]]):
    """Names that a reader found and ignored: counts by kind, in the plural, and name.

    Examples
    --------
    >>> ignored = Ignored()
    >>> ignored["columns", "type"] += 1
    >>> ignored["keys", "class"] += 2
    >>> ignored.notes("a.csv")
    ('a.csv: ignored columns: type', 'a.csv: ignored keys: class (2)')
    """

    def notes(self, where: object, text: str = "ignored {}") -> tuple[str, ...]:
        """Return one line per kind, with `where`, a file, before `text` with the kind in it."""
        kinds: dict[str, list[str]] = {}
        for (kind, name), count in self.items():
            kinds.setdefault(kind, []).append(name if count == 1 else f"{name} ({count:,})")
        return tuple(
            f"{where}: {text.format(kind)}: {listed(names, _NAMED)}"
            for kind, names in kinds.items()
        )


def is_video(path: Path) -> bool:
    """Return whether a file's name has the suffix of a video."""
    return path.suffix.lower() in _KNOWN and path.name[0] != "."


def holds_videos(folder: Path) -> bool:
    """Return whether a folder, or its `videos/`, contains a video."""
    places = (folder, folder / VIDEOS)
    return any(is_video(file) for place in places if place.is_dir() for file in place.iterdir())


def advice(path: Path) -> str:
    """Return advice for a video, or a folder of them, that was given as a dataset."""
    folder = shlex.quote(str(path))
    return (
        f"to find segments: actspan propose {folder} --model MODEL; to make a dataset of features: "
        f"actspan extract {folder} --out {shlex.quote(f'{path.stem}-features')}"
    )
