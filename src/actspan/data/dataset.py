"""A dataset: annotated videos, where their features lie, and what those features are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import msgspec

from actspan.config import FeatureSpec, PipelineConfig, from_dict, read_toml
from actspan.data.annotations import (
    canonical_id,
    find_annotations,
    read_annotations,
)
from actspan.data.elsewhere import url_of
from actspan.data.labels import with_labels
from actspan.data.problems import Loss, Problem
from actspan.data.readers import HDF5_SUFFIXES, SUFFIXES, Entry, list_entries, read_array
from actspan.data.recording import Recording
from actspan.data.rescale import Edge
from actspan.data.store import Manifest, Packed, find_manifest, open_remote, open_shards
from actspan.data.timebase import snippet_grid
from actspan.data.videos import Videos
from actspan.errors import AnnotationError, DataError, FeatureError
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
    videos : Videos
        Given as any iterable of `Video`.
    entries : mapping of video id to Entry or Packed
        Where each video's features lie.
    known : Videos
        Every video of the source, in whichever subset.
    spec : FeatureSpec
        What the features are; `actspan.data.check.check_dataset` settles what is not given.
    form : str
        Form of the annotations ("activitynet", "authors", ...); "features" is a folder without.
    assumptions : tuple of str
        What was taken for granted, for people to read.
    problems : tuple of Problem
        What was already found wrong.
    packing : Manifest, optional
        How features were packed, where the folder is a store; they were checked then.

    Examples
    --------
    >>> dataset = Dataset.load("my-videos")  # doctest: +SKIP
    >>> dataset.subset("validation").read("video_1").values.shape  # doctest: +SKIP
    (107, 400)
    """

    path: Path
    videos: Videos
    entries: Mapping[str, Entry | Packed]
    known: Videos
    spec: FeatureSpec
    form: str = "activitynet"
    assumptions: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    packing: Manifest | None = None

    @classmethod
    def load(cls, path: Path | str, *, features: bool = True) -> Self:
        """Find annotations, features and `dataset.toml` in a folder.

        The authors' own layout is recognised by its files, and so is a store (`actspan pack`). A
        folder without annotations but with features is a dataset of unannotated videos. With
        `features=False` (evaluation, or boundary scores computed elsewhere) only annotations are
        looked for.

        Raises
        ------
        DataError
            No such folder, or nothing in it that can be used.
        StoreError
            It is a store, and damaged.
        ConfigError
            `dataset.toml` has an unknown key or a bad value.
        """
        path = Path(path)
        if not path.is_dir():
            what = "is no folder" if path.exists() else "does not exist"
            raise DataError(
                f"{path}: {what}; a dataset folder is needed, with features/ and annotations.json"
            )
        packing = find_manifest(path)
        spec = _read_spec(path, packing)
        entries, problems = _find_features(path, packing) if features else ({}, [])
        if find_annotations(path) is None:
            if not entries:
                raise AnnotationError(
                    f"{path}: holds no annotations (annotations.json, or anet_anno_action.json) "
                    "and no features (features/)"
                )
            note = f"no annotations in {path}: every feature file is taken as a video"
            videos = Videos(Video(id=name, duration=float("nan")) for name in entries)
            form = "features"
            assumptions: tuple[str, ...] = (note,)
        else:
            found = read_annotations(path)
            videos, form, assumptions = found.videos, found.form, found.assumptions
            problems = [*found.problems, *problems]
        if packing is not None and features:
            assumptions = (*assumptions, *packing.assumptions)
        return cls(
            path=path,
            videos=videos,
            entries=entries,
            known=videos,
            spec=spec,
            form=form,
            assumptions=assumptions,
            problems=tuple(problems),
            packing=packing,
        )

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)

    def __contains__(self, video_id: str) -> bool:
        return video_id in self.videos.places

    def __getitem__(self, video_id: str) -> Video:
        return self.videos[self.videos.places[video_id]]

    @property
    def edge(self) -> Edge:
        """How rescaling fills cells beyond the outer snippets: as published for that layout."""
        if self.packing is not None and self.packing.edge is not None:
            return self.packing.edge  # done already
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
        return replace(self, videos=self.videos.subset(name, self.path))

    def with_labels(self, patterns: Sequence[str]) -> Self:
        """Keep the instances whose labels match a pattern; see `actspan.data.labels`.

        Raises
        ------
        AnnotationError
            A pattern matches no label.
        """
        return replace(self, videos=with_labels(self.videos, patterns))

    def select(self, videos: Iterable[Video]) -> Self:
        """Keep exactly these videos (as given: their segments may have changed)."""
        return replace(self, videos=Videos.of(videos))

    def require_fit(self, config: PipelineConfig) -> None:
        """Refuse a model for which the features were packed in the wrong way.

        Raises
        ------
        StoreError
            As `Manifest.require_fit`.
        """
        if self.packing is not None:
            self.packing.require_fit(config, self.path)

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
        if isinstance(entry, Packed):
            return Recording(entry, entry.values, entry.grid)
        array = read_array(entry, mapped=mapped)
        values = array.T if self.spec.layout == "CT" else array
        channels = self.spec.channels
        if channels is not None and values.shape[1] != channels:
            raise FeatureError(f"{entry}: {values.shape[1]} channels, {channels} expected")
        grid = snippet_grid(self[video_id], self.spec, len(values))
        return Recording(entry, values, grid)


def _read_spec(path: Path, packing: Manifest | None) -> FeatureSpec:
    file = path / SPEC_FILE
    values = read_toml(file) if file.is_file() else {}
    unknown = set(values) - {"features"}
    if unknown:
        raise DataError(
            f"{file}: only the table [features] is known, not {', '.join(sorted(unknown))}"
        )
    spec = from_dict(FeatureSpec, values.get("features", {}), where=f"{file} [features]")
    if packing is None:
        return spec
    return msgspec.structs.replace(spec, channels=packing.channels, layout="TC")


def _find_features(
    path: Path, packing: Manifest | None
) -> tuple[Mapping[str, Entry | Packed], list[Problem]]:
    """Index features by video id; repeated ids and unreadable containers are problems."""
    if packing is not None:
        url = url_of(path)
        return open_shards(path, packing) if url is None else open_remote(url, packing), []
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
