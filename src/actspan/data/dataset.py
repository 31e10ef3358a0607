"""Datasets: annotated videos, the location of their features, and the feature spec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import Edge, FeatureSpec, PipelineConfig
from actspan.core.errors import DataError, FeatureError, ShapeError, require_installed
from actspan.core.files import StrPath
from actspan.core.problems import Problem
from actspan.core.storage import ObjectStorage, is_url
from actspan.core.temporary import folder_until_exit
from actspan.core.types import Features, Video
from actspan.core.wording import counted
from actspan.data.annotations.formats import find_annotations, read_annotations
from actspan.data.features import (
    Entry,
    FeatureIndex,
    index_features,
    not_a_dataset,
    not_a_folder,
    read_spec,
    read_table,
)
from actspan.data.instances import with_labels
from actspan.data.remote import THREADS, open_remote_shards
from actspan.data.shards import PackedFeatures, PackedIndex, open_shards
from actspan.data.store_manifest import MANIFEST, Manifest
from actspan.data.timebase import (
    SnippetGrid,
    SpanRule,
    annotated_seconds,
    packed_grid,
    snippet_grid,
    span_rule,
)
from actspan.data.videos import Videos, canonical_subset

_urls: dict[Path, str] = {}  # by the local folder that represents it
_HELD_OUT = "validation"  # the subset that training contains out if the dataset has none


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One video's features, read in parts."""

    entry: Entry | PackedFeatures  # their location
    values: NDArray[Any]  # (n, C), in memory or mapped, of any numeric type
    grid: SnippetGrid  # their position in time

    def __len__(self) -> int:
        return len(self.values)

    @property
    def seconds(self) -> float:
        """Seconds at position 1.0 in results; known without reading."""
        span = self.grid.output_span
        return len(self.values) * self.grid.stride if span is None else span

    def rows(self, first: int, last: int) -> Features:
        """Return the snippets first <= i < last, with their share of the output span.

        Raises FeatureError if they have NaN or infinity.
        """
        values = np.asarray(self.values[first:last], dtype=np.float32)
        stride, length, span, covered = self.grid
        share = len(values) / len(self.values)
        output_span = None if span is None else span * share
        try:
            return Features(values, stride, length, output_span, covered if share == 1 else None)
        except ShapeError as error:
            raise FeatureError(f"{self.entry}: {error}") from error


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Annotated videos and their features on disk; features are only read on request.

    Examples
    --------
    >>> dataset = Dataset.load("my-videos")  # doctest: +SKIP
    >>> dataset.subset("validation").read("video_1").values.shape  # doctest: +SKIP
    (107, 400)
    """

    path: Path  # the dataset folder
    videos: Videos
    entries: Mapping[str, Entry | PackedFeatures]  # video id to the location of its features
    known: Videos  # all videos of the source, in any subset
    spec: FeatureSpec  # `check_dataset` determines missing values
    format: str = "activitynet"  # of the annotations; "features" is a folder without
    notes: tuple[str, ...] = ()  # assumptions, for people to read
    problems: tuple[Problem, ...] = ()  # found so far
    packing: Manifest | None = None  # of a store, whose features were checked when packed
    span_rule: SpanRule = SpanRule.COVERED  # for the seconds of all videos
    edge: Edge = "clamp"  # how rescaling fills cells beyond the outer snippets, as published

    @classmethod
    def load(cls, path: Path | str, *, features: bool = True) -> Self:
        """Return the dataset in a folder: annotations, features and `dataset.toml`.

        The authors' own layout is recognised by its files, and so is a store (`actspan pack`). A
        folder with features but without annotations is a dataset of unannotated videos. With
        `features=False` (evaluation, or boundary scores computed elsewhere) features are not
        searched.

        Raises
        ------
        DataError, ConfigError
            No such folder, or nothing in it that can be used; a store is damaged; `dataset.toml`
            has an unknown key or a bad value.
        """
        path = Path(path)
        if not path.is_dir():
            raise not_a_folder(path)
        packing = Manifest.load(path) if (path / MANIFEST).is_file() else None
        spec, rule = read_spec(path, packing), SpanRule.COVERED
        annotations = None if find_annotations(path) is None else read_annotations(path)
        index = FeatureIndex()
        entries: Mapping[str, Entry | PackedFeatures] = {}
        if features and packing is None:
            index = index_features(
                path, spec, None if annotations is None else annotations.videos.indices
            )
            entries = index.entries
        elif features and packing is not None:
            entries = open_store(path, packing)
        if annotations is not None:
            videos, format = annotations.videos, annotations.format
            problems, notes = annotations.problems, annotations.notes
        elif entries:
            videos = Videos(Video(id=name, duration=float("nan")) for name in entries)
            format, problems = "features", ()
            notes = (f"no annotations in {path}: every feature file is used as a video",)
        else:
            raise not_a_dataset(path, index)
        notes = (*notes, *index.notes)
        if "feature_frames" in videos.given:
            rule, rule_notes = span_rule(videos, spec)
            notes = (*notes, *rule_notes)
        if packing is not None and features:
            notes = (*notes, *packing.all_notes)
        edge: Edge = "zero" if format == "authors" else "clamp"
        if packing is not None and packing.edge is not None:
            edge = packing.edge  # already done
        problems = (*problems, *index.problems)
        return cls(
            path, videos, entries, videos, spec, format, notes, problems, packing, rule, edge
        )

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)

    def __contains__(self, video_id: str) -> bool:
        return video_id in self.videos.indices

    def __getitem__(self, video_id: str) -> Video:
        return self.videos[self.videos.indices[video_id]]

    def subset(self, name: str | None, set_apart: Sequence[str] = ()) -> Self:
        """Return the dataset with the videos of one subset, or all for None.

        `set_apart` has the ids of the validation videos (`Bundle.set_apart`), used if no video has
        that subset. Raises AnnotationError, which lists the subsets, if the subset has no videos.
        """
        if name is None:
            return self
        videos, notes = self.videos, self.notes
        if set_apart and canonical_subset(name) == _HELD_OUT:
            videos = videos.with_set_apart(set_apart, _HELD_OUT)
        chosen = videos.subset(name, self.path, [_HELD_OUT] if set_apart else [])
        if videos is not self.videos:
            note = f"{_HELD_OUT}: the {counted(len(chosen), 'video')} that training held out"
            missing = len(set_apart) - len(chosen)
            notes = (*notes, f"{note}; {missing} more are not in this dataset" if missing else note)
        return replace(self, videos=chosen, notes=notes)

    def with_labels(self, patterns: Sequence[str]) -> Self:
        """Return the dataset with the instances whose labels match; see `videos.with_labels`."""
        return replace(self, videos=with_labels(self.videos, patterns))

    def select(self, videos: Iterable[Video]) -> Self:
        """Return the dataset with exactly these videos, whose segments may have changed."""
        return replace(self, videos=Videos.of(videos))

    def annotated_seconds(self, video: Video) -> float:
        """Return the seconds at position 1.0 in results, computed without features."""
        return annotated_seconds(video, self.span_rule)

    def require_fit(self, config: PipelineConfig) -> None:
        """Raise StoreError if the features were packed in a way that does not fit the model."""
        if self.packing is not None:
            self.packing.require_fit(config, self.path)

    def read(self, video_id: str) -> Features:
        """Return one video's features with their position in time.

        Raises FeatureError if there are none, they are damaged, or do not fit the dataset's spec.
        """
        recording = self.open(video_id, mapped=False)
        return recording.rows(0, len(recording))

    def open(self, video_id: str, *, mapped: bool = True) -> Recording:
        """Open one video's features, to read them in parts if the format allows it (npy).

        Raises FeatureError as `read` does; values are checked when they are read.
        """
        if video_id not in self.entries:
            raise FeatureError(f"{self.path}: no features for video {video_id!r}")
        entry = self.entries[video_id]
        if isinstance(entry, PackedFeatures):
            values, grid = entry.values, entry.grid
            if "feature_frames" in self.known.given:
                rescaled = self.packing is None or self.packing.edge is not None
                grid = packed_grid(
                    grid, self[video_id], len(values), self.span_rule, rescaled=rescaled
                )
            return Recording(entry, values, grid)
        table, channels = read_table(entry, mapped=mapped), self.spec.channels
        values = table.values.T if self.spec.layout == "CT" else table.values
        if table.first_column and self.spec.layout != "CT" and values.shape[1] - 1 == channels:
            values = values[:, 1:]  # as the check of the dataset does
        if channels is not None and values.shape[1] != channels:
            raise FeatureError(f"{entry}: {values.shape[1]} channels, {channels} expected")
        video = self.videos[self.videos.indices[video_id]]
        return Recording(entry, values, snippet_grid(video, self.spec, len(values), self.span_rule))


def local_folder(where: StrPath) -> Path:
    """Return the folder, or a temporary one that represents a folder in an object store.

    Raises DataError if nothing is found there, or the store fails.
    """
    if is_url(where):
        return _download(str(where))
    return Path(str(where).removeprefix("file://"))


def url_of(folder: Path) -> str | None:
    """Return the URL that a folder represents, or None."""
    return _urls.get(folder)


def location_of(folder: Path) -> str:
    """Return the argument for `local_folder` on other machines: a folder's URL, or its path."""
    return url_of(folder) or str(folder.resolve())


def open_store(folder: Path, manifest: Manifest) -> PackedIndex:
    """Return the location of every video in a store, local or represented by a local folder."""
    require_installed("pyarrow", extra="arrow", purpose="a packed store")
    url = url_of(folder)
    return open_shards(folder, manifest) if url is None else open_remote_shards(url, manifest)


@cache
def _download(url: str) -> Path:
    storage = ObjectStorage(url)
    names = storage.tree()
    if not names:
        raise DataError(f"{storage.url}: no files found")
    if MANIFEST in names:
        names = [name for name in names if not name.endswith(".arrow")]
    folder = folder_until_exit()

    def download(name: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.download(name, path)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(download, names))
    _urls[folder] = storage.url
    return folder
