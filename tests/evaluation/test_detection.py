"""Average mAP: equal to a plain implementation, and to what the rule says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Proposals, Video
from actspan.core.errors import AnnotationError, ConfigError, ResultError
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.detections import Detections, write_detections
from actspan.data.videos import Videos
from actspan.evaluation.detection import DetectionResult, evaluate_detection
from actspan.evaluation.protocols import drop_duplicates, parse_thresholds
from tests.evaluation.plain_detection import plain_average_precision, plain_detection

THRESHOLDS = np.linspace(0.3, 0.95, 14)

# whole seconds and few scores and labels, so that ties and equal overlaps happen
_second = st.integers(0, 10).map(float)
_label = st.sampled_from("xyz")
_instance = st.tuples(_second, _second, _label)
_row = st.tuples(_second, _second, st.sampled_from([0.1, 0.5, 0.5, 0.9]), st.sampled_from("xyzw"))


def video(name: str, *instances: tuple[float, float, str], **options: Any) -> Video:
    segments = np.array([instance[:2] for instance in instances]).reshape(-1, 2)
    options = {"subset": "validation"} | options
    return Video(name, 100.0, segments=segments, labels=tuple(i[2] for i in instances), **options)


def detections(*rows: tuple[float, float, float, str]) -> Detections:
    columns = np.array([row[:3] for row in rows]).reshape(-1, 3).T
    return Detections.of(Proposals(*columns, unit="seconds"), [row[3] for row in rows])


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Video], dict[str, Detections]]:
    names = [f"v{i}" for i in range(draw(st.integers(1, 4)))]
    videos, found = [], {}
    for name in names:
        ignored = draw(st.lists(st.tuples(_second, _second), max_size=1))
        instances = draw(st.lists(_instance, max_size=4))
        videos.append(video(name, *instances, ignored=np.array(ignored).reshape(-1, 2)))
        rows = draw(st.lists(_row, max_size=draw(st.sampled_from([3, 20]))))
        if rows or draw(st.booleans()):
            found[name] = detections(*rows)
    if not any(v.labels for v in videos):
        videos[0] = video(names[0], (1, 5, "x"))
    if not any(set(d.labels) & {n for v in videos for n in v.labels} for d in found.values()):
        label = next(label for v in videos for label in v.labels)
        found[names[0]] = detections((1, 4, 0.3, label))
    return videos, found


@given(cases())
def test_equals_a_plain_implementation(case: tuple[list[Video], dict[str, Detections]]) -> None:
    videos, found = case
    result = evaluate_detection(videos, found, tiou=THRESHOLDS)
    expected = plain_detection(videos, found, THRESHOLDS.tolist())
    assert list(expected) == list(result.classes)
    columns = np.array(list(expected.values())).T
    np.testing.assert_allclose(result.average_precision, columns, rtol=1e-12, atol=1e-15)


@given(cases(), st.randoms(use_true_random=False))
def test_does_not_depend_on_the_order_of_videos(
    case: tuple[list[Video], dict[str, Detections]], random: Any
) -> None:
    videos, found = case
    shuffled, names = list(videos), list(found)
    random.shuffle(shuffled)
    random.shuffle(names)
    a = evaluate_detection(videos, found)
    b = evaluate_detection(shuffled, {name: found[name] for name in names})
    np.testing.assert_array_equal(a.average_precision, b.average_precision)


@given(cases())
def test_a_wrong_detection_at_the_end_changes_nothing_and_one_before_never_helps(
    case: tuple[list[Video], dict[str, Detections]],
) -> None:
    videos, found = case
    clean = [replace(v, ignored=np.empty((0, 2))) for v in videos]
    name, label = clean[0].id, next(label for v in clean for label in v.labels)
    before = evaluate_detection(clean, found).average_precision
    for score, compare in ((0.0, np.equal), (1.0, np.less_equal)):
        wrong = detections((98.0, 99.0, score, label))
        more = {**found, name: _joined(found.get(name), wrong)}
        assert compare(evaluate_detection(clean, more).average_precision, before).all()


def _joined(a: Detections | None, b: Detections) -> Detections:
    if a is None:
        return b
    return Detections.of(Proposals.concat([a.segments, b.segments]), a.labels + b.labels)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([(0, 10, 0.9, "x"), (20, 30, 0.8, "x")], 1.0, id="all-found"),
        pytest.param([(0, 10, 0.9, "x")], 0.5, id="half-found"),
        pytest.param([(0, 10, 0.9, "x"), (0, 10, 0.8, "x"), (20, 30, 0.7, "x")], 5 / 6, id="twice"),
        pytest.param([(0, 10, 0.9, "y"), (20, 30, 0.8, "x")], 0.5, id="wrong-label"),
        pytest.param([(40, 50, 0.9, "x"), (0, 10, 0.8, "x"), (20, 30, 0.7, "x")], 2 / 3, id="late"),
        # the better overlapped instance is taken, so the second finds the other
        pytest.param([(0, 10, 0.9, "x"), (19, 30, 0.8, "x")], 1.0, id="own-instance"),
    ],
)
def test_by_hand(rows: list[tuple[float, float, float, str]], expected: float) -> None:
    truth = video("a", (0, 10, "x"), (20, 30, "x"))
    result = evaluate_detection([truth], {"a": detections(*rows)}, tiou=[0.5])
    assert result.average_map == pytest.approx(expected)
    assert result.summary() == {
        "mAP@0.50": pytest.approx(100 * expected),
        "average_mAP": pytest.approx(100 * expected),
    }


def test_a_detection_falls_back_on_an_instance_that_is_free() -> None:
    truth = video("a", (0, 10, "x"), (0, 8, "x"))
    found = detections((0, 10, 0.9, "x"), (0, 10, 0.8, "x"))
    result = evaluate_detection([truth], {"a": found}, tiou=[0.5, 0.9])
    assert result.average_precision[:, 0].tolist() == [1.0, 0.5]


def test_of_instances_that_are_overlapped_equally_the_later_is_taken() -> None:
    # the first detection overlaps both instances by 1/3; what is left for the second decides
    truth = video("a", (0, 10, "x"), (10, 20, "x"))
    first = (5, 15, 0.9, "x")
    for second, expected in (((0, 10, 0.8, "x"), 1.0), ((10, 20, 0.8, "x"), 0.5)):
        found = {"a": detections(first, second)}
        assert evaluate_detection([truth], found, tiou=[0.3]).average_map == expected


def test_ignored_stretches_forgive_what_finds_nothing() -> None:
    truth = video("a", (0, 10, "x"), ignored=np.array([[50.0, 60.0]]))
    found = {"a": detections((52, 70, 0.9, "x"), (0, 10, 0.8, "x"))}
    assert evaluate_detection([truth], found).average_map == 1.0
    found = {"a": detections((60, 70, 0.9, "x"), (0, 10, 0.8, "x"))}
    assert evaluate_detection([truth], found).average_map == 0.5


def test_what_differs_is_reported() -> None:
    videos = [
        video("a", (0, 10, "x"), (20, 30, "y")),
        video("b", (0, 10, "x")),
        video("bare"),
        video("other", (0, 10, "z"), subset="training"),
    ]
    found = {
        "v_a": detections((0, 10, 0.9, "x"), (0, 10, 0.5, "w"), (0, 10, 0.4, "w")),
        "bare": detections((0, 10, 0.95, "x")),
        "other": detections((0, 10, 0.9, "z")),
        "stranger": detections((0, 10, 0.9, "x")),
    }
    result = evaluate_detection(videos, found)
    assert (result.classes, result.undetected) == (("x", "y"), ("y",))
    assert dict(result.unknown) == {"w": 2}
    assert (result.missing, result.extra) == (("b",), ("other", "stranger"))
    assert (result.videos, result.instances.tolist(), result.detections.tolist()) == (
        3,
        [2, 1],
        [2, 0],
    )
    # the video without instances counts: what is found there is wrong, and stands first
    assert result.by_class() == {"x": pytest.approx(25.0), "y": 0.0}


def test_files_and_loaded_objects_agree(tmp_path: Path) -> None:
    videos = [video("a", (0, 10, "x"), (20, 30, "y"))]
    found = {"a": detections((0, 9, 0.5, "x"), (21, 30, 0.9, "y"))}
    write_detections(tmp_path / "detections.json", found)
    a, b = evaluate_detection(videos, found), evaluate_detection(videos, tmp_path)
    assert a.summary() == b.summary()


def test_errors_say_what_to_do() -> None:
    found = {"a": detections((0, 10, 0.9, "x"))}
    with pytest.raises(AnnotationError, match="have no labels"):
        evaluate_detection([video("a", (0, 10, ""))], found)
    with pytest.raises(ResultError, match="no detections of a known class"):
        evaluate_detection([video("a", (0, 10, "y"))], found)
    with pytest.raises(ResultError, match="a score is NaN"):
        evaluate_detection([video("a", (0, 1, "x"))], {"a": detections((0, 1, float("nan"), "x"))})
    with pytest.raises(ConfigError, match="ascending"):
        evaluate_detection([video("a", (0, 10, "x"))], found, tiou=[0.9, 0.5])


def test_published_evaluation_gives_the_same_on_a_worked_example() -> None:
    # precisions 1, 1/2, 2/3, 2/4, 3/5 at recalls 1/3, 1/3, 2/3, 2/3, 1
    right = [True, False, True, False, True]
    assert plain_average_precision(right, 3) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    rows = [(10.0 * i, 10.0 * i + 5, 1 - i / 10, "x") for i in range(5)]
    truth = video("a", *((s, e, "x") for (s, e, *_), hit in zip(rows, right, strict=True) if hit))
    result = evaluate_detection([truth], {"a": detections(*rows)}, tiou=[0.5])
    assert result.average_map == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


@pytest.mark.parametrize(
    ("instances", "left"),
    [
        pytest.param([(0, 10, "x"), (0, 10, "x")], [0], id="equal"),
        pytest.param([(0, 10, "x"), (0.0009, 10.0009, "x")], [0], id="within a millisecond"),
        pytest.param([(0, 10, "x"), (0.002, 10, "x")], [0, 1], id="start apart"),
        pytest.param([(0, 10, "x"), (0, 10.002, "x")], [0, 1], id="end apart"),
        pytest.param([(0, 10, "x"), (0, 10, "y")], [0, 1], id="other label"),
        # the second is dropped, so the third is compared with the first alone
        pytest.param(
            [(0, 9, "x"), (0.0008, 9, "x"), (0.0016, 9, "x")], [0, 2], id="chain of close ones"
        ),
    ],
)
def test_duplicates_are_dropped(instances: list[tuple[float, float, str]], left: list[int]) -> None:
    videos = Videos([video("a", *instances), video("b", *instances, subset="training")])
    found, note = drop_duplicates(Annotations(Path("a.json"), "activitynet", videos), "Validation")
    for each in found.videos:
        expected = np.array([instances[i][:2] for i in left])
        np.testing.assert_array_equal(each.segments, expected)
        assert each.labels == tuple(instances[i][2] for i in left)
    dropped = len(instances) - len(left)
    assert note == (f"{dropped} duplicate instance left out, in 1 video" if dropped else "")


@pytest.mark.parametrize("prefixes", [("", "v_"), ("v_", ""), ("v_", "v_"), ("", "")])
def test_a_prefix_makes_no_difference_on_either_side(prefixes: tuple[str, str]) -> None:
    truth, given = prefixes
    found = {f"{given}a": detections((0, 10, 0.9, "x"))}
    result = evaluate_detection([video(f"{truth}a", (0, 10, "x"))], found)
    assert (result.average_map, result.missing, result.extra) == (1.0, (), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5:0.05:0.95", np.linspace(0.5, 0.95, 10)),
        ("0.3:0.1:0.7", np.linspace(0.3, 0.7, 5)),
        ("0.5,0.75", np.array([0.5, 0.75])),
        ("0.5", np.array([0.5])),
    ],
)
def test_thresholds_are_read(text: str, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(parse_thresholds(text), expected)


@pytest.mark.parametrize("text", ["", "a", "0.5:0.95", "0.5:0.2:0.95", "0.9:0.1:0.5", "0:1:1"])
def test_bad_thresholds_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match="tiou"):
        parse_thresholds(text)


def test_result_is_typed() -> None:
    result = evaluate_detection([video("a", (0, 1, "x"))], {"a": detections((0, 1, 1.0, "x"))})
    assert isinstance(result, DetectionResult)
    assert result.tiou.shape == (10,)
