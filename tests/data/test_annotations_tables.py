"""Tables as other people write them: which column means what, and what is ignored."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from actspan.core.errors import AnnotationError, ConfigError
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.formats import read_annotations


def read(folder: Path, text: str, **columns: str) -> Annotations:
    file = folder / ("x.tsv" if "\t" in text else "x.csv")
    file.write_text(text, encoding="utf-8")
    return read_annotations(file, columns=columns)


def notes(found: Annotations) -> list[str]:
    return [note.removeprefix(f"{found.path}: ") for note in found.notes]


# (times, labels) of every video
def content(found: Annotations) -> dict[str, list[tuple[float, float, str]]]:
    return {video.id: list(video.instances()) for video in found.videos}


LABELS = ("type", "verb", "behavior", "behaviour", "Behavior", "tag", "phase", "gesture",
          "activity_name", "action_name", "action_label", "label_id", "Action Class", "narration",
          "caption", "text", "class", "action", "name")  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_names_of_the_label(name: str, tmp_path: Path) -> None:
    found = read(tmp_path, f"video,start,end,{name}\na,1,2,jump\n")
    assert content(found) == {"a": [(1.0, 2.0, "jump")]}
    assert notes(found) == []


@pytest.mark.parametrize(
    "head",
    [
        "video-name,t-init,t-end",
        "video_id,start_timestamp,stop_timestamp",
        "youtube_id,time_start,time_end",
        "Media file,Start (s),Stop (s)",
        "Media file name,Start,Stop",
        "file,Begin Time - ss.msec,End Time - ss.msec",
        "clip,start_time,stop_time",
    ],
)
def test_names_of_video_and_times(head: str, tmp_path: Path) -> None:
    found = read(tmp_path, f"{head},label\na,0:01,2.5,jump\n")
    assert content(found) == {"a": [(1.0, 2.5, "jump")]}
    assert notes(found) == []


def test_thumos14_in_a_table(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "video,type,type_idx,start,end,startFrame,endFrame\n"
        "a,Jump,7,0.5,2,15,60\na,Ambiguous,0,3,4,90,120\n",
    )
    assert content(found) == {"a": [(0.5, 2.0, "Jump")]}
    assert found.videos[0].ignored.tolist() == [[3.0, 4.0]]
    assert notes(found) == ["ignored columns: type_idx, startFrame, endFrame"]


def test_a_table_without_labels_says_so(tmp_path: Path) -> None:
    found = read(tmp_path, "video,start,end,colour\na,1,2,red\n")
    assert content(found) == {"a": [(1.0, 2.0, "")]}
    assert notes(found) == [
        "no column of labels is known by name, so instances have none; --label-column names it",
        "ignored columns: colour",
    ]


@pytest.mark.parametrize(
    ("head", "row", "label", "note"),
    [
        pytest.param(
            "verb,noun,narration", "open,jar,open jar", "open",
            "the label is column 'verb'; it could be 'narration' (--label-column)", id="words",
        ),
        pytest.param(
            "label,class", "7,Jump", "Jump",
            "the label is column 'class'; it could be 'label' (--label-column)", id="a-number",
        ),
        pytest.param("type_idx,type", "7,Jump", "Jump", "ignored columns: type_idx", id="index"),
        pytest.param("label-idx,x", "7,0", "7", "labels are numbers (column 'label-idx')", id="no"),
    ],
)  # fmt: skip
def test_which_column_is_the_label(
    head: str, row: str, label: str, note: str, tmp_path: Path
) -> None:
    found = read(tmp_path, f"video,start,end,{head}\na,1,2,{row}\n")
    assert content(found) == {"a": [(1.0, 2.0, label)]}
    assert note in notes(found)


def test_clips_that_are_not_of_the_class(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "classname,youtube_id,subset,start,end,label\n"
        "Jump,a,train,5,7,1\nJump,a,train,9,11,-1\nRun,b,val,1,3,-1\n",
    )
    assert content(found) == {"a": [(5.0, 7.0, "Jump")]}
    assert notes(found) == [
        "the label is column 'classname'; left out 2 rows with -1 in column 'label', which marks "
        "clips that are not of the class (HACS Clips)"
    ]


# ---------------------------------------------------------------- columns that the user names


def test_columns_may_be_named(tmp_path: Path) -> None:
    text = "who,from_s,till,what,label,fold,len\na.mp4,1,2,jump,x,Train,9\n"
    found = read(
        tmp_path, text, video="who", start="from_s", end="till", label="What", subset="fold",
        duration="len",
    )  # fmt: skip
    assert content(found) == {"a": [(1.0, 2.0, "jump")]}
    assert (found.videos[0].subset, found.videos[0].duration) == ("training", 9.0)
    assert "ignored columns: label" in notes(found)


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"no column 'tpye' \(did you mean 'type'\?\); avail"):
        read(tmp_path, "video,start,end,type\na,1,2,x\n", label="tpye")


def test_only_tables_have_columns(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"database": {"a": {}}}')
    with pytest.raises(ConfigError, match="has no columns; leave out --label-column"):
        read_annotations(tmp_path / "x.json", columns={"label": "type"})
    with pytest.raises(ConfigError, match="has no tiers; leave out --tier"):
        read_annotations(tmp_path / "x.json", tiers=["a*"])


@pytest.mark.parametrize(
    ("head", "missing"),
    [
        pytest.param("video,t-end,video-duration,label", "'start'", id="start"),
        pytest.param("video,label,duration,first,last", "'start', 'end'", id="times"),
        pytest.param("who,start,end,label", "'video'", id="video"),
        pytest.param("a,b,c", "'video', 'start', 'end'", id="all"),
    ],
)
def test_missing_columns_are_one_line(head: str, missing: str, tmp_path: Path) -> None:
    many = [f"column {i}" for i in range(20)]
    with pytest.raises(AnnotationError) as caught:
        read(tmp_path, ",".join([head, *many]) + "\na,1,2,x\nb,1,2,x\n")
    message = str(caught.value)
    assert f"not found: {missing}; available: " in message
    assert all(repr(name) in message for name in (*head.split(","), *many))
    assert f"--{missing.split(',')[0].strip(chr(39))}-column" in message


# ---------------------------------------------------------------- durations


@pytest.mark.parametrize(
    ("rows", "duration"),
    [
        pytest.param("a,0.5,2,1.5\na,3,4,1\n", None, id="lengths"),
        pytest.param("a,0.5,2,1.5\n", None, id="one-length"),
        pytest.param("a,3.2,5.1,2\na,7,10.4,3\n", None, id="lengths-in-whole-seconds"),
        pytest.param("a,3,5,1\na,7,10,2\n", None, id="varies-and-less-than-end"),
        pytest.param("a,0.5,2,60\na,3,4,60\n", 60.0, id="of-the-video"),
        pytest.param("a,0,10,10\n", 10.0, id="whole-video"),
        pytest.param("a,0.5,12,10\n", 10.0, id="beyond-the-end"),
        pytest.param("a,15,60,20\n", 20.0, id="frames-for-seconds"),
    ],
)
def test_whose_duration(rows: str, duration: float | None, tmp_path: Path) -> None:
    found = read(tmp_path, f"video,start,end,duration\n{rows}")
    said = "column 'duration' is the length of segments, and not used as the video's"
    assert (said in notes(found)) == (duration is None)
    (video,) = found.videos
    assert video.duration == duration or (duration is None and math.isnan(video.duration))


def test_durations_of_frames_and_rate(tmp_path: Path) -> None:
    found = read(tmp_path, "video,fps,sample_fps,count,sample_count\na,30.0,10,600.0,200\n")
    (video,) = found.videos
    assert (video.duration, video.fps, video.frames) == (20.0, 30.0, 600)
    assert notes(found) == ["ignored columns: sample_fps, sample_count"]
    (video,) = read(tmp_path, "video,start,end,fps,count\na,1,2,30,7\n").videos
    assert math.isnan(video.duration)  # beside segments, a count may be of anything


def test_subsets_alone(tmp_path: Path) -> None:
    found = read(tmp_path, "video,split\na,valid\nb,Test\n")
    assert [v.subset for v in found.videos] == ["validation", "testing"]


# ---------------------------------------------------------------- rows


def test_rows_of_other_lengths_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, "video,start,end,label,\na,1,2,run, fast\na,3,4\nb,5,6,x,,y\n")
    assert content(found)["a"] == [(1.0, 2.0, "run"), (3.0, 4.0, "")]
    assert notes(found) == [
        "1 row has cells in columns without a name, which were ignored (first: line 2)",
        "1 row has fewer cells than the header, so the last are read as empty (first: line 3)",
    ]
    (problem,) = found.problems  # what stands before the sixth cell may be shifted
    assert problem.problem == "6 cells, and the header has 5"


def test_cells_that_say_that_there_is_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, "video,start,end,label,fps,duration\na,1,2,x,NA,NaN\nb,NA,NA,,,\n")
    assert not found.problems
    assert content(found) == {"a": [(1.0, 2.0, "x")], "b": []}


# ---------------------------------------------------------------- BORIS


def test_boris_aggregated_events(tmp_path: Path) -> None:
    head = ("Observation id\tMedia file\tTotal length\tFPS\tSubject\tBehavior\tBehavioral category"
            "\tBehavior type\tStart (s)\tStop (s)\tDuration (s)")  # fmt: skip
    found = read(
        tmp_path,
        f"{head}\no\tclip.mp4\t20.0\t25\tcat\tgroom\t\tSTATE\t1.5\t3.25\t1.75\n"
        "o\tclip.mp4\t20.0\t25\tcat\tjump\t\tPOINT\t4.0\t4.0\tNA\n",
    )
    assert content(found) == {"clip": [(1.5, 3.25, "groom")]}
    assert (found.videos[0].duration, found.videos[0].fps) == (20.0, 25.0)
    assert not found.problems
    assert notes(found)[1:] == [
        "ignored events without a length: jump",
        "ignored columns: Observation id, Subject, Behavioral category, Duration (s)",
    ]


def test_boris_observations_of_several_files(tmp_path: Path) -> None:
    head = "Observation id\tMedia file\tBehavior\tStart (s)\tStop (s)\n"
    found = read(tmp_path, f"{head}o\ta.mp4\tx\t1\t2\no\tb.mp4\tx\t11\t12\np\tc.mp4\tx\t1\t2\n")
    (note,) = (note for note in notes(found) if "BORIS" in note)
    assert note.startswith("1 observation of several media files (o): BORIS counts their times")


@pytest.mark.parametrize("state", ["Status", "Behavior type"])
def test_boris_tabular_events(state: str, tmp_path: Path) -> None:
    rows = [
        ("1.0", "cat", "groom", "START"),
        ("1.5", "dog", "groom", "START"),
        ("2.0", "cat", "groom", "STOP"),
        ("2.5", "cat", "jump", "POINT"),
        ("3.0", "dog", "groom", "STOP"),
        ("4.0", "cat", "sleep", "START"),
        ("5.0", "dog", "sleep", "STOP"),
    ]
    lines = [f"{time}\tclip.mp4\t9.0\t{who}\t{what}\t{how}" for time, who, what, how in rows]
    above = "Observation id\tsession 1\n\nDescription\tx\n"
    head = f"Time\tMedia file path\tTotal length\tSubject\tBehavior\t{state}\n"
    found = read(tmp_path, above + head + "\n".join(lines))
    assert content(found) == {"clip": [(1.0, 2.0, "groom"), (1.5, 3.0, "groom")]}
    assert "ignored 2 lines above the header" in notes(found)
    places = {p.file.rpartition(":")[2]: p.problem for p in found.problems}
    assert places["10"] == "start without end"
    assert places["11"] == "end without start"


# ---------------------------------------------------------------- other units than seconds


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("start_ms", "end_ms"),
        ("start (ms)", "end (ms)"),
        ("StartMsec", "EndMsec"),
        ("onset_milliseconds", "offset_milliseconds"),
        ("Begin Time - msec", "End Time - msec"),
    ],
)
def test_milliseconds_by_name(start: str, end: str, tmp_path: Path) -> None:
    found = read(tmp_path, f"video,{start},{end},label\na,1500,2000,jump\na,0:03,4000,run\n")
    assert content(found) == {"a": [(1.5, 2.0, "jump"), (3.0, 4.0, "run")]}  # 0:03 is a clock
    what = f"columns {start!r} and {end!r} are milliseconds by their names: converted to seconds"
    assert (found.unit, notes(found)) == ("milliseconds", [what])


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("startFrame", "endFrame"),
        ("frame_start", "frame_end"),
        ("Begin Frame No", "End Frame No"),
    ],
)
@pytest.mark.parametrize(
    ("more", "cells"),
    [
        pytest.param(",fps", ",25", id="rate"),
        pytest.param(",num_frames,video_duration", ",250,10", id="frames and duration"),
    ],
)
def test_frames_by_name(start: str, end: str, more: str, cells: str, tmp_path: Path) -> None:
    found = read(tmp_path, f"video,{start},{end},label{more}\na,25,100,jump{cells}\n")
    assert content(found) == {"a": [(1.0, 4.0, "jump")]}
    what = f"columns {start!r} and {end!r} are frame numbers by their names: divided by"
    assert (found.unit, notes(found)) == ("frames", [f"{what} the frame rate"])


def test_frames_need_a_rate(tmp_path: Path) -> None:
    text = "video,start_frame,end_frame\na,50,100\n"
    with pytest.raises(AnnotationError, match=r"'start_frame' and 'end_frame' are .*--fps RATE"):
        read(tmp_path, text)
    found = read_annotations(tmp_path / "x.csv", fps=25.0)
    assert content(found) == {"a": [(2.0, 4.0, "")]}
    found = read(tmp_path, "video,start_frame,end_frame,fps\na,50,100,\nb,50,100,50\n")
    assert content(found) == {"b": [(1.0, 2.0, "")]}
    assert [problem.video for problem in found.problems] == ["a"]
    assert "--fps" in found.problems[0].problem


def test_seconds_are_taken_where_both_are_there(tmp_path: Path) -> None:
    found = read(tmp_path, "video,start_frame,end_frame,start,end,end_ms\na,50,100,1,2,2000\n")
    assert content(found) == {"a": [(1.0, 2.0, "")]}
    assert "ignored columns: start_frame, end_frame, end_ms" in notes(found)
    found = read(tmp_path, "video,start,start_ms,end_ms\na,1,3000,4000\n")
    assert content(found) == {"a": [(3.0, 4.0, "")]}  # of seconds there is one column alone


def test_the_names_of_told_columns_say_their_unit(tmp_path: Path) -> None:
    text = "video,t0 (ms),t1 (ms),t1\na,1000,2000,7\n"
    found = read(tmp_path, text, start="t0 (ms)", end="t1 (ms)")
    assert content(found) == {"a": [(1.0, 2.0, "")]}
    with pytest.raises(AnnotationError, match=r"'t0 \(ms\)' and 't1' are of different units"):
        read(tmp_path, text, start="t0 (ms)", end="t1")


def test_lengths_of_segments_in_milliseconds_are_compared_in_seconds(tmp_path: Path) -> None:
    rows = "".join(f"a,{start}000,{start + 5}000,60\n" for start in (1, 20, 50))
    found = read(tmp_path, f"video,start_ms,end_ms,duration\n{rows}")
    assert found.videos[0].duration == 60.0
