from __future__ import annotations

import numpy as np
import pytest

from actspan import BoundaryScores, Features, Video
from actspan.core.errors import ShapeError


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
