"""Boundary matching: a confidence map to candidate segments with scores (bmn.md section 6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actspan.config.bmn import MapAxes, MatchingConfig
from actspan.core.kernels import descending, kernel
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals
from actspan.core.types import Float32, Float64
from actspan.proposals.confidence_map import checked_outputs, place

_SELECTIONS = ("all", "inner-peaks", "peaks")  # the kernels have their positions
_INNER, _PEAKS = 1, 2


def match_boundaries(
    confidence_map: ArrayLike,
    start: ArrayLike,
    end: ArrayLike,
    config: MatchingConfig | None = None,
    *,
    axes: MapAxes = "duration-start",
    inner_edges: tuple[bool, bool] = (False, False),
) -> Proposals:
    """Create and score a candidate for every start and later end that `config` selects.

    The score of a candidate is start score x end score x classification x regression, in float32
    in the order of `config.product`.

    Parameters
    ----------
    confidence_map : (2, R, T) float32
        Regression and classification of each proposal, by start and end cell (R = T) or by
        duration and start cell (R <= T).
    start, end : (T,) float32
    config : MatchingConfig, optional
    axes : "start-end" or "duration-start"
        Rows and columns of the map.
    inner_edges : (bool, bool)
        True if the recording continues before the first, or after the last cell of this window.
        Nothing starts or ends in such a cell, because it is an inner cell of another window.

    Returns
    -------
    Proposals
        In the order of their rows and then columns of the map, also where `config.keep` leaves
        the others out. Positions are fractions of the feature span.

    Raises
    ------
    ShapeError
        Shapes do not fit, or a score is not finite.

    Examples
    --------
    >>> confidence_map = np.zeros((2, 4, 4))
    >>> confidence_map[:, 2, 1] = 0.5  # three cells from cell 1
    >>> p = match_boundaries(confidence_map, [0.1, 0.8, 0, 0], [0, 0, 0, 0.5])
    >>> p.best(1)
    Proposals(1 segment, fraction, best 0.250-1.000 0.10)
    """
    grid, starts, ends = checked_outputs(confidence_map, start, end, axes)
    batch = grid[None], starts[None], ends[None]
    config, cells = config or MatchingConfig(), [len(starts)]
    return match_boundaries_batch(*batch, axes, config, cells, [inner_edges])[0].together


def match_boundaries_batch(
    confidence_map: Float32,
    start: Float32,
    end: Float32,
    axes: MapAxes,
    config: MatchingConfig,
    cells: Sequence[int],
    inner_edges: Sequence[tuple[bool, bool]],
) -> tuple[RaggedProposals, Float32]:
    """Find the candidates of each of many videos, as `match_boundaries` does.

    Values are not checked.

    Parameters
    ----------
    confidence_map : (B, 2, R, T) float32
    start, end : (B, T) float32
    axes : "start-end" or "duration-start"
    config : MatchingConfig
    cells : sequence of int
        Cells of each video or window that are not padding, at most T.
    inner_edges : sequence of (bool, bool)

    Returns
    -------
    candidates : RaggedProposals
        Fractions of the cells that are not padding.
    confidence : (sum N,) float32
        Regression x classification of each candidate.
    """
    columns, confidence, ends = _match_each(
        confidence_map,
        start,
        end,
        axes == "duration-start",
        _SELECTIONS.index(config.select),
        config.peak_ratio,
        int(config.end == "next"),
        config.product == "map-first",
        np.array(cells, dtype=np.int64),
        np.array(inner_edges, dtype=np.bool_),
        np.iinfo(np.int64).max if config.keep is None else config.keep,
    )
    return RaggedProposals(Proposals(*columns, unit="fraction"), ends), confidence


def match_boundaries_plain(
    confidence_map: Float32,
    start: Float32,
    end: Float32,
    axes: MapAxes,
    config: MatchingConfig,
    inner_edges: tuple[bool, bool] = (False, False),
) -> tuple[Proposals, Float32]:
    """Compute `match_boundaries`, and the confidence of each candidate, in plain NumPy."""
    n = len(start)
    starts, ends = _selected_plain(start, config), _selected_plain(end, config)
    if config.select != "all":
        starts[0] = ends[-1] = True
        if config.select == "inner-peaks":
            starts[-1] = ends[0] = False
    starts[0] &= not inner_edges[0]
    ends[-1] &= not inner_edges[1]
    row, column = np.indices(confidence_map.shape[1:]).reshape(2, -1)
    first, last = (row, column) if axes == "start-end" else (column, column + row)
    scored = last + 1 if config.end == "next" else last  # the cell of the end score
    able = (first <= last) & (scored < n)
    able[able] = starts[first[able]] & ends[scored[able]]
    first, last, scored, row, column = (x[able] for x in (first, last, scored, row, column))
    regression, classification = confidence_map[:, row, column]
    start_score, end_score, confidence = start[first], end[scored], regression * classification
    score = start_score * end_score
    score = (
        score * confidence if config.product == "map-first" else score * classification * regression
    )
    kept = np.sort(np.argsort(-score, kind="stable")[: config.keep])
    candidates = Proposals(
        first / n, (last + 1) / n, score, start_score, end_score, unit="fraction"
    )
    return candidates[kept], confidence[kept]


def _selected_plain(values: Float32, config: MatchingConfig) -> NDArray[np.bool_]:
    """Mark cells above a share of the maximum or above both neighbours, or all; (n,) bool."""
    if config.select == "all":
        return np.ones(len(values), dtype=np.bool_)
    padded = np.pad(values, 1)
    peak = (values > padded[:-2]) & (values > padded[2:])
    return peak | (values.astype(np.float64) > config.peak_ratio * np.float64(values.max()))


@kernel
def _match_each(
    confidence_map: Float32,
    start: Float32,
    end: Float32,
    by_duration: bool,
    selection: int,
    ratio: float,
    after: int,
    map_first: bool,
    cells: NDArray[np.int64],
    inner_edges: NDArray[np.bool_],
    keep: int,
) -> tuple[Float64, Float32, NDArray[np.int64]]:
    """Return the columns of `Proposals`, (5, sum N), the confidence, and each video's end row.

    The end score of a proposal is that of its last cell, or of the cell `after` that (1).
    """
    starts, ends = np.empty(start.shape, dtype=np.bool_), np.empty(end.shape, dtype=np.bool_)
    durations = confidence_map.shape[2]
    pairs = np.empty_like(cells)
    for video, n in enumerate(cells):
        _select(start[video, :n], selection, ratio, starts[video, :n])
        _select(end[video, :n], selection, ratio, ends[video, :n])
        if selection != 0:
            starts[video, 0] = ends[video, n - 1] = True
        if selection == _INNER:
            starts[video, n - 1] = ends[video, 0] = False
        starts[video, 0] &= not inner_edges[video, 0]
        ends[video, n - 1] &= not inner_edges[video, 1]
        pairs[video] = _count_pairs(starts[video, :n], ends[video, :n], after, durations)
    row_ends = np.cumsum(np.minimum(pairs, keep))
    columns = np.empty((5, row_ends[-1]))
    confidence = np.empty(row_ends[-1], dtype=np.float32)
    begin = 0
    for video, n in enumerate(cells):
        rows = slice(begin, row_ends[video])
        first, last = _pair(
            starts[video, :n], ends[video, :n], after, durations, by_duration, pairs[video]
        )
        _score_pairs(
            confidence_map[video],
            start[video],
            end[video],
            by_duration,
            map_first,
            n,
            after,
            first,
            last,
            columns[:, rows],
            confidence[rows],
        )
        begin = row_ends[video]
    return columns, confidence, row_ends


@kernel
def _select(values: Float32, selection: int, ratio: float, selected: NDArray[np.bool_]) -> None:
    """Mark all cells, or peaks; beyond the first and last cell, scores count as 0."""
    threshold = ratio * np.float64(values.max())
    for t in range(len(values)):
        before = values[t - 1] if t > 0 else np.float32(0.0)
        behind = values[t + 1] if t + 1 < len(values) else np.float32(0.0)
        peak = values[t] > before and values[t] > behind
        selected[t] = selection == 0 or peak or values[t] > threshold


@kernel
def _count_pairs(
    starts: NDArray[np.bool_], ends: NDArray[np.bool_], after: int, durations: int
) -> int:
    """Count the pairs of a start and an end of at most that many cells."""
    count = before = 0
    for last in range(len(starts) - after):
        before += starts[last]
        if last >= durations:
            before -= starts[last - durations]
        count += before * ends[last + after]
    return count


@kernel
def _pair(
    starts: NDArray[np.bool_],
    ends: NDArray[np.bool_],
    after: int,
    durations: int,
    by_duration: bool,
    count: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return first and last cell of the pairs, by rows and then columns of the map, (N,) each."""
    first, last = np.empty(count, dtype=np.int32), np.empty(count, dtype=np.int32)
    n, k = len(starts) - after, 0
    for row in range(min(durations, n)):
        for column in range(0 if by_duration else row, n - row if by_duration else n):
            s, e = (column, column + row) if by_duration else (row, column)
            if starts[s] and ends[e + after]:
                first[k], last[k] = s, e
                k += 1
    return first, last


