"""Data passed between the stages: parallel arrays, checked on creation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actspan.core.errors import ShapeError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_NO_PAIRS: Float64 = np.empty((0, 2))
_BOUNDARIES = ("action", "start", "end")


def set_columns(owner: Any, names: Sequence[str], dtype: type[np.floating[Any]]) -> None:
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


@dataclass(frozen=True, slots=True, eq=False, init=False)
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

    def __init__(self, action: ArrayLike, start: ArrayLike, end: ArrayLike) -> None:
        for name, column in zip(_BOUNDARIES, (action, start, end), strict=True):
            object.__setattr__(self, name, column)
        set_columns(self, _BOUNDARIES, np.float32)
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


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Features:
    """Snippet features of one video, and the times of its snippets.

    Snippet i covers [i * stride, i * stride + length] seconds; the span is n * stride, unless
    `covered` gives it. ShapeError is raised for values that are not two-dimensional, empty or not
    finite, and if stride or length is not a positive number.

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
    video : str, optional
        Id of the video, which results carry.
    """

    values: Float32
    stride: float
    length: float
    output_span: float | None
    covered: float | None
    video: str | None

    def __init__(
        self,
        values: ArrayLike,
        stride: float,
        length: float,
        output_span: float | None = None,
        covered: float | None = None,
        *,
        video: str | None = None,
    ) -> None:
        values = np.ascontiguousarray(values, dtype=np.float32)
        if values.ndim != 2 or 0 in values.shape:
            raise ShapeError(f"features have shape {values.shape}; (n, C) with n, C >= 1 is needed")
        if not np.isfinite(values).all():
            raise ShapeError("features contain NaN or infinity")
        if not all(isinstance(x, (int, float, np.number)) and x > 0 for x in (stride, length)):
            raise ShapeError(f"stride {stride!r} and length {length!r} must be positive seconds")
        given = (values, stride, length, output_span, covered, video)
        for name, value in zip(self.__dataclass_fields__, given, strict=True):
            object.__setattr__(self, name, value)

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
            set_columns(self, ("scores",), np.float64)
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
