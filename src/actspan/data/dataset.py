"""A dataset: annotated videos, where their features lie, and what those features are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from actspan.config import FeatureSpec, from_dict, read_toml
from actspan.data.annotations import (
    canonical_id,
    canonical_subset,
    find_annotations,
    read_annotations,
)
from actspan.data.labels import with_labels
from actspan.data.problems import Loss, Problem
from actspan.data.readers import HDF5_SUFFIXES, SUFFIXES, Entry, list_entries, read_array
from actspan.data.rescale import Edge
from actspan.data.timebase import SnippetGrid, snippet_grid
from actspan.errors import AnnotationError, DataError, FeatureError, ShapeError
from actspan.types import Features, Video

SPEC_FILE = "dataset.toml"
# where features lie, seen from the dataset folder: ours first, then the authors' repository
_FEATURE_PLACES = (
    "features",
    "csv_mean_100",
    "activitynet_feature_cuhk/csv_mean_100",
    "data/activitynet_feature_cuhk/csv_mean_100",
)
_FEATURE_FILES = tuple(f"features{suffix}" for suffix in (*HDF5_SUFFIXES, ".npz"))


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Annotated videos and their features, as found on disk; nothing heavy is read until asked.

    Attributes
    ----------
    path : Path
        The dataset folder.
    videos : tuple of Video
    entries : mapping of video id to Entry
        Where each video's features lie.
    annotated : frozenset of str
        Every video that the source knows, in whichever subset.
    spec : FeatureSpec
        What the features are; `actspan.data.check.check_dataset` settles what is not given.
    form : str
        Form of the annotations ("activitynet", "authors", ...); "features" is a folder without.
    assumptions : tuple of str
        What was taken for granted, for people to read.
    problems : tuple of Problem
        What was already found wrong.

    Examples
    --------
    >>> dataset = Dataset.load("my-videos")  # doctest: +SKIP
    >>> dataset.subset("validation").read("video_1").values.shape  # doctest: +SKIP
    (107, 400)
    """

    path: Path
    videos: tuple[Video, ...]
    entries: dict[str, Entry]
    annotated: frozenset[str]
    spec: FeatureSpec
    form: str = "activitynet"
    assumptions: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    _by_id: dict[str, Video] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {video.id: video for video in self.videos})

    @classmethod
    def load(cls, path: Path | str, *, features: bool = True) -> Self:
        """Find annotations, features and `dataset.toml` in a folder.

        The authors' own layout is recognised by its files. A folder without annotations but with
        features is a dataset of unannotated videos. With `features=False` (evaluation, or boundary
        scores computed elsewhere) only annotations are looked for.

        Raises
        ------
        DataError
            No such folder, or nothing in it that can be used.
        ConfigError
            `dataset.toml` has an unknown key or a bad value.
        """
        path = Path(path)
        if not path.is_dir():
            raise DataError(f"{path}: no such folder; a dataset folder is needed")
        spec = _read_spec(path)
        entries, problems = _find_features(path) if features else ({}, [])
        if find_annotations(path) is None:
            if not entries:
                raise AnnotationError(
                    f"{path}: holds no annotations (annotations.json, or anet_anno_action.json) "
                    "and no features (features/)"
                )
            note = f"no annotations in {path}: every feature file is taken as a video"
            videos = tuple(Video(id=name, duration=float("nan")) for name in entries)
            form = "features"
            assumptions: tuple[str, ...] = (note,)
        else:
            found = read_annotations(path)
            videos, form, assumptions = found.videos, found.form, found.assumptions
            problems = [*found.problems, *problems]
        annotated = frozenset(video.id for video in videos)
        return cls(path, videos, entries, annotated, spec, form, assumptions, tuple(problems))

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._by_id

    def __getitem__(self, video_id: str) -> Video:
        return self._by_id[video_id]

    @property
    def edge(self) -> Edge:
        """How rescaling fills cells beyond the outer snippets: as published for that layout."""
        return "zero" if self.form == "authors" else "clamp"

    def subset(self, name: str | None) -> Self:
        """Keep the videos of one subset, or all for None.

        Raises
        ------
        AnnotationError
            No video is in it; names those that there are.
        """
        if name is None:
            return self
        name = canonical_subset(name)
        chosen = tuple(video for video in self.videos if video.subset == name)
        if not chosen:
            there = ", ".join(sorted({repr(video.subset) for video in self.videos})) or "no videos"
            raise AnnotationError(f"{self.path}: no video in subset {name!r}; there are: {there}")
        return replace(self, videos=chosen)

    def with_labels(self, patterns: Sequence[str]) -> Self:
        """Keep the instances whose labels match a pattern; see `actspan.data.labels`.

        Raises
        ------
        AnnotationError
            A pattern matches no label.
        """
        return replace(self, videos=with_labels(self.videos, patterns))

    def select(self, videos: Sequence[Video]) -> Self:
        """Keep exactly these videos (as given: their segments may have changed)."""
        return replace(self, videos=tuple(videos))

    def read(self, video_id: str) -> Features:
        """Read one video's features and place them in time.

        Raises
        ------
        FeatureError
            There are none, they are damaged, or do not fit the dataset's spec.
        """
        recording = self.open(video_id, mapped=False)
        return recording.rows(0, len(recording))

    def open(self, video_id: str, *, mapped: bool = True) -> Recording:
        """Open one video's features, to read them in parts where the format allows it (npy).

        Raises
        ------
        FeatureError
            As `read`; values are checked where they are read.
        """
        if video_id not in self.entries:
            raise FeatureError(f"{self.path}: no features for video {video_id!r}")
        entry = self.entries[video_id]
        array = read_array(entry, mapped=mapped)
        values = array.T if self.spec.layout == "CT" else array
        channels = self.spec.channels
        if channels is not None and values.shape[1] != channels:
            raise FeatureError(f"{entry}: {values.shape[1]} channels, {channels} expected")
        grid = snippet_grid(self._by_id[video_id], self.spec, len(values))
        return Recording(entry, values, grid)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One video's features, read in parts.

    Attributes
    ----------
    entry : Entry
        Where they lie.
    values : (n, C) array
        In memory or mapped, of any numeric type.
    grid : SnippetGrid
        How they lie in time.
    """

    entry: Entry
    values: NDArray[Any]
    grid: SnippetGrid

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, first: int, last: int) -> Features:
        """The snippets first <= i < last, with their share of the output span.

        Raises
        ------
        FeatureError
            They hold NaN or infinity.
        """
        values = np.asarray(self.values[first:last], dtype=np.float32)
        stride, length, span = self.grid
        output_span = None if span is None else span * (len(values) / len(self.values))
        try:
            return Features(values, stride, length, output_span)
        except ShapeError as error:
            raise FeatureError(f"{self.entry}: {error}") from error


def _read_spec(path: Path) -> FeatureSpec:
    file = path / SPEC_FILE
    if not file.is_file():
        return FeatureSpec()
    values = read_toml(file)
    unknown = set(values) - {"features"}
    if unknown:
        raise DataError(f"{file}: unknown table(s) {sorted(unknown)}; only [features] is known")
    return from_dict(FeatureSpec, values.get("features", {}), where=f"{file} [features]")


def _find_features(path: Path) -> tuple[dict[str, Entry], list[Problem]]:
    """Index feature files by video id; repeated ids and unreadable containers are problems."""
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    for file in _feature_files(path):
        try:
            named = list_entries(file)
        except FeatureError as error:
            remedy = "replace the file, or remove it"
            problems.append(Problem(canonical_id(file.stem), str(file), str(error), remedy))
            continue
        for name, entry in named:
            video = canonical_id(name)
            if video in entries:
                what = f"second features for this video, beside {entries[video]}"
                remedy = "keep one of the two"
                problems.append(Problem(video, str(entry), what, remedy, Loss.FILE))
            entries.setdefault(video, entry)
    return entries, problems


def _feature_files(path: Path) -> list[Path]:
    for place in _FEATURE_PLACES:
        if (path / place).is_dir():
            files = (path / place).iterdir()
            return sorted(f for f in files if f.suffix in SUFFIXES and f.name[0] != ".")
    return [path / name for name in _FEATURE_FILES if (path / name).is_file()]
