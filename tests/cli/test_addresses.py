"""Commands on addresses: what is found, what is printed, and that no credentials are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("onnx", reason="needs the extra 'video'")

from actspan.cli import main
from tests.cli.test_propose_videos import place  # noqa: F401  a fixture
from tests.streams.http_server import CODED, VideoServer, video_server
from tests.streams.rtsp_server import rtsp_server

SECRETS = ("s3cret", "secret", "token=1")


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[VideoServer]:  # noqa: F811
    with video_server(place / "videos") as opened:
        yield opened


def run(place: Path, *words: object) -> Result:  # noqa: F811
    model = ("--model", place / "model", "--backbone", f"onnx:{place / 'e.onnx'}")
    done = CliRunner().invoke(main, list(map(str, ("propose", *model, *words))))
    assert not any(secret in done.output for secret in SECRETS), done.output
    return done


def assert_no_secrets(folder: Path) -> None:
    for path in folder.rglob("*"):
        assert not any(secret in path.name for secret in SECRETS)
        if path.is_file() and path.suffix != ".mp4":
            assert not any(secret.encode() in path.read_bytes() for secret in SECRETS), path


def test_a_run_and_clips_of_an_address(
    place: Path,  # noqa: F811
    server: VideoServer,
    tmp_path: Path,
) -> None:
    url = server.url("private/b.mp4?token=1", CODED)
    options = ("--out", tmp_path / "run", "--clips", tmp_path / "clips", "--top", 2)
    done = run(place, url, *options)
    assert done.exit_code == 0, done.output
    local = run(place, place / "videos" / "b.mp4", "--out", tmp_path / "x.json", "--top", 2)
    assert local.exit_code == 0
    assert (tmp_path / "run" / "result.json").read_text() == (tmp_path / "x.json").read_text()
    shown = f'b = "http://***@127.0.0.1:{server.server_port}/private/b.mp4?***"'
    assert shown in (tmp_path / "run" / "run.toml").read_text()
    assert sorted(path.name[:5] for path in (tmp_path / "clips").iterdir()) == ["b_01_", "b_02_"]
    assert_no_secrets(tmp_path)


def test_json_of_an_address(place: Path, server: VideoServer) -> None:  # noqa: F811
    answer = json.loads(run(place, server.url("private/b.mp4", CODED), "--json").stdout)
    assert answer["videos"] == {"b": f"http://***@127.0.0.1:{server.server_port}/private/b.mp4"}


@pytest.mark.parametrize("path", ["hangs/a.ts", "stops/a.ts", "ranges/none.mp4", "private/a.ts"])
def test_a_server_that_fails_is_one_problem(
    path: str,
    place: Path,  # noqa: F811
    server: VideoServer,
    tmp_path: Path,
) -> None:
    good, bad = server.url("ranges/b.mp4"), server.url(path, "me:secret")
    options = ("--timeout", 0.5, "--out", tmp_path / "run")
    done = run(place, bad, good, *options)
    assert done.exit_code == 1
    assert f"http://***@127.0.0.1:{server.server_port}/{path}" in done.stderr
    assert_no_secrets(tmp_path)
    done = run(place, bad, good, *options, "--on-error", "skip", "--force")
    assert done.exit_code == 0, done.output
    name = Path(path).stem
    assert f"skipped: 1 video ({name})" in done.stderr
    assert_no_secrets(tmp_path)


def test_a_camera_is_followed_and_lost(place: Path, tmp_path: Path) -> None:  # noqa: F811
    film, shares = place / "videos" / "a.ts", {1: 0.6, 3: 0.6}
    with rtsp_server(film, seconds=6.0, before=shares.get) as camera:
        url = f"rtsp://me:secret@127.0.0.1:{camera.port}/gate?token=1"
        limits = ("--timeout", 1, "--reconnect", 2, "--reconnect-delay", 0.2)
        done = run(place, "--follow", url, *limits, "--out", tmp_path / "x.json")
    shown = f"rtsp://***@127.0.0.1:{camera.port}/gate?***"
    assert done.exit_code == 1
    outage, lost = done.stderr.splitlines()
    assert outage.startswith(f"{shown}: no pictures from ")
    assert lost.startswith(f"error: {shown}: lost after ")
    *moments, final = map(json.loads, done.stdout.splitlines())
    assert moments
    assert final["final"] == json.loads((tmp_path / "x.json").read_text())["results"]["gate"]
    assert final["seconds"] > 7
    assert_no_secrets(tmp_path)


def test_a_camera_as_a_video_and_without_clips(
    place: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    # A stream that its server ends is a video; nothing can be cut out of it afterwards.
    with rtsp_server(place / "videos" / "a.ts", seconds=1.0) as camera:
        url = f"rtsp://me:secret@127.0.0.1:{camera.port}/gate"
        done = run(place, url, "--clips", tmp_path / "clips")
        assert done.exit_code == 1
        (line,) = done.stderr.splitlines()
        assert "record it first: ffmpeg -i ADDRESS" in line
        answer = json.loads(run(place, url, "--json", "--top", 2).stdout)
    assert len(answer["results"]["gate"]) == 2
    assert answer["video_seconds"] == pytest.approx(9.0, abs=0.2)


def test_an_address_that_refuses_is_one_line(place: Path) -> None:  # noqa: F811
    with rtsp_server(place / "videos" / "a.ts") as camera:
        port = camera.port
    done = run(place, "--follow", f"rtsp://me:secret@127.0.0.1:{port}/gate")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: rtsp://***@127.0.0.1:{port}/gate: cannot be opened: Connection")
    assert "check that its server runs" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(
            ("--follow", "rtsp://x/y", "--idle", "3"), "--idle: no effect with", id="idle"
        ),
        pytest.param(("--follow", "-", "--reconnect", "3"), "--reconnect: no effect", id="pipe"),
        pytest.param(("a.mp4", "--reconnect", "3"), "--reconnect: no effect with V", id="videos"),
    ],
)
def test_bad_usage(words: tuple[str, ...], message: str, place: Path) -> None:  # noqa: F811
    done = run(place, *words)
    assert done.exit_code == 2
    assert message in done.output
