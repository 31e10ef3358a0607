"""`actspan propose` of videos, as a user meets it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
import time
from array import array
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("onnx", reason="needs the extra 'video'")

from actspan import Bundle, Run
from actspan.cli import main
from actspan.cli.tables import clock
from actspan.streams.backbone import find_backbone
from actspan.streams.extract_request import Grid, Span
from actspan.streams.snippet_features import Extractor
from tests.examples import add_classifier, write_bundle
from tests.streams.encoders import write_encoder
from tests.streams.example_videos import steady, write_video

LABELS = {"jump", "run"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, its encoder and two videos."""
    folder = tmp_path_factory.mktemp("place")
    encoder = f"onnx:{write_encoder(folder / 'e.onnx', ['n', 3, 8, 8])}"
    with Extractor(find_backbone(encoder), Grid(Span(0.2, "s"), Span(0.4, "s"))) as extractor:
        spec = extractor.spec
    assert spec.channels is not None
    write_bundle(folder / "model", channels=spec.channels, mode="window", features=spec)
    (folder / "videos").mkdir()
    write_video(folder / "videos" / "a.ts", steady(9.0), codec="mpeg2video")
    write_video(folder / "videos" / "b.mp4", steady(3.0), codec="libx264")
    return folder


@pytest.fixture
def line(place: Path) -> list[str]:
    return [
        *("propose", "--model", str(place / "model")),
        *("--backbone", f"onnx:{place / 'e.onnx'}"),
    ]


def test_a_table_of_moments(line: list[str], place: Path) -> None:
    done = CliRunner().invoke(main, [*line, str(place / "videos"), "--top", "3"])
    assert done.exit_code == 0, done.output
    rows = [row.split() for row in done.stdout.splitlines() if row.startswith((" a ", " b "))]
    assert [row[0] for row in rows] == ["a"] * 3 + ["b"] * 3
    assert rows[0][1].startswith("0:00:0")
    assert "2 videos, 0.2 min" in done.stderr


def test_settings_are_changed(line: list[str], place: Path) -> None:
    options = ["--set", "soft_nms.keep=2", "--json"]
    done = CliRunner().invoke(main, [*line, str(place / "videos"), *options])
    assert [len(found) for found in json.loads(done.stdout)["results"].values()] == [2, 2]
    followed = [*line, "--follow", str(place / "videos" / "a.ts"), "--idle", "0"]
    done = CliRunner().invoke(main, [*followed, "--set", "soft_nms.keep=2"])
    assert len(json.loads(done.stdout.splitlines()[-1])["final"]) == 2


def test_json_and_clips(line: list[str], place: Path, tmp_path: Path) -> None:
    options = ["--top", "2", "--clips", str(tmp_path / "best"), "--json"]
    done = CliRunner().invoke(main, [*line, str(place / "videos" / "b.mp4"), *options])
    answer = json.loads(done.stdout)
    assert len(answer["results"]["b"]) == 2
    assert [clip["segment"] for clip in answer["clips"]] == [
        entry["segment"] for entry in answer["results"]["b"]
    ]
    for clip in answer["clips"]:
        assert Path(clip["path"]).is_file()
        assert clip["way"] in ("copied", "encoded")


