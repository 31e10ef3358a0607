"""`actspan annotate convert`: from any format to those that can be written."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from actspan import Video
from actspan.cli import annotate, main
from actspan.data.annotations.format_table import FORMATS
from actspan.data.annotations.formats import read_annotations, write_annotations
from tests.data.annotation_files import task, timeline_region, write_label_studio, write_thumos


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["annotate", "convert", *map(str, arguments)])


def good(*arguments: object) -> Result:
    done = convert(*arguments)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def thumos(tmp_path: Path) -> Path:
    lines = {
        "Diving_val": ["video_validation_0000051 1 2", "video_validation_0000051 3 4"],
        "Diving_test": ["video_test_0000001 3 4"],
        "Ambiguous_test": ["video_test_0000001 8 9"],
    }
    return write_thumos(tmp_path / "TH14", lines)


def test_thumos14_with_the_names_that_training_uses(thumos: Path, tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text(
        "video,seconds\nvideo_validation_0000051,60\nvideo_test_0000001,70.5\n"
    )
    target = tmp_path / "annotations.json"
    done = good(
        thumos, target, "--rename-subset", "validation=training", "--rename-subset",
        "test=validation", "--durations", tmp_path / "lengths.csv",
    )  # fmt: skip
    assert "thumos14: 2 videos, 3 instances, 1 label, 1 ambiguous segment" in done.stdout
    assert "subsets: validation 1, training 1" in done.stdout
    by_subset = {v.subset: v for v in read_annotations(target).videos}
    assert by_subset["training"].duration == 60
    assert by_subset["validation"].duration == 70.5
    assert by_subset["validation"].ignored.tolist() == [[8.0, 9.0]]


def test_durations_that_are_missing_are_a_note(thumos: Path, tmp_path: Path) -> None:
    done = good(thumos, tmp_path / "out.csv", "--json")
    answer = json.loads(done.stdout)
    assert answer["skipped"] == []
    assert answer["notes"][-1].split(": ")[1].startswith("2 videos without duration")
    assert (answer["format"], answer["videos"], answer["instances"], answer["ignored"]) == (
        "thumos14", 2, 3, 1,
    )  # fmt: skip
    assert answer["labels"] == {"Diving": 3}
    assert (tmp_path / "out.csv").read_text().startswith("video,start,end,label,subset,duration\n")


def test_subsets_may_be_chosen(thumos: Path, tmp_path: Path) -> None:
    good(thumos, tmp_path / "test.json", "--subset", "Test")
    assert len(read_annotations(tmp_path / "test.json").videos) == 1
    done = convert(thumos, tmp_path / "x.json", "--subset", "training")
    assert done.exit_code == 1
    assert "no video in subset 'training'; available: 'testing', 'validation'" in done.stderr
    (tmp_path / "a.csv").write_text("a,1,2,x\n")
    good(tmp_path / "a.csv", tmp_path / "a.json", "--rename-subset", "=training")
    assert read_annotations(tmp_path / "a.json").videos[0].subset == "training"


def test_version_and_taxonomy_survive(tmp_path: Path) -> None:
    entry = {"url": "u", "resolution": "320x240", "subset": "training", "duration": 9.5}
    document = {
        "version": "VERSION 1.3",
        "taxonomy": [{"nodeId": 1, "nodeName": "Root"}],
        "database": {"a": {**entry, "annotations": [{"segment": [1.0, 2.0], "label": "x"}]}},
    }
    (tmp_path / "activity_net.v1-3.json").write_text(json.dumps(document))
    good(tmp_path / "activity_net.v1-3.json", tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == document


def test_the_authors_files_keep_their_time_base(data: Path, tmp_path: Path) -> None:
    source = data / "activitynet"
    done = good(
        source, tmp_path / "out.json", "--subset", "validation", "--on-error", "skip", "--json"
    )
    assert len(json.loads(done.stdout)["skipped"]) == 3  # segments without length
    written = {v.id: v for v in read_annotations(tmp_path / "out.json").videos}
    assert len(written) == 4728
    for video in read_annotations(source).videos:
        if video.subset == "validation":
            other = written[video.id]
            assert (video.frames, video.feature_frames) == (other.frames, other.feature_frames)
            assert video.duration == other.duration


def test_frame_rates(tmp_path: Path) -> None:
    source = write_label_studio(tmp_path / "x.json", [task("a.mp4", timeline_region(1, 50, "x"))])
    assert "--fps" in convert(source, tmp_path / "out.json").stderr
    good(source, tmp_path / "out.json", "--fps", 25)
    (video,) = read_annotations(tmp_path / "out.json").videos
    assert (video.fps, video.segments.tolist()) == (25, [[0.0, 2.0]])


def test_problems_come_together_and_nothing_is_written(tmp_path: Path) -> None:
    source, target = tmp_path / "x.csv", tmp_path / "out.json"
    source.write_text("video,start,end,label,duration\na,5,1,x,60\na,1,2,x,60\na,70,80,x,60\n")
    done = convert(source, target)
    assert done.exit_code == 1
    assert "2 problems found" in done.stderr
    assert not target.exists()
    done = good(source, target, "--on-error", "skip")
    assert "skipped: 2 instances (a)" in done.stderr
    assert read_annotations(target).videos[0].segments.tolist() == [[1.0, 2.0]]


def test_skipping_is_not_suggested_where_nothing_would_be_left(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("video,start,end,label\na,5,1,x\nb,1,,x\n")
    for options in ([], ["--on-error", "skip"]):
        done = convert(tmp_path / "x.csv", tmp_path / "out.json", *options)
        assert done.exit_code == 1
        assert "2 problems found. Nothing can be used: fix the cause." in done.stderr


def test_a_folder_gets_annotations_json_and_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_annotations(tmp_path / "x.csv", [Video("a", 9.0)])
    good(tmp_path / "x.csv", tmp_path / "set")
    assert (tmp_path / "set" / "annotations.json").is_file()
    done = convert(tmp_path / "x.csv", tmp_path / "set")
    assert done.exit_code == 1
    assert "--force" in done.stderr
    good(tmp_path / "x.csv", tmp_path / "set", "--force")


def test_durations_from_a_dataset_folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_annotations(tmp_path / "set" / "annotations.json", [Video("a", 9.0, fps=30.0)])
    (tmp_path / "a.csv").write_text("video,start,end\na,1,2\nb,1,2\n")
    good(tmp_path / "a.csv", tmp_path / "out.json", "--durations", tmp_path / "set")
    a, b = read_annotations(tmp_path / "out.json").videos
    assert (a.duration, a.fps) == (9.0, 30.0)
    assert b.duration != b.duration


def test_no_videos_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("video,start,end\n")
    done = convert(tmp_path / "a.csv", tmp_path / "out.json")
    assert done.exit_code == 1
    assert "contains no videos" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--to", "elan"], ["--from", "telex"], ["--rename-subset", "a"], ["--fps", "0"]],
    ids=" ".join,
)
def test_bad_usage_is_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "a.csv").write_text("a,1,2\n")
    assert convert(tmp_path / "a.csv", tmp_path / "out.json", *arguments).exit_code == 2


def test_the_choices_are_the_table_of_formats() -> None:
    assert set(annotate.READ) == {f.name for f in FORMATS.values() if f.read is not None}
    assert set(annotate.WRITTEN) == {f.name for f in FORMATS.values() if f.suffix}


def test_every_option_says_what_it_does() -> None:
    help_text = CliRunner().invoke(main, ["annotate", "convert", "--help"]).output
    assert "actspan annotate convert" in help_text.partition("Example:")[2]
    options = [p for p in annotate.convert.params if isinstance(p, click.Option)]
    assert all(option.help for option in options)


def write_late(folder: Path) -> Path:
    """Return a table of a video of 3.5 s with instances that pass its end."""
    rows = ["video,start,end,label,duration", "a,0,5,x,3.5", "a,0,3.9,x,3.5", "a,4,5.9,x,3.5"]
    (folder / "late.csv").write_text("\n".join(rows) + "\n")
    return folder / "late.csv"


def test_instances_past_the_end_are_clipped_on_request(tmp_path: Path) -> None:
    source, target = write_late(tmp_path), tmp_path / "out.json"
    done = convert(source, target)
    assert done.exit_code == 1
    assert "2 problems found" in done.stderr
    assert not target.exists()
    done = good(source, target, "--clip")
    (video,) = read_annotations(target).videos
    assert video.segments.tolist() == [[0, 3.5], [0, 3.5]]
    assert (
        "2 instances cut off at the end of the video, which they exceed by up to 1.5 s"
        in done.stderr
    )
    assert "1 instance left out: after the end of the video, or before its start (a)" in done.stderr
    done = good(source, target, "--force", "--on-error", "skip")
    assert "1 instance ends up to 0.4 s after the video" in done.stderr
    assert "skipped: 2 instances (a)" in done.stderr
    source.write_text("".join(source.read_text().splitlines(keepends=True)[:2]))
    done = convert(source, target, "--force")
    assert done.stderr.startswith(
        f"a: segment [0, 5]: ends 1.5 s after the video, which lasts 3.5 s ({source}): cut it off "
        "with actspan annotate convert --clip, or fix the annotation\n"
    )


def test_times_in_another_unit_are_one_line_with_the_options_that_help(tmp_path: Path) -> None:
    source, target = tmp_path / "x.csv", tmp_path / "out.json"
    rows = [f"v{i},{250 + i},{1300 + i},x,60" for i in range(200)]
    source.write_text("\n".join(["video,start,end,label,duration", *rows]))
    done = convert(source, target)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "times look like frames: 200 of 200 instances" in line
    assert line.endswith("; or correct the durations, if times are seconds")
    words = line.partition("pass ")[2].partition(";")[0].split()
    assert words[:4] == ["--times", "frames", "--fps", "RATE"]
    done = good(source, target, *words[:3], "25")
    assert "times were frames, and are seconds now" in done.stderr
    assert read_annotations(target).videos[0].segments.tolist() == [[10, 52]]
    done = convert(source, target, "--force", "--times", "frames")
    assert "has no frame rate" in done.stderr
    good(source, target, "--force", "--times", "milliseconds")


def test_forms_with_times_of_their_own_take_no_unit(tmp_path: Path) -> None:
    (tmp_path / "a.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nx\n")
    done = convert(tmp_path / "a.vtt", tmp_path / "out.json", "--times", "frames", "--fps", "25")
    assert done.exit_code == 1
    assert "vtt gives the unit of its times itself: leave out --times" in done.stderr


def test_columns_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who,begin,end,what\na,1,2,jump\n")
    done = convert(tmp_path / "a.csv", tmp_path / "a.json")
    assert done.exit_code == 1
    assert "not found: 'video'; available: 'who', 'begin', 'end', 'what'" in done.stderr
    assert "--video-column" in done.stderr
    good(tmp_path / "a.csv", tmp_path / "a.json", "--video-column", "who", "--label-column", "what")
    (video,) = read_annotations(tmp_path / "a.json").videos
    assert list(video.instances()) == [(1.0, 2.0, "jump")]


def test_instances_without_a_label_are_counted_and_are_no_label(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("video,start,end,label\na,1,2,jump\na,3,4,\n")
    done = good(tmp_path / "a.csv", tmp_path / "a.json")
    assert "csv: 1 video, 2 instances, 1 label, 1 without a label" in done.stdout
    answer = json.loads(good(tmp_path / "a.csv", tmp_path / "b.json", "--json").stdout)
    assert (answer["labels"], answer["unlabelled"]) == ({"jump": 1}, 1)


def test_what_is_ignored_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("video,start,end,label,colour\na,1,2,jump,red\n")
    (tmp_path / "d.csv").write_text("video,duration,weight\na,9,3\nb,x,3\n")
    done = good(
        tmp_path / "a.csv", tmp_path / "a.json", "--durations", tmp_path / "d.csv",
        "--on-error", "skip",
    )  # fmt: skip
    assert f"note: {tmp_path / 'a.csv'}: ignored columns: colour" in done.stderr
    assert f"note: {tmp_path / 'd.csv'}: ignored columns: weight" in done.stderr
    assert "skipped: 1 instance (b)" in done.stderr  # the row of video b


def test_facts_that_two_sources_say_otherwise_are_named(tmp_path: Path) -> None:
    rows = "video,start,end,label,duration,subset\na,0,2,x,10,train\nb,0,2,x,10,train\n"
    (tmp_path / "a.csv").write_text(rows)
    (tmp_path / "d.csv").write_text("video,duration,subset\na,10.5,val\nb,30,training\n")
    done = good(tmp_path / "a.csv", tmp_path / "a.json", "--durations", tmp_path / "d.csv")
    source, lengths = tmp_path / "a.csv", tmp_path / "d.csv"
    assert done.stderr.splitlines() == [
        f"note: {lengths}: another duration for 1 video (b); that of {source} is kept",
        f"note: {lengths}: another subset for 1 video (a); that of {source} is kept",
    ]


def test_durations_of_other_videos_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a1,1,2,x\n")
    (tmp_path / "d.csv").write_text("video,duration\nvideo_a1,9\n")
    done = convert(tmp_path / "a.csv", tmp_path / "a.json", "--durations", tmp_path / "d.csv")
    assert done.exit_code == 1
    assert "ids there: 'video_a1'; here: 'a1'" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            ["--rename-subset", "validaton=training"],
            "no video in subset 'validaton' (did you mean 'validation'?); available: 'testing', ",
            id="rename",
        ),
        pytest.param(["--subset", "Testin"], "(did you mean 'testing'?)", id="subset"),
    ],
)
def test_the_nearest_subset_is_suggested(
    options: list[str], message: str, thumos: Path, tmp_path: Path
) -> None:
    done = convert(thumos, tmp_path / "a.json", *options)
    assert done.exit_code == 1
    assert message in done.stderr


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_a_subset_has_many_names(name: str, thumos: Path, tmp_path: Path) -> None:
    good(thumos, tmp_path / "a.json", "--subset", name)
    good(thumos, tmp_path / "b.json", "--rename-subset", f"{name}=train", "--subset", "training")
    (video,) = read_annotations(tmp_path / "b.json").videos
    assert (video.id, video.subset) == ("video_validation_0000051", "training")


# ---------------------------------------------------------------- nothing in silence


def test_a_source_without_instances_is_a_note_beside_what_was_ignored(tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_text("video,duration,weather\na,5,sun\nb,6,rain\n")
    lines = good(source, tmp_path / "out.json").stderr.splitlines()
    assert f"note: {source}: contains no instances" in lines
    assert f"note: {source}: ignored columns: weather" in lines
    source.write_text("video,start,end,split\na,1,2,train\nb,,,val\n")
    done = good(source, tmp_path / "other.json", "--subset", "validation")
    assert f"note: {source}: contains no instances in subset 'validation'" in done.stderr
    assert "contains no instances" not in good(source, tmp_path / "all.json").stderr


@pytest.mark.parametrize(
    ("name", "what"),
    [
        pytest.param("out.xyz", "suffix '.xyz'", id="unknown"),
        pytest.param("out", "a name without a suffix", id="none"),
        pytest.param("out.vtt", "suffix '.vtt'", id="of a format for players"),
    ],
)
def test_targets_of_unknown_suffixes_are_refused(name: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("video,start,end\na,1,2\n")
    done = convert(tmp_path / "x.csv", tmp_path / name)
    assert done.exit_code == 1
    assert (
        f"{what} is not a supported output format: .json or .csv is needed (or --to)" in done.stderr
    )
    assert not (tmp_path / name).exists()
    good(tmp_path / "x.csv", tmp_path / name, "--to", "csv")
    assert (tmp_path / name).read_text().startswith("video,start,end")


def test_a_bad_source_is_reported_before_a_target_that_exists(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    (tmp_path / "out.json").write_text("")
    for target in ("out.json", "out.xyz"):
        assert "x.json: not valid JSON" in convert(tmp_path / "x.json", tmp_path / target).stderr


def test_a_frame_rate_without_effect_is_a_note(tmp_path: Path) -> None:
    source, note = tmp_path / "x.csv", "times are not frame numbers, so --fps 25 is"
    source.write_text("video,start,end,fps\na,1,2,\nb,1,2,30\n")
    done = good(source, tmp_path / "a.json", "--fps", 25)
    assert f"{source}: {note} only written as the frame rate of 1 video\n" in done.stderr
    assert [v.fps for v in read_annotations(tmp_path / "a.json").videos] == [25.0, 30.0]
    source.write_text("video,start,end,fps\nb,1,2,30\n")
    assert f"{note} not used\n" in good(source, tmp_path / "b.json", "--fps", 25).stderr
    source.write_text("video,start,end,fps\nb,10,20,30\n")
    frames = good(source, tmp_path / "c.json", "--fps", 25, "--times", "frames")
    tasks = write_label_studio(tmp_path / "y.json", [task("a.mp4", timeline_region(1, 50, "x"))])
    counted = good(tasks, tmp_path / "d.json", "--fps", 25)
    assert note not in frames.stderr + counted.stderr


def test_a_form_that_is_named_decides_and_not_the_suffix(tmp_path: Path) -> None:
    source = tmp_path / "x.txt"
    source.write_text('{"database": {"a": {"annotations": [{"segment": [1, 2], "label": "x"}]}}}')
    good(source, tmp_path / "out.json", "--from", "activitynet")
    (video,) = read_annotations(tmp_path / "out.json").videos
    assert list(video.instances()) == [(1.0, 2.0, "x")]
    (tmp_path / "y.txt").write_text("a 1 2\n")
    done = convert(tmp_path / "y.txt", tmp_path / "y.json", "--from", "activitynet")
    assert "y.txt: not valid JSON" in done.stderr


def test_a_malformed_annotation_costs_the_instance_only(tmp_path: Path) -> None:
    annotations = [{"segment": [1, 2], "label": "x"}, {"segment": 7, "label": "y"}]
    database = {name: {"annotations": annotations} for name in ("one", "two")}
    source = tmp_path / "x.json"
    source.write_text(json.dumps({"database": database}))
    done = convert(source, tmp_path / "out.json")
    assert (done.exit_code, done.stderr.count("segment 7")) == (1, 1)  # of one kind: one line
    assert f"({source}: video 'one', annotation 1 and 1 more)" in done.stderr
    done = good(source, tmp_path / "out.json", "--on-error", "skip")
    assert "skipped: 2 instances (one, two)" in done.stderr
    written = read_annotations(tmp_path / "out.json").videos
    assert [list(video.instances()) for video in written] == [[(1.0, 2.0, "x")]] * 2


def test_columns_that_say_their_unit_are_not_converted_twice(tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_text("video,start_ms,end_ms\na,1000,2000\n")
    done = good(source, tmp_path / "a.json", "--times", "milliseconds")
    assert "columns 'start_ms' and 'end_ms' are milliseconds by their names" in done.stderr
    assert read_annotations(tmp_path / "a.json").videos[0].segments.tolist() == [[1.0, 2.0]]
    done = convert(source, tmp_path / "b.json", "--times", "seconds")
    assert "times are milliseconds by the names of their columns" in done.stderr
    source.write_text("video,start_frame,end_frame\na,25,50\n")
    assert "--fps RATE" in convert(source, tmp_path / "c.json").stderr
    done = good(source, tmp_path / "c.json", "--fps", 25)
    assert "times are not frame numbers" not in done.stderr
    (video,) = read_annotations(tmp_path / "c.json").videos
    assert (video.fps, video.segments.tolist()) == (25.0, [[1.0, 2.0]])


# (rows, options, what the one line says); times that are seconds whatever the option says
ALREADY_SECONDS = [
    pytest.param(
        "a,0:01,0:03,x,60\n", ["--times", "frames", "--fps", 25],
        "times are clocks, as 0:01, so they are seconds: leave out --times frames", id="clocks",
    ),
    pytest.param(
        "a,1,3,x,60\na,4,5,x,60\n", ["--times", "milliseconds"],
        "instances would be 1 to 2 ms long: are the times seconds already? leave out --times",
        id="seconds",
    ),
    pytest.param(
        "a,100,200,x,210\n", ["--times", "milliseconds"],
        "videos would be 210 to 210 ms long: are the times seconds already?", id="long-seconds",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "options", "message"), ALREADY_SECONDS)
def test_seconds_are_not_converted(
    rows: str, options: list[Any], message: str, tmp_path: Path
) -> None:
    source = tmp_path / "x.csv"
    source.write_text(f"video,start,end,label,duration\n{rows}")
    done = convert(source, tmp_path / "x.json", *options)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr


def test_durations_that_are_clocks_are_never_scaled(tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_text("video,start,end,label,duration\na,10,50,x,1:00\n")
    good(source, tmp_path / "x.json", "--times", "frames", "--fps", 10)
    (video,) = read_annotations(tmp_path / "x.json").videos
    assert (video.duration, video.segments.tolist()) == (60.0, [[1.0, 5.0]])


def test_the_column_of_durations_is_that_of_their_table(tmp_path: Path) -> None:
    source, lengths, target = tmp_path / "x.csv", tmp_path / "lengths.csv", tmp_path / "x.json"
    source.write_text("video,start,end,label\na,1,2,x\n")
    lengths.write_text("name,len\na,60\n")
    done = convert(source, target, "--durations", lengths)
    assert done.exit_code == 1
    assert (
        f"error: {lengths}: columns 'video' and 'duration' are needed; not found: " in done.stderr
    )
    assert "pass --duration-column NAME" in done.stderr
    good(source, target, "--durations", lengths, "--duration-column", "len")
    assert read_annotations(target).videos.durations.tolist() == [60.0]


@pytest.mark.parametrize(
    ("pairs", "code", "message"),
    [
        (["train=x", "train=y"], 2, "'train' gets two names, 'x' and 'y': give one"),
        (["train=x", "training=y"], 1, "--rename-subset gives 'training' two names; give one"),
        (["train=x", "training=x"], 0, ""),
    ],
)
def test_a_subset_gets_one_name(pairs: list[str], code: int, message: str, tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_text("video,start,end,label,subset\na,1,2,x,train\n")
    options = [word for pair in pairs for word in ("--rename-subset", pair)]
    done = convert(source, tmp_path / "x.json", *options)
    assert (done.exit_code, message in done.stderr) == (code, True)


def test_segments_before_the_video_are_clipped_in_tables(tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_text("video,start,end,label\na,-1.5,2,x\na,-3,-1,y\n")
    done = good(source, tmp_path / "x.json", "--clip")
    assert "1 instance cut off at the start of the video, up to 1.5 s" in done.stderr
    assert "1 instance left out: after the end of the video, or before its start (a)" in done.stderr
    assert read_annotations(tmp_path / "x.json").videos.segments.tolist() == [[0.0, 2.0]]


def test_durations_that_most_instances_pass_are_no_reason_to_clip(tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    rows = [f"v{i},{10 + i % 7},{50 + i % 5},x,20" for i in range(20)]  # 60 s in truth
    source.write_text("\n".join(["video,start,end,label,duration", *rows]))
    done = convert(source, tmp_path / "out.json")
    assert done.exit_code == 1
    assert "most instances pass the end of their video: correct the durations" in done.stderr
    assert "--clip" not in done.stderr


def test_the_way_to_keep_what_a_target_says_of_its_videos(tmp_path: Path) -> None:
    # Its durations and rates, as extract wrote them; source and target are then one file.
    folder = tmp_path / "my features"
    folder.mkdir()
    write_annotations(folder / "annotations.json", [Video("a", 60.0, fps=25.0)])
    table = tmp_path / "moments.csv"
    table.write_text("video,start,end,label\na,1,2,run\n")
    done = convert(table, folder / "annotations.json")
    assert done.exit_code == 1
    line, advice = done.stderr.rstrip("\n").split("; to keep its durations and frame rates: ")
    assert line == f"error: {folder / 'annotations.json'}: already exists; --force replaces it"
    good(table, folder / "annotations.json", *shlex.split(advice))
    (video,) = read_annotations(folder / "annotations.json").videos
    assert (video.duration, video.fps, video.labels) == (60.0, 25.0, ("run",))
    done = convert(table, folder / "annotations.json", "--durations", folder)
    assert done.stderr.endswith("already exists; --force replaces it\n")
