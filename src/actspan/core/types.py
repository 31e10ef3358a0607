"""Data passed between the stages: parallel arrays, checked on creation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actspan.core.errors import ShapeError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_NO_PAIRS: Float64 = np.empty((0, 2))
_COLUMNS = ("start", "end", "score", "start_score", "end_score")  # of proposals
_BOUNDARIES = ("action", "start", "end")


def _set_columns(owner: Any, names: Sequence[str], dtype: type[np.floating[Any]]) -> None:
    """Convert columns to one-dimensional arrays, and raise ShapeError if their lengths differ."""
    for name in names:
        if (value := getattr(owner, name)) is None:  # never the first column
            continue
        array = np.ascontiguousarray(value, dtype=dtype)
        if array.ndim != 1:
            raise ShapeError(f"{name} has shape {array.shape}; it must be one-dimensional")
        object.__setattr__(owner, name, array)
        length = len(getattr(owner, names[0]))
        if len(array) != length:
            raise ShapeError(f"{name} has {len(array)} entries, {names[0]} has {length}")


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """Scored segments of one video, best first if a stage says so.

    Attributes
    ----------
    start, end : (N,) float64
        Fractions of the feature span in [0, 1], or seconds if the function that made them says so.
    score : (N,) float64
        Score for ranking.
    start_score, end_score : (N,) float64, optional
        Boundary probabilities at `start` and `end`.

    Raises
    ------
    ShapeError
        Arrays differ in length, or are not one-dimensional.

    Examples
    --------
    >>> p = Proposals([0.1, 0.4], [0.3, 0.9], [0.8, 0.5])
    >>> len(p[:1]), p[p.score > 0.9].start.size
    (1, 0)
    """

    start: Float64
    end: Float64
    score: Float64
    start_score: Float64 | None = None
    end_score: Float64 | None = None

    def __post_init__(self) -> None:
        _set_columns(self, _COLUMNS, np.float64)

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, index: Any) -> Self:
        """Select by slice, mask or indices; raise for an integer, which would drop an axis."""
        if isinstance(index, (int, np.integer)):
            raise ShapeError(f"index proposals by slice, mask or array: use [{index}:{index + 1}]")
        columns = {name: getattr(self, name) for name in _COLUMNS}
        chosen: dict[str, Any] = {k: None if v is None else v[index] for k, v in columns.items()}
        if not (isinstance(index, slice) and index.step is None):
            return type(self)(**chosen)
        view = object.__new__(type(self))  # of columns that are valid, so that it is not checked
        for name, column in chosen.items():
            object.__setattr__(view, name, column)
        return view

    def with_score(self, score: ArrayLike) -> Self:
        """Return the same segments, ranked by `score`, (N,) float64."""
        return replace(self, score=np.asarray(score, dtype=np.float64))

    def scaled(self, seconds: float) -> Self:
        """Return the same proposals with `start` and `end` multiplied by `seconds`."""
        return replace(self, start=self.start * seconds, end=self.end * seconds)

    @classmethod
    def empty(cls) -> Self:
        """Return an object without proposals."""
        return cls(*(np.empty(0) for _ in _COLUMNS))

    @classmethod
    def concat(cls, parts: Iterable[Self]) -> Self:
        """Concatenate all proposals of `parts` in order; drop a column that one part lacks."""
        parts = list(parts)
        if not parts:
            return cls.empty()
        columns: dict[str, Any] = {}
        for name in _COLUMNS:
            arrays = [getattr(part, name) for part in parts]
            columns[name] = None if any(a is None for a in arrays) else np.concatenate(arrays)
        return cls(**columns)


@dataclass(frozen=True, slots=True, eq=False)
class RaggedProposals:
    """Proposals of several videos in common columns, video after video.

    Examples
    --------
    >>> parts = Proposals([0.1], [0.3], [0.8]), Proposals.empty()
    >>> [len(part) for part in RaggedProposals.of(parts)]
    [1, 0]
    """

    together: Proposals  # of all videos
    ends: NDArray[np.int64]  # (B,); rows of video b end before ends[b]

    @classmethod
    def of(cls, parts: Sequence[Proposals]) -> Self:
        """Join the proposals of several videos, one part per video."""
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        return cls(Proposals.concat(parts), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[Proposals]:
        """Iterate over the videos; yield each one's proposals, without a copy."""
        return (self.together[rows] for rows in self.rows())

    def rows(self) -> Iterator[slice]:
        """Yield the rows of each video in the columns."""
        begin = 0
        for end in self.ends.tolist():
            yield slice(begin, end)
            begin = end


