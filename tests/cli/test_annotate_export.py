"""`actspan annotate export`: to annotation tools and players, and back by `annotate convert`."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from actspan import Proposals, Video
from actspan.cli import annotate, main
from actspan.core.files import sha256
from actspan.data.annotations.format_table import FORMATS
from actspan.data.annotations.formats import read_annotations, write_annotations
from actspan.data.detections import Detections, write_detections
from actspan.data.result_writers import write_result
from actspan.jobs.sinks import write_info
from tests.data.annotation_files import write_elan
from tests.report.runs import synthetic_videos, write_synthetic_run, write_truth

FOUND = {
    "clip": Proposals([1.0, 0.5, 6.0], [4.0, 5.0, 8.25], [0.5, 0.9, 0.125], unit="seconds"),
    "other": Proposals([0.0], [2.0], [0.25], unit="seconds"),
}
ADDRESS = "/data/local-files/?d=my videos/{id}.mp4"


def export(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["annotate", "export", *map(str, arguments)])


def good(*arguments: object) -> Result:
    done = export(*arguments)
    assert done.exit_code == 0, done.output
    return done


def bad(*arguments: object) -> str:
    done = export(*arguments)
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.fixture
def result(tmp_path: Path) -> Path:
    write_result(tmp_path / "result.json", FOUND)
    return tmp_path / "result.json"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "media" / "day 1"
    folder.mkdir(parents=True)
    for name in ("clip.mp4", "v_other.MKV"):
        (folder / name).touch()
    return tmp_path / "media"


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "activitynet"])
def test_times_that_no_video_can_have_are_one_line_in_every_format(
    format: str, result: Path, tmp_path: Path
) -> None:
    if FORMATS[format].encode is None:
        pytest.skip("is read only")
    options = ("--to", format, "--fps", 25)
    options += ("--videos", ADDRESS) if format == "labelstudio" else ()
    write_annotations(
        tmp_path / "a.json", [Video("a", 9.0, segments=[[1, 1.7e308]], labels=("x",))]
    )
    assert "later than any video ends" in bad(tmp_path / "a.json", tmp_path / "x", *options)
    result.write_text(result.read_text().replace("8.25", "1.7e308"))
    assert "later than any video ends; correct it" in bad(result, tmp_path / "y", *options)


def test_best_proposals_to_elan_and_corrected_back(
    result: Path, videos: Path, tmp_path: Path
) -> None:
    sessions = tmp_path / "sessions"
    done = good(result, sessions, "--to", "elan", "--top", 2, "--videos", videos)
    assert (
        done.stdout
        == f"elan: 3 proposals of 2 videos\nwritten: {sessions}/clip.eaf, {sessions}/other.eaf\n"
    )
    clip = (sessions / "clip.eaf").read_text()
    assert 'RELATIVE_MEDIA_URL="../media/day 1/clip.mp4"' in clip
    assert clip.index(">0.9<") < clip.index(">0.5<")
    assert ">0.125<" not in clip
    # what a person does: one label, one boundary
    clip = clip.replace(">action<", ">jump<").replace('TIME_VALUE="4000"', 'TIME_VALUE="4321"')
    (sessions / "clip.eaf").write_text(clip)
    corrected = convert(sessions, tmp_path / "annotations.json", "--rename-subset", "=training")
    assert {v.id: sorted(v.instances()) for v in corrected} == {
        "clip": [(0.5, 5.0, "jump"), (1.0, 4.321, "jump")],
        "other": [(0.0, 2.0, "action")],
    }


def convert(source: Path, target: Path, *options: str) -> tuple[Video, ...]:
    arguments = ["annotate", "convert", str(source), str(target), *options]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return read_annotations(target).videos


def test_what_the_set_knows_goes_along_and_comes_back(result: Path, tmp_path: Path) -> None:
    known = [Video("clip", 60.0, "validation", fps=8.0), Video("other", 9.0, "training")]
    write_annotations(tmp_path / "known.json", known)
    good(result, tmp_path / "vtt", "--to", "vtt", "--durations", tmp_path / "known.json",
         "--subset", "validation")  # fmt: skip
    (video,) = convert(tmp_path / "vtt", tmp_path / "back.json")
    assert (video.id, video.duration, video.subset, video.fps) == ("clip", 60.0, "validation", 8.0)


def test_of_a_run_the_set_is_known(tmp_path: Path) -> None:
    videos = synthetic_videos(4)
    truth = write_truth(tmp_path / "set", videos)
    run = write_synthetic_run(tmp_path / "run", videos, seed=1)
    checksum = sha256(truth / "annotations.json")
    write_info(run, {"dataset": {"path": str(truth), "annotations_sha256": checksum}})
    good(run, tmp_path / "x.csv", "--to", "csv", "--top", 1)
    found = {video.id: video for video in read_annotations(tmp_path / "x.csv").videos}
    assert found
    for video in videos:
        assert found[video.id].duration == round(video.duration, 6)
        assert found[video.id].subset == video.subset


def test_predictions_for_label_studio(result: Path, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.json"
    answer = json.loads(
        good(result, tasks, "--to", "labelstudio", "--min-score", 0.3, "--label", "jump",
             "--videos", ADDRESS, "--json").stdout
    )  # fmt: skip
    assert answer == {
        "what": "proposals",
        "videos": 2,
        "instances": 2,
        "files": [str(tasks), str(tmp_path / "tasks.xml")],
        "skipped": [],
        "notes": ["frame rate unknown in 2 videos: 25 frames per second assumed (--fps)"],
    }
    given = ("--to", "labelstudio", "--videos", ADDRESS, "--fps", 30)
    assert "frame rate" not in good(result, tmp_path / "given.json", *given).stderr
    clip, other = json.loads(tasks.read_text())
    assert clip["data"]["video"] == "/data/local-files/?d=my videos/clip.mp4"
    (prediction,) = clip["predictions"]
    assert [region["score"] for region in prediction["result"]] == [0.9, 0.5]
    assert {label for r in prediction["result"] for label in r["value"]["timelinelabels"]} == {
        "jump"
    }
    assert other["predictions"][0]["result"] == []
    assert 'value="jump"' in (tmp_path / "tasks.xml").read_text()


def test_an_id_stays_within_its_place_in_an_address(tmp_path: Path) -> None:
    write_result(tmp_path / "r.json", {"../../x?y": FOUND["other"]})
    good(tmp_path / "r.json", tmp_path / "t.json", "--to", "labelstudio", "--videos", "h/{id}.mp4")
    (task,) = json.loads((tmp_path / "t.json").read_text())
    assert task["data"]["video"] == "h/..%2F..%2Fx%3Fy.mp4"
    assert task["data"]["actspan_id"] == "../../x?y"


def test_detections_come_with_their_labels(result: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    result.rename(run / "result.json")
    good(run, tmp_path / "plain.csv", "--to", "csv")
    assert read_annotations(tmp_path / "plain.csv").videos[0].labels == ("action",) * 3
    labels = {"clip": ["jump", "run", "run"], "other": ["jump"]}
    found = {name: Detections.of(p, labels[name]) for name, p in FOUND.items()}
    write_detections(run / "detections.json", found)
    assert "detections of 2" in good(run, tmp_path / "x.csv", "--to", "csv", "--top", 2).stdout
    clip, other = read_annotations(tmp_path / "x.csv").videos
    assert list(clip.instances()) == [(0.5, 5.0, "run"), (1.0, 4.0, "jump")]
    assert list(other.instances()) == [(0.0, 2.0, "jump")]


def test_annotations_of_any_format(tmp_path: Path) -> None:
    write_elan(tmp_path / "clip.eaf", {"t": [(1.0, 2.0, "jump")]}, media="clip.mp4")
    good(tmp_path / "clip.eaf", tmp_path / "out.csv", "--to", "csv")
    assert (tmp_path / "out.csv").read_text() == (
        "video,start,end,label,subset,duration\nclip,1.0,2.0,jump,,\n"
    )


def test_nothing_is_replaced_unasked(result: Path, tmp_path: Path) -> None:
    good(result, tmp_path / "vtt", "--to", "vtt")
    (tmp_path / "vtt" / "other.vtt").unlink()
    assert "clip.vtt: already exists; --force replaces it" in bad(
        result, tmp_path / "vtt", "--to", "vtt"
    )
    assert not (tmp_path / "vtt" / "other.vtt").exists()
    good(result, tmp_path / "vtt", "--to", "vtt", "--force")
    assert (tmp_path / "vtt" / "other.vtt").exists()
    both = bad(result, tmp_path / "vtt", "--to", "vtt")
    assert "and 1 more already exist; --force replaces them" in both


def test_videos_that_are_not_there(result: Path, videos: Path, tmp_path: Path) -> None:
    (videos / "day 1" / "clip.mp4").unlink()
    arguments = (result, tmp_path / "out", "--to", "elan", "--videos", videos)
    assert "no video of this name" in bad(*arguments)
    assert not (tmp_path / "out").exists()
    assert "skipped: 1 " in good(*arguments, "--on-error", "skip").stderr
    assert [f.name for f in (tmp_path / "out").iterdir()] == ["other.eaf"]


BAD = [
    pytest.param(["--to", "labelstudio"], "{id} for the video's id", id="no-address"),
    pytest.param(
        ["--to", "labelstudio", "--videos", "media"], "an address, not a folder", id="no-folder"
    ),
    pytest.param(["--to", "csv", "--videos", "media"], "csv does not say where", id="no-place"),
    pytest.param(["--to", "vtt", "--subset", "test"], "no video in subset 'test'", id="no-subset"),
    pytest.param(["--to", "elan", "--videos", "nowhere"], "no such file or folder", id="nowhere"),
]


@pytest.mark.parametrize(("options", "what"), BAD)
def test_what_cannot_be_is_one_line(
    options: list[str], what: str, result: Path, videos: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert what in bad(result, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(result: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    assert "is a file; elan is written as files in a folder" in bad(
        result, tmp_path / "out", "--to", "elan"
    )


def test_annotations_have_no_scores(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,1,2,x\n")
    assert "no scores" in bad(tmp_path / "a.csv", tmp_path / "out", "--to", "vtt", "--top", 3)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"results": {}}', "contains no videos"),
        ('{"results": {"a": [{"score": 1}]}}', "every entry needs a score and a segment"),
        ('{"results": {"a": [', "was it cut off?"),
        (
            '{"results": {"a": [{"score": 1, "segment": [0, 1], "label": "x"}, {"score": 1, '
            '"segment": [0, 1]}]}}',
            "label",
        ),
        ('{"results": {"a": [{"score": 1, "segment": [2, 1]}]}}', "ends before it starts"),
    ],
    ids=["empty", "entry", "cut", "half-labelled", "backwards"],
)
def test_bad_results_are_refused(content: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(content)
    assert what in bad(tmp_path / "result.json", tmp_path / "out", "--to", "vtt")
    assert not (tmp_path / "out").exists()


def test_the_choices_are_the_forms_for_tools() -> None:
    assert set(annotate.EXPORTED) == {
        format.name for format in FORMATS.values() if format.encode is not None
    } - {"activitynet"}


def test_every_option_says_what_it_does() -> None:
    help_text = CliRunner().invoke(main, ["annotate", "export", "--help"]).output
    assert "actspan annotate export" in help_text.partition("Example:")[2]
    options = [p for p in annotate.export.params if isinstance(p, click.Option)]
    assert all(option.help for option in options)


def test_what_is_ignored_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("video,start,end,label,colour\na.mp4,1,2,jump,red\n")
    done = good(tmp_path / "a.csv", tmp_path / "out", "--to", "vtt")
    assert f"note: {tmp_path / 'a.csv'}: ignored columns: colour" in done.stderr
    assert "ids are file names: dropped the suffix .mp4 from 1" in done.stderr


@pytest.mark.parametrize("form", ["edl", "otio"])
def test_forms_of_frames_need_a_rate(form: str, result: Path, tmp_path: Path) -> None:
    said = bad(result, tmp_path / "out", "--to", form)
    assert "the frame rate of 2 videos is unknown (clip, other): pass --fps RATE" in said
    assert not (tmp_path / "out").exists()
    good(result, tmp_path / "out", "--to", form, "--fps", 25, "--top", 1)
    (back, other) = convert(tmp_path / "out", tmp_path / "back.json")
    assert list(back.instances()) == [(0.48, 5.0, "action")]
    assert (back.fps, other.fps) == (25.0, 25.0)


@pytest.mark.parametrize("form", ["edl", "otio"])
def test_rates_come_from_the_annotations(form: str, result: Path, tmp_path: Path) -> None:
    known = [Video("clip", 60.0, fps=50.0), Video("other", 9.0, fps=10.0)]
    write_annotations(tmp_path / "known.json", known)
    durations = ("--durations", tmp_path / "known.json")
    good(result, tmp_path / "out", "--to", form, *durations, "--fps", 25, "--top", 1)
    found = convert(tmp_path / "out", tmp_path / "back.json")
    assert [video.fps for video in found] == [50.0, 10.0]


def test_links_to_videos(result: Path, videos: Path, tmp_path: Path) -> None:
    options = ("--videos", videos, "--fps", 25)
    good(result, tmp_path / "cuts", "--to", "edl", *options)
    assert "* FROM CLIP NAME: clip.mp4" in (tmp_path / "cuts" / "clip.edl").read_text()
    good(result, tmp_path / "cuts", "--to", "otio", *options)
    assert '"../media/day 1/clip.mp4"' in (tmp_path / "cuts" / "clip.otio").read_text()
    good(result, tmp_path / "cuts", "--to", "losslesscut", *options)
    project = json.loads((tmp_path / "cuts" / "other-proj.llc").read_text())
    assert project["mediaFileName"] == "v_other.MKV"
    # A project is a file: links are relative to its folder.
    good(result, tmp_path / "project.boris", "--to", "boris", *options)
    observations = json.loads((tmp_path / "project.boris").read_text())["observations"]
    assert observations["clip"]["file"]["1"] == ["./media/day 1/clip.mp4"]


def test_what_chapters_leave_out_is_a_note(result: Path, tmp_path: Path) -> None:
    done = good(result, tmp_path / "chapters", "--to", "youtube")
    assert "note: 2 segments left out: chapters start at least 10 s apart" in done.stderr
    assert "2 videos with fewer than 3 chapters" in done.stderr
    assert (tmp_path / "chapters" / "clip.txt").read_text() == "0:00 action\n"


def test_fiftyone_gets_a_folder_with_links(result: Path, videos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    done = good(result, folder, "--to", "fiftyone", "--videos", videos, "--top", 1)
    assert done.stdout.endswith(f"written: {folder}/labels.json, {folder}/data.json\n")
    assert json.loads((folder / "data.json").read_text()) == {
        "clip.mp4": "../media/day 1/clip.mp4",
        "other.MKV": "../media/day 1/v_other.MKV",
    }
    said = bad(result, tmp_path / "y", "--to", "fiftyone", "--videos", "https://host/{id}.mp4")
    assert "FiftyOne opens files: give the folder of the videos" in said
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("form", ["textgrid", "audacity", "losslesscut", "boris", "fiftyone"])
def test_corrections_come_back_exactly(form: str, result: Path, tmp_path: Path) -> None:
    target = tmp_path / ("p.boris" if form == "boris" else "out")
    good(result, target, "--to", form, "--label", "jump")
    found = {video.id: sorted(video.instances()) for video in convert(target, tmp_path / "b.json")}
    assert found == {
        "clip": [(0.5, 5.0, "jump"), (1.0, 4.0, "jump"), (6.0, 8.25, "jump")],
        "other": [(0.0, 2.0, "jump")],
    }
