"""Settings of BMN, which scores every start and duration in one pass (bmn.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from actspan.config.base import Bounds, Config
from actspan.core.limits import CANDIDATES, CELLS, SIZE

_Size = Annotated[int, Bounds(1, SIZE)]

MapAxes = Literal["start-end", "duration-start"]
BmnPreset = Literal["jjboy2020", "jjboy2019", "mmaction2", "paddle"]  # published codes


class BmnConfig(Config, frozen=True, kw_only=True):
    """Boundary-Matching Network (bmn.md section 1)."""

    channels: _Size = 400  # of the features
    length: Annotated[int, Bounds(2, CELLS)] = 100  # T, the number of cells that the network sees
    # Axes of the confidence map: start and end cell of a proposal, or its duration and start cell.
    axes: MapAxes = "duration-start"
    # D, the longest duration of the map, in cells; T if None. Only for axes "duration-start".
    durations: Annotated[int | None, Bounds(1, CELLS)] = None
    samples: _Size = 32  # N, positions at which the region of a proposal is sampled
    base: _Size = 256  # channels of the temporal layers
    sampled: _Size = 256  # channels of the features that are sampled; the paper has 128
    matched: _Size = 512  # channels of a proposal, after its samples are combined
    hidden: _Size = 128  # channels of the layers over the map


class MatchingConfig(Config, frozen=True, kw_only=True):
    """Candidates of a confidence map, and their scores (bmn.md section 6)."""

    # Starts and ends that are paired: all cells, peaks of the inner cells, or peaks of all cells.
    select: Literal["all", "inner-peaks", "peaks"] = "peaks"
    peak_ratio: Annotated[float, Bounds(0, 1)] = 0.5  # a cell above this share of the maximum
    # Cell whose end score a proposal gets: its last one, or the one after it. After the last cell
    # there is none, so "next" proposals end before the end of the video.
    end: Literal["last", "next"] = "last"
    # Order of the product in float32: ((start x end) x classification) x regression, or
    # (start x end) x (regression x classification).
    product: Literal["left-to-right", "map-first"] = "left-to-right"
    # Candidates per video, those of the highest scores; all if unset.
    keep: Annotated[int | None, Bounds(1, CANDIDATES)] = None