@kernel
def _score_pairs(
    confidence_map: Float32,
    start: Float32,
    end: Float32,
    by_duration: bool,
    map_first: bool,
    n: int,
    after: int,
    first: NDArray[np.int32],
    last: NDArray[np.int32],
    columns: Float64,
    confidence: Float32,
) -> None:
    """Write the pairs of the highest scores, as many as there are columns, in their order."""
    score = np.empty(len(first))
    for k in range(len(first)):
        row, column = place(first[k], last[k], by_duration)
        regression, classification = confidence_map[0, row, column], confidence_map[1, row, column]
        boundaries = start[first[k]] * end[last[k] + after]
        if map_first:
            score[k] = boundaries * (regression * classification)
        else:
            score[k] = boundaries * classification * regression
    kept = np.arange(len(first), dtype=np.int32)
    if len(confidence) < len(first):
        kept = np.sort(descending(score)[: len(confidence)])
    for k, pair in enumerate(kept):
        s, e = first[pair], last[pair]
        row, column = place(s, e, by_duration)
        columns[0, k], columns[1, k] = s / n, (e + 1) / n
        columns[2, k], columns[3, k], columns[4, k] = score[pair], start[s], end[e + after]
        confidence[k] = confidence_map[0, row, column] * confidence_map[1, row, column]
