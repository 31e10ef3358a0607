"""Settings of BMN, which scores every start and duration in one pass (bmn.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from actspan.config.base import Bounds, Config
from actspan.config.base import require_setting as _require
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


# Part of the video that the start and end scores of cell t speak of: the cell itself; a stretch of
# two cells around it; or a stretch of one cell around its first edge.
Anchor = Literal["cell", "around-cell", "around-edge"]


class BmnLossConfig(Config, frozen=True, kw_only=True):
    """Losses of BMN (bmn.md section 4)."""

    regression_weight: Annotated[float, Bounds(0)] = 10.0  # starts, ends and classification have 1
    epsilon: Annotated[float, Bounds(0, 1, excluded=0)] = 1e-6  # keeps the logarithm finite
    # Limits of the ratio of cells to positive cells, which gives positives their weight.
    least_ratio: Annotated[float, Bounds(1)] = 1.0
    most_ratio: Annotated[float | None, Bounds(1)] = None  # no limit if unset
    # Cells that no instance overlaps count as cells of low IoU in the regression.
    without_overlap: bool = False
    shared_draw: bool = False  # the same cells are drawn for all videos of a batch

    def __post_init__(self) -> None:
        super().__post_init__()
        ordered = self.most_ratio is None or self.least_ratio <= self.most_ratio
        _require(ordered, "bmn: least_ratio must not be above most_ratio")
