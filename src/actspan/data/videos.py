"""Many annotated videos as parallel columns.

A dataset of a hundred thousand videos would consist mostly of Python objects if each was kept as a
`Video`. Here it is a few arrays, and a `Video` is created on request.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf, isnan
from pathlib import Path
from sys import intern
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import AnnotationError
from actspan.core.limits import SECONDS
from actspan.core.types import Float64, Video
from actspan.core.wording import counted, listed, suggestion
from actspan.data.names import composed, file_stem

Bools = NDArray[np.bool_]

_COUNTS = ("frames", "feature_frames")  # int or None; the other numbers are float or None
_NUMBERS = (*_COUNTS, "fps", "snippet_stride", "snippet_length")
_RARE = ("extra", "ignored", "scores")
SLACK_SECONDS, SLACK_SHARE = 1.0, 0.01  # how far a usable instance may pass the end

# Names of the usual three subsets, in lower case.
SUBSETS = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "testing"),
}


def canonical_id(name: str) -> str:
    """Return the id that a name means.

    A literal `v_`, which some layouts put before every id (bsn.md section 1), is removed. So are
    the folder and suffix of a video file's name. Letters are those of Unicode NFC.
    """
    is_plain = name.isascii() and "." not in name  # as most names
    return (name if is_plain else file_stem(composed(name))).removeprefix("v_")


def canonical_subset(name: str) -> str:
    """Return the usual name of a subset; return other names unchanged.

    Examples
    --------
    >>> canonical_subset("Val"), canonical_subset("test"), canonical_subset("Fold 1")
    ('validation', 'testing', 'Fold 1')
    """
    return intern(SUBSETS.get(name.lower(), name))


class Videos(Sequence[Video]):
    """Annotated videos, in order.

    Attributes
    ----------
    ids, subsets : tuple of str
    durations : (V,) float64
        Seconds; NaN if unknown.
    segments : (M, 2) float64
        Instances of all videos, one video after the other, seconds.
    offsets : (V + 1,) int64
        Video v has the instances offsets[v] <= m < offsets[v + 1].
    counts : (V,) int64
        The number of instances of each video.
    labels : tuple of str
        One per instance.
    indices : dict of str to int
        The index of each video, by id.
    numbers : dict of str to (V,) float64
        "frames", "feature_frames", "fps", "snippet_stride", "snippet_length"; NaN if unknown.
    given : frozenset of str
        Those of the numbers that any video has.

    Examples
    --------
    >>> videos = Videos([Video("a", 9.0), Video("b", 5.0, segments=[[1, 2]], labels=("jump",))])
    >>> videos.ids, videos[1].labels
    (('a', 'b'), ('jump',))
    """

    def __init__(self, videos: Iterable[Video] = ()) -> None:
        ids: list[str] = []
        subsets: list[str] = []
        labels: list[str] = []
        columns = {name: array("d") for name in ("duration", *_NUMBERS)}
        segments, offsets = array("d"), array("q", [0])
        self._rare: dict[int, dict[str, Any]] = {}
        for index, video in enumerate(videos):
            ids.append(video.id)
            subsets.append(video.subset)
            labels.extend(video.labels)
            segments.frombytes(np.ascontiguousarray(video.segments).tobytes())
            offsets.append(len(labels))
            for name, column in columns.items():
                value = getattr(video, name)
                column.append(np.nan if value is None else value)
            values = {name: getattr(video, name) for name in _RARE}
            # `scores` may be empty, which differs from None.
            rare = {n: v for n, v in values.items() if v is not None and (n == "scores" or len(v))}
            if rare:
                self._rare[index] = rare
        self.ids, self.subsets, self.labels = tuple(ids), tuple(subsets), tuple(labels)
        self.indices = {name: index for index, name in enumerate(ids)}
        self.segments: Float64 = np.frombuffer(segments, dtype=np.float64).reshape(-1, 2)
        self.offsets: NDArray[np.int64] = np.frombuffer(offsets, dtype=np.int64)
        self.counts = np.diff(self.offsets)
        self.durations: Float64 = np.frombuffer(columns.pop("duration"), dtype=np.float64)
        self.numbers: dict[str, Float64] = {n: np.frombuffer(c) for n, c in columns.items()}
        self.given = frozenset(n for n, c in self.numbers.items() if not np.isnan(c).all())

    @classmethod
    def of(cls, videos: Iterable[Video]) -> Self:
        """Return the videos as columns; `Videos` are returned unchanged."""
        return videos if isinstance(videos, cls) else cls(videos)

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Video: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Video | Self:
        """Return one video, or those that a slice selects."""
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        place = range(len(self))[index]
        first, last = self.offsets[place : place + 2].tolist()
        numbers: dict[str, Any] = {
            name: int(value) if name in _COUNTS else value
            for name in self.given
            if not isnan(value := self.numbers[name].item(place))
        }
        return Video(
            id=self.ids[place],
            duration=self.durations.item(place),
            subset=self.subsets[place],
            segments=self.segments[first:last],
            labels=self.labels[first:last],
            **numbers,
            **self._rare.get(place, {}),
        )

    def __iter__(self) -> Iterator[Video]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        raise TypeError("videos contain arrays: compare single columns")

    __hash__ = None  # type: ignore[assignment]

    def segments_by_id(self) -> dict[str, Float64]:
        """Return the instances, (M, 2) float64 seconds, of each video that has any."""
        bounds = pairwise(self.offsets.tolist())
        return {n: self.segments[i:j] for n, (i, j) in zip(self.ids, bounds, strict=True) if i < j}

    def select(self, indices: Iterable[int]) -> Self:
        """Return the videos with these indices, in this order."""
        indices = list(indices)
        if indices == list(range(len(self))):
            return self
        return type(self)(self[index] for index in indices)

    def subset(self, name: str | None, where: Path, others: Iterable[str] = ()) -> Self:
        """Return the videos of one subset, by any of its names ("train", "training"); None is all.

        Raises AnnotationError if it has none; the message names `where`, a file or folder, and
        lists the subsets, and `others` that could be chosen too.
        """
        if name is None:
            return self
        chosen = self.indices_in(name)
        if not chosen:
            known = sorted({*self.subsets, *others})
            raise AnnotationError(
                f"{where}: no video in subset {name!r}{suggestion(name, known)}; "
                f"available: {', '.join(map(repr, known)) or 'no videos'}"
            )
        return self.select(chosen)

    def indices_in(self, subset: str) -> list[int]:
        """Return the indices of the videos of a subset, by any of its names."""
        wanted = canonical_subset(subset)
        return [p for p, name in enumerate(self.subsets) if canonical_subset(name) == wanted]

    def with_set_apart(self, ids: Iterable[str], name: str) -> Self:
        """Return the videos with these in a subset, unless the subset already has videos."""
        chosen = set(ids) & set(self.ids)
        if not chosen or self.indices_in(name):
            return self
        return type(self)(replace(v, subset=name) if v.id in chosen else v for v in self)

    def with_instances(self, kept: Bools) -> Self:
        """Return the videos with some of their instances; `kept` is (M,) bool."""
        parts = [kept[i:j] for i, j in pairwise(self.offsets.tolist())]
        pairs = zip(self, parts, strict=True)
        return type(self)(v if part.all() else v.with_instances(part) for v, part in pairs)


def lengths_of(videos: Videos, spans: Float64 | None) -> Float64:
    """Return the duration of each video, (V,), or the span of its features if it is unknown."""
    durations = videos.durations
    return durations if spans is None else np.where(np.isnan(durations), spans, durations)


def ends_of(videos: Videos, lengths: Float64) -> Float64:
    """Return the end of each instance's video, (M,); infinity if its length is NaN."""
    return np.repeat(np.where(np.isnan(lengths), inf, lengths), videos.counts)