@dataclass(frozen=True, slots=True, eq=False)
class BoundaryScores:
    """TEM's scores of the T cells of a video; ShapeError if empty or not finite.

    Attributes
    ----------
    action, start, end : (T,) float32
        Probability, in [0, 1], that the cell lies in an action, contains a start, contains an end.
    """

    action: Float32
    start: Float32
    end: Float32

    def __post_init__(self) -> None:
        _set_columns(self, _BOUNDARIES, np.float32)
        for name in _BOUNDARIES:
            if not np.isfinite(getattr(self, name)).all():
                raise ShapeError(f"boundary scores: {name} contains NaN or infinity")
        if len(self.action) == 0:
            raise ShapeError("boundary scores are empty: at least one cell is needed")

    def __len__(self) -> int:
        return len(self.action)

    def __getitem__(self, index: slice) -> Self:
        """Return the cells of a slice."""
        return type(self)(self.action[index], self.start[index], self.end[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the scores as (3, T): action, start, end."""
        stacked = np.stack([self.action, self.start, self.end])
        return stacked if dtype is None else stacked.astype(dtype)

    @classmethod
    def from_array(cls, array: ArrayLike) -> Self:
        """Create scores from (3, T): action, start, end."""
        array = np.asarray(array)
        if array.ndim != 2 or array.shape[0] != 3:
            raise ShapeError(f"boundary scores have shape {array.shape}; (3, T) is needed")
        return cls(array[0], array[1], array[2])


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Snippet features of one video, and the times of its snippets.

    Snippet i covers [i * stride, i * stride + length] seconds; the span is n * stride, unless
    `covered` gives it. ShapeError is raised for values that are not two-dimensional, empty or not
    finite, and if stride or length is not positive.

    Attributes
    ----------
    values : (n, C) float32
    stride, length : float
        Seconds.
    output_span : float, optional
        Seconds that position 1.0 corresponds to in results, if different from the span (the
        authors' ActivityNet layout).
    covered : float, optional
        The span in seconds, if it is not exactly n * stride (the authors' layout).
    """

    values: Float32
    stride: float
    length: float
    output_span: float | None = None
    covered: float | None = None

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, dtype=np.float32)
        if values.ndim != 2 or 0 in values.shape:
            raise ShapeError(f"features have shape {values.shape}; (n, C) with n, C >= 1 is needed")
        if not np.isfinite(values).all():
            raise ShapeError("features contain NaN or infinity")
        if not (self.stride > 0 and self.length > 0):
            raise ShapeError(f"stride {self.stride} s and length {self.length} s must be positive")
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, first: int, last: int) -> Self:
        """Return the snippets first <= i < last, with their share of the output span."""
        if first == 0 and last == len(self):
            return self
        values = self.values[first:last]
        share = len(values) / len(self.values)
        output_span = None if self.output_span is None else self.output_span * share
        return replace(self, values=values, output_span=output_span, covered=None)

    @property
    def span(self) -> float:
        """Seconds that the features cover."""
        return len(self.values) * self.stride if self.covered is None else self.covered

    @property
    def seconds(self) -> float:
        """Seconds that position 1.0 corresponds to in results."""
        return self.span if self.output_span is None else self.output_span


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """One annotated video; ShapeError if labels or scores are not as many as the segments."""

    id: str  # without the prefix `v_` of some layouts
    duration: float  # seconds; NaN if unknown, so that only the features give it
    subset: str = ""  # "training", "validation", "testing", or "" if the source does not say
    # (M, 2) start and end of each instance, seconds, as annotated (not clipped)
    segments: Float64 = field(default_factory=lambda: _NO_PAIRS)
    labels: tuple[str, ...] = ()  # one per instance
    frames: int | None = None
    fps: float | None = None
    # Frames that the features cover, in the authors' layout; they fix both spans there.
    feature_frames: int | None = None
    snippet_stride: float | None = None  # seconds; this video's own snippet grid
    snippet_length: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  # other keys of the source, for writing
    # (K, 2) ambiguous stretches, seconds (THUMOS14): neither ground truth nor background. A
    # detection that touches one and matches no instance does not count as false.
    ignored: Float64 = field(default_factory=lambda: _NO_PAIRS)
    scores: Float64 | None = None  # (M,) if the instances are proposals or detections

    def __post_init__(self) -> None:
        for name in ("segments", "ignored"):
            value = getattr(self, name)
            if value is not _NO_PAIRS:  # all empty ones share it, which saves memory
                pairs = np.asarray(value, dtype=np.float64)
                object.__setattr__(self, name, pairs.reshape(-1, 2) if pairs.size else _NO_PAIRS)
        if self.scores is not None:
            _set_columns(self, ("scores",), np.float64)
        for name, column in (("labels", self.labels), ("scores", self.scores)):
            if column is not None and len(column) != len(self.segments):
                raise ShapeError(
                    f"{self.id}: {len(column)} {name} for {len(self.segments)} segments"
                )

    def instances(self) -> Iterator[tuple[float, float, str]]:
        """Yield (start, end, label) of every instance, seconds."""
        for (start, end), label in zip(self.segments.tolist(), self.labels, strict=True):
            yield start, end, label

    def with_instances(self, kept: ArrayLike) -> Self:
        """Return the video with some of its instances: a mask, (M,) bool, or positions."""
        index = np.asarray(kept)
        chosen = np.arange(len(self.segments))[index if index.size else []]
        return replace(
            self,
            segments=self.segments[chosen],
            labels=tuple(self.labels[i] for i in chosen.tolist()),
            scores=None if self.scores is None else self.scores[chosen],
        )
