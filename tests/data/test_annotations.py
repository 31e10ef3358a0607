from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.data.annotations.formats import encode_annotations, read_annotations, write_annotations
from actspan.data.annotations.writing import in_microseconds
from actspan.data.videos import canonical_id
from tests.examples import write_dataset


def test_activitynet_form_and_back_with_extra_keys(tmp_path: Path) -> None:
    source = tmp_path / "annotations.json"
    entry = {
        "subset": "training",
        "duration": 10.0,
        "url": "somewhere",
        "annotations": [{"segment": [1.0, 2.5], "label": "jump"}],
    }
    source.write_text(json.dumps({"version": "1", "taxonomy": [], "database": {"v_a": entry}}))
    (video,) = read_annotations(source).videos
    assert (video.id, video.subset, video.labels) == ("a", "training", ("jump",))
    write_annotations(tmp_path / "again.json", [video])
    (again,) = read_annotations(tmp_path / "again.json").videos
    assert again.extra == {"url": "somewhere"}
    np.testing.assert_array_equal(again.segments, [[1.0, 2.5]])


@pytest.mark.parametrize("form", ["activitynet", "csv"])
def test_times_are_written_in_microseconds(form: str) -> None:
    segments = [[5.375000000000001, 109.47999999999999], [1e-8, 2e-8]]
    video = Video("clip", 109.47999999999999, segments=segments, labels=("jump", "blink"))
    (content,) = encode_annotations([in_microseconds(video)], form).values()
    numbers = [float(text) for text in re.findall(rb"\d[\d.e-]*", content.partition(b"clip")[2])]
    assert {5.375, 109.48, 1e-8, 2e-8} <= set(numbers)  # what would have no length is kept
    assert b"5.375000000000001" not in content
    assert b"109.47999999999999" not in content


def test_the_published_pair_of_files(data: Path) -> None:
    found = read_annotations(data / "activitynet")
    assert found.format == "authors"
    assert len(found.videos) == 19228
    validation = [v for v in found.videos if v.subset == "validation"]
    assert (len(validation), sum(len(v.segments) for v in validation)) == (4728, 7293)
    assert not found.problems


def test_subsets_of_the_authors_form_come_from_the_table_beside_it(tmp_path: Path) -> None:
    entry = {"duration_second": 10.0, "duration_frame": 300, "feature_frame": 288}
    document = {"v_a": {**entry, "annotations": []}, "v_b": {**entry, "annotations": []}}
    (tmp_path / "anet_anno_action.json").write_text(json.dumps(document))
    (tmp_path / "video_info_new.csv").write_text("video,subset\nv_a,training\n")
    found = read_annotations(tmp_path)
    assert [v.subset for v in found.videos] == ["training", ""]
    assert [(p.video, p.problem) for p in found.problems] == [("b", "no row for it")]


def test_ids_lose_one_literal_prefix() -> None:
    assert [canonical_id(x) for x in ("v_abc", "abc", "v_v_x")] == ["abc", "abc", "v_x"]
    assert canonical_id("v_cafe\u0301.mp4") == canonical_id("caf\u00e9") == "caf\u00e9"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "annotations.json: empty", id="empty"),
        pytest.param("[1]", "JSON in an unknown format, list; known are", id="a-list"),
        pytest.param(
            '{"a": 1}',
            "JSON in an unknown format, an object with 'a'; known are: .*JSON with a 'database'",
            id="something-else",
        ),
        pytest.param('{"database": ' + "[" * 100000, "nested too deeply", id="deep"),
    ],
)
def test_files_that_are_no_annotations(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "annotations.json"
    file.write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_annotations(file)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        pytest.param('{"duration": "long"}', "not a number", id="duration-in-words"),
        pytest.param('{"duration": -1}', "not a positive number", id="negative-duration"),
        pytest.param('{"duration": 9, "annotations": 7}', "7, not a list", id="annotations"),
        pytest.param("7", "bad entry", id="no-object"),
    ],
)
def test_bad_entries_are_problems_not_crashes(tmp_path: Path, entry: str, problem: str) -> None:
    file = tmp_path / "annotations.json"
    file.write_text('{"database": {"good": {"duration": 5}, "bad": ' + entry + "}}")
    found = read_annotations(file)
    assert [v.id for v in found.videos] == ["good"]
    assert found.problems[0].video == "bad"
    assert problem in found.problems[0].problem


def test_ids_listed_twice_are_reported_and_the_first_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "annotations.json"
    file.write_text('{"database": {"a": {"duration": 5}, "a": {"duration": 6}}}')
    found = read_annotations(file)
    assert found.videos[0].duration == 5
    assert [p.problem for p in found.problems] == ["id listed twice"]


def test_a_folder_without_annotations_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        AnnotationError,
        match=r"contains none of: .*annotations.json, anet_anno_action.json, .*\.srt files",
    ):
        read_annotations(tmp_path)
    assert read_annotations(write_dataset(tmp_path / "set")).format == "activitynet"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"database": {"\xff": {}}}', id="an-id"),
        pytest.param(b'{"database": {"a": {"\xff": 1}}}', id="a-key"),
        pytest.param(b'{"a": {"annotations": [], "x": "\xff"}}', id="a-value"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "annotations.json"
    file.write_bytes(data)
    with pytest.raises(AnnotationError, match="not valid JSON: 'utf-8' codec"):
        read_annotations(file)