def allowed_ends(ends: Float64) -> Float64:
    """Return the seconds at which usable instances may end, given the ends of their videos."""
    allowed: Float64 = ends + np.maximum(SLACK_SECONDS, SLACK_SHARE * ends)
    return allowed


def good_segments(videos: Videos, spans: Float64 | None = None) -> Bools:
    """Return which segments have a positive length and are in their video, (M,) bool.

    `spans` (V,) are the seconds that features cover: the end of videos of unknown duration.
    """
    start, end = videos.segments.T
    latest = ends_of(videos, lengths_of(videos, spans))
    good: Bools = (start >= 0) & (start < end) & (end <= SECONDS)
    good &= (start < latest) & (end <= allowed_ends(latest))
    return good


def possible_mistakes(path: Path, videos: Videos) -> Iterator[str]:
    """Yield notes about instances that occur twice, and labels that are nearly equal."""
    start, end = videos.segments.T
    video = np.repeat(np.arange(len(videos)), videos.counts)
    order = np.lexsort((end, start, video))
    same = np.all([x[order[1:]] == x[order[:-1]] for x in (video, start, end)], axis=0)
    alike = np.union1d(order[:-1][same], order[1:][same]).tolist() if same.any() else ()
    keys = Counter((video.item(i), start.item(i), end.item(i), videos.labels[i]) for i in alike)
    count = keys.total() - len(keys)
    if count:
        names = dict.fromkeys(videos.ids[key[0]] for key, number in keys.items() if number > 1)
        occur = "instances occur" if count > 1 else "instance occurs"
        yield (
            f"{path}: {count:,} {occur} twice, with the same video, times and label: "
            f"{counted(len(names), 'video')} ({listed(names)})"
        )
    variants: dict[str, list[str]] = {}
    for label in dict.fromkeys(videos.labels):
        name = label if label.isascii() else composed(label)
        variants.setdefault(" ".join(name.casefold().split()), []).append(label)
    groups = [" and ".join(map(repr, labels)) for labels in variants.values() if len(labels) > 1]
    if groups:
        yield (
            f"{path}: labels that differ only in capitals, blanks or Unicode form are "
            f"different classes: {listed(groups, 12)}"
        )
