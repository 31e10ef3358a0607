"""Detections in memory and on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from actspan import Proposals
from actspan.core.errors import ResultError, ShapeError
from actspan.data.detections import (
    Detections,
    read_detections,
    write_detections,
)
from actspan.data.result_files import read_result


def some() -> Detections:
    return Detections.of(
        Proposals([0, 5, 1], [4, 9, 2], [0.2, 0.9, 0.5], unit="seconds"), ["run", "jump", "run"]
    )


def test_selects_ranks_and_names() -> None:
    found = some()
    assert (len(found), found.names, found.labels) == (3, ("run", "jump"), ["run", "jump", "run"])
    assert found.ranked().labels == ["jump", "run", "run"]
    assert found[found.segments.score > 0.4].labels == ["jump", "run"]
    assert len(found[:0]) == 0


@pytest.mark.parametrize("label", [[0], [0, 1, 2], [0, 1, -1]], ids=["short", "above", "below"])
def test_labels_must_fit(label: list[int]) -> None:
    with pytest.raises(ShapeError, match="label"):
        Detections(some().segments, np.array(label), ("run", "jump"))


def test_survive_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "detections.json"
    write_detections(path, {"v_a": some(), "b": some()[:0]})
    found = read_detections(tmp_path)
    assert list(found) == ["a", "b"]
    assert found["a"].labels == some().labels
    np.testing.assert_array_equal(found["a"].segments.end, some().segments.end)
    np.testing.assert_array_equal(found["a"].segments.score, some().segments.score)
    assert found["a"].names is found["b"].names
    # a result reader takes it too
    assert len(read_result(path)["a"]) == 3
    assert json.loads(path.read_text())["results"]["v_a"][0] == {
        "score": 0.2,
        "segment": [0.0, 4.0],
        "label": "run",
    }


def entry(**more: object) -> str:
    return json.dumps({"results": {"vid": [{"score": 0.5, "segment": [1, 2], **more}]}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(entry(), "these are proposals, not detections", id="no-label"),
        pytest.param(entry(label=3), "'vid'", id="label-is-a-number"),
        pytest.param(entry(label="x", score="high"), "every entry needs", id="bad-score"),
        pytest.param(entry(label="x", score=float("nan")), "NaN", id="nan"),
        pytest.param(entry(label="x")[:-9], "not valid JSON", id="cut-off"),
        pytest.param(
            '{"results": {"a": [{"score": 1, "segment": [0, 1], "label": "x"}], "a": []}}',
            "'a' occurs 2 times",
            id="twice",
        ),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "detections.json"
    path.write_text(text)
    with pytest.raises(ResultError, match=message):
        read_detections(path)


def test_a_run_without_detections_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="label its proposals: actspan label"):
        read_detections(tmp_path)


def test_nothing_is_left_behind_on_failure(tmp_path: Path) -> None:
    bad = Detections.of(Proposals([0], [1], [np.nan], unit="seconds"), ["x"])
    with pytest.raises(ResultError, match="NaN"):
        write_detections(tmp_path / "detections.json", {"a": bad})
    assert not list(tmp_path.iterdir())
