"""Label fusion from score files, in every supported form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Proposals
from actspan.core.errors import ConfigError, ResultError
from actspan.data.detections import read_detections
from actspan.data.result_writers import write_result
from actspan.pipeline.labelling import LabelChoice, LabelRequest, label_result
from actspan.pipeline.labels import LabelFile, ScoredLabels, read_labels

PROPOSALS = Proposals([0, 5], [4, 9], [0.8, 0.5], unit="seconds")


def read(folder: Path, document: Any, top: int = 2) -> LabelFile:
    path = folder / "scores.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return LabelFile.read(path, top=top)


SCORES = [
    {"label": "run", "score": 0.1},
    {"label": "jump", "score": 0.7},
    {"label": "swim", "score": 0.2},
]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"v_a": SCORES}, id="by-video"),
        pytest.param({"results": {"a": SCORES}, "version": "1"}, id="under-results"),
        pytest.param(
            {"results": {"a": [0.1, 0.7, 0.2]}, "class": ["run", "jump", "swim"]}, id="vectors"
        ),
    ],
)
def test_every_proposal_takes_the_best_labels(tmp_path: Path, document: Any) -> None:
    found = read(tmp_path, document).label("a", PROPOSALS)
    assert found.labels == ["jump", "jump", "swim", "swim"]
    assert found.segments.score.tolist() == [0.8 * 0.7, 0.5 * 0.7, 0.8 * 0.2, 0.5 * 0.2]
    assert found.segments.start.tolist() == [0, 5, 0, 5]


def test_videos_with_few_or_no_labels(tmp_path: Path) -> None:
    labels = read(tmp_path, {"a": SCORES[:1], "b": []}, top=5)
    assert labels.label("a", PROPOSALS).labels == ["run", "run"]
    assert len(labels.label("b", PROPOSALS)) == len(labels.label("stranger", PROPOSALS)) == 0
    assert "stranger" not in labels.videos


def test_labels_may_be_numbers_and_scores_may_be_texts(tmp_path: Path) -> None:
    rows = [{"label": 3, "score": "0.5"}, {"label": "4", "score": 0.25}]
    found = read(tmp_path, {"a": rows}).label("a", PROPOSALS)
    assert found.labels == ["3", "3", "4", "4"]
    assert found.segments.score.tolist() == [0.4, 0.25, 0.2, 0.125]


def test_labels_of_single_proposals(tmp_path: Path) -> None:
    rows = [
        {"segment": [5.001, 9], "label": "jump"},
        {"segment": [0, 3.999], "label": "run", "score": 0.5},
        {"segment": [0, 3.999], "label": "swim", "score": 0.25},
        {"segment": [50, 60], "label": "swim"},
    ]
    found = read(tmp_path, {"a": rows}).label("a", PROPOSALS)
    assert found.labels == ["jump", "run", "swim"]
    assert found.segments.score.tolist() == [0.5, 0.4, 0.2]
    assert found.segments.end.tolist() == [9, 4, 4]
    with pytest.raises(ResultError, match=r"no label for the proposal from 5\.000 to 9\.000 s"):
        read(tmp_path, {"a": rows[1:]}).label("a", PROPOSALS)


@pytest.mark.parametrize(
    ("entries", "note"),
    [
        pytest.param(
            [*SCORES, {"label": "", "score": 0.9}], "1 of 5 labels empty: left out", id="empty"
        ),
        pytest.param(
            [*SCORES, {"label": "jump", "score": 0.3}],
            "a label twice for 1 video (a): its best score counts",
            id="twice",
        ),
        pytest.param(
            [*SCORES, {"label": "hop", "score": 0.0}, {"label": "dive", "score": 7.5}],
            "1 of 6 scores above 1: probabilities are expected",
            id="high",
        ),
    ],
)
def test_labels_that_are_left_out_or_seem_wrong_are_counted(
    tmp_path: Path, entries: list[dict[str, object]], note: str
) -> None:
    found = read(tmp_path, {"a": entries, "b": SCORES[:1]})
    assert found.notes == (note,)
    if "above" not in note:
        assert found.label("a", PROPOSALS).labels == ["jump", "jump", "swim", "swim"]


def test_a_label_twice_for_a_segment_counts_once(tmp_path: Path) -> None:
    rows = [{"segment": [0, 4], "label": "run", "score": score} for score in (0.25, 0.5)]
    rows += [{"segment": [5, 9], "label": "run"}]
    found = read(tmp_path, {"a": rows})
    assert found.label("a", PROPOSALS).segments.score.tolist() == [0.5, 0.4]
    assert found.notes == ("a label twice for 1 video (a): its best score counts",)


def test_videos_without_labels_and_labels_without_videos_are_notes(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"a": SCORES, "b": [], "x": SCORES, "y": SCORES}))
    _, found = read_labels(path, 2, ["a", "b"], "fail")
    assert [(p.problem, p.remedy, p.is_error) for p in found] == [
        ("2 videos without proposals (x, y)", "their labels are not used", False),
        ("no labels for 1 video (b)", "their proposals become no detections", False),
    ]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(1, 10))
def test_scores_never_rise_and_come_best_first(scores: list[float], top: int) -> None:
    labels = ScoredLabels(np.arange(len(scores)), np.array(scores))
    names = tuple(map(str, range(len(scores))))
    found = LabelFile(Path("x"), names, {"a": labels}, top).label("a", PROPOSALS)
    assert len(found) == 2 * min(top, len(scores))
    assert (np.diff(found.segments.score) <= 0).all()
    assert found.segments.score.max() <= 0.8
    assert found.segments.score.max() == 0.8 * max(scores)


def test_many_videos_in_order(tmp_path: Path) -> None:
    names = [f"video{i}" for i in range(50)]
    labels = read(tmp_path, dict.fromkeys(names, SCORES))
    write_result(tmp_path / "result.json", dict.fromkeys(names, PROPOSALS))
    choice = LabelChoice(labels_from=labels.path)
    out = tmp_path / "detections.json"
    summary = label_result(LabelRequest(tmp_path / "result.json", choice, out=out))
    assert summary.detections == len(names) * len(labels.label(names[0], PROPOSALS))
    assert list(read_detections(tmp_path / "detections.json")) == names


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param("{", "not valid JSON", id="not-json"),
        pytest.param("video,label,score", r"JSON is needed: \{video: \[\{label, score", id="csv"),
        pytest.param({"a": [], "b": []}, "no labels for any of its 2 videos", id="all-empty"),
        pytest.param({}, "no labels for any of its 0 videos", id="no-videos"),
        pytest.param(
            {"vid": [{"label": "x", "score": -1.5}]}, "-1.5 is negative: probabilities", id="logit"
        ),
        pytest.param([], "not an object of videos", id="list"),
        pytest.param({"results": 3}, "not an object of videos", id="results-is-a-number"),
        pytest.param({"vid": 3}, "'vid': a list is needed", id="video-is-a-number"),
        pytest.param({"vid": [{"score": 1}]}, "'vid': key 'label' is missing", id="no-label"),
        pytest.param({"vid": [{"label": "x"}]}, "None is not a number", id="no-score"),
        pytest.param(
            {"vid": [{"label": [3], "score": 1}]},
            "label: .* a text is needed, not a list",
            id="label-is-a-list",
        ),
        pytest.param({"vid": [{"label": "x", "score": "a"}]}, "not a number", id="score-is-text"),
        pytest.param({"vid": [0.5, 0.5]}, "no names in 'class'", id="vector-without-names"),
        pytest.param(
            {"results": {"vid": [0.5]}, "class": ["a", "b"]}, "1 scores, but 2 names", id="short"
        ),
        pytest.param(
            {"vid": [{"label": "x", "segment": [1]}]},
            "segment: a list of 2 is needed",
            id="half-a-segment",
        ),
        pytest.param(
            {"vid": [{"label": "x", "segment": [1, 2]}, *SCORES]}, "some have none", id="mixed"
        ),
        pytest.param({"v_a": [], "a": []}, "with and without", id="twice"),
        pytest.param(
            '{"vid": [{"label": "x", "score": 1%s}]}' % ("0" * 400), "too large", id="huge-score"
        ),
        pytest.param(
            '{"results": {"vid": [1%s]}, "class": ["a"]}' % ("0" * 400), "too large", id="huge"
        ),
        pytest.param(
            '{"vid": [{"label": "x", "segment": [0, 1%s]}]}' % ("0" * 400), "too large", id="late"
        ),
        pytest.param({"results": {}, "class": 5}, "a list is needed", id="names-are-a-number"),
    ],
)
def test_errors_name_the_file_and_the_cause(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(ResultError, match=message) as error:
        read(tmp_path, document)
    assert "scores.json" in str(error.value)


def test_at_least_one_label(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one label"):
        read(tmp_path, {"a": SCORES}, top=0)
