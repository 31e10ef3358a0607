"""Results that are for none of the evaluated videos: the message says why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from actspan import Proposals, Video
from actspan.data.detections import Detections
from actspan.errors import ResultError
from actspan.evaluation.detection import evaluate_detection
from actspan.evaluation.recall import evaluate_recall

FOUND = Proposals([0.0], [5.0], [0.9])


def video(name: str, subset: str = "validation", instances: int = 1) -> Video:
    return Video(name, 60.0, subset, [[0.0, 5.0]] * instances, ("run",) * instances)


def proposals(names: Iterable[str]) -> Any:
    return dict.fromkeys(names, FOUND)


def detections(names: Iterable[str]) -> Any:
    return dict.fromkeys(names, Detections.of(FOUND, ["run"]))


CASES = [
    pytest.param(
        [video("video_1"), video("video_2")],
        ["deo_1", "deo_2"],
        "ids of the results are deo_1, deo_2; of the ground truth video_1, video_2; the former "
        "start with 'deo_', the latter with 'video_'; rename them in one of the two",
        id="prefix",
    ),
    pytest.param(
        [video("a"), video("b")],
        ["a.rgb", "b.rgb"],
        "ids of the results are a.rgb, b.rgb; of the ground truth a, b; only the former end with "
        "'.rgb'; rename them in one of the two",
        id="suffix",
    ),
    pytest.param(
        [video("set/a"), video("set/b")],
        ["a", "b"],
        "ids of the results are a, b; of the ground truth set/a, set/b; only the latter start with "
        "'set/'; rename them in one of the two",
        id="folder",
    ),
    pytest.param(
        [video(name) for name in "abcde"],
        ["x"],
        "ids of the results are x; of the ground truth a, b, c and 2 more",
        id="other-videos",
    ),
    pytest.param([video("a")], [], "the results have no videos", id="empty"),
    pytest.param(
        [video("a"), video("b", "training"), video("c", "training")],
        ["b", "c"],
        "of subset 'validation'; they are for 2 videos of subset 'training': pass "
        "--subset training",
        id="subset",
    ),
    pytest.param(
        [video("a"), video("b", "")],
        ["b"],
        "they are for 1 video of subset '', which have none",
        id="no-subset",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("videos", "found", "message"), CASES)
@pytest.mark.parametrize(
    ("evaluate", "results"),
    [(evaluate_recall, proposals), (evaluate_detection, detections)],
    ids=["recall", "detection"],
)
def test_both_sides_are_named(
    evaluate: Callable[..., Any],
    results: Callable[[Iterable[str]], Any],
    videos: list[Video],
    found: list[str],
    message: str,
) -> None:
    with pytest.raises(ResultError) as caught:
        evaluate(videos, results(found))
    assert str(caught.value).endswith(message)


def test_videos_without_instances() -> None:
    with pytest.raises(ResultError, match="they are for 1 video without instances"):
        evaluate_recall([video("a"), video("b", instances=0)], proposals(["b"]))


def test_names_without_proposals() -> None:
    with pytest.raises(ResultError, match="the results name them, and list none"):
        evaluate_recall([video("a")], {"a": Proposals([], [], [])})


def test_labels_that_the_ground_truth_does_not_have() -> None:
    found = {"a": Detections.of(FOUND, ["hop"])}
    with pytest.raises(ResultError, match=r"they have hop; the ground truth run$"):
        evaluate_detection([video("a")], found)


def test_files(tmp_path: Path) -> None:
    database = {
        name: {"duration": 9, "subset": subset, "annotations": [{"segment": [0, 5], "label": "x"}]}
        for name, subset in {"a": "validation", "b": "training"}.items()
    }
    (tmp_path / "annotations.json").write_text(json.dumps({"database": database}))
    results = {"b": [{"score": 0.5, "segment": [0, 5]}]}
    (tmp_path / "result.json").write_text(json.dumps({"results": results}))
    with pytest.raises(ResultError, match=r"pass --subset training$"):
        evaluate_recall(tmp_path / "annotations.json", tmp_path / "result.json")
