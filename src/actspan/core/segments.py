"""Scored segments of videos: parallel arrays that know their unit and their video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from actspan.core.errors import ConfigError, ShapeError, UnitError, require, require_installed
from actspan.core.types import Float64, set_columns
from actspan.core.wording import counted

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.axes import Axes

Unit = Literal["fraction", "seconds"]

_COLUMNS = ("start", "end", "score", "start_score", "end_score")
_UNITS: dict[str, str] = {"fraction": "fractions of the feature span", "seconds": "seconds"}


def check_choice(top: object, min_score: object) -> None:
    """Raise ConfigError unless `top` is None or a positive integer, and `min_score` a number."""
    if top is not None and not (isinstance(top, (int, np.integer)) and top >= 1):
        raise ConfigError(f"top is {top!r}; it must be an integer of at least 1")
    if not isinstance(min_score, (int, float, np.number)):
        raise ConfigError(f"min_score is {min_score!r}; it must be a number")


@dataclass(frozen=True, slots=True)
class Segment:
    """One scored segment, as the items of `Proposals`, in their unit."""

    start: float
    end: float
    score: float
    label: str | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class Proposals:
    """Scored segments of one video, best first if a stage says so.

    An integer index and iteration give `Segment` values; a slice, mask or array of indices gives
    `Proposals`.

    Attributes
    ----------
    start, end : (N,) float64
        Positions in `unit`.
    score : (N,) float64
        Score for ranking.
    start_score, end_score : (N,) float64, optional
        Boundary probabilities at `start` and `end`.
    unit : "fraction" or "seconds"
        Fractions of the feature span in [0, 1], or seconds from the start of the video. Functions
        that need the other unit raise UnitError.
    video : str, optional
        Id of the video.
    label : (N,) str, optional
        Label of each segment.

    Raises
    ------
    ShapeError
        Arrays differ in length, or are not one-dimensional.
    UnitError
        `unit` is neither of the two.

    Examples
    --------
    >>> p = Proposals([0.1, 0.4], [0.3, 0.9], [0.8, 0.5], unit="fraction")
    >>> p[0]
    Segment(start=0.1, end=0.3, score=0.8, label=None)
    >>> p[p.score < 0.6].to_seconds(60)
    Proposals(1 segment, seconds, best 24.00-54.00 s 0.50)
    """

    start: Float64
    end: Float64
    score: Float64
    start_score: Float64 | None
    end_score: Float64 | None
    unit: Unit
    video: str | None
    label: NDArray[np.str_] | None

    def __init__(
        self,
        start: ArrayLike,
        end: ArrayLike,
        score: ArrayLike,
        start_score: ArrayLike | None = None,
        end_score: ArrayLike | None = None,
        *,
        unit: Unit,
        video: str | None = None,
        label: Sequence[str] | NDArray[np.str_] | None = None,
    ) -> None:
        if unit not in _UNITS:
            raise UnitError(f"unit {unit!r}: 'fraction' or 'seconds' is needed")
        for name, column in zip(_COLUMNS, (start, end, score, start_score, end_score), strict=True):
            object.__setattr__(self, name, column)
        set_columns(self, _COLUMNS, np.float64)
        if label is not None:
            label = np.asarray(label, dtype=np.str_)
            if label.shape != (len(self),):
                raise ShapeError(f"label has shape {label.shape}; ({len(self)},) is needed")
        for name, value in (("unit", unit), ("video", video), ("label", label)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.start)

    def __iter__(self) -> Iterator[Segment]:
        """Iterate over the segments, in order."""
        labels = [None] * len(self) if self.label is None else self.label.tolist()
        columns = self.start.tolist(), self.end.tolist(), self.score.tolist(), labels
        return map(Segment, *columns)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Segment: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> Self: ...
    def __getitem__(self, index: Any) -> Segment | Self:
        """Return one segment for an integer; select by a slice, mask or indices."""
        if isinstance(index, (int, np.integer)):
            label = None if self.label is None else str(self.label[index])
            return Segment(
                float(self.start[index]), float(self.end[index]), float(self.score[index]), label
            )
        columns = {name: getattr(self, name) for name in (*_COLUMNS, "label")}
        chosen: dict[str, Any] = {k: None if v is None else v[index] for k, v in columns.items()}
        if not (isinstance(index, slice) and index.step is None):
            return type(self)(**chosen, unit=self.unit, video=self.video)
        view = object.__new__(type(self))  # of columns that are valid, so that it is not checked
        for name, value in (chosen | {"unit": self.unit, "video": self.video}).items():
            object.__setattr__(view, name, value)
        return view

    def best(self, top: int | None = None, min_score: float = -np.inf) -> Self:
        """Return the `top` segments of the highest scores, of those that reach `min_score`.

        They are sorted by falling score; equal scores keep their order. Raises ConfigError if
        `top` is not a positive integer, or `min_score` not a number.
        """
        check_choice(top, min_score)
        reach = self.score >= min_score
        chosen = self if reach.all() else self[reach]
        if (chosen.score[1:] > chosen.score[:-1]).any():
            chosen = chosen[np.argsort(-chosen.score, kind="stable")]
        return chosen[:top]

    def with_score(self, score: ArrayLike) -> Self:
        """Return the same segments, ranked by `score`, (N,) float64."""
        return replace(self, score=np.asarray(score, dtype=np.float64))

    def with_label(self, label: Sequence[str]) -> Self:
        """Return the same segments with a label each."""
        return replace(self, label=np.asarray(label, dtype=np.str_))

    def of_video(self, video: str | None) -> Self:
        """Return the same proposals with the id of their video."""
        same = self[:]
        object.__setattr__(same, "video", video)
        return same

    def to_seconds(self, span: float) -> Self:
        """Return the proposals in seconds, if position 1.0 corresponds to `span` seconds.

        Raises UnitError if they are in seconds.
        """
        require_unit(self, "fraction", "to_seconds")
        return replace(self, start=self.start * span, end=self.end * span, unit="seconds")

    def to_fraction(self, span: float) -> Self:
        """Return the proposals as fractions of `span` seconds.

        Raises UnitError if they are fractions.
        """
        require_unit(self, "seconds", "to_fraction")
        return replace(self, start=self.start / span, end=self.end / span, unit="fraction")

    @classmethod
    def empty(cls, unit: Unit, video: str | None = None) -> Self:
        """Return an object without proposals."""
        return cls(*(np.empty(0) for _ in _COLUMNS), unit=unit, video=video)

    @classmethod
    def concat(cls, parts: Iterable[Self]) -> Self:
        """Concatenate all proposals of `parts` in order; drop a column that one part lacks.

        The video's id stays if it is the same in all parts. Raises UnitError if parts differ in
        unit, and ShapeError without parts.
        """
        parts = list(parts)
        units, videos = {part.unit for part in parts}, {part.video for part in parts}
        if not parts:
            raise ShapeError("no proposals to concatenate: give at least one part")
        if len(units) > 1:
            raise UnitError(
                "some proposals are in seconds, others fractions of the feature span: convert "
                "them first: proposals.to_seconds(span)"
            )
        columns: dict[str, Any] = {}
        for name in (*_COLUMNS, "label"):
            arrays = [getattr(part, name) for part in parts]
            columns[name] = None if any(a is None for a in arrays) else np.concatenate(arrays)
        return cls(**columns, unit=units.pop(), video=videos.pop() if len(videos) == 1 else None)

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame, one row per segment; see `to_arrow`.

        `attrs["unit"]` is the unit. Raises MissingExtraError without pandas.
        """
        pandas = require("pandas", extra="pandas", purpose="to_pandas")
        frame: pd.DataFrame = pandas.DataFrame(self._columns())
        frame.attrs["unit"] = self.unit
        return frame

    def to_arrow(self) -> pa.Table:
        """Return a `pyarrow.Table`, one row per segment.

        Columns are video, if it is known, start, end, score, and those of start_score, end_score
        and label that exist. The unit is in the metadata of the schema. Other libraries (polars,
        DuckDB, pandas) read the proposals themselves, by `__arrow_c_stream__`. Raises
        MissingExtraError without pyarrow.
        """
        require_installed("pyarrow", extra="arrow", purpose="to_arrow")
        import pyarrow as pa

        return pa.table(self._columns()).replace_schema_metadata({"unit": self.unit})

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the table as an Arrow C stream."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_json(self) -> str:
        """Return JSON: an object of the video's id, the unit, and a list of segments.

        Each segment has start, end, score, and a label if there are labels.
        """
        names = ("start", "end", "score", *(["label"] if self.label is not None else []))
        rows = zip(*(getattr(self, name).tolist() for name in names), strict=True)
        segments = [dict(zip(names, row, strict=True)) for row in rows]
        content = {"video": self.video, "unit": self.unit, "segments": segments}
        return msgspec.json.encode(content).decode()

    def plot(self, ax: Axes | None = None, *, top: int = 20) -> Axes:
        """Draw the `top` segments of the highest scores as bars over time, the best one on top.

        Draws on `ax`, or on a new figure of pyplot, and returns the axes. Raises MissingExtraError
        without matplotlib.
        """
        from actspan.core.drawing import plot_segments

        return plot_segments(self, ax, top)

    def _repr_html_(self) -> str:
        """Return a timeline and a table of the best segments, for notebooks."""
        from actspan.core.drawing import html_of_segments

        return html_of_segments(self)

    def __repr__(self) -> str:
        texts = [counted(len(self), "segment"), self.unit]
        if self.video is not None:
            texts.insert(0, f"video={self.video!r}")
        if len(self):
            best, sign = self[int(np.argmax(self.score))], " s" * (self.unit == "seconds")
            digits = 2 if self.unit == "seconds" else 3
            ends = f"{best.start:.{digits}f}-{best.end:.{digits}f}{sign}"
            label = f" {best.label}" if best.label else ""
            texts.append(f"best {ends}{label} {best.score:.2f}")
        return f"Proposals({', '.join(texts)})"

    def _columns(self) -> dict[str, Any]:
        """Return the columns of tables by name."""
        columns: dict[str, Any] = {}
        if self.video is not None:
            columns["video"] = [self.video] * len(self)
        for name in _COLUMNS:
            if (column := getattr(self, name)) is not None:
                columns[name] = column
        if self.label is not None:
            columns["label"] = self.label.tolist()
        return columns


def require_unit(proposals: Proposals, unit: Unit, function: str) -> None:
    """Raise UnitError, with the remedy, if proposals are not in the unit that a function needs."""
    if proposals.unit != unit:
        method = "to_seconds" if unit == "seconds" else "to_fraction"
        of_video = "" if proposals.video is None else f" of video {proposals.video!r}"
        raise UnitError(
            f"{function} needs {_UNITS[unit]}, and the proposals{of_video} are "
            f"{'in ' * (proposals.unit == 'seconds')}{_UNITS[proposals.unit]}; convert them: "
            f"proposals.{method}(span), where span is the seconds that the features cover"
        )
