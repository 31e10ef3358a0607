"""Wrong detections by kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from actspan import Video
from actspan.data.detections import Detections
from actspan.evaluation.detection import KINDS, diagnose_detections, evaluate_detection
from tests.evaluation.test_detection import cases, detections, video

TRUTH = video("a", (0, 10, "x"), (50, 60, "y"))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        pytest.param((0, 9, 0.5, "x"), "double", id="double"),
        pytest.param((50, 59, 0.5, "x"), "label", id="label"),
        pytest.param((0, 30, 0.5, "x"), "localisation", id="localisation"),
        pytest.param((50, 90, 0.5, "x"), "label and localisation", id="confusion"),
        pytest.param((80, 90, 0.5, "x"), "background", id="background"),
        pytest.param((9.5, 50.5, 0.5, "x"), "background", id="hardly-touched"),
    ],
)
def test_each_kind(row: tuple[float, float, float, str], kind: str) -> None:
    found = {"a": detections((0, 10, 0.9, "x"), row, (50, 60, 0.4, "y"))}
    result = diagnose_detections([TRUTH], found, tiou=[0.5])
    assert result.right[0] == pytest.approx(2 / 3)
    assert dict(zip(KINDS, result.share[0], strict=True))[kind] == pytest.approx(1 / 3)


def test_gain_is_what_map_would_be_without_them() -> None:
    # the wrong one stands before the right one: precision 1/2 instead of 1
    found = {"a": detections((80, 90, 0.9, "x"), (0, 10, 0.8, "x"), (50, 60, 0.4, "y"))}
    result = diagnose_detections([TRUTH], found, tiou=[0.5])
    assert dict(zip(KINDS, result.gain, strict=True)) == {
        "double": 0,
        "label": 0,
        "localisation": 0,
        "label and localisation": 0,
        "background": pytest.approx(0.25),
    }


def test_only_the_best_of_a_class_are_counted() -> None:
    rows = [(80.0, 90.0, 0.1, "x")] * 20
    found = {"a": detections((0, 10, 0.9, "x"), *rows, (50, 60, 0.9, "y"))}
    result = diagnose_detections([TRUTH], found, tiou=[0.5])
    assert result.right[0] == pytest.approx(2 / 11)  # 10 of x and the one of y


@given(cases())
def test_shares_add_up_and_gains_are_not_negative(
    case: tuple[list[Video], dict[str, Detections]],
) -> None:
    result = diagnose_detections(*case)
    listed = result.right + result.share.sum(axis=1)
    assert (np.isclose(listed, 1) | (listed == 0)).all()  # 0: all is in ignored stretches
    assert (result.gain > -1e-12).all()
    assert evaluate_detection(*case).average_map + result.gain.max() <= 1 + 1e-12
