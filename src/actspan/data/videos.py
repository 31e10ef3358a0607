"""Many annotated videos as parallel columns.

A dataset of a hundred thousand videos would consist mostly of Python objects if each was kept as a
`Video`. Here it is a few arrays, and a `Video` is created on request.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import pairwise
from math import isnan
from pathlib import Path
from sys import intern
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.types import Float64, Video
from actspan.core.wording import suggestion

_COUNTS = ("frames", "feature_frames")  # int or None
_RATES = ("fps", "snippet_stride", "snippet_length")  # float or None
_RARE = ("extra", "ignored", "scores")
_LISTED = 30  # labels that a message names

# Names of the usual three subsets, in lower case.
_SUBSETS = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "testing"),
}


def canonical_subset(name: str) -> str:
    """Return the usual name of a subset; return other names unchanged.

    Examples
    --------
    >>> canonical_subset("Val"), canonical_subset("test"), canonical_subset("Fold 1")
    ('validation', 'testing', 'Fold 1')
    """
    return intern(_SUBSETS.get(name.lower(), name))


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
    labels : tuple of str
        One per instance.

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
        numbers = {name: array("d") for name in ("duration", *_COUNTS, *_RATES)}
        segments, offsets = array("d"), array("q", [0])
        self._rare: dict[int, dict[str, Any]] = {}
        for place, video in enumerate(videos):
            ids.append(video.id)
            subsets.append(video.subset)
            labels.extend(video.labels)
            segments.frombytes(np.ascontiguousarray(video.segments).tobytes())
            offsets.append(len(labels))
            for name, column in numbers.items():
                value = getattr(video, name)
                column.append(np.nan if value is None else value)
            values = {name: getattr(video, name) for name in _RARE}
            # `scores` may be empty, which differs from None.
            rare = {n: v for n, v in values.items() if v is not None and (n == "scores" or len(v))}
            if rare:
                self._rare[place] = rare
        self.ids, self.subsets, self.labels = tuple(ids), tuple(subsets), tuple(labels)
        self.segments: Float64 = np.frombuffer(segments, dtype=np.float64).reshape(-1, 2)
        self.offsets: NDArray[np.int64] = np.frombuffer(offsets, dtype=np.int64)
        self.durations: Float64 = np.frombuffer(numbers.pop("duration"), dtype=np.float64)
        columns = {name: np.frombuffer(column) for name, column in numbers.items()}
        self._numbers = {n: column for n, column in columns.items() if not np.isnan(column).all()}

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
            for name, column in self._numbers.items()
            if not isnan(value := column.item(place))
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
        raise TypeError("videos hold arrays: compare what you need of them")

    __hash__ = None  # type: ignore[assignment]

    @property
    def counts(self) -> NDArray[np.int64]:
        """The number of instances of each video, (V,) int64."""
        return np.diff(self.offsets)

    def numbers(self, name: str) -> Float64:
        """Return a number of each video ("frames", "fps", ...), (V,) float64; NaN for None."""
        column = self._numbers.get(name)
        return np.full(len(self), np.nan) if column is None else column

    def has(self, name: str) -> bool:
        """Return whether any video has this number."""
        return name in self._numbers

    def segments_by_id(self) -> dict[str, Float64]:
        """Return the instances, (M, 2) float64 seconds, of each video that has any."""
        first, last = self.offsets[:-1].tolist(), self.offsets[1:].tolist()
        bounds = zip(self.ids, first, last, strict=True)
        return {name: self.segments[i:j] for name, i, j in bounds if i < j}

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each video by id."""
        return {name: place for place, name in enumerate(self.ids)}

    def select(self, places: Iterable[int]) -> Self:
        """Return the videos at these places, in this order."""
        places = list(places)
        if places == list(range(len(self))):
            return self
        return type(self)(self[place] for place in places)

    def subset(self, name: str, where: Path, others: Iterable[str] = ()) -> Self:
        """Return the videos of one subset, by any of its names ("train" is "training", ...).

        Raises AnnotationError if it has none; the message names `where`, a file or folder, and
        lists the subsets, and `others` that could be chosen too.
        """
        chosen = self.places_in(name)
        if not chosen:
            there = sorted({*self.subsets, *others})
            raise AnnotationError(
                f"{where}: no video in subset {name!r}{suggestion(name, there)}; "
                f"there are: {', '.join(map(repr, there)) or 'no videos'}"
            )
        return self.select(chosen)

    def places_in(self, subset: str) -> list[int]:
        """Return the places of the videos of a subset, by any of its names."""
        wanted = canonical_subset(subset)
        return [p for p, found in enumerate(self.subsets) if canonical_subset(found) == wanted]

    def with_set_apart(self, ids: Iterable[str], name: str) -> Self:
        """Return the videos with these in a subset, unless the subset already has videos."""
        chosen = set(ids) & set(self.ids)
        if not chosen or self.places_in(name):
            return self
        return type(self)(replace(v, subset=name) if v.id in chosen else v for v in self)

    def with_instances(self, kept: NDArray[np.bool_]) -> Self:
        """Return the videos with some of their instances; `kept` is (M,) bool."""
        parts = [kept[i:j] for i, j in pairwise(self.offsets.tolist())]
        pairs = zip(self, parts, strict=True)
        return type(self)(v if part.all() else v.with_instances(part) for v, part in pairs)


def split_patterns(values: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of an option, which may be repeated or have several separated by commas.

    Raises ConfigError if a value has no pattern, for example because a shell variable is not set.

    Examples
    --------
    >>> split_patterns(["*_TO_*", "Diving, HighJump"])
    ('*_TO_*', 'Diving', 'HighJump')
    """
    patterns: list[str] = []
    for value in values:
        found = [part.strip() for part in value.split(",") if part.strip()]
        if not found:
            raise ConfigError(f"--labels {value!r} is empty: name labels, or leave it out for all")
        patterns += found
    return tuple(patterns)


def with_labels(videos: Iterable[Video], patterns: Iterable[str]) -> Videos:
    """Return the videos with only the instances whose label matches one of the patterns.

    All videos stay, also those without such an instance: the rest of them is background. `ignored`
    segments stay ignored. Patterns are as for file names, and case-sensitive: `*` any text, `?` any
    character, `[ab]` one of these. No patterns keep everything. Raises AnnotationError, which lists
    the labels, if a pattern matches none.

    Examples
    --------
    >>> video = Video("a", 60.0, segments=[[0, 9], [10, 12]], labels=("SIT", "SIT_TO_STAND"))
    >>> with_labels([video], ["*_TO_*"])[0].labels
    ('SIT_TO_STAND',)
    """
    videos, patterns = Videos.of(videos), tuple(patterns)
    if not patterns:
        return videos
    there = sorted(set(videos.labels))
    wanted: set[str] = set()
    for pattern in patterns:
        matching = {label for label in there if fnmatchcase(label, pattern)}
        if not matching:
            names = ", ".join(there[:_LISTED]) or "none at all"
            rest = f", ... ({len(there)} in all)" if len(there) > _LISTED else ""
            raise AnnotationError(
                f"no label matches {pattern!r}{suggestion(pattern.strip('*'), there)}; there are: "
                f"{names}{rest}"
            )
        wanted |= matching
    return videos.with_instances(np.array([label in wanted for label in videos.labels], dtype=bool))
