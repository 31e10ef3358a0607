"""Mistakes in tables and documents: the right result, or one line that names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actspan import Video
from actspan.core.errors import AnnotationError
from actspan.core.problems import skipped_line
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.formats import read_annotations, write_annotations
from tests.data.annotation_files import boris_project, task, via_project, write_label_studio

HEAD = "video,start,end,label\n"


def read(folder: Path, text: str, **hints: Any) -> Annotations:
    file = folder / "x.csv"
    file.write_text(text, encoding="utf-8")
    return read_annotations(file, **hints)


def read_json(folder: Path, document: Any) -> Annotations:
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "x.json").write_text(text)
    return read_annotations(folder / "x.json")


def notes(found: Annotations) -> list[str]:
    return [note.removeprefix(f"{found.path}: ") for note in found.notes]


def content(found: Annotations) -> dict[str, list[tuple[float, float, str]]]:
    return {video.id: list(video.instances()) for video in found.videos}


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param('a,0,1,"jump\nb,1,2,run\n', id="to-the-end"),
        pytest.param('a,0,1,"jump\nb,1,2,"run"\nc,1,2,run\n', id="to-the-next"),
        pytest.param('a,0,1,"jump\n' + "b,1,2,run\n" * 20_000, id="beyond-a-field"),
    ],
)
def test_an_open_quote_is_an_error_at_its_line(rows: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"x\.csv:2: a quote is opened and not closed"):
        read(tmp_path, HEAD + rows)


def test_a_cell_with_a_line_break_is_noted(tmp_path: Path) -> None:
    found = read(tmp_path, HEAD + 'a,1,2,"jump\nhigh"\nb,1,x,run\n')
    assert content(found) == {"a": [(1.0, 2.0, "jump\nhigh")]}
    assert notes(found) == ["1 row has cells with a line break (first: line 2)"]
    assert [problem.file for problem in found.problems] == [f"{tmp_path / 'x.csv'}:4"]


# (text, instances, notes)
READ = [
    pytest.param(
        "# by hand\n" + HEAD + "a,1,2,x\n# b, not sure\n#b,3,4,y\n", {"a": [(1, 2, "x")]},
        ["ignored 1 line above the header", "ignored 2 comments (rows that start with #)"],
        id="comments",
    ),
    pytest.param("#video,start,end,label\na,1,2,x\n", {"a": [(1, 2, "x")]}, [], id="hash-header"),
    pytest.param(
        "# by hand\na,1,2,x\n", {"a": [(1, 2, "x")]},
        ["ignored 1 comment (rows that start with #)",
         "no header; columns read as video,start,end,label"], id="comment-without-header",
    ),
    pytest.param(
        HEAD + "a,1,2,x\nb,,,\nTotal,,,\nsum,3,4,\n", {"a": [(1, 2, "x")], "b": []},
        ["ignored rows that are totals: Total, sum"], id="totals",
    ),
    pytest.param(
        "video,start,end,label,subset\na,1,2,nan,NA\na,2,3,none,\n",
        {"a": [(1, 2, ""), (2, 3, "none")]}, ["ignored labels that mean none: nan"], id="nan",
    ),
    pytest.param(
        HEAD + "\u200ba,1,2,x\n'b',1,2,x\na,3,4,x\n",
        {"a": [(1, 2, "x"), (3, 4, "x")], "b": [(1, 2, "x")]},
        ["dropped zero-width characters in ids of 1 row",
         "dropped single quotes around ids of 1 row"], id="ids",
    ),
    pytest.param(
        HEAD + 'a,"0,500","1,234",x\n', {"a": [(0.5, 1.234, "x")]}, [], id="decimal-commas",
    ),
    pytest.param(
        HEAD.replace(",", ";") + "a;1,234;2,345;x\n", {"a": [(1.234, 2.345, "x")]}, [],
        id="semicolons-leave-no-doubt",
    ),
    pytest.param(
        HEAD + "a,1,2,x\na,1,2,x\na,1,2,y\na,1,2,x\n",
        {"a": [(1, 2, "x"), (1, 2, "x"), (1, 2, "y"), (1, 2, "x")]},
        ["2 instances occur twice, with the same video, times and label: 1 video (a)"],
        id="twice",
    ),
    pytest.param(
        HEAD + "a,1,2,Throw\na,3,4,throw\na,5,6,run\n",
        {"a": [(1, 2, "Throw"), (3, 4, "throw"), (5, 6, "run")]},
        ["labels that differ only in capitals, blanks or Unicode form are different classes: "
         "'Throw' and 'throw'"],
        id="capitals",
    ),
    pytest.param(
        HEAD + "a,1,2,caf\u00e9\na,3,4,cafe\u0301\n",
        {"a": [(1, 2, "caf\u00e9"), (3, 4, "cafe\u0301")]},
        ["labels that differ only in capitals, blanks or Unicode form are different classes: "
         "'caf\u00e9' and 'cafe\u0301'"],
        id="unicode-labels",
    ),
    pytest.param(
        HEAD + "cafe\u0301,1,2,x\ncaf\u00e9,3,4,x\n",
        {"caf\u00e9": [(1, 2, "x"), (3, 4, "x")]},
        ["ids were converted to Unicode NFC: 1"],
        id="unicode-ids",
    ),
    pytest.param(
        HEAD + "a,1.157E-05,2.3E-05,x\n", {"a": [(1.157e-05, 2.3e-05, "x")]},
        ["most instances are shorter than 0.02 s: are their times fractions of a day? format the "
         "cells as numbers of seconds, and save the table again"], id="day-fractions",
    ),
    pytest.param(
        "video,start,end,label,frames\na,1,4,x,75\na,5,6,x,25\n",
        {"a": [(1, 4, "x"), (5, 6, "x")]},
        ["column 'frames' is the length of segments, and not used as the video's"], id="frames",
    ),
    pytest.param(
        "video,start,end,label,type\na,1,4,7,\na,5,6,8,run\na,8,9,8,\n",
        {"a": [(1, 4, "7"), (5, 6, "8"), (8, 9, "8")]},
        ["the label is column 'label'; it could be 'type' (--label-column)",
         "labels are numbers (column 'label')"], id="one-stray-word",
    ),
    pytest.param(
        "video,start,end,label,type\na,1,4,,jump\na,5,6,,\na,8,9,,\n",
        {"a": [(1, 4, "jump"), (5, 6, ""), (8, 9, "")]},
        ["the label is column 'type'; it could be 'label' (--label-column)"], id="empty-label",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected", "said"), READ)
def test_read_with_a_note(
    text: str, expected: dict[str, Any], said: list[str], tmp_path: Path
) -> None:
    found = read(tmp_path, text)
    assert not found.problems
    assert content(found) == expected
    assert notes(found) == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(HEAD + 'a,"1,234","2,500",x\n', "2 numbers like '1,234': thousands or deci",
                     id="thousands"),
        pytest.param(HEAD + "a,1,5,3,25,x\nb,2,3,x\nb,1,5,3,25,x\n",
                     "rows have 6 cells and the header 4: are times written with decimal commas",
                     id="decimal-commas"),
        pytest.param(HEAD.replace(",", "\t") + "1\ta\t1\t5\tx\n",
                     "rows have 5 cells and the header 4: name every column", id="row-numbers"),
        pytest.param(HEAD + "a,2,1,x\na,5,3,x\na,5,6,x\n",
                     "swapped in 2 of 3 rows: name the columns: --start-column 'end' --end-column "
                     "'start'", id="swapped"),
        pytest.param(HEAD, "UTF-16: save it as CSV UTF-8", id="utf-16"),
        pytest.param(HEAD + "caf\u00e9,1,2,x\n", r"x\.csv:2: not UTF-8 text \(byte 0xe9\): save",
                     id="latin-1"),
    ],
)  # fmt: skip
def test_one_error(text: str, message: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    encoding = request.node.callspec.id
    file = tmp_path / "x.csv"
    file.write_text(text, encoding=encoding if encoding in ("utf-16", "latin-1") else "utf-8")
    with pytest.raises(AnnotationError, match=message):
        read_annotations(file)


@pytest.mark.parametrize("time", ["1_000", "0:90", "1:60:00", "0.5:10", "0:-1"])
def test_what_is_no_time(time: str, tmp_path: Path) -> None:
    (problem,) = read(tmp_path, f"{HEAD}a,{time},5000,x\n").problems
    assert f"{time!r} is not a time" in problem.problem


def test_rows_without_an_id_are_one_kind_of_problem(tmp_path: Path) -> None:
    found = read(tmp_path, f"{HEAD}a,1,2,x\n,3,4,x\n,5,6,x\n")
    assert {(p.problem, p.remedy) for p in found.problems} == {
        ("no video id", "repeat the id in each row")
    }


@pytest.mark.parametrize("name", ["#a", "total", "'a'", "v_a", "Sum"])
def test_ids_that_look_like_something_else_survive(name: str, tmp_path: Path) -> None:
    write_annotations(tmp_path / "x.csv", [Video(name, 5.0, "training"), Video("b", 5.0)])
    found = read_annotations(tmp_path / "x.csv")
    assert [video.id for video in found.videos] == [name, "b"]


def test_columns_that_events_are_joined_by_are_not_ignored(tmp_path: Path) -> None:
    rows = "a,x,START,1\na,x,STOP,2\n"
    found = read(
        tmp_path, f"Media file,Behavior,Status,Time,Comment\n{rows}".replace("2\n", "2,\n")
    )
    assert content(found) == {"a": [(1.0, 2.0, "x")]}
    assert notes(found) == ["ignored columns: Comment"]


def test_a_table_without_durations_names_what_is_missing(tmp_path: Path) -> None:
    text = "name,len\na,10\n"
    with pytest.raises(AnnotationError, match="not found: 'duration'; available: 'name', 'len'"):
        read(tmp_path, text, only_facts=True)
    (video,) = read(tmp_path, text, only_facts=True, columns={"duration": "len"}).videos
    assert (video.id, video.duration) == ("a", 10.0)


def test_segments_before_the_video_are_kept_for_clipping(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, HEAD + "a,-1,2,x\n").problems
    assert "--clip" in problem.remedy
    assert content(read(tmp_path, HEAD + "a,-1,2,x\n", will_clip=True)) == {"a": [(-1.0, 2.0, "x")]}
    boris = boris_project([[-1, "", "dig", "", ""], [2, "", "dig", "", ""]])
    (tmp_path / "p.boris").write_text(json.dumps(boris))
    found = read_annotations(tmp_path / "p.boris", will_clip=True)
    assert [s for v in content(found).values() for s in v] == [(-1.0, 2.0, "dig")]
    value = {"start": -1, "end": 2, "labels": ["dig"]}
    region = {"id": "r", "type": "labels", "to_name": "audio", "value": value}
    tasks = write_label_studio(tmp_path / "y.json", [task("a.wav", region, key="audio")])
    found = read_annotations(tasks, will_clip=True)
    assert [s for v in content(found).values() for s in v] == [(-1.0, 2.0, "dig")]


@pytest.mark.parametrize("format", ["thumos14", "textgrid", "via"])
def test_all_forms_keep_segments_for_clipping(format: str, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "jump_val.txt").write_text("clip -1 2\n")
    grid = '"ooTextFile"\n"TextGrid"\n-1\n5\n<exists>\n1\n"IntervalTier" "t" -1 5 1 -1 2 "jump"\n'
    (folder / "clip.TextGrid").write_text(grid)
    project = json.dumps(via_project([{"z": [-1, 2], "xy": [], "av": {"1": "0"}}]))
    (tmp_path / "via.json").write_text(project)
    found = read_annotations(
        tmp_path / "via.json" if format == "via" else folder, format=format, will_clip=True
    )
    assert (content(found), found.problems) == ({"clip": [(-1.0, 2.0, "jump")]}, ())


# ---------------------------------------------------------------- JSON


def entry(**facts: Any) -> dict[str, Any]:
    return {"annotations": [{"segment": [1, 2], "label": "jump"}], **facts}


def test_labels_and_subsets_lose_blanks_around_them(tmp_path: Path) -> None:
    annotations = [{"segment": [1, 2], "label": "jump "}, {"segment": [3, 4], "label": "jump"}]
    found = read_json(tmp_path, {"database": {"a": entry(annotations=annotations, subset="val ")}})
    assert found.videos.labels == ("jump", "jump")
    assert (found.videos.subsets, notes(found)) == (("validation",), [])


def test_lists_of_subsets_beside_the_videos(tmp_path: Path) -> None:
    database = {"a": entry(), "b": entry(subset="training"), "c": entry(subset="testing")}
    lists = {"training": ["v_a"], "val": ["b", "z"]}
    found = read_json(tmp_path, {"database": database, **lists, "info": {"by": "me"}})
    assert found.videos.subsets == ("training", "training", "testing")
    assert notes(found) == [
        "keys next to the videos not understood, which JSON keeps: info",
        "subsets taken from the lists 'training', 'val'",
        "ignored 1 id in lists of subsets that are no videos: z",
    ]
    assert [(p.video, p.problem) for p in found.problems] == [
        ("b", "subset 'training', but 'validation' in a list")
    ]
    assert found.document == {"info": {"by": "me"}}  # subsets are written into the videos


@pytest.mark.parametrize("key", ["is_test", "usage", "phase", "train", "fold"])
def test_keys_that_may_be_subsets_are_named(key: str, tmp_path: Path) -> None:
    found = read_json(tmp_path, {"database": {"a": entry(**{key: 1})}})
    assert notes(found) == [f"keys of videos not understood, which JSON keeps: {key}"]


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"annotations": {}}, "'annotations' is {}, not a list"),
        ({"annotations": 0}, "'annotations' is 0, not a list"),
        ({"annotations": ""}, "'annotations' is '', not a list"),
        ({"subset": ["train", "val"]}, "'subset' is ['train', 'val'], not one name"),
        ({"duration": "0:90"}, "'0:90' is not a time"),
    ],
)
def test_bad_entries(facts: dict[str, Any], problem: str, tmp_path: Path) -> None:
    found = read_json(tmp_path, {"database": {"b": entry(), "a": entry(**facts)}})
    assert [p.video for p in found.problems] == ["a"]
    assert problem in found.problems[0].problem


def test_facts_in_other_forms(tmp_path: Path) -> None:
    database = {
        "a": entry(subset=["train"], duration="0:10"),
        "b": entry(duration_frame=250, fps=25, annotations=None, subset=[]),
    }
    found = read_json(tmp_path, {"database": database})
    assert not found.problems
    assert found.videos.durations.tolist() == [10.0, 10.0]
    assert found.videos.subsets == ("training", "")
    assert found.clocks == {"durations"}
    assert notes(found) == [
        "taken from other keys: frames from 'duration_frame' (1), duration from frames / fps (1)"
    ]


def test_a_key_that_is_there_twice_is_named_with_its_video(tmp_path: Path) -> None:
    first = '{"segment": [1, 2], "label": "x", "label": "y"}'
    text = f'{{"database": {{"a": {{"duration": 5, "duration": 6, "annotations": [{first}]}}, '
    found = read_json(tmp_path, text + '"b": {}, "b": {}}, "version": 1, "version": 2}')
    assert {(p.video, p.problem) for p in found.problems} == {
        ("a", "key 'label' occurs twice in video 'a'"),
        ("a", "key 'duration' occurs twice in video 'a'"),
        ("b", "id listed twice"),
        ("", "key 'version' occurs twice in the document"),
    }
    assert (found.videos.labels, found.videos.durations[0]) == (("x",), 5.0)
    assert skipped_line(found.problems) == f"skipped: 4 repeated keys (b, a, {found.path})"


@pytest.mark.parametrize("entry", [{"subset": 0}, {"subset": [0]}, {"subset": "0"}, {"split": 0}])
def test_a_subset_may_be_the_number_zero(tmp_path: Path, entry: dict[str, object]) -> None:
    found = read_json(tmp_path, json.dumps({"database": {"a": entry}}))
    assert found.videos[0].subset == "0"


# ---------------------------------------------------------------- the authors' pair, tools


def authors(folder: Path, table: str) -> Annotations:
    facts = {"duration_second": 10.0, "duration_frame": 300, "feature_frame": 288}
    (folder / "anet_anno_action.json").write_text(json.dumps({"v_a": facts}))
    (folder / "video_info_new.csv").write_text(table)
    return read_annotations(folder)


def test_the_authors_table(tmp_path: Path) -> None:
    found = authors(tmp_path, "numFrame,video,split\n300,v_a,train\n300,v_a,train\n")
    assert (found.videos.subsets, found.problems) == (("training",), ())
    found = authors(tmp_path, "video,subset\nv_a,training\nv_a,testing\n")
    assert [p.problem for p in found.problems] == [
        "subset 'testing', but 'training' in an earlier row"
    ]
    with pytest.raises(AnnotationError, match="are needed; available: 'video', 'group'"):
        authors(tmp_path, "video,group\nv_a,training\n")


def test_only_the_first_attribute_of_via_is_the_label(tmp_path: Path) -> None:
    metadata = [
        {"z": [1, 2], "xy": [], "av": {"1": "0"}},
        {"z": [3, 4], "xy": [], "av": {"3": "ann"}},
        {"z": [5, 6], "xy": [], "av": {"1": "17"}},
    ]
    found = read_json(tmp_path, via_project(metadata))
    assert list(content(found).values()) == [[(1.0, 2.0, "jump")]]
    assert notes(found) == [
        "ignored attributes: who", "ignored entries: segments without a label"
    ]  # fmt: skip
    assert ["has no option 17" in p.problem for p in found.problems] == [True]


def test_tiers_that_a_textgrid_does_not_count(tmp_path: Path) -> None:
    tier = '"IntervalTier" "{}" 0 5 1 0 5 "x"\n'
    head = '"ooTextFile"\n"TextGrid"\n0\n5\n<exists>\n1\n'
    file = tmp_path / "a.TextGrid"
    file.write_text(head + tier.format("one") + tier.format("two"))
    found = read_annotations(file)
    assert content(found) == {"a": [(0.0, 5.0, "x")]}
    assert notes(found) == ["ignored tiers beyond the number of tiers that the file says: two"]


def test_lines_outside_the_cues_of_webvtt(tmp_path: Path) -> None:
    file = tmp_path / "a.vtt"
    file.write_text(
        "WEBVTT - title\nKind: captions\n\nNOTE a comment\nof two lines\n\nSTYLE\n::cue {}\n\n"
        "1\n00:01.000 --> 00:02.000\njump\n\n00:03.000 -> 00:04.000\nrun\n\n"
        "stray\nid\n00:05.000 --> 00:06.000\nwalk\n"
    )
    found = read_annotations(file)
    assert content(found) == {"a": [(1.0, 2.0, "jump"), (5.0, 6.0, "walk")]}
    assert notes(found) == ["ignored lines outside cues: a.vtt:14, a.vtt:15, a.vtt:17"]
