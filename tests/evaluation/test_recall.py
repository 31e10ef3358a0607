"""AR@AN: equal to the published numbers, to the plain twin, and to what the protocol says."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Proposals, RecallResult, Video, evaluate_recall
from actspan.core.errors import (
    AnnotationError,
    ConfigError,
    DataError,
    DatasetError,
    ResultError,
)
from actspan.data.detections import Detections
from actspan.data.result_writers import write_result
from actspan.evaluation.detection import evaluate_detection
from tests.evaluation.plain_recall import plain_recall

THRESHOLDS = np.linspace(0.5, 0.95, 10)

# whole seconds, so that tIoU often equals a threshold; few scores, so that ties happen
_second = st.integers(0, 12).map(float)
_row = st.tuples(_second, _second, st.sampled_from([0.1, 0.5, 0.5, 0.9]))


def video(name: str, *segments: tuple[float, float], subset: str = "validation") -> Video:
    return Video(name, 100.0, subset, np.array(segments), ("x",) * len(segments))


def proposals(*rows: tuple[float, float, float]) -> Proposals:
    return Proposals(*np.array(rows).reshape(-1, 3).T, unit="seconds")


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Video], dict[str, Proposals]]:
    names = [f"v{i}" for i in range(draw(st.integers(1, 6)))]
    videos, found = [], {}
    for name in names:
        segments = draw(st.lists(st.tuples(_second, _second), min_size=1, max_size=4))
        videos.append(video(name, *segments))
        rows = draw(st.lists(_row, max_size=draw(st.sampled_from([3, 12, 60]))))
        if rows or draw(st.booleans()):
            found[name] = proposals(*rows)
    if not any(map(len, found.values())):
        found[names[0]] = proposals((0, 1, 0.5))
    return videos, found


def plain(videos: list[Video], found: dict[str, Proposals], **options: Any) -> Any:
    return plain_recall({v.id: v.segments for v in videos}, found, **options)


def assert_same(a: RecallResult, b: RecallResult) -> None:
    for name in ("recall", "average_recall", "proposals_per_video"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("folder", ["", "dense"])
def test_golden(golden: Path, folder: str) -> None:
    folder_path = golden / folder
    with np.load(folder_path / "stages.npz") as expected:
        result = evaluate_recall(
            folder_path / "ground_truth.json", folder_path / "result_proposal.json"
        )
        np.testing.assert_array_equal(result.recall, expected["eval/recall"])
        np.testing.assert_array_equal(result.average_recall, expected["eval/avg_recall"])
        np.testing.assert_array_equal(
            result.proposals_per_video, expected["eval/proposals_per_video"]
        )
    assert (result.missing, result.extra) == ((), ())


def test_golden_by_the_authors_form_of_annotations(golden: Path) -> None:
    result = golden / "result_proposal.json"
    assert_same(
        evaluate_recall(golden / "videos.json", result),
        evaluate_recall(golden / "ground_truth.json", result),
    )


def test_the_published_count_of_instances(data: Path, golden: Path) -> None:
    result = evaluate_recall(data / "activitynet", golden / "result_proposal.json")
    assert (result.videos, result.instances) == (4728, 7293)
    assert len(result.missing) == 4728 - 24


@given(cases(), st.sampled_from([1, 3, 10, 100, 150]))
def test_equals_the_plain_twin(
    case: tuple[list[Video], dict[str, Proposals]], max_proposals: int
) -> None:
    videos, found = case
    try:
        result = evaluate_recall(videos, found, max_proposals=max_proposals)
    except ConfigError:  # truncation left nothing, where the plain one divides by zero
        assert max_proposals == 1
        return
    recall, average, per_video = plain(videos, found, max_proposals=max_proposals, tiou=THRESHOLDS)
    np.testing.assert_array_equal(result.recall, recall)
    np.testing.assert_array_equal(result.average_recall, average)
    np.testing.assert_array_equal(result.proposals_per_video, per_video)


@given(cases(), st.randoms(use_true_random=False))
def test_does_not_depend_on_the_order_of_videos(
    case: tuple[list[Video], dict[str, Proposals]], random: Any
) -> None:
    videos, found = case
    shuffled, names = list(videos), list(found)
    random.shuffle(shuffled)
    random.shuffle(names)
    assert_same(
        evaluate_recall(videos, found), evaluate_recall(shuffled, {n: found[n] for n in names})
    )


@given(cases())
def test_recall_grows_with_budget_and_falls_with_tiou(
    case: tuple[list[Video], dict[str, Proposals]],
) -> None:
    result = evaluate_recall(*case)
    assert (np.diff(result.recall, axis=1) >= 0).all()
    assert (np.diff(result.recall, axis=0) <= 0).all()
    assert (result.recall >= 0).all()
    assert (result.recall <= 1).all()
    assert 0 <= result.auc <= 1


def test_a_hundred_proposals_a_video_lose_a_rank_to_truncation() -> None:
    # the right proposal stands at rank 29 (from 1): int(100 * 0.29) is 28
    rows = [(0.0, 1.0, 1 - i / 100) for i in range(100)]
    rows[28] = (50.0, 60.0, rows[28][2])
    result = evaluate_recall([video("a", (50, 60))], {"a": proposals(*rows)})
    assert (result.at(28), result.at(29), result.at(30)) == (0, 0, 100)


def test_equal_scores_keep_the_order_of_the_file() -> None:
    rows = [(0.0, 1.0, 0.5), (50.0, 60.0, 0.5), (0.0, 1.0, 0.2), (0.0, 1.0, 0.9)]
    result = evaluate_recall([video("a", (50, 60))], {"a": proposals(*rows)}, max_proposals=4)
    assert result.recall[0].tolist() == [0, 0, 1, 1]


def test_a_segment_of_no_length_is_an_instance_that_nothing_matches() -> None:
    result = evaluate_recall([video("a", (5, 5), (0, 9))], {"a": proposals((5, 5, 1), (0, 9, 0.5))})
    assert (result.instances, result.at(100)) == (2, 50.0)


def test_missing_and_extra_videos_are_reported() -> None:
    videos = [
        video("found", (0, 10)),
        video("empty", (0, 10)),
        video("absent", (0, 10)),
        video("bare"),
        video("other", (0, 10), subset="training"),
    ]
    found = {
        "v_found": proposals((0, 10, 1.0)),
        "empty": proposals(),
        "bare": proposals((0, 1, 1.0)),
        "other": proposals((0, 10, 1.0)),
        "unknown": proposals((0, 10, 1.0)),
    }
    result = evaluate_recall(videos, found)
    assert result.missing == ("empty", "absent")
    assert result.extra == ("bare", "other", "unknown")
    assert (result.videos, result.instances, result.proposals) == (3, 3, 1)
    assert result.at(100) == pytest.approx(100 / 3)
    # results of other videos change nothing
    assert_same(result, evaluate_recall(videos, {"found": found["v_found"]}))


@pytest.mark.parametrize("prefixes", [("", "v_"), ("v_", ""), ("v_", "v_")])
def test_a_prefix_makes_no_difference_on_either_side(
    prefixes: tuple[str, str], tmp_path: Path
) -> None:
    truth, given = prefixes
    videos = [video(f"{truth}a", (0, 10)), video(f"{truth}b", (0, 10))]
    found = {f"{given}a": proposals((0, 10, 1.0))}
    write_result(tmp_path / "result.json", found)
    for source in (found, tmp_path / "result.json"):
        result = evaluate_recall(videos, source, blocked=["v_b"])
        assert (result.videos, result.missing, result.extra) == (1, (), ())


def test_an_id_that_begins_with_v_is_another_video_where_both_are_there() -> None:
    videos = [video("a", (0, 10)), video("v_a", (20, 30))]
    found = {"a": proposals((0, 10, 1.0)), "v_a": proposals((20, 30, 1.0))}
    assert evaluate_recall(videos, found).at(100) == 100.0


def test_one_video_with_and_without_the_prefix_is_refused() -> None:
    found = {"a": proposals((0, 10, 1.0)), "v_a": proposals((0, 10, 1.0))}
    with pytest.raises(ResultError, match="with and without 'v_' for a: keep one"):
        evaluate_recall([video("a", (0, 10))], found)


@pytest.mark.parametrize(
    ("options", "note"),
    [
        pytest.param({}, "1 of 2 videos without instances, not evaluated", id="no instances"),
        pytest.param(
            {"blocked": ["v_b", "c", "typo"]},
            "2 of 3 blocked videos not in the ground truth: c, typo",
            id="blocked",
        ),
        pytest.param(
            {"max_proposals": 1},
            "2 of 4 proposals not used: at most 1 per video on average are (--max-proposals)",
            id="budget",
        ),
    ],
)
def test_what_is_not_used_is_noted(options: dict[str, Any], note: str) -> None:
    videos = [video("a", (0, 10)), video("b", subset="validation"), video("d", (0, 10))]
    if "max_proposals" not in options:
        videos = videos[:2]
    rows = proposals(*((0, 10 - i, 1 - i / 10) for i in range(4)))
    found = {"a": rows} if len(videos) == 2 else {"a": rows[:2], "d": rows[:2]}
    assert note in evaluate_recall(videos, found, **options).notes


@pytest.mark.parametrize(
    ("rows", "notes"),
    [
        pytest.param([(0, 10, 1), (90, 120, 1)], [], id="good"),
        pytest.param(
            [(0, 10, 1), (8, 2, 1)],
            ["1 of 2 results end before they start: they match nothing"],
            id="turned round",
        ),
        pytest.param(
            [(0, 10, 1), (0, 9, 1), (100, 120, 1)],
            ["1 of 3 results start after the end of their video: they match nothing"],
            id="beyond the end",
        ),
        pytest.param(
            [(0, 250, 1), (500, 750, 1), (750, 1000, 1)],
            [
                "2 of 3 results start after the end of their video: they match nothing; "
                "are their times frames?"
            ],
            id="frames",
        ),
    ],
)
def test_results_that_match_nothing_are_counted(
    rows: list[tuple[float, float, float]], notes: list[str]
) -> None:
    videos, found = [video("a", (0, 10))], proposals(*rows)
    assert list(evaluate_recall(videos, {"a": found}).notes) == notes
    labelled = {"a": Detections.of(found, ["x"] * len(rows))}
    assert list(evaluate_detection(videos, labelled).notes) == notes


@pytest.mark.parametrize(("held", "asked"), [("val", "validation"), ("test", "Testing")])
def test_a_subset_has_many_names(held: str, asked: str) -> None:
    videos = [video("a", (0, 10), subset=held), video("b", (0, 10), subset="fold")]
    for subset in (held, asked):
        assert evaluate_recall(videos, {"a": proposals((0, 10, 1))}, subset=subset).videos == 1


def test_results_of_file_names_fit_ids(tmp_path: Path) -> None:
    document = {"results": {"day/a.mp4": [{"score": 0.9, "segment": [0, 10]}]}}
    (tmp_path / "result.json").write_text(json.dumps(document))
    found = evaluate_recall([video("a", (0, 10))], tmp_path / "result.json")
    assert (found.average_recall[-1], found.missing) == (1.0, ())


def test_every_subset() -> None:
    videos = [video("a", (0, 10)), video("b", (0, 10), subset="training")]
    assert evaluate_recall(videos, {"a": proposals((0, 10, 1))}, subset=None).videos == 2


@pytest.mark.parametrize("text", ['["v_b", "c"]', "b\n\n v_c \n"], ids=["json", "lines"])
def test_blocked_videos_are_left_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "blocked"
    path.write_text(text)
    videos = [video("a", (0, 10)), video("b", (0, 10)), video("c", (0, 10))]
    found = {"a": proposals((0, 10, 1.0)), "b": proposals((0, 1, 1.0))}
    result = evaluate_recall(videos, found, blocked=path)
    assert (result.videos, result.missing, result.extra) == (1, (), ())
    assert_same(result, evaluate_recall(videos, found, blocked=["b", "v_c"]))


@pytest.mark.parametrize("text", ["{}", "[1]", "[", None])
def test_a_damaged_list_of_blocked_videos_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "blocked.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=r"blocked\.json"):
        evaluate_recall([video("a", (0, 10))], {}, blocked=path)


def test_larger_budgets_and_other_thresholds() -> None:
    rows = [(float(i), i + 10.0, 1 - i / 1000) for i in range(1000)]
    result = evaluate_recall(
        [video("a", (500, 510))], {"a": proposals(*rows)}, max_proposals=1000, tiou=[0.3, 0.5]
    )
    assert result.recall.shape == (2, 1000)
    assert list(result.summary()) == [
        *(f"AR@{n}" for n in (1, 5, 10, 50, 100, 200, 500, 1000)),
        "AUC",
    ]
    assert (result.at(490), result.at(500)) == (0, 100)
    assert result.proposals_per_video[-1] == 1000


def test_summary_is_in_percent() -> None:
    result = evaluate_recall([video("a", (0, 10))], {"a": proposals((0, 10, 1.0))})
    assert result.summary()["AR@100"] == 100.0
    assert result.summary()["AUC"] == result.auc_percent == 100 * result.auc
    with pytest.raises(ConfigError, match="1 to 100"):
        result.at(101)
    with pytest.raises(FrozenInstanceError):
        result.videos = 3  # type: ignore[misc]


def test_files_and_loaded_objects_agree(tmp_path: Path) -> None:
    videos = [video("a", (0, 10), (20, 30)), video("b", (3, 4))]
    found = {"a": proposals((0, 9, 0.5), (21, 30, 0.9)), "b": proposals((3, 4.5, 0.1))}
    write_result(tmp_path / "result.json", found)
    database = {
        v.id: {
            "subset": v.subset,
            "duration": v.duration,
            "annotations": [{"segment": [s, e], "label": label} for s, e, label in v.instances()],
        }
        for v in videos
    }
    (tmp_path / "annotations.json").write_text(json.dumps({"database": database}))
    from_memory = evaluate_recall(videos, found)
    assert_same(from_memory, evaluate_recall(tmp_path, tmp_path))
    assert_same(from_memory, evaluate_recall(str(tmp_path / "annotations.json"), found))


def test_annotations_that_cannot_be_read_stop_it_unless_told_to_skip(tmp_path: Path) -> None:
    good = {"subset": "validation", "duration": 9.0, "annotations": [{"segment": [0, 5]}]}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"database": {"a": good, "b": {**good, "annotations": 3}}}))
    found = {"a": proposals((0, 5, 1.0))}
    with pytest.raises(DatasetError, match="b: bad entry"):
        evaluate_recall(path, found)
    result = evaluate_recall(path, found, on_error="skip")
    assert (result.videos, [p.video for p in result.problems]) == (1, ["b"])


def test_a_malformed_annotation_matters_where_its_video_is_evaluated(tmp_path: Path) -> None:
    annotations = [{"segment": [0, 5]}, {"segment": "soon"}]
    good = {"subset": "validation", "duration": 9.0, "annotations": annotations[:1]}
    bad = {**good, "subset": "training", "annotations": annotations}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"database": {"a": good, "b": bad}}))
    found = {name: proposals((0, 5, 1.0)) for name in "ab"}
    assert evaluate_recall(path, found, subset="validation").problems == ()
    for subset in ("training", None):
        with pytest.raises(DatasetError, match=r"^1 problem found\. Fix it: results without it"):
            evaluate_recall(path, found, subset=subset)
        result = evaluate_recall(path, found, subset=subset, on_error="skip")
        assert [p.file for p in result.problems] == [f"{path}: video 'b', annotation 1"]
    assert (result.videos, result.instances) == (2, 2)


A = [video("a", (0, 10))]


@pytest.mark.parametrize(
    ("videos", "found", "options", "error", "message"),
    [
        pytest.param(
            A, {"a": proposals((0, 1, np.nan))}, {}, ResultError, "'a': a score is NaN", id="nan"
        ),
        pytest.param(A, {}, {}, ResultError, "no proposals for any", id="no-proposals"),
        pytest.param(A, {"b": proposals((0, 1, 1))}, {}, ResultError, "ids", id="only-others"),
        pytest.param(
            A,
            {"a": proposals((0, 1, 1)), "v_a": proposals()},
            {},
            ResultError,
            "with and without",
            id="twice-in-results",
        ),
        pytest.param([*A, *A], {}, {}, AnnotationError, "occurs twice", id="twice-in-truth"),
        pytest.param(A, {}, {"subset": "test"}, AnnotationError, "'validation'", id="no-subset"),
        pytest.param([video("a")], {}, {}, AnnotationError, "none", id="no-instances"),
        pytest.param(A, {}, {"max_proposals": 0}, ConfigError, "at least 1", id="no-budget"),
        pytest.param(A, {}, {"tiou": []}, ConfigError, "tiou", id="no-thresholds"),
        pytest.param(A, {}, {"tiou": [0.5, 0.5]}, ConfigError, "ascending", id="not-ascending"),
        pytest.param(A, {}, {"tiou": [0.0, 0.5]}, ConfigError, "ascending", id="zero"),
        pytest.param(A, {}, {"tiou": [np.nan]}, ConfigError, "ascending", id="nan-threshold"),
        pytest.param(
            A,
            {"a": proposals(*[(0, 1, 0.5)] * 49)},
            {"max_proposals": 1},
            ConfigError,
            "leaves no proposal",
            id="truncated-to-nothing",  # int(49 * (1 / 49)) is 0
        ),
    ],
)
def test_bad_input_is_named(
    videos: list[Video],
    found: dict[str, Proposals],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        evaluate_recall(videos, found, **options)


def test_it_loads_no_compiler() -> None:
    code = (
        "import sys, actspan.cli.evaluate, actspan.evaluation.recall; print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_segment_that_is_no_number_hides_no_other() -> None:
    found = {"a": proposals((float("nan"), 9, 0.9), (0, 9, 0.5))}
    assert evaluate_recall([video("a", (0, 9))], found).recall[:, -1].all()


@pytest.mark.parametrize(("factor", "notes"), [(1, 0), (2, 0), (25, 1)])
def test_times_that_do_not_fit_the_proposals_are_noted(factor: int, notes: int) -> None:
    truth = [
        Video(name, np.nan, "validation", segments=[[factor * 10, factor * 50]], labels=("x",))
        for name in ("a", "b", "c")
    ]
    found = {
        "none": Proposals.empty("seconds"),
        "c": Proposals([3, 10], [60, 20], [0.5, 0.9], unit="seconds"),
        "a": Proposals([3], [60], [0.5], unit="seconds"),
        "last": Proposals.empty("seconds"),
    }
    result = evaluate_recall(truth, found)
    assert sum("may not be seconds" in note for note in result.notes) == notes
