"""Every format of annotations: what it gives, and that a bad row is a finding with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actspan import Dataset
from actspan.core.errors import ActSpanError, AnnotationError, ConfigError
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.format_table import FORMATS
from actspan.data.annotations.formats import read_annotations
from tests.data.annotation_files import (
    task,
    timeline_region,
    write_elan,
    write_label_studio,
    write_thumos,
)


def table(found: Annotations) -> list[tuple[str, str, list[tuple[float, float, str]]]]:
    """Return (id, subset, instances) of every video."""
    return [
        (v.id, v.subset, [(round(s, 6), round(e, 6), label) for s, e, label in v.instances()])
        for v in found.videos
    ]


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


# ---------------------------------------------------------------- ActivityNet's format and its kin


def test_thumos14_in_activitynets_form(tmp_path: Path) -> None:
    annotations = [
        {"label": "Diving", "segment": [1.0, 2.0], "segment(frames)": [30.0, 60.0], "label_id": 7},
        {"label": "Ambiguous", "segment": [5.0, 6.5]},
    ]
    entry = {"subset": "Test", "duration": 60.5, "fps": 30.0, "annotations": annotations}
    database = {"video_test_0000004": entry, "b": {**entry, "subset": "Validation"}}
    file = write(tmp_path / "thumos14.json", json.dumps({"version": "T", "database": database}))
    found = read_annotations(file)
    assert table(found)[0] == ("video_test_0000004", "testing", [(1.0, 2.0, "Diving")])
    np.testing.assert_array_equal(found.videos[0].ignored, [[5.0, 6.5]])
    assert found.videos[1].subset == "validation"


def test_hacs(tmp_path: Path) -> None:
    segment = {"label": "Dodgeball", "segment": [5.4, 11.6]}
    database = {
        "a": {"subset": "training", "duration": "92.166667", "url": "u", "annotations": [segment]},
        "b": {"subset": "testing", "duration": "10.0"},
    }
    found = read_annotations(write(tmp_path / "HACS.json", json.dumps({"database": database})))
    assert table(found) == [("a", "training", [(5.4, 11.6, "Dodgeball")]), ("b", "testing", [])]
    assert [v.duration for v in found.videos] == [92.166667, 10.0]
    assert not found.problems


def test_subsets_are_found_whatever_their_capitals(tmp_path: Path) -> None:
    entry = {"subset": "Validation", "duration": 9, "annotations": []}
    write(tmp_path / "annotations.json", json.dumps({"database": {"a": entry}}))
    dataset = Dataset.load(tmp_path, features=False)
    assert len(dataset.subset("validation")) == len(dataset.subset("Validation")) == 1


@pytest.mark.parametrize(
    "entry",
    [
        {"annotations": {"a": 1}},
        {"duration": "inf"},
        {"duration": [5]},
        {"frames": 10**400},
    ],
    ids=str,
)
def test_bad_entries(tmp_path: Path, entry: dict[str, Any]) -> None:
    file = write(tmp_path / "a.json", json.dumps({"database": {"bad": entry, "good": {}}}))
    found = read_annotations(file)
    assert [v.id for v in found.videos] == ["good"]
    assert [p.video for p in found.problems] == ["bad"]


# ---------------------------------------------------------------- THUMOS14's text files


def test_thumos14_text_files(tmp_path: Path) -> None:
    folder = write_thumos(
        tmp_path / "TH14" / "annotation",
        {
            "Diving_val": [
                "video_validation_0000051  67.5 75.9 ",
                "video_validation_0000051 80 90",
            ],
            "CliffDiving_val": ["video_validation_0000051 67.5 75.9"],
            "Ambiguous_val": ["video_validation_0000051 1 2"],
            "Diving_test": ["video_test_0000001 3 4"],
            "Ambiguous_test": ["video_test_0001292 10.5 20"],
        },
    )
    write(folder / "detclasslist.txt", "7 BaseballPitch\n")
    found = read_annotations(folder.parent)  # the folder of the zip, as unpacked
    assert found.format == "thumos14"
    assert not found.problems
    assert found.notes == (f"{folder.parent}: ignored files: detclasslist.txt",)
    diving = [(67.5, 75.9, "CliffDiving"), (67.5, 75.9, "Diving"), (80.0, 90.0, "Diving")]
    videos = {name: (subset, instances) for name, subset, instances in table(found)}
    assert videos == {
        "video_validation_0000051": ("validation", diving),
        "video_test_0000001": ("testing", [(3.0, 4.0, "Diving")]),
        "video_test_0001292": ("testing", []),
    }
    ignored = {v.id: v.ignored.tolist() for v in found.videos if len(v.ignored)}
    assert ignored == {
        "video_validation_0000051": [[1.0, 2.0]],
        "video_test_0001292": [[10.5, 20.0]],
    }


def test_bad_lines_of_text_files_are_named(tmp_path: Path) -> None:
    lines = ["v1 1 2", "", "v1 1", "v1 2 1", "v1 a b", "v1 nan 3"]
    folder = write_thumos(tmp_path, {"Diving_val": lines})
    found = read_annotations(folder)
    assert table(found) == [("v1", "validation", [(1.0, 2.0, "Diving")])]
    places = [Path(p.file).name for p in found.problems]
    assert places == [f"Diving_val.txt:{line}" for line in (3, 4, 5, 6)]


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("video,start,end,label\na,1,2.5,x\na,3,4,y\n", id="plain"),
        pytest.param("video-id,t-start,t-end,label\na,1,2.5,x\na,3,4,y\n", id="activitynet-names"),
        pytest.param("label,End,Start,Video ID\nx,2.5,1,a\n\ny,4,3,a\n", id="any-order"),
        pytest.param("video;start;end;label\r\na;1;2,5;x\r\na;3;4;y\r\n", id="decimal-comma"),
        pytest.param("video|start|end|label\na|1|2.5|x\na|3|4|y\n", id="bars"),
        pytest.param("video\tbegin time\tend time\tclass\na\t1\t2.5\tx\na\t3\t4\ty\n", id="tabs"),
        pytest.param("\ufeffvideo,start,end,label\na,0:01,0:00:02.5,x\na,3,4,y\n", id="clock"),
        pytest.param("a,1,2.5,x\na,3,4,y\n", id="no-header"),
        pytest.param("v_a,1,2.5,x\na,3,4,y\n", id="prefix"),
    ],
)
def test_tables(tmp_path: Path, text: str) -> None:
    found = read_annotations(write(tmp_path / "segments.csv", text))
    assert not found.problems
    assert table(found) == [("a", "", [(1.0, 2.5, "x"), (3.0, 4.0, "y")])]
    assert bool(found.notes) == ("1,2.5,x" in text.splitlines()[0])


def test_tables_say_more_of_a_video(tmp_path: Path) -> None:
    text = (
        "video,start,end,label,subset,duration,fps\n"
        "a,1,2,x,Training,60,25\n"
        "a,3,4,x,,,\n"
        "b,,,,validation,30.5,\n"
    )
    found = read_annotations(write(tmp_path / "segments.csv", text))
    assert not found.problems
    a, b = found.videos
    assert (a.subset, a.duration, a.fps, len(a.segments)) == ("training", 60, 25, 2)
    assert (b.subset, b.duration, b.fps, len(b.segments)) == ("validation", 30.5, None, 0)


def test_bad_rows_are_named_with_their_lines(tmp_path: Path) -> None:
    rows = {
        "a,1,2,x,60": None,
        "a,2,1,x,60": "ends before it starts",
        "a,2,2,x,60": "zero length",
        "a,-1,2,x,60": "starts before the video",
        "a,1,,x,60": "start without end",
        "a,,,x,60": "label 'x' without start and end",
        "a,one,2,x,60": "'one' is not a time",
        ",1,2,x,60": "no video id",
        "a,1,2,x,61": "duration 61.0, but 60.0 in an earlier row",
        "a,1,2,x,-3": "not a positive number",
        "a,1,inf,x,60": "'inf' is not a time",
        "a": None,
    }
    text = "\n".join(["video,start,end,label,duration", *rows])
    found = read_annotations(write(tmp_path / "segments.csv", text))
    assert table(found) == [("a", "", [(1.0, 2.0, "x")])]
    said = {Path(p.file).name: p.problem for p in found.problems}
    expected = {f"segments.csv:{i}": what for i, what in enumerate(rows.values(), 2) if what}
    assert said.keys() == expected.keys()
    assert all(expected[place] in said[place] for place in expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"one,two\n1,2\n", "available: 'one', 'two'", id="other-columns"),
        pytest.param(b"video,label\na,x\n", "are needed", id="no-times"),
        pytest.param(b"a,1,x\nb,2,y\n", "are needed", id="no-header-and-one-time"),
        pytest.param(b"\xff\xfe\x00", "UTF-8", id="bytes"),
        pytest.param(b"video,start,end\n" + b"a" * 200_000, "field", id="huge-field"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(AnnotationError, match=message):
        read_annotations(tmp_path / "x.csv")


def test_a_table_may_be_the_annotations_of_a_dataset_folder(tmp_path: Path) -> None:
    write(tmp_path / "annotations.csv", "a,1,2,x\n")
    dataset = Dataset.load(tmp_path, features=False)
    assert dataset.format == "csv"
    assert "no header" in dataset.notes[0]
    assert dataset["a"].labels == ("x",)


# ---------------------------------------------------------------- ELAN


def test_elan(tmp_path: Path) -> None:
    tiers = {"actions": [(1, 2.5, "jump"), (3, 4, "")], "speech": [(0, 9, "well & so")]}
    file = write_elan(tmp_path / "x.eaf", tiers, media="file:///C:/films/My%20clip.mp4")
    found = read_annotations(file)
    expected = [(1.0, 2.5, "jump"), (3.0, 4.0, "actions"), (0.0, 9.0, "well & so")]
    assert table(found) == [("My clip", "", expected)]
    chosen = read_annotations(file, tiers=["act*"])
    assert len(chosen.videos[0].segments) == 2


def test_elan_media_that_begin_elsewhere(tmp_path: Path) -> None:
    file = write_elan(tmp_path / "x.eaf", {"t": [(1, 2, "a")]}, media="./clip.mp4", origin=1500)
    assert table(read_annotations(file)) == [("clip", "", [(2.5, 3.5, "a")])]


def test_a_folder_of_elan_files(tmp_path: Path) -> None:
    write_elan(tmp_path / "one.eaf", {"t": [(1, 2, "a")]})
    write_elan(tmp_path / "two.eaf", {"t": []}, media="two.mp4")
    write_elan(tmp_path / "two-again.eaf", {"t": [(1, 2, "a")]}, media="two.mp4")
    write(tmp_path / "broken.eaf", "<ANNOTATION_DOCUMENT>")
    found = read_annotations(tmp_path)
    assert found.format == "elan"
    assert [name for name, _, _ in table(found)] == ["one", "two"]
    said = {Path(p.file).name: p.problem for p in found.problems}
    assert said.keys() == {"broken.eaf", "two.eaf"}
    assert "in another .eaf file too" in said["two.eaf"]


def test_elan_annotations_without_times_are_findings(tmp_path: Path) -> None:
    file = write_elan(tmp_path / "x.eaf", {"t": [(1, 2, "a"), (5, 6, "b"), (8, 7, "c")]})
    text = file.read_text().replace(' TIME_VALUE="6000"', "")
    reference = '<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="r" ANNOTATION_REF="a2"/></ANNOTATION>'
    write(file, text.replace("</TIER>", f"</TIER><TIER TIER_ID='kind'>{reference}</TIER>"))
    found = read_annotations(file)
    assert table(found) == [("x", "", [(1.0, 2.0, "a")])]
    backwards, unaligned = found.problems
    assert "ends before it starts" in backwards.problem
    assert unaligned.problem == "annotations of tier 't' without times"
    assert "--tier" in unaligned.remedy
    assert found.notes == (f"{file}: ignored annotations that refer to others, by tier: kind",)


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>\n'
FETCH = '<!DOCTYPE x SYSTEM "file:///etc/passwd">\n'


@pytest.mark.parametrize("head", [BOMB, FETCH], ids=["entities", "external"])
def test_elan_files_with_a_document_type_are_refused(tmp_path: Path, head: str) -> None:
    file = write_elan(tmp_path / "x.eaf", {"t": [(1, 2, "a")]}, head=head)
    with pytest.raises(AnnotationError, match="document type declaration"):
        read_annotations(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "not valid XML", id="empty"),
        pytest.param("<svg/>", "not ELAN's", id="other"),
        pytest.param("<a>" * 100, "nested too deeply", id="deep"),
        pytest.param('<?xml version="1.0" encoding="klingon"?><a/>', "not valid XML", id="charset"),
        pytest.param(
            '<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="PAL-frames"/></ANNOTATION_DOCUMENT>',
            "only milliseconds",
            id="frames",
        ),
    ],
)
def test_files_that_are_not_elans(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_annotations(write(tmp_path / "x.eaf", text))


# ---------------------------------------------------------------- Label Studio


def test_label_studio_timeline(tmp_path: Path) -> None:
    upload = task(
        "/data/upload/3/0a1b2c3d-clip one.mp4",
        timeline_region(1, 25, "jump", "fast"),
        timeline_region(26, 75, "Ambiguous"),
    )
    local = task("/data/local-files/?d=films/two.mp4", timeline_region(1, 30, "run"), fps=30)
    found = read_annotations(write_label_studio(tmp_path / "x.json", [upload, local]), fps=25)
    assert found.format == "labelstudio"
    assert not found.problems
    assert table(found) == [
        ("clip one", "", [(0.0, 1.0, "jump"), (0.0, 1.0, "fast")]),
        ("two", "", [(0.0, 1.0, "run")]),
    ]
    np.testing.assert_array_equal(found.videos[0].ignored, [[1.0, 3.0]])
    assert [v.fps for v in found.videos] == [25, 30]


def test_label_studio_audio_and_time_series(tmp_path: Path) -> None:
    audio = {
        "original_length": 12.5,
        "type": "labels",
        "value": {"start": 1.0, "end": 2.0, "channel": 0, "labels": ["bark"]},
    }
    words = {"type": "textarea", "value": {"start": 1.0, "end": 2.0, "text": ["woof"]}}
    series = {
        "type": "timeserieslabels",
        "value": {"start": 0, "end": 85, "instant": False, "timeserieslabels": ["Run"]},
    }
    tasks = [
        task("s3://bucket/dogs.wav", audio, words, key="audio"),
        task("https://x.org/walk.csv?key=1", series, key="csv"),
    ]
    found = read_annotations(write_label_studio(tmp_path / "x.json", tasks))
    assert not found.problems
    assert table(found) == [
        ("dogs", "", [(1.0, 2.0, "bark")]),
        ("walk", "", [(0.0, 85.0, "Run")]),
    ]
    assert found.videos[0].duration == 12.5


def test_label_studio_flat(tmp_path: Path) -> None:
    region = {"ranges": [{"start": 11, "end": 20}], "timelinelabels": ["jump"]}
    flat = {"video": "clip.mp4", "id": 3, "videoLabels": [region], "annotator": 1, "lead_time": 2.5}
    found = read_annotations(write_label_studio(tmp_path / "x.json", [flat]), fps=10)
    assert table(found) == [("clip", "", [(1.0, 2.0, "jump")])]


def test_label_studio_takes_one_finished_annotation(tmp_path: Path) -> None:
    def annotation(label: str, **facts: Any) -> dict[str, Any]:
        return {"result": [timeline_region(1, 10, label)], **facts}

    old = annotation("old", updated_at="2024-01-01T00:00:00Z")
    new = annotation("new", updated_at="2024-02-01T00:00:00Z")
    truth = annotation("truth", ground_truth=True, updated_at="2023-01-01T00:00:00Z")
    dropped = annotation("dropped", was_cancelled=True, updated_at="2025-01-01T00:00:00Z")
    tasks = [
        {"data": {"video": "a.mp4"}, "annotations": [new, old, dropped]},
        {"data": {"video": "b.mp4"}, "annotations": [new, truth]},
        {"data": {"video": "c.mp4"}, "annotations": [dropped]},
        {"data": {"video": "d.mp4"}, "annotations": [{"result": []}]},
    ]
    found = read_annotations(write_label_studio(tmp_path / "x.json", tasks), fps=10)
    assert [(v.id, v.labels) for v in found.videos] == [
        ("a", ("new",)),
        ("b", ("truth",)),
        ("d", ()),
    ]
    assert "of 4 tasks 2 have several annotations" in found.notes[0]


def test_label_studio_boxes_tell_the_rate_and_are_passed_over(tmp_path: Path) -> None:
    boxes = {
        "type": "videorectangle",
        "value": {"framesCount": 120, "duration": 5.0, "labels": ["hand"], "sequence": []},
    }
    file = write_label_studio(
        tmp_path / "x.json", [task("a.mp4", timeline_region(1, 24, "x"), boxes)]
    )
    found = read_annotations(file)
    assert table(found) == [("a", "", [(0.0, 1.0, "x")])]
    assert (found.videos[0].duration, found.videos[0].frames) == (5.0, 120)


def test_label_studio_regions_that_cannot_be_used(tmp_path: Path) -> None:
    clock = {"type": "timeserieslabels", "id": "t", "value": {"start": "2022-12-26", "end": 1}}
    clock["value"]["timeserieslabels"] = ["in bed"]  # type: ignore[index]
    backwards = timeline_region(9, 3, "x")
    tasks = [
        task("a.mp4", clock, backwards, {"value": {"start": 1, "labels": ["x"]}}),
        task("b.mp4", timeline_region(1, 2, "x")) | {"data": {"video": "b.mp4", "fps": -1}},
        {"data": {"text": "no media"}, "annotations": []},
        task("a.mov", timeline_region(1, 2, "x")),
        {"data": {"video": "c.mp4"}, "annotations": [5]},
    ]
    found = read_annotations(write_label_studio(tmp_path / "x.json", tasks), fps=10)
    assert [p.video for p in found.problems] == ["b", "", "a", "c", "a", "a", "a"]
    expected = [
        "not a positive number", "nothing names its video", "in an earlier task too",
        "not a list of objects", "'2022-12-26' is not a number", "no 'end'",
        "ends before it starts",
    ]  # fmt: skip
    assert all(e in p.problem for e, p in zip(expected, found.problems, strict=True))


def test_frame_numbers_need_a_rate(tmp_path: Path) -> None:
    file = write_label_studio(tmp_path / "x.json", [task("a.mp4", timeline_region(1, 2, "x"))])
    assert "--fps" in read_annotations(file).problems[0].problem


# ---------------------------------------------------------------- the table of formats


@pytest.mark.parametrize("format", [*FORMATS, "ladybird"])
def test_a_form_may_be_said(tmp_path: Path, format: str) -> None:
    file = write(tmp_path / "odd.name", "video,start,end\na,1,2\n")
    if format == "csv":
        assert len(read_annotations(file, format=format).videos) == 1
        return
    with pytest.raises(ActSpanError) as caught:
        read_annotations(file, format=format)
    assert isinstance(caught.value, ConfigError) == (format in ("ladybird", "youtube"))


def test_what_cannot_be_told_is_a_named_error(tmp_path: Path) -> None:
    for name, content in {"a.json": "{}", "b.txt": "a 1 2", "c.json": "3", "d": "\x00"}.items():
        with pytest.raises(AnnotationError, match=name):
            read_annotations(write(tmp_path / name, content))
    for name in ("nowhere.csv", "nowhere.json", "nowhere.eaf", "nowhere"):
        with pytest.raises(AnnotationError, match="no such file"):
            read_annotations(tmp_path / name)
