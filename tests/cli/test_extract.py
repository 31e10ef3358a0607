"""`actspan extract`, as a user meets it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import onnxruntime
import pytest
from click.testing import CliRunner

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("onnx", reason="needs the extra 'video'")

from actspan.cli import console, main
from actspan.runtime import opening
from actspan.runtime.session import Session
from actspan.streams import backbone
from tests.streams.encoders import write_encoder
from tests.streams.example_videos import steady, write_audio, write_video


@pytest.fixture
def line(tmp_path: Path) -> list[str]:
    """Return the command on a folder with a video, without an output."""
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mkv", steady(1.0))
    encoder = write_encoder(tmp_path / "e.onnx", ["n", 3, 8, 8])
    return ["extract", str(tmp_path / "videos"), "--backbone", f"onnx:{encoder}"]


def test_the_summary_says_what_was_made(line: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [*line, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "1 video, " in done.output
    assert "4 snippets of 10 channels" in done.output
    assert "next: annotate the actions in" in done.output
    again = CliRunner().invoke(main, [*line, "--out", str(tmp_path / "out")])
    assert "1 video was done already" in again.output
    other = [*line, "--out", str(tmp_path / "out"), "--frames", "2"]
    refused = CliRunner().invoke(main, other)
    assert refused.exit_code == 1
    assert "--force" in refused.output
    forced = CliRunner().invoke(main, [*other, "--force"])
    assert "removed features of other settings: 1 (a)" in forced.output


def test_json_says_what_the_features_are(line: list[str], tmp_path: Path) -> None:
    options = ["--out", str(tmp_path / "out"), "--stride", "5f", "--stream", "motion", "--json"]
    done = CliRunner().invoke(main, [*line, *options])
    figures = json.loads(done.stdout)
    assert figures["videos"] == 1
    spec = figures["features"]
    assert (spec["stride_frames"], spec["length_frames"], spec["channels"]) == (5, 10, 5)
    assert spec["extraction"]["streams"] == "motion"


def test_progress_is_in_lines_beside_the_json(
    line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "videos" / "b.mkv", steady(6.0))
    monkeypatch.setattr(console, "LINE_EVERY", 0.0005)
    done = CliRunner().invoke(main, [*line, "--out", str(tmp_path / "out"), "--json"])
    assert json.loads(done.stdout)["videos"] == 2
    lines = done.stderr.splitlines()
    assert [found for found in lines if found.startswith("seconds of video: ")], lines


def test_bad_videos_are_a_table(line: list[str], tmp_path: Path) -> None:
    write_audio(tmp_path / "videos" / "song.mp4")
    out = ["--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*line, *out])
    assert done.exit_code == 1
    assert "song" in done.output
    assert "--on-error skip" in done.output
    assert CliRunner().invoke(main, [*line, *out, "--on-error", "skip"]).exit_code == 0


def test_a_device_is_a_backend_of_onnx_runtime(
    line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def open_session(path: Path, *, backend: str, **options: int) -> Session:
        opened.append(backend)
        return opening.open_session(path, backend=backend, **options)

    monkeypatch.setattr(backbone, "open_session", open_session)
    done = CliRunner().invoke(main, [*line, "--out", str(tmp_path / "cpu"), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert opened == ["onnxruntime"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--device", "gpu"], "--device gpu: give auto, cpu, cuda, or the number of a GPU"),
        (["--device", "cuda"], "backend onnxruntime:cuda: "),
        (["--device", "cuda:1"], "backend onnxruntime:cuda: "),
        (["--device", "cpu", "--backend", "openvino"], "give it or --backend openvino, not both"),
    ],
)
def test_a_device_that_cannot_be_used_is_refused_in_a_line(
    options: list[str], complaint: str, line: list[str], tmp_path: Path
) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers() and "cuda" in options[1]:
        pytest.skip("a GPU is installed")
    done = CliRunner().invoke(main, [*line, *options, "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    (error,) = done.stderr.splitlines()
    assert complaint in error
    assert not (tmp_path / "out" / "features").exists()


@pytest.mark.parametrize("options", [["--stride", "8"], ["--backbone", "resnet"]])
def test_bad_settings_exit_with_1(options: list[str], line: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [*line, *options, "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "error: " in done.output
    assert not (tmp_path / "out").exists()


def test_times_in_frames_are_refused_before_work(line: list[str], tmp_path: Path) -> None:
    entry = {"annotations": [{"segment": [10, 24], "label": "x"}]}
    (tmp_path / "annotations.json").write_text(json.dumps({"database": {"a": entry}}))
    out = tmp_path / "out"
    done = CliRunner().invoke(main, ["extract", str(tmp_path), *line[2:], "--out", str(out)])
    assert done.exit_code == 1
    assert "times look like frames: 1 of 1 instance end after their video" in done.output
    assert not out.exists()


def test_bad_videos_are_a_line_per_cause(line: list[str], tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    for name in "xyz":
        (videos / f"{name}.mp4").write_text("hello")
    (videos / "none.mp4").touch()
    write_audio(videos / "song.mp4")
    done = CliRunner().invoke(main, [*line, "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    again = "copy it again from its source, or remove it"
    lines = done.stderr.splitlines()
    assert f"none: the file is empty ({videos / 'none.mp4'}): {again}" in lines
    song = f"song: contains no pictures, only audio ({videos / 'song.mp4'})"
    assert f"{song}: leave it out, or remove it" in lines
    (text,) = [line for line in lines if line.startswith("not a video")]
    assert text.endswith(f"({videos / 'x.mp4'} and 2 more): {again}; videos: 3 (x, y, z)")
    assert len(lines) == 4
    assert lines[-1].startswith("error: 5 problems found. Fix them, or skip ")


def test_the_next_command_can_be_copied(line: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [*line, "--out", str(tmp_path / "my features")])
    (after,) = [text for text in done.stderr.splitlines() if text.startswith("next: ")]
    words = shlex.split(after)
    assert words[words.index("--dataset") + 1] == str(tmp_path / "my features")
