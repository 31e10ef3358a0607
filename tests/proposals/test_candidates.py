from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actspan import BoundaryScores, PgmConfig, Proposals, generate_proposals
from actspan.proposals.candidates import (
    generate_proposals_batch,
    generate_proposals_plain,
    match_instances,
)
from tests.strategies import boundary_scores

NUMBERS = BoundaryScores(np.zeros(4), [-0.0, -1.0, 2.0, 0.0], [0.0, 3.0, -1.0, -2.0])


def assert_equal(found: Proposals, expected: Proposals) -> None:
    for name in ("start", "end", "score", "start_score", "end_score"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@given(boundary_scores())
@example(NUMBERS)  # not probabilities, but ranked too
def test_kernel_equals_its_plain_twin(scores: BoundaryScores) -> None:
    assert_equal(generate_proposals(scores), generate_proposals_plain(scores))


@given(boundary_scores(), st.data())
def test_with_positions_the_kernel_equals_its_plain_twin(
    scores: BoundaryScores, data: st.DataObject
) -> None:
    shares = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1, width=32))
    within = data.draw(hnp.arrays(np.float32, (2, len(scores)), elements=shares))
    found = generate_proposals(scores, positions=within)
    assert_equal(found, generate_proposals_plain(scores, positions=within))
    assert (found.end - found.start >= 0.5 / len(scores) - 1e-12).all()


def test_positions_move_boundaries_within_their_cells() -> None:
    scores = BoundaryScores(np.zeros(4), [0, 0.9, 0, 0], [0, 0, 0.8, 0])
    config = PgmConfig(peak_ratio=0.9)
    (best,) = generate_proposals(scores, config, positions=np.float32([[0.25] * 4, [1] * 4]))[:1]
    assert (best.start, best.end) == (1.25 / 4, 3 / 4)
    (best,) = generate_proposals(scores, config, positions=np.float32([[0.75] * 4, [0.0] * 4]))[:1]
    assert (best.start, best.end) == (1.5 / 4, 2.5 / 4)  # too short: the centres


@given(boundary_scores(min_cells=2))
def test_candidates_are_ordered_pairs_and_include_the_whole_video(scores: BoundaryScores) -> None:
    found = generate_proposals(scores)
    assert (found.start < found.end).all()
    assert (np.diff(found.score) <= 0).all()
    tgap = 1 / len(scores)
    first, last = tgap / 2, tgap / 2 + tgap * (len(scores) - 1)
    assert ((found.start == first) & (found.end == last)).sum() == 1


def test_equal_scores_keep_the_order_of_generation() -> None:
    ones = np.ones(4)
    found = generate_proposals(BoundaryScores(ones, ones, ones))
    cells = [tuple(pair) for pair in np.rint(np.c_[found.start, found.end] * 4 - 0.5).tolist()]
    assert cells == [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize(
    ("start", "ratio", "expected"),
    [
        pytest.param([0.1, 0.1, 0.1, 0.1], 1.0, [0, 3], id="plateau-is-no-peak"),
        pytest.param([0.1, 0.3, 0.1, 0.1], 1.0, [0, 1, 3], id="strict-peak"),
        pytest.param([0.1, 0.6, 0.6, 1.0], 0.5, [0, 1, 2, 3], id="above-half-the-maximum"),
        pytest.param([0.1, 0.5, 0.5, 1.0], 0.5, [0, 3], id="exactly-half-is-not-above"),
    ],
)
def test_which_cells_are_peaks(start: list[float], ratio: float, expected: list[int]) -> None:
    end = np.array([0.0, 0.0, 0.0, 0.0, 1.0])  # one more cell, so that cell 3 can be a start
    scores = BoundaryScores(np.zeros(5), [*start, 0.0], end)
    found = generate_proposals(scores, PgmConfig(peak_ratio=ratio))
    last = found[found.end == found.end.max()]
    cells = sorted({round(s * 5 - 0.5) for s in last.start})
    assert set(expected) - {3} <= set(cells)
    assert (1 in cells) == (1 in expected)


@pytest.mark.parametrize(
    "inner_edges", [(False, False), (True, False), (False, True), (True, True)]
)
@given(boundary_scores())
def test_nothing_starts_or_ends_at_an_inner_edge(
    inner_edges: tuple[bool, bool], scores: BoundaryScores
) -> None:
    everything = generate_proposals(scores)
    cell = 1 / len(scores)
    before, after = inner_edges
    outside = (before & (everything.start < cell)) | (after & (everything.end > 1 - cell))
    found = generate_proposals(scores, inner_edges=inner_edges)
    assert_equal(found, everything[~outside])


@given(videos=st.lists(boundary_scores(), min_size=1, max_size=5), keep=st.integers(1, 50))
def test_many_at_once_are_as_one_by_one_cut(videos: list[BoundaryScores], keep: int) -> None:
    together = generate_proposals_batch(videos, PgmConfig(), [(False, False)] * len(videos), keep)
    for found, scores in zip(together, videos, strict=True):
        assert_equal(found, generate_proposals(scores)[:keep])


def test_one_cell_gives_no_candidates() -> None:
    assert len(generate_proposals(BoundaryScores([1.0], [1.0], [1.0]))) == 0


def test_matching_is_nan_without_instances_and_unclipped_with() -> None:
    proposals = Proposals([0.0, 0.5], [0.5, 1.0], [1.0, 1.0], unit="fraction")
    iou, ioa = match_instances(proposals, np.empty((0, 2)))
    assert np.isnan(iou).all()
    assert np.isnan(ioa).all()
    iou, ioa = match_instances(proposals, np.array([[0.5, 1.5]]))
    np.testing.assert_allclose(iou, [0.0, 0.5])
    np.testing.assert_allclose(ioa, [0.0, 1.0])
