"""Candidates of confidence maps: the kernel against its plain twin, and edge cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actspan import Proposals, match_boundaries
from actspan.config.base import to_dict
from actspan.config.bmn import MapAxes, MatchingConfig
from actspan.config.bmn_presets import BMN_PIPELINES
from actspan.core.errors import ConfigError, ShapeError
from actspan.core.types import Float32
from actspan.proposals.confidence_map import boundary_scores
from actspan.proposals.matching import match_boundaries_batch, match_boundaries_plain

COLUMNS = ("start", "end", "score", "start_score", "end_score")
AXES: tuple[MapAxes, ...] = get_args(MapAxes)


@dataclass
class Outputs:
    """Outputs of BMN for a batch of windows, of which some have padding."""

    axes: MapAxes
    confidence_map: Float32  # (B, 2, R, C)
    start: Float32  # (B, T)
    end: Float32
    cells: list[int]
    inner_edges: list[tuple[bool, bool]]

    def of_window(self, number: int) -> tuple[Float32, Float32, Float32]:
        """Return map, start and end of a window without its padding."""
        n = self.cells[number]
        confidence_map = self.confidence_map[number, :, :n, :n]
        return confidence_map, self.start[number, :n], self.end[number, :n]


@st.composite
def outputs(draw: st.DrawFn) -> Outputs:
    """Draw outputs of few cells, some with coarse values, so that there are ties and plateaus."""
    axes, length = draw(st.sampled_from(AXES)), draw(st.integers(2, 9))
    rows = length if axes == "start-end" else draw(st.integers(1, length))
    batch = draw(st.integers(1, 3))
    coarse = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    values = draw(st.sampled_from([st.floats(0, 1, width=32), coarse]))

    def array(*shape: int) -> Float32:
        return draw(hnp.arrays(np.float32, (batch, *shape), elements=values))

    return Outputs(
        axes,
        array(2, rows, length),
        array(length),
        array(length),
        draw(st.lists(st.integers(1, length), min_size=batch, max_size=batch)),
        draw(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=batch, max_size=batch)),
    )


def configs() -> st.SearchStrategy[MatchingConfig]:
    return st.builds(
        MatchingConfig,
        select=st.sampled_from(["all", "inner-peaks", "peaks"]),
        peak_ratio=st.sampled_from([0.0, 0.5, 0.7, 1.0]),
        end=st.sampled_from(["last", "next"]),
        product=st.sampled_from(["left-to-right", "map-first"]),
        keep=st.one_of(st.none(), st.integers(1, 20)),
    )


def match(given: Outputs, config: MatchingConfig) -> list[tuple[Proposals, Float32]]:
    """Return the candidates of each window, and their confidence."""
    found, confidence = match_boundaries_batch(
        given.confidence_map,
        given.start,
        given.end,
        given.axes,
        config,
        given.cells,
        given.inner_edges,
    )
    return [(part, confidence[rows]) for part, rows in zip(found, found.rows(), strict=True)]


@given(outputs(), configs())
def test_kernel_equals_its_plain_twin(given: Outputs, config: MatchingConfig) -> None:
    found = match(given, config)
    assert len(found) == len(given.cells)
    for number, (candidates, confidence) in enumerate(found):
        edges = given.inner_edges[number]
        expected, product = match_boundaries_plain(
            *given.of_window(number), given.axes, config, edges
        )
        for column in COLUMNS:
            np.testing.assert_array_equal(getattr(candidates, column), getattr(expected, column))
        np.testing.assert_array_equal(confidence, product)


@given(outputs(), configs())
def test_nothing_depends_on_padding_or_leaves_the_window(
    given: Outputs, config: MatchingConfig
) -> None:
    before = match(given, config)
    for number, n in enumerate(given.cells):
        given.start[number, n:] = given.end[number, n:] = 7.0
        given.confidence_map[number, :, :, n:] = 7.0
        if given.axes == "start-end":
            given.confidence_map[number, :, n:] = 7.0
    for (candidates, _), (same, _), edges, n in zip(
        match(given, config), before, given.inner_edges, given.cells, strict=True
    ):
        for column in COLUMNS:
            np.testing.assert_array_equal(getattr(candidates, column), getattr(same, column))
        assert (candidates.start < candidates.end).all()
        assert not edges[0] or (candidates.start > 0).all()
        # the cell of the end score, which is the position or the cell before it
        scored = np.round(candidates.end * n) - (config.end == "last")
        assert (scored < (n - 1 if edges[1] else n)).all()


@given(outputs(), configs(), st.integers(1, 6))
def test_a_limit_keeps_the_best_candidates_in_their_order(
    given: Outputs, config: MatchingConfig, keep: int
) -> None:
    everything = match(given, MatchingConfig(**to_dict(config) | {"keep": None}))
    limited = match(given, MatchingConfig(**to_dict(config) | {"keep": keep}))
    for (candidates, _), (kept, _) in zip(everything, limited, strict=True):
        best = np.sort(np.argsort(-candidates.score, kind="stable")[:keep])
        for column in COLUMNS:
            np.testing.assert_array_equal(getattr(kept, column), getattr(candidates[best], column))


@given(outputs())
def test_an_action_score_is_the_best_confidence_over_the_cell(given: Outputs) -> None:
    for number in range(len(given.cells)):
        confidence_map, start, end = given.of_window(number)
        scores = boundary_scores(confidence_map, start, end, given.axes)
        every, confidence = match_boundaries_plain(
            confidence_map, start, end, given.axes, MatchingConfig(select="all")
        )
        centre = (np.arange(len(start)) + 0.5) / len(start)
        for cell, action in zip(centre, scores.action, strict=True):
            covering = (every.start <= cell) & (cell <= every.end)
            assert action == confidence[covering].max()
        np.testing.assert_array_equal(scores.start, start)
        np.testing.assert_array_equal(scores.end, end)


FLAT = np.full(4, 0.5)


@pytest.mark.parametrize(
    ("shape", "end", "axes", "error", "message"),
    [
        pytest.param((2, 4, 4), FLAT[:3], "start-end", ShapeError, r"end \(3,\)", id="end"),
        pytest.param((3, 4, 4), FLAT, "start-end", ShapeError, r"map \(3, 4, 4\)", id="channels"),
        pytest.param((2, 3, 4), FLAT, "start-end", ShapeError, r"\(2, T, T\)", id="few starts"),
        pytest.param((2, 5, 4), FLAT, "duration-start", ShapeError, "D <= T", id="durations"),
        pytest.param((2, 16), FLAT, "duration-start", ShapeError, r"\(2, D, T\)", id="flat"),
        pytest.param((2, 4, 4), FLAT * np.nan, "start-end", ShapeError, "end contains", id="NaN"),
        pytest.param((2, 4, 4), FLAT, "starts", ConfigError, "axes 'starts'", id="axes"),
    ],
)
@pytest.mark.parametrize("function", [match_boundaries, boundary_scores])
def test_outputs_that_do_not_fit_are_refused(
    function: Any, shape: tuple[int, ...], end: Any, axes: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        function(np.full(shape, 0.5), FLAT, end, axes=axes)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("function", [match_boundaries, boundary_scores])
def test_a_map_that_is_not_finite_is_refused(function: Any, axes: MapAxes) -> None:
    confidence_map = np.full((2, 4, 4), 0.5)
    confidence_map[1, 0, 1] = np.nan
    with pytest.raises(ShapeError, match="confidence map contains NaN"):
        function(confidence_map, FLAT, FLAT, axes=axes)


@pytest.mark.parametrize("name", BMN_PIPELINES)
def test_two_cells_have_the_candidates_of_the_preset(name: str) -> None:
    # Published code other than PaddleVideo's ends proposals before the last cell.
    config, bmn = BMN_PIPELINES[name].matching, BMN_PIPELINES[name].bmn
    assert bmn is not None
    half = np.full((2, 2, 2), 0.5)
    found = match_boundaries(half, [0.9, 0.1], [0.1, 0.9], config, axes=bmn.axes)
    segments = list(zip(found.start.tolist(), found.end.tolist(), strict=True))
    assert segments == ([(0.0, 1.0)] if name == "paddle" else [(0.0, 0.5)])
    assert found.score.tolist() == [float(np.float32(0.9) * np.float32(0.9) / 4)]


@pytest.mark.parametrize(
    ("select", "end", "count"),
    [
        pytest.param("all", "next", 45, id="every-pair-that-ends-before-the-last-cell"),
        pytest.param("all", "last", 55, id="every-pair"),
        pytest.param("inner-peaks", "next", 45, id="all-above-half-the-maximum"),
        pytest.param("peaks", "last", 55, id="all-with-the-outer-cells"),
    ],
)
@pytest.mark.parametrize("axes", AXES)
def test_flat_scores_select_every_cell(axes: MapAxes, select: Any, end: Any, count: int) -> None:
    flat = np.full(10, 0.5)
    config = MatchingConfig(select=select, end=end)
    found = match_boundaries(np.full((2, 10, 10), 0.5), flat, flat, config, axes=axes)
    assert len(found) == count
    assert set(found.score.tolist()) == {0.0625}


def test_scores_that_are_zero_leave_the_outer_cells() -> None:
    zero = np.zeros(10)
    found = match_boundaries(np.ones((2, 10, 10)), zero, zero, axes="start-end")
    assert (found.start.tolist(), found.end.tolist()) == ([0.0], [1.0])


def test_durations_beyond_the_map_are_no_candidates() -> None:
    flat = np.full(10, 0.5)
    found = match_boundaries(np.full((2, 3, 10), 0.5), flat, flat)
    assert len(found) == 10 + 9 + 8
    assert np.round(10 * (found.end - found.start)).max() == 3
