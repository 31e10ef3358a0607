"""Index of the features in a dataset folder: which array of which file belongs to which video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from actspan.config.stages import FeatureSpec
from actspan.core.errors import FeatureError
from actspan.core.problems import Problem, Skipped
from actspan.core.wording import counted, listed
from actspan.data.annotations.base import canonical_id
from actspan.data.containers import READ, Refusal, channel_axis, choose, names_of
from actspan.data.names import Ignored, composed, composed_note, file_stem
from actspan.data.readers import (
    HDF5_SUFFIXES,
    SUFFIXES,
    Entry,
    feature_shapes,
    list_arrays,
)

# Folders of features, relative to the dataset folder: ours first, then the authors' repository.
_PLACES = (
    "features",
    "csv_mean_100",
    "activitynet_feature_cuhk/csv_mean_100",
    "data/activitynet_feature_cuhk/csv_mean_100",
)
_TOGETHER = tuple(f"features{suffix}" for suffix in (*HDF5_SUFFIXES, ".npz"))  # files of all videos
# Names of arrays that belong to a single video, if no annotations name the videos.
_PARTS = {
    *("appearance", "arr_0", "arr_1", "c3d", "data", "feat", "feats", "feature", "features"),
    *("flow", "fps", "i3d", "motion", "rgb", "slowfast", "vggish"),
}


@dataclass(frozen=True, slots=True)
class FeatureIndex:
    """The features of a folder.

    Attributes
    ----------
    entries : mapping of video id to Entry
    problems : tuple of Problem
        Files that cannot be read or used, and duplicate features of a video.
    notes : tuple of str
        Ignored files and arrays, and changed names.
    """

    entries: Mapping[str, Entry]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def index_features(
    path: Path, spec: FeatureSpec, known: Collection[str] | None = None
) -> FeatureIndex:
    """Return the features of a dataset folder by video id.

    Parameters
    ----------
    path : Path
        The dataset folder.
    spec : FeatureSpec
        Its `join` gives the arrays that are joined.
    known : collection of str, optional
        Ids of the annotated videos, if any are annotated.
    """
    place = next((path / name for name in _PLACES if (path / name).is_dir()), None)
    finder = _Finder(place or path, spec, known)
    if place is None:
        files = [path / name for name in _TOGETHER if (path / name).is_file()]
    else:
        files = finder.sort_out(place)
    finder.add_all(_listed(files, finder))
    finder.name_others(path, place, files)
    return finder.result()


class _Listed(NamedTuple):
    """A file of features and the names of its arrays."""

    file: Path
    names: list[str]


def _listed(files: Iterable[Path], finder: _Finder) -> Iterator[_Listed]:
    for file in files:
        try:
            yield _Listed(file, list_arrays(file, finder.ignored))
        except FeatureError as error:
            what, _, remedy = str(error).removeprefix(f"{file}: ").partition("; ")
            remedy = remedy or "replace the file, or remove it"
            finder.refuse(canonical_id(file.stem), file, what, remedy)


class _Finder:
    """Collector of entries, problems and notes, file by file."""

    def __init__(self, place: Path, spec: FeatureSpec, known: Collection[str] | None) -> None:
        self.ignored = Ignored()
        self._place, self._known = place, known
        self._spec = spec
        self._entries: dict[str, Entry] = {}
        self._problems: list[Problem] = []
        self._unread: list[Path] = []
        self._composed = 0  # file names that were not in Unicode NFC
        self._renamed: list[str] = []  # file names that contain the suffix of a video

    def sort_out(self, place: Path) -> list[Path]:
        """Return the files of a folder that are read, and note the others."""
        read = []
        for file in sorted(place.iterdir()):
            if file.name.startswith("."):
                continue
            if file.is_dir():
                self.ignored.add("folders", file.name)
            elif file.suffix.lower() in SUFFIXES:
                read.append(file)
            else:
                self._unread.append(file)
        return read

    def name_others(self, path: Path, place: Path | None, files: Sequence[Path]) -> None:
        """Note unused features: other folders and files of the dataset."""
        for name in _PLACES:
            if place not in (None, path / name) and (path / name).is_dir():
                self.ignored.add("folders", name)
        for file in sorted(path.glob("features.*")):
            if file.is_file() and file not in files:
                known = file.suffix.lower() in SUFFIXES
                self.ignored.add("files", file.name if known else file.suffix)

    def refuse(self, video: str, file: Path, what: str, remedy: str) -> None:
        """Add the problem that a video's features cannot be used."""
        self._problems.append(Problem(video, str(file), what, remedy))

    def result(self) -> FeatureIndex:
        for file in self._unread:
            video = self._id_of(file)
            if self._is_known(video) and video not in self._entries:
                self.refuse(video, file, f"{_suffix_of(file)} is not read", READ)
            else:
                self.ignored.add("files", _suffix_of(file))
        return FeatureIndex(
            self._entries, tuple(self._problems), (*self.ignored.notes(self._place), *self._notes())
        )

    def _notes(self) -> Iterator[str]:
        if self._renamed:
            files = f"{counted(len(self._renamed), 'file name')} ({listed(self._renamed)})"
            yield f"{self._place}: the suffix of a video was dropped from {files}"
        yield from composed_note(self._place, self._composed)
        if self._spec.join and all(entry.key is None for entry in self._entries.values()):
            yield f"{self._place}: no file holds the arrays that dataset.toml joins"

    def add_all(self, listed: Iterable[_Listed]) -> None:
        """Add the arrays of every file."""
        files = list(listed)
        names = Counter(name for _, names in files if len(names) > 1 for name in names)
        is_repeated = any(count > 1 for count in names.values())  # so they name parts, not videos
        for file, found in files:
            video = self._id_of(file)
            if not found:
                self._add(video, Entry(file))
            elif file.name not in _TOGETHER and self._is_one_video(video, found, is_repeated):
                self._add_one_of(video, file, found)
            else:
                for name, arrays in self._by_video(self._of_videos(file, found)).items():
                    self._add_one_of(name, file, arrays)

    def _id_of(self, file: Path) -> str:
        """Return the id of a file's name, without the suffix of a video inside it."""
        stem = file_stem(file.stem)
        if stem != file.stem:
            self._renamed.append(file.name)
        self._composed += composed(stem) != stem
        return canonical_id(stem)

    def _is_known(self, name: str) -> bool:
        return self._known is not None and name in self._known

    def _names_a_video(self, array: str) -> bool:
        return any(self._is_known(canonical_id(part)) for part in (array, *array.split("/")))

    def _is_one_video(self, video: str, arrays: Sequence[str], is_repeated: bool) -> bool:
        """Return whether the arrays of a file belong to the video that it is named after."""
        videos = sum(map(self._names_a_video, arrays))
        if self._is_known(video):
            return videos < 2
        if videos:
            return False
        parts = {array.rpartition("/")[2] for array in arrays}
        return len(arrays) == 1 or parts <= _PARTS or (self._known is None and is_repeated)

    def _of_videos(self, file: Path, arrays: list[str]) -> list[str]:
        """Return the arrays of a file of several videos, without those that cannot be features.

        Arrays named after an annotated video stay, so that they are reported if they are bad.
        """
        strangers = [array for array in arrays if not self._names_a_video(array)]
        try:
            usable = feature_shapes(file, strangers)
        except FeatureError:  # reported when its arrays are read
            return arrays
        others = [array for array in strangers if array not in usable]
        if len(others) == len(arrays):
            return arrays
        for array in others:
            self.ignored.add("arrays", array)
        return [array for array in arrays if array not in others]

    def _by_video(self, arrays: Sequence[str]) -> dict[str, list[str]]:
        """Return the arrays per video, if groups or arrays are named after videos."""
        place = self._place_of_ids([array.split("/") for array in arrays])
        videos: dict[str, list[str]] = {}
        for array in arrays:
            parts = array.split("/")
            name = (
                array if self._is_known(canonical_id(array)) else parts[min(place, len(parts) - 1)]
            )
            videos.setdefault(canonical_id(name), []).append(array)
        return videos

    def _place_of_ids(self, arrays: Sequence[Sequence[str]]) -> int:
        """Return which part of the arrays' paths is the id of a video, counted from 0."""
        deepest = max(map(len, arrays)) - 1
        hits = [
            sum(self._is_known(canonical_id(p[i])) for p in arrays if i < len(p))
            for i in range(deepest + 1)
        ]
        if any(hits):
            return hits.index(max(hits))
        groups, last = {parts[0] for parts in arrays}, {parts[-1] for parts in arrays}
        is_set = len(groups) < len(arrays) == len(last)  # groups of differently named arrays
        return deepest if (is_set or groups <= _PARTS) and not last <= _PARTS else 0

    def _add(self, video: str, entry: Entry) -> None:
        first = self._entries.setdefault(video, entry)
        if first is not entry:
            what, remedy = f"second features for this video, beside {first}", "keep one of the two"
            self._problems.append(Problem(video, str(entry), what, remedy, Skipped.FILE))

    def _add_one_of(self, video: str, file: Path, arrays: list[str]) -> None:
        """Add the only array of a video that can be features, or those that are joined."""
        names = names_of(video, arrays)
        try:
            chosen = choose(file, names, self._spec)
        except FeatureError as error:
            self.refuse(video, file, str(error), "replace the file, or remove it")
            return
        if isinstance(chosen, Refusal):
            self.refuse(video, file, *chosen)
            return
        for array in [array for array in arrays if array not in chosen]:
            self.ignored.add("arrays", names[array])
        self._add(video, Entry(file, chosen[0], tuple(chosen[1:]), channel_axis(self._spec)))


def _suffix_of(file: Path) -> str:
    return file.suffix or file.name
