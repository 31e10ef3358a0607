from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from actspan import Dataset, Proposals, Video, evaluate_recall
from actspan.cli import main
from actspan.core.errors import AnnotationError, ConfigError, DatasetError
from actspan.data.annotations.formats import read_annotations, write_annotations
from actspan.data.instances import split_patterns, with_labels
from actspan.data.result_writers import write_result
from tests.examples import edit_annotations, write_dataset

SIT = Video(
    "a", 60.0, segments=[[0, 9], [10, 12]], labels=("SIT", "SIT_TO_STAND"), ignored=[[1, 2]]
)
WALK = Video("b", 60.0, segments=[[0, 9]], labels=("WALK",))


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        pytest.param([], [("SIT", "SIT_TO_STAND"), ("WALK",)], id="none-keeps-all"),
        pytest.param(["*_TO_*"], [("SIT_TO_STAND",), ()], id="glob"),
        pytest.param(["SIT"], [("SIT",), ()], id="whole-names"),
        pytest.param(["SI?", "W*"], [("SIT",), ("WALK",)], id="several"),
        pytest.param(["*"], [("SIT", "SIT_TO_STAND"), ("WALK",)], id="all"),
    ],
)
def test_labels_that_match_are_kept(patterns: list[str], kept: list[tuple[str, ...]]) -> None:
    videos = with_labels([SIT, WALK], patterns)
    assert [v.labels for v in videos] == kept
    np.testing.assert_array_equal(videos[0].ignored, [[1, 2]])


def test_segments_stay_with_their_labels() -> None:
    (video,) = with_labels([SIT], ["*_TO_*"])
    np.testing.assert_array_equal(video.segments, [[10, 12]])


@pytest.mark.parametrize("patterns", [["sit"], ["SIT", "RUN*"]])
def test_a_pattern_that_matches_nothing_is_an_error(patterns: list[str]) -> None:
    with pytest.raises(AnnotationError, match=r"no label matches .* SIT, SIT_TO_STAND, WALK"):
        with_labels([SIT, WALK], patterns)


def test_patterns_of_options() -> None:
    assert split_patterns(("a, b", "c,")) == ("a", "b", "c")
    for empty in ("", " ", ","):
        with pytest.raises(ConfigError, match="is empty: name labels"):
            split_patterns(["a", empty])


def test_of_a_dataset(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set")
    other = [{"segment": [0.5, 1.5], "label": "other"}]
    edit_annotations(folder, "video1", annotations=other)
    dataset = Dataset.load(folder).with_labels(["oth*"])
    assert len(dataset) == 4
    assert {v.id: v.labels for v in dataset if v.labels} == {"video1": ("other",)}
    assert dataset["video1"].labels == ("other",)


def test_on_real_recordings(data: Path) -> None:
    dataset = Dataset.load(data / "hapt").with_labels(["*_TO_*"])
    assert sum(len(v.segments) for v in dataset) == 250


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Return two instances, of which the proposals find the second."""
    write_annotations(tmp_path / "annotations.json", [replace(SIT, subset="validation")])
    write_result(tmp_path / "result.json", {"a": Proposals([10.0], [12.0], [0.9], unit="seconds")})
    return tmp_path


@pytest.mark.parametrize(
    ("labels", "recall"),
    [([], 50.0), (["--labels", "*_TO_*"], 100.0), (["--labels", "SIT"], 0.0),
     (["--labels", "SIT,*_TO_*"], 50.0), (["--labels", "SIT", "--labels", "*_TO_*"], 50.0)],
)  # fmt: skip
def test_evaluate_judges_on_some_labels(judged: Path, labels: list[str], recall: float) -> None:
    command = ["evaluate", str(judged), "--ground-truth", str(judged), "--json", *labels]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["AR@100"] == recall


def test_evaluate_names_a_pattern_that_matches_nothing(judged: Path) -> None:
    command = ["evaluate", str(judged), "--ground-truth", str(judged), "--labels", "RUN"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert "no label matches 'RUN'; available: SIT, SIT_TO_STAND" in done.stderr


def test_evaluation_takes_annotations_as_they_were_read(judged: Path) -> None:
    document = json.loads((judged / "annotations.json").read_text())
    document["database"]["b"] = {"duration": "long"}
    (judged / "annotations.json").write_text(json.dumps(document))
    truth = read_annotations(judged)
    with pytest.raises(DatasetError, match="not a number"):
        evaluate_recall(truth, judged)
    found = evaluate_recall(truth, judged, on_error="skip", subset="Validation")
    assert [p.video for p in found.problems] == ["b"]
