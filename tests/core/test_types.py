from __future__ import annotations

import numpy as np
import pytest

from actspan import BoundaryScores, Features, Proposals, Video
from actspan.core.errors import ShapeError


def test_columns_must_agree_in_length() -> None:
    with pytest.raises(ShapeError, match="end has 1 entries, start has 2"):
        Proposals([0.1, 0.2], [0.3], [1.0, 1.0])


def test_columns_are_vectors() -> None:
    with pytest.raises(ShapeError, match="one-dimensional"):
        Proposals(np.zeros((2, 2)), np.zeros(2), np.zeros(2))


def test_slices_masks_and_indices_select_every_column() -> None:
    all_five = [np.arange(4.0) + i for i in range(5)]
    proposals = Proposals(*all_five)
    for chosen in (proposals[1:3], proposals[[1, 2]], proposals[np.array([0, 1, 1, 0], bool)]):
        assert chosen.start.tolist() == [1.0, 2.0]
        assert chosen.end_score is not None
        assert chosen.end_score.tolist() == [5.0, 6.0]


def test_a_bare_integer_index_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"use \[0:1\]"):
        Proposals([0.1], [0.2], [1.0])[0]


def test_concat_keeps_order_and_drops_half_known_columns() -> None:
    one, other = Proposals([0.1], [0.2], [1.0], [0.5], [0.6]), Proposals([0.3], [0.4], [0.9])
    joined = Proposals.concat([one, other])
    assert joined.start.tolist() == [0.1, 0.3]
    assert joined.start_score is None
    assert len(Proposals.concat([])) == len(Proposals.empty()) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ShapeError, match="start contains NaN or infinity"):
        BoundaryScores([0.1], [bad], [0.2])


def test_scores_to_array_and_back() -> None:
    array = np.random.default_rng(0).random((3, 5), dtype=np.float32)
    np.testing.assert_array_equal(np.asarray(BoundaryScores.from_array(array)), array)
    with pytest.raises(ShapeError, match=r"\(3, T\)"):
        BoundaryScores.from_array(array.T)


def test_span_of_features() -> None:
    features = Features(np.zeros((10, 2)), stride=0.5, length=1.0)
    assert (features.span, features.seconds) == (5.0, 5.0)
    with pytest.raises(ShapeError, match="must be positive"):
        Features(np.zeros((10, 2)), stride=0.0, length=1.0)


def test_a_label_for_every_segment() -> None:
    with pytest.raises(ShapeError, match="1 labels for 2 segments"):
        Video("a", 10.0, segments=np.array([[0, 1], [2, 3]]), labels=("jump",))
