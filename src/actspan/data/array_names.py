"""Arrays of npz and HDF5 files, and the video that each belongs to by its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from actspan.config.stages import FeatureSpec
from actspan.core.errors import FeatureError
from actspan.core.wording import listed
from actspan.data.array_files import CONTAINERS, feature_errors, open_container, table_shape
from actspan.data.names import Ignored
from actspan.data.videos import canonical_id

SUFFIXES = (".npy", ".csv", *CONTAINERS)  # of files of features
READABLE = f"write {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
COMMON_FILES = ("features.h5", "features.hdf5", "features.npz")  # of all videos
# Names of arrays that belong to a single video, if no annotations name the videos.
_PARTS = {
    *("appearance", "arr_0", "arr_1", "c3d", "data", "feat", "feats", "feature", "features"),
    *("flow", "fps", "i3d", "motion", "rgb", "slowfast", "vggish"),
}
_LISTED = 6  # arrays of a file that a message names


def list_arrays(path: Path, ignored: Ignored) -> list[str]:
    """Return the names of the arrays in a file of several arrays.

    Other contents are counted in `ignored`. Raises FeatureError if the file does not fit its
    suffix, or is empty.
    """
    with feature_errors(path), open_container(path) as file:
        names = file.names(ignored)
    if not names:
        raise FeatureError(f"{path}: contains no arrays")
    return names


def feature_shapes(path: Path, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays that can be features: filled (T, C) arrays of numbers.

    Raises FeatureError if the file is damaged.
    """
    with feature_errors(path), open_container(path) as file:
        shapes = {name: table_shape(file.shape(name) or ()) for name in names}
    return {name: shape for name, shape in shapes.items() if shape is not None}


@dataclass(frozen=True)
class ArrayNames:
    """The arrays of files of several arrays, by the video that they belong to."""

    names: Mapping[Path, list[str]]  # of the arrays in each file
    spec: FeatureSpec
    known: Collection[str] | None  # ids of the annotated videos
    ignored: Ignored

    def videos_in(self, file: Path, video: str) -> Iterator[tuple[str, list[str] | FeatureError]]:
        """Yield each video in a file that is named after `video`, with the arrays of its features.

        These are its only array that can be features, or those that are joined, or an error. A file
        that is one array without a name has one video, without arrays.
        """
        names = self.names[file]
        if not names:
            yield video, []
            return
        if file.name not in COMMON_FILES and self._is_one_video(video, names):
            groups = {video: names}
        else:
            groups = self._by_video(self._without_others(file, names))
        for name, group in groups.items():
            short = _short_names(name, group)
            try:
                chosen = self._choose(file, short)
            except FeatureError as error:
                yield name, error
                continue
            for array in group:
                if array not in chosen:
                    self.ignored["arrays", short[array]] += 1
            yield name, chosen

    def _choose(self, file: Path, names: Mapping[str, str]) -> list[str]:
        """Return the arrays of a video that are its features; raise FeatureError if it is unclear.

        `join` names the arrays; otherwise `channels` select among several.
        """
        if self.spec.join:
            arrays = {name: array for array, name in names.items()}
            if missing := [name for name in self.spec.join if name not in arrays]:
                raise FeatureError(
                    f"contains no array {', '.join(missing)}, only "
                    f"{listed(sorted(arrays), _LISTED)}; correct join in dataset.toml, or write "
                    "the file again"
                )
            return [arrays[name] for name in self.spec.join]
        if len(names) == 1:
            return list(names)
        shapes, axis = feature_shapes(file, names), 0 if self.spec.layout == "CT" else 1
        if not shapes:
            raise FeatureError(
                f"none of its {len(names)} arrays is a filled (T, C) array; {READABLE}"
            )
        fitting = [a for a, shape in shapes.items() if shape[axis] == self.spec.channels]
        if len(shapes) == 1 or len(fitting) == 1:
            return fitting or list(shapes)
        quoted = [f'"{names[array]}"' for array in shapes]
        if len({shape[1 - axis] for shape in shapes.values()}) == 1:
            examples = [names[array] for array in shapes]
            join = f"join them: [features] join = [{', '.join(quoted[:_LISTED])}]"
        else:
            examples = [f"{names[array]} {shape}" for array, shape in shapes.items()]
            join = f"choose it: [features] join = [{quoted[0]}]"
        raise FeatureError(
            f"contains {len(shapes)} arrays ({listed(examples, _LISTED)}), one per video is "
            f"needed; keep one, or {join} in dataset.toml"
        )

    @cached_property
    def _is_repeated(self) -> bool:
        """True if files have arrays of the same names, which then name parts and not videos."""
        counts = Counter(name for names in self.names.values() if len(names) > 1 for name in names)
        return any(count > 1 for count in counts.values())

    def _is_known(self, name: str) -> bool:
        return self.known is not None and canonical_id(name) in self.known

    def _names_a_video(self, array: str) -> bool:
        return any(map(self._is_known, (array, *array.split("/"))))

    def _is_one_video(self, video: str, arrays: Sequence[str]) -> bool:
        """Return whether the arrays of a file belong to the video that it is named after."""
        videos = sum(map(self._names_a_video, arrays))
        if self.known is not None and video in self.known:
            return videos < 2
        if videos:
            return False
        parts = {array.rpartition("/")[2] for array in arrays}
        if len(arrays) == 1 or parts <= _PARTS:
            return True
        return self.known is None and self._is_repeated

    def _without_others(self, file: Path, arrays: list[str]) -> list[str]:
        """Return the arrays of a file of several videos, without those that cannot be features.

        Arrays named after an annotated video stay, so that they are reported if they are bad.
        """
        strangers = [array for array in arrays if not self._names_a_video(array)]
        try:
            usable = feature_shapes(file, strangers)
        except FeatureError:  # reported when its arrays are read
            return arrays
        others = {array: None for array in strangers if array not in usable}
        if len(others) == len(arrays):
            return arrays
        for array in others:
            self.ignored["arrays", array] += 1
        return [array for array in arrays if array not in others]

    def _by_video(self, arrays: Sequence[str]) -> dict[str, list[str]]:
        """Return the arrays per video, if groups or arrays are named after videos."""
        paths = [array.split("/") for array in arrays]
        depth = max(map(len, paths))
        hits = [sum(self._is_known(p[i]) for p in paths if i < len(p)) for i in range(depth)]
        groups, last = {path[0] for path in paths}, {path[-1] for path in paths}
        is_set = len(groups) < len(paths) == len(last)  # groups of differently named arrays
        place = 0  # of the ids in the paths
        if any(hits):
            place = hits.index(max(hits))
        elif (is_set or groups <= _PARTS) and not last <= _PARTS:
            place = depth - 1
        videos: dict[str, list[str]] = {}
        for array, path in zip(arrays, paths, strict=True):
            name = array if self._is_known(array) else path[min(place, len(path) - 1)]
            videos.setdefault(canonical_id(name), []).append(array)
        return videos


def _short_names(video: str, arrays: Iterable[str]) -> dict[str, str]:
    """Return short names of a video's arrays: the last part of each path that is not its id."""
    parts = {a: [p for p in a.split("/") if canonical_id(p) != video] or [a] for a in arrays}
    short = {array: names[-1] for array, names in parts.items()}
    if len(set(short.values())) == len(short):
        return short
    return {array: "/".join(names) for array, names in parts.items()}
