"""One video's features on disk, read in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import FeatureError, ShapeError
from actspan.core.types import Features
from actspan.data.readers import Entry
from actspan.data.store.places import Packed
from actspan.data.timebase import SnippetGrid


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One video's features, read in parts.

    Attributes
    ----------
    entry : Entry or Packed
        Their location.
    values : (n, C) array
        In memory or mapped, of any numeric type.
    grid : SnippetGrid
        Their position in time.
    """

    entry: Entry | Packed
    values: NDArray[Any]
    grid: SnippetGrid

    def __len__(self) -> int:
        return len(self.values)

    @property
    def seconds(self) -> float:
        """Seconds at position 1.0 in results; known without reading."""
        span = self.grid.output_span
        return len(self.values) * self.grid.stride if span is None else span

    def rows(self, first: int, last: int) -> Features:
        """Return the snippets first <= i < last, with their share of the output span.

        Raises
        ------
        FeatureError
            They hold NaN or infinity.
        """
        values = np.asarray(self.values[first:last], dtype=np.float32)
        stride, length, span, covered = self.grid
        share = len(values) / len(self.values)
        output_span = None if span is None else span * share
        try:
            return Features(values, stride, length, output_span, covered if share == 1 else None)
        except ShapeError as error:
            raise FeatureError(f"{self.entry}: {error}") from error
