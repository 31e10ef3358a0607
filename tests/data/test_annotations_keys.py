"""JSON as other people write it: other keys, quoted times, no `database`; and what is ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actspan.core.problems import Skipped
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.formats import read_annotations

Instances = list[tuple[float, float, str]]
JUMP = {"segment": [0.5, 2.0], "label": "Jump"}


def read(folder: Path, document: object) -> Annotations:
    file = folder / "x.json"
    file.write_text(json.dumps(document))
    return read_annotations(file)


def read_video(folder: Path, **entry: Any) -> Annotations:
    return read(folder, {"database": {"a": entry}})


def notes(found: Annotations) -> list[str]:
    return [note.removeprefix(f"{found.path}: ") for note in found.notes]


def instances(found: Annotations) -> Instances:
    (video,) = found.videos
    return list(video.instances())


# ---------------------------------------------------------------- annotations


@pytest.mark.parametrize(
    ("annotation", "label", "note"),
    [
        pytest.param({"class": "Jump"}, "Jump", "label from 'class' (1)", id="class"),
        pytest.param({"action": "Jump"}, "Jump", "label from 'action' (1)", id="action"),
        pytest.param({"Label Name": "Jump"}, "Jump", "label from 'Label Name' (1)", id="signs"),
        pytest.param({"label": 7, "class": "Jump"}, "Jump", "label from 'class' (1)", id="number"),
        pytest.param({"label": "7", "name": "Jump"}, "Jump", "label from 'name' (1)", id="digits"),
        pytest.param({"label": "", "name": "Jump"}, "Jump", "label from 'name' (1)", id="empty"),
        pytest.param({"label_id": 7}, "7", "label from 'label_id' (1)", id="class-number"),
        pytest.param({"label": 7}, "7", None, id="label-number"),
        pytest.param({"label": "Jump", "label_id": 7}, "Jump", None, id="both"),
        pytest.param({"label": "Jump", "segment(frames)": [1, 2]}, "Jump", None, id="frames"),
        pytest.param({"label": ""}, "", None, id="said-to-be-none"),
    ],
)
def test_labels_under_other_keys(
    annotation: dict[str, Any], label: str, note: str | None, tmp_path: Path
) -> None:
    found = read_video(tmp_path, annotations=[{"segment": [1, 2], **annotation}])
    assert instances(found) == [(1.0, 2.0, label)]
    assert notes(found) == ([f"taken from other keys: {note}"] if note else [])


def test_annotations_without_a_label_and_keys_that_are_ignored(tmp_path: Path) -> None:
    other = {"segment": [1, 2], "colour": "red"}
    found = read_video(
        tmp_path, annotations=[other, {**other, "segment": [3, 4]}, {**JUMP, "score": 0.5}]
    )
    assert [label for _, _, label in instances(found)] == ["", "", "Jump"]
    assert notes(found) == [
        "2 annotations without a label",
        "ignored keys of annotations: colour (2), score",
    ]


@pytest.mark.parametrize(
    ("segment", "times"),
    [
        pytest.param(["0.5", "2.0"], (0.5, 2.0), id="quoted"),
        pytest.param(["0:01:02", "1:03.5"], (62.0, 63.5), id="clocks"),
        pytest.param([1, "2"], (1.0, 2.0), id="mixed"),
    ],
)
def test_times_as_text(segment: list[Any], times: tuple[float, float], tmp_path: Path) -> None:
    found = read_video(tmp_path, annotations=[{"segment": segment, "label": "Jump"}])
    assert instances(found) == [(*times, "Jump")]


@pytest.mark.parametrize("segment", [["a", "2"], ["1", None], [["1"], "2"], ["nan", "2"], ["1"]])
def test_times_that_are_none_are_problems(segment: list[Any], tmp_path: Path) -> None:
    found = read_video(tmp_path, annotations=[{"segment": segment, "label": "Jump"}])
    assert instances(found) == []
    assert [p.video for p in found.problems] == ["a"]


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        pytest.param(3, "annotation 3 is not an object", id="no object"),
        pytest.param({"label": "Jump"}, "no 'segment'", id="no segment"),
        pytest.param({"segment": "12"}, "'12' is not [start, end]", id="text"),
        pytest.param({"segment": [1, 2, 3]}, "[1, 2, 3] is not [start, end]", id="three times"),
        pytest.param({"segment": [True, 2]}, "[True, 2] is not [start, end]", id="truth value"),
        pytest.param({"segment": [1, 10**400]}, "too large", id="no float"),
        pytest.param({"segment": [1, 2], "label": ["Jump"]}, "label ['Jump'] is not", id="label"),
    ],
)
def test_a_malformed_annotation_costs_the_instance_only(
    annotation: Any, problem: str, tmp_path: Path
) -> None:
    found = read_video(
        tmp_path, annotations=[JUMP, annotation, {"segment": [3, 4], "label": "Run"}]
    )
    assert [label for _, _, label in instances(found)] == ["Jump", "Run"]
    (lost,) = found.problems
    assert (lost.video, lost.skipped) == ("a", Skipped.SEGMENT)
    assert lost.file == f"{tmp_path / 'x.json'}: video 'a', annotation 1"
    assert problem in lost.problem


def test_start_and_end_for_a_segment(tmp_path: Path) -> None:
    annotation = {"start_time": "0:01", "end_time": 2, "label": "Jump"}
    found = read_video(tmp_path, annotations=[annotation, {**annotation, **JUMP}])
    assert instances(found) == [(1.0, 2.0, "Jump"), (0.5, 2.0, "Jump")]
    note = "taken from other keys: segment from 'start_time' and 'end_time' (1)"
    assert notes(found) == [note]


@pytest.mark.parametrize("label", [["Jump", "Run"], {"id": 3}], ids=str)
def test_labels_that_are_no_text_are_problems(label: object, tmp_path: Path) -> None:
    found = read_video(tmp_path, annotations=[{**JUMP, "label": label}])
    assert "is not text or a number" in found.problems[0].problem


# ---------------------------------------------------------------- videos


@pytest.mark.parametrize("name", ["split", "set", "Subset", "partition"])
def test_subsets_under_other_keys(name: str, tmp_path: Path) -> None:
    found = read_video(tmp_path, **{name: "train"}, annotations=[JUMP])
    assert [v.subset for v in found.videos] == ["training"]
    assert notes(found) == [f"taken from other keys: subset from {name!r} (1)"]
    assert not found.videos[0].extra


def test_facts_under_other_keys(tmp_path: Path) -> None:
    found = read_video(tmp_path, duration_seconds="9.5", num_frames=95, frame_rate=10)
    (video,) = found.videos
    assert (video.duration, video.frames, video.fps) == (9.5, 95, 10.0)


def test_keys_that_may_matter_are_named_and_kept(tmp_path: Path) -> None:
    entry = {
        "subset": "training", "split": "train", "url": "u", "resolution": "1x1", "user": 7,
        "sentences": ["x"], "videoSplit": 3, "empty": [], "annotations": [JUMP],
    }  # fmt: skip
    found = read_video(tmp_path, **entry)
    assert notes(found) == [
        "keys of videos not understood, which JSON keeps: split, sentences, videoSplit"
    ]
    assert found.videos[0].extra == {
        k: v for k, v in entry.items() if k not in ("subset", "annotations")
    }


# ---------------------------------------------------------------- near formats


def test_videos_without_a_database(tmp_path: Path) -> None:
    entry = {"duration": 20.0, "subset": "val", "annotations": [JUMP]}
    found = read(tmp_path, {"version": "1", "empty": {"duration": 5.0}, "v_a": entry, "bad": 7})
    assert (found.format, found.document) == ("activitynet", {"version": "1"})
    assert [(v.id, v.subset) for v in found.videos] == [("empty", ""), ("a", "validation")]
    assert [p.video for p in found.problems] == ["bad"]


def test_the_same_where_the_whole_has_to_be_parsed(tmp_path: Path) -> None:
    entry = json.dumps({"annotations": [JUMP]})
    (tmp_path / "x.json").write_text(f'{{"version": 1, "a": {entry}, "a": {entry}}}')
    found = read_annotations(tmp_path / "x.json")
    assert (found.document, [v.id for v in found.videos]) == ({"version": 1}, ["a"])
    assert [p.problem for p in found.problems] == ["id listed twice"]


def test_actions(tmp_path: Path) -> None:
    entry = {"subset": "testing", "duration": 20.0, "actions": [[7, 0.5, 2.0], ["Run", "3", 4]]}
    entry["actions"].insert(1, [7, 1])
    found = read(tmp_path, {"a": entry})
    assert instances(found) == [(0.5, 2.0, "7"), (3.0, 4.0, "Run")]
    assert notes(found) == ["taken from other keys: annotations from 'actions' (1)"]
    assert "[7, 1] is not [class, start, end]" in found.problems[0].problem


def test_the_authors_form_without_frames_of_features(tmp_path: Path) -> None:
    annotation = {"class": "Jump", "label": 7, "segment": [0.5, 2.0], "segment_frame": [15, 60]}
    entry = {"duration_second": 20.0, "duration_frame": 600, "fps": 30, "annotations": [annotation]}
    found = read(tmp_path, {"a": entry, "b": {"duration_second": "long"}})
    (video,) = found.videos
    assert (found.format, video.duration, video.frames, video.fps) == ("authors", 20.0, 600, 30.0)
    assert (video.feature_frames, instances(found)) == (None, [(0.5, 2.0, "Jump")])
    assert notes(found) == ["taken from other keys: label from 'class' (1)"]
    assert [p.video for p in found.problems] == ["b"]


def test_rows_of_the_authors_table_that_are_not_in_the_json(tmp_path: Path) -> None:
    entry = {"duration_second": 10.0, "duration_frame": 300, "feature_frame": 288}
    (tmp_path / "anet_anno_action.json").write_text(json.dumps({"v_a": entry}))
    table = tmp_path / "video_info_new.csv"
    table.write_text("video,subset\nv_a,training\nv_b,testing\nv_c\n")
    found = read_annotations(tmp_path)
    assert [v.subset for v in found.videos] == ["training"]
    assert found.notes == (f"{table}: ignored 2 rows of videos that are not in the JSON: b, c",)