def test_clips_are_the_best_segments_of_a_run_that_keeps_all(
    line: list[str], place: Path, tmp_path: Path
) -> None:
    run, clips = tmp_path / "run", tmp_path / "best"
    words = [*line, str(place / "videos" / "b.mp4"), "--out", str(run), "--clips", str(clips)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert len(list(clips.iterdir())) == 10
    assert len(Run.load(run).proposals()["b"]) > 10


def test_labels_in_tables_json_clips_and_live_lines(
    line: list[str], place: Path, tmp_path: Path
) -> None:
    shutil.copytree(place / "model", tmp_path / "model")
    add_classifier(Bundle.load(tmp_path / "model"), ("jump", "run"))
    video, words = str(place / "videos" / "a.ts"), ["--model", str(tmp_path / "model")]
    words += ["--backbone", line[-1], "--detections"]
    done = CliRunner().invoke(main, ["propose", video, *words, "--top", "2"])
    assert done.exit_code == 0, done.output
    assert "label" in done.stdout.splitlines()[1]
    assert {row.split()[5] for row in done.stdout.splitlines() if row.startswith(" a ")} <= LABELS
    clips = ["--top", "2", "--clips", str(tmp_path / "clips"), "--json"]
    answer = json.loads(CliRunner().invoke(main, ["propose", video, *words, *clips]).stdout)
    for entry, clip in zip(answer["results"]["a"], answer["clips"], strict=True):
        assert entry["label"] == clip["label"] in LABELS
        assert Path(clip["path"]).stem.endswith(f"_{clip['label']}")
    assert answer["detections"] == 4
    followed = ["propose", "--follow", video, "--idle", "0", *words]
    lines = [json.loads(line) for line in CliRunner().invoke(main, followed).stdout.splitlines()]
    assert len(lines) > 5
    assert {entry["label"] for entry in (*lines[:-1], *lines[-1]["final"])} <= LABELS


def test_no_classifier_is_one_line(line: list[str], place: Path) -> None:
    done = CliRunner().invoke(main, [*line, str(place / "videos"), "--detections"])
    assert done.exit_code == 1
    (error,) = done.stderr.splitlines()
    assert "has no classifier of proposals; train one" in error


def test_files_hold_everything_unless_told(line: list[str], place: Path, tmp_path: Path) -> None:
    video = str(place / "videos" / "a.ts")
    for name in ("x.json", "x.csv"):
        done = CliRunner().invoke(main, [*line, video, "--out", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        assert f"proposals in {tmp_path / name}" in done.stderr
    found = json.loads((tmp_path / "x.json").read_text())["results"]["a"]
    assert len(found) == len((tmp_path / "x.csv").read_text().splitlines()) - 1 > 10
    done = CliRunner().invoke(main, [*line, video, "--min-score", "0.5", "--json"])
    best = json.loads(done.stdout)["results"]["a"]
    assert best == [entry for entry in found if entry["score"] >= 0.5]


def test_files_that_are_no_results_stay(line: list[str], place: Path, tmp_path: Path) -> None:
    target = tmp_path / "moments.csv"
    target.write_text("video,start,end,label\na,1,2,run\n")
    words = [*line, str(place / "videos" / "b.mp4"), "--out", str(target)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {target}: exists and is not a result of ActSpan")
    assert target.read_text().startswith("video,start,end,label")
    assert CliRunner().invoke(main, [*words, "--force"]).exit_code == 0
    assert target.read_text().startswith("video,start,end,score")


def test_a_list_of_videos_is_not_replaced(line: list[str], place: Path, tmp_path: Path) -> None:
    target = tmp_path / "list.csv"
    target.write_text(str(place / "videos" / "b.mp4"))
    done = CliRunner().invoke(main, [*line, f"@{target}", "--out", str(target), "--force"])
    assert done.exit_code == 1
    assert done.stderr == (
        f"error: {target}: is part of the input, so it is never replaced; choose another\n"
    )


def test_lines_while_it_is_recorded(line: list[str], place: Path, tmp_path: Path) -> None:
    video = str(place / "videos" / "a.ts")
    out = ["--out", str(tmp_path / "live.json")]
    done = CliRunner().invoke(main, [*line, "--follow", video, "--idle", "0", *out])
    *moments, final = map(json.loads, done.stdout.splitlines())
    assert {"segment", "score", "seen"} == moments[0].keys()
    CliRunner().invoke(main, [*line, video, "--out", str(tmp_path / "x.json")])
    assert (tmp_path / "live.json").read_text() == (tmp_path / "x.json").read_text()
    assert final["final"] == json.loads((tmp_path / "x.json").read_text())["results"]["a"]


def test_standard_input_and_interrupt(line: list[str], place: Path) -> None:
    # A pipe that stays open; Ctrl-C ends the video, and the answer comes.
    command = [sys.executable, "-m", "actspan", *line, "--follow", "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
    process.stdin.write((place / "videos" / "a.ts").read_bytes())
    process.stdin.flush()
    first = process.stdout.readline()
    unread = array("i", [1])
    while unread[0]:  # An interrupt drops what was not read.
        time.sleep(0.05)
        fcntl.ioctl(process.stdin, termios.FIONREAD, unread)
    os.kill(process.pid, signal.SIGINT)
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "seen" in json.loads(first)
    assert json.loads(rest.splitlines()[-1])["seconds"] == pytest.approx(9.0, abs=0.1)
    assert b"the result of the recording so far follows" in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param([], "give one of VIDEOS, --dataset and --follow", id="nothing"),
        pytest.param(["a.mp4", "--dataset", "."], "give one of", id="videos-and-dataset"),
        pytest.param(["a.mp4", "--follow", "-"], "give one of", id="videos-and-follow"),
        pytest.param(["--dataset", "."], "--dataset needs --out", id="dataset-without-out"),
        pytest.param(["a.mp4", "--force"], "--force: no effect without --out", id="force"),
        pytest.param(["a.mp4", "--resume"], "--resume: no effect without --out", id="resume"),
        pytest.param(["--follow", "-", "--resume"], "--resume: no effect with --follow", id="live"),
        pytest.param(
            ["--follow", "-", "--engine", "ray"], "--engine: no effect with --follow", id="ray"
        ),
        pytest.param(
            ["a.mp4", "--top-labels", "1"], "no effect without --labels-from or", id="labels"
        ),
        pytest.param(["a.mp4", "--idle", "3"], "--idle: no effect with VIDEOS", id="idle"),
        pytest.param(
            ["--follow", "-", "--clips", "d"], "--clips: no effect with --follow", id="clips"
        ),
        pytest.param(
            ["--dataset", ".", "--out", "y", "--clips", "d"],
            "--clips: no effect with --dataset",
            id="clips-of-features",
        ),
    ],
)
def test_bad_usage(options: list[str], message: str, place: Path) -> None:
    done = CliRunner().invoke(main, ["propose", "--model", str(place / "model"), *options])
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00:00.00"), (59.999, "0:01:00.00"), (3723.45, "1:02:03.45")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
