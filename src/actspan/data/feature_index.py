"""Index of the features in a dataset folder: which array of which file belongs to which video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actspan.config.stages import FeatureSpec
from actspan.core.errors import FeatureError
from actspan.core.problems import Problem, Skipped
from actspan.core.wording import counted, listed
from actspan.data.feature_readers import SUFFIXES, Entry, feature_shapes, list_arrays
from actspan.data.names import Ignored, composed, composed_note, file_stem
from actspan.data.videos import canonical_id

# Folders of features, relative to the dataset folder: ours first, then the authors' repository.
_FOLDERS = (
    "features",
    "csv_mean_100",
    "activitynet_feature_cuhk/csv_mean_100",
    "data/activitynet_feature_cuhk/csv_mean_100",
)
_FILES = ("features.h5", "features.hdf5", "features.npz")  # of all videos
# Names of arrays that belong to a single video, if no annotations name the videos.
_PARTS = {
    *("appearance", "arr_0", "arr_1", "c3d", "data", "feat", "feats", "feature", "features"),
    *("flow", "fps", "i3d", "motion", "rgb", "slowfast", "vggish"),
}
_LISTED = 6  # arrays of a file that a message names
_READ = f"write {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"


@dataclass(frozen=True, slots=True)
class FeatureIndex:
    """The features of a folder."""

    entries: Mapping[str, Entry]  # by video id
    problems: tuple[Problem, ...] = ()  # files that cannot be used, duplicate features of a video
    notes: tuple[str, ...] = ()  # ignored files and arrays, and changed names


def index_features(
    path: Path, spec: FeatureSpec, known: Collection[str] | None = None
) -> FeatureIndex:
    """Return the features of a dataset folder by video id.

    `known` are the ids of the annotated videos, if any are annotated.
    """
    ignored = Ignored()
    unread: list[Path] = []
    folder = next((path / name for name in _FOLDERS if (path / name).is_dir()), None)
    files = [path / name for name in _FILES if (path / name).is_file()] if folder is None else []
    for file in sorted(folder.iterdir()) if folder else ():
        if file.name.startswith("."):
            continue
        if file.is_dir():
            ignored["folders", file.name] += 1
        else:
            (files if file.suffix.lower() in SUFFIXES else unread).append(file)
    indexer = _Indexer(spec, known, ignored)
    indexer.add(files)
    for name in _FOLDERS:
        if folder not in (None, path / name) and (path / name).is_dir():
            ignored["folders", name] += 1
    for file in sorted(path.glob("features.*")):
        if file.is_file() and file not in files:
            ignored["files", file.name if file.suffix.lower() in SUFFIXES else file.suffix] += 1
    if unread:
        indexer.add_unread(unread)
    place = folder or path
    notes = (*(ignored.notes(place) if ignored else ()), *indexer.notes(place))
    return FeatureIndex(indexer.entries, tuple(indexer.problems), notes)


class _Indexer:
    """Collector of entries, problems and notes, file by file."""

    def __init__(self, spec: FeatureSpec, known: Collection[str] | None, ignored: Ignored) -> None:
        self.entries: dict[str, Entry] = {}
        self.problems: list[Problem] = []
        self._spec, self._known, self._ignored = spec, known, ignored
        self._axis = 0 if spec.layout == "CT" else 1  # of the channels
        self._composed = 0  # file names that were not in Unicode NFC
        self._renamed: list[str] = []  # file names that contain the suffix of a video

    def add(self, files: Iterable[Path]) -> None:
        """Add the arrays of files."""
        arrays: dict[Path, list[str]] = {}
        for file in files:
            try:
                arrays[file] = list_arrays(file, self._ignored)
            except FeatureError as error:
                self._refuse(canonical_id(file.stem), file, error)
        names = Counter(name for found in arrays.values() if len(found) > 1 for name in found)
        is_repeated = any(count > 1 for count in names.values())  # so they name parts, not videos
        for file, found in arrays.items():
            video = self._id_of(file)
            if not found:
                self._add_entry(video, Entry(file))
            elif file.name not in _FILES and self._is_one_video(video, found, is_repeated):
                self._add_arrays(video, file, found)
            else:
                for name, group in self._by_video(self._without_others(file, found)).items():
                    self._add_arrays(name, file, group)

    def add_unread(self, files: Iterable[Path]) -> None:
        """Add files that are not read: a problem if they belong to a video without features."""
        for file in files:
            video, suffix = self._id_of(file), file.suffix or file.name
            if self._is_known(video) and video not in self.entries:
                self.problems.append(Problem(video, str(file), f"{suffix} is not read", _READ))
            else:
                self._ignored["files", suffix] += 1

    def notes(self, place: Path) -> Iterator[str]:
        """Yield notes about changed names, and arrays to join that do not exist."""
        if self._renamed:
            files = f"{counted(len(self._renamed), 'file name')} ({listed(self._renamed)})"
            yield f"{place}: the suffix of a video was dropped from {files}"
        if self._composed:
            yield composed_note(place, self._composed)
        if self._spec.join and all(entry.key is None for entry in self.entries.values()):
            yield f"{place}: no file holds the arrays that dataset.toml joins"

    def _id_of(self, file: Path) -> str:
        """Return the id of a file's name, without the suffix of a video inside it."""
        name = canonical_id(file.stem)
        if name != file.stem:
            stem = file_stem(file.stem)
            if stem != file.stem:
                self._renamed.append(file.name)
            self._composed += composed(stem) != stem
        return name

    def _refuse(self, video: str, file: Path, error: FeatureError) -> None:
        """Add the problem that a video's features cannot be used: "FILE: what; remedy"."""
        what, _, remedy = str(error).removeprefix(f"{file}: ").partition("; ")
        remedy = remedy or "replace the file, or remove it"
        self.problems.append(Problem(video, str(file), what, remedy))

    def _add_entry(self, video: str, entry: Entry) -> None:
        first = self.entries.setdefault(video, entry)
        if first is not entry:
            what, remedy = f"second features for this video, beside {first}", "keep one of the two"
            self.problems.append(Problem(video, str(entry), what, remedy, Skipped.FILE))

    def _add_arrays(self, video: str, file: Path, arrays: list[str]) -> None:
        """Add the only array of a video that can be features, or those that are joined."""
        names = _short_names(video, arrays)
        try:
            chosen = self._choose(file, names)
        except FeatureError as error:
            self._refuse(video, file, error)
            return
        for array in arrays:
            if array not in chosen:
                self._ignored["arrays", names[array]] += 1
        self._add_entry(video, Entry(file, chosen[0], tuple(chosen[1:]), self._axis))

    def _choose(self, file: Path, names: Mapping[str, str]) -> list[str]:
        """Return the arrays of a video that are its features; raise FeatureError if it is unclear.

        `join` names the arrays; otherwise `channels` select among several.
        """
        if self._spec.join:
            arrays = {name: array for array, name in names.items()}
            if missing := [name for name in self._spec.join if name not in arrays]:
                raise FeatureError(
                    f"holds no array {', '.join(missing)}, only {listed(sorted(arrays), _LISTED)}; "
                    "correct join in dataset.toml, or write the file again"
                )
            return [arrays[name] for name in self._spec.join]
        if len(names) == 1:
            return list(names)
        shapes = feature_shapes(file, names)
        if not shapes:
            raise FeatureError(f"none of its {len(names)} arrays is a filled (T, C) array; {_READ}")
        fitting = [a for a, shape in shapes.items() if shape[self._axis] == self._spec.channels]
        if len(shapes) == 1 or len(fitting) == 1:
            return fitting or list(shapes)
        quoted = [f'"{names[array]}"' for array in shapes]
        if len({shape[1 - self._axis] for shape in shapes.values()}) == 1:
            held = [names[array] for array in shapes]
            join = f"join them: [features] join = [{', '.join(quoted[:_LISTED])}]"
        else:
            held = [f"{names[array]} {shape}" for array, shape in shapes.items()]
            join = f"choose it: [features] join = [{quoted[0]}]"
        raise FeatureError(
            f"holds {len(shapes)} arrays ({listed(held, _LISTED)}), one per video is needed; "
            f"keep one, or {join} in dataset.toml"
        )

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

    def _without_others(self, file: Path, arrays: list[str]) -> list[str]:
        """Return the arrays of a file of several videos, without those that cannot be features.

        Arrays named after an annotated video stay, so that they are reported if they are bad.
        """
        strangers = [array for array in arrays if not self._names_a_video(array)]
        try:
            usable = feature_shapes(file, strangers)
        except FeatureError:  # reported when its arrays are read
            return arrays
        others = {array for array in strangers if array not in usable}
        if len(others) == len(arrays):
            return arrays
        for array in arrays:
            if array in others:
                self._ignored["arrays", array] += 1
        return [array for array in arrays if array not in others]

    def _by_video(self, arrays: Sequence[str]) -> dict[str, list[str]]:
        """Return the arrays per video, if groups or arrays are named after videos."""
        paths = [array.split("/") for array in arrays]
        place = self._place_of_ids(paths)
        videos: dict[str, list[str]] = {}
        for array, parts in zip(arrays, paths, strict=True):
            is_id = self._is_known(canonical_id(array))
            name = array if is_id else parts[min(place, len(parts) - 1)]
            videos.setdefault(canonical_id(name), []).append(array)
        return videos

    def _place_of_ids(self, paths: Sequence[Sequence[str]]) -> int:
        """Return which part of the arrays' paths is the id of a video, counted from 0."""
        deepest = max(map(len, paths)) - 1
        hits = [
            sum(self._is_known(canonical_id(parts[i])) for parts in paths if i < len(parts))
            for i in range(deepest + 1)
        ]
        if any(hits):
            return hits.index(max(hits))
        groups, last = {parts[0] for parts in paths}, {parts[-1] for parts in paths}
        is_set = len(groups) < len(paths) == len(last)  # groups of differently named arrays
        return deepest if (is_set or groups <= _PARTS) and not last <= _PARTS else 0


def _short_names(video: str, arrays: Iterable[str]) -> dict[str, str]:
    """Return short names of a video's arrays: the last part of each path that is not its id."""
    parts = {a: [p for p in a.split("/") if canonical_id(p) != video] or [a] for a in arrays}
    short = {array: names[-1] for array, names in parts.items()}
    if len(set(short.values())) == len(short):
        return short
    return {array: "/".join(names) for array, names in parts.items()}
