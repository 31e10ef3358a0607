"""Results that are for none of the evaluated videos: the message says why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from actspan import Proposals, Video
from actspan.core.errors import AnnotationError, ResultError
from actspan.data.detections import Detections
from actspan.evaluation.detection import evaluate_detection
from actspan.evaluation.recall import evaluate_recall

FOUND = Proposals([0.0], [5.0], [0.9], unit="seconds")


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
        ": the ground truth has 'vi' in front of ids: video_1, and the results deo_1; rename them "
        "in one of the two",
        id="start-of-the-truth",
    ),
    pytest.param(
        [video("video_a"), video("video_b")],
        ["video_video_a", "video_video_b"],
        ": the results have 'video_' in front of ids: video_video_a, and the ground truth video_a; "
        "rename them in one of the two",
        id="start-of-the-results",
    ),
    pytest.param(
        [video("clip-1"), video("clip-2")],
        ["take_1", "take_2"],
        ": ids start with 'take_' in the results, with 'clip-' in the ground truth; rename them in "
        "one of the two",
        id="other-start",
    ),
    pytest.param(
        [video("a"), video("b")],
        ["a.rgb", "b.rgb"],
        ": the results have '.rgb' at the end of ids: a.rgb, and the ground truth a; rename them "
        "in one of the two",
        id="suffix",
    ),
    pytest.param(
        [video("a"), video("b")],
        ["set/a.rgb", "set/b.rgb"],
        ": the results have 'set/' in front and '.rgb' at the end of ids: set/a.rgb, and the "
        "ground truth a; rename them in one of the two",
        id="both-ends",
    ),
    pytest.param(
        [video("set/a"), video("set/b")],
        ["a", "b"],
        ": the ground truth has 'set/' in front of ids: set/a, and the results a; rename them in "
        "one of the two",
        id="folder",
    ),
    pytest.param(
        [video("v0"), video("v1")],
        ["V0", "V1"],
        ": only capitals differ: V0 in the results, v0 in the ground truth; rename them in one of "
        "the two",
        id="capitals",
    ),
    pytest.param(
        [video("clip_a"), video("clip_b")],
        ["take_x", "take_y"],
        ": ids of the results are take_x, take_y; of the ground truth clip_a, clip_b",
        id="other-starts-and-other-videos",
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
        "they are for 1 video of subset '': pass --subset ''",
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


def test_ids_of_many_videos_differ_in_the_same_way() -> None:
    videos = [video(f"{number:04}") for number in range(1000)]
    with pytest.raises(ResultError, match="the results have 'video_' in front of ids: video_0000"):
        evaluate_recall(videos, proposals(f"video_{number:04}" for number in range(1000)))


@pytest.mark.parametrize(
    ("evaluate", "results"), [(evaluate_recall, proposals), (evaluate_detection, detections)]
)
def test_videos_without_any_subset_are_all_evaluated(
    evaluate: Callable[..., Any], results: Callable[[Iterable[str]], Any]
) -> None:
    found = evaluate([video("a", ""), video("b", "")], results("ab"))
    assert found.videos == 2
    assert found.notes == (
        "no video has a subset: all 2 are evaluated, those too from which a model may have learned",
    )
    assert evaluate([video("a", ""), video("b", "x")], results("ab"), subset="").videos == 1


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        ("testing", r"subset 'testing'; videos have no subset: leave out --subset to evaluate all"),
        ("valdation", r"subset 'valdation' \(did you mean 'validation'\?\); videos have no subset"),
    ],
)
def test_other_subsets_of_videos_without_subsets(subset: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        evaluate_recall([video("a", "")], proposals("a"), subset=subset)


def test_what_is_there_twice_is_counted() -> None:
    both = Proposals([0, 7, 0, 7, 0], [5, 9, 5, 9, 6], [0.9, 0.8, 0.9, 0.8, 0.7], unit="seconds")
    twice = "occur twice: same segment, one after the other by score"
    videos = [video("a"), video("b")]
    once = Proposals(
        [0, 7], [6, 9], [0.7, 0.6], unit="seconds"
    )  # starts as the last one of the other video
    notes = evaluate_recall(videos, {"a": both, "b": once}).notes
    assert notes == (f"2 of 7 proposals {twice}",)
    run = Detections.of(both, ["run"] * 5)
    notes = evaluate_detection(videos, {"a": run, "b": Detections.of(once, ["run"] * 2)}).notes
    assert notes == (f"2 of 7 detections {twice}",)
    assert evaluate_recall(videos, {"a": once, "b": once}).notes == ()


def test_instances_without_a_label_are_no_class() -> None:
    half = Video("a", 60.0, "validation", [[0.0, 5.0], [9.0, 12.0]], ("run", ""))
    found = {
        "a": Detections.of(Proposals([0, 9], [5, 12], [0.9, 0.8], unit="seconds"), ["run", ""])
    }
    result = evaluate_detection([half], found)
    assert (result.classes, result.average_map, dict(result.unknown)) == (("run",), 1.0, {"": 1})
    assert result.notes == (
        "1 of 2 instances without a label: they are of no class, and not evaluated",
    )


def test_videos_without_instances() -> None:
    with pytest.raises(ResultError, match="they are for 1 video without instances"):
        evaluate_recall([video("a"), video("b", instances=0)], proposals(["b"]))


def test_names_without_proposals() -> None:
    with pytest.raises(ResultError, match="the results name them, and list none"):
        evaluate_recall([video("a")], {"a": Proposals([], [], [], unit="seconds")})


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


@pytest.mark.parametrize("evaluate", [evaluate_recall, evaluate_detection])
def test_results_of_video_files_are_noted(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    entries = [{"score": 0.5, "segment": [0, 5], "label": "run"}]
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"results": {"v_a.mp4": entries, "b.mp4": entries, "c": entries}}))
    found = evaluate([video("a"), video("b"), video("c")], path)
    assert found.missing == ()
    assert found.notes == (f"{path}: ids are file names: dropped the suffix .mp4 from 2",)
    path.write_text(json.dumps({"results": {"a.mp4": entries, "a.avi": entries}}))
    with pytest.raises(
        ResultError, match=r"files 'a\.mp4' and 'a\.avi' have one id, 'a': rename one"
    ):
        evaluate([video("a")], path)
