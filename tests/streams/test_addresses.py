"""Addresses: how they are shown and named, and what servers do with them."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("av", reason="needs the extra 'video'")

from actspan.config.streams import AudioConfig
from actspan.core.errors import VideoError
from actspan.streams.addresses import Address, is_address
from actspan.streams.audio import Sound
from actspan.streams.extract_request import ExtractRequest
from actspan.streams.extraction import extract_videos
from actspan.streams.video_decoding import VideoFile
from actspan.streams.video_lists import find_videos
from tests.streams.encoders import write_encoder
from tests.streams.example_videos import steady, write_video
from tests.streams.http_server import CODED, VideoServer, video_server
from tests.streams.rtsp_server import rtsp_server

SECONDS = 20.0
FRONT = {"movflags": "faststart"}  # the index comes first


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VideoServer]:
    folder = tmp_path_factory.mktemp("served")
    write_video(folder / "front.mp4", steady(SECONDS), size=(240, 320), options=FRONT, audio=True)
    write_video(folder / "late.mp4", steady(SECONDS), size=(240, 320))
    write_video(folder / "film.mkv", steady(SECONDS), size=(240, 320))
    (folder / "page.mp4").write_text("<html>this is no video</html>")
    with video_server(folder) as opened:
        yield opened


@pytest.mark.parametrize(
    ("url", "shown", "stem"),
    [
        ("http://host/day/film.mp4", "http://host/day/film.mp4", "film"),
        ("https://host:8443/a/b.mkv?token=abc#t=3", "https://host:8443/a/b.mkv?***", "b"),
        ("rtsp://me:secret@cam/live", "rtsp://***@cam/live", "live"),
        ("RTSP://me@cam:554", "rtsp://***@cam:554", "cam"),
        ("rtsp://192.168.1.5:554/", "rtsp://192.168.1.5:554/", "192.168.1.5"),
        ("rtsp://cam/user=me_password=secret.sdp", "rtsp://cam/user=***", "user"),
        ("rtsp://me:12/se@cret@cam/live", "rtsp://***@cam/live", "live"),
        ("http://host/..%2F..%2Fetc%2Fpasswd", "http://host/..%2F..%2Fetc%2Fpasswd", "etc-passwd"),
        ("http://host/%00%0A/", "http://host/%00%0A/", "host"),
    ],
)
def test_addresses_are_shown_and_named_without_credentials(url: str, shown: str, stem: str) -> None:
    address = Address.parse(url)
    assert address.url == url
    assert str(address) == shown
    assert repr(address) == f"Address({shown!r})"
    assert address.stem.lstrip(".-") == stem
    assert not set(address.stem) & set("/\0\n")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://", "not a valid address"),
        ("http://host:port/x", "not a valid address"),
        ("rtsp://me:pa/ss@cam/x", "%2F for /"),
        ("rtsp:/me:secret@cam/x", "rtsp://***: not a valid address"),
        ("ftp://me:secret@host/x.mp4", "ftp://***@host/x.mp4: only rtsp"),
    ],
)
def test_invalid_addresses_are_refused(url: str, message: str) -> None:
    assert is_address(url)
    with pytest.raises(VideoError) as caught:
        Address.parse(url)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "pa/ss" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "ranges/front.mp4", "ranges/late.mp4", "ranges/film.mkv", "whole/front.mp4",
        "whole/film.mkv", "drops/film.mkv", "chunked/film.mkv", "private/film.mkv",
    ],
)  # fmt: skip
def test_a_video_is_read_as_a_file_is(path: str, server: VideoServer) -> None:
    address = Address.parse(server.url(path, CODED if "private" in path else ""), 5.0)
    with VideoFile(address) as video:
        frames = sum(1 for _ in video.frames())
        assert frames == round(25 * SECONDS)
        assert video.end == pytest.approx(SECONDS, abs=0.05)
        assert video.shortfall() == ""
    if path.startswith("drops"):
        assert sum(request.startswith("/drops") for request in server.requests) > 1


FAILURES = {
    "not found": ("ranges/none.mp4", "404 Not Found", "check the path"),
    "no password": ("private/film.mkv", "401 Unauthorized", "check the user and the password"),
    "no video": ("whole/page.mp4", "Invalid data", "open it in a player"),
    "stops": ("stops/film.mkv", r"interrupted after \d+\.\d s: Input/output", "server runs"),
    "stops, mp4": ("stops/front.mp4", r"interrupted after \d+\.\d s: Input/output", "server runs"),
    "hangs, mp4": ("hangs/front.mp4", r"no data within 0\.5 s", "--timeout"),
    "hangs before the index": ("hangs/late.mp4", r"no data within 0\.5 s", "--timeout"),
    "hangs": ("hangs/film.mkv", r"interrupted after .* no data within 0\.5 s", "--timeout"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_server_that_fails_is_named_with_a_remedy(case: str, server: VideoServer) -> None:
    path, message, remedy = FAILURES[case]
    address, begin = Address.parse(server.url(path, "me:secret"), 0.5), time.monotonic()
    with pytest.raises(VideoError, match=message) as caught, VideoFile(address) as video:
        list(video.frames())
    assert time.monotonic() - begin < 8
    assert remedy in caught.value.remedy
    assert ("--timeout" in caught.value.remedy) == ("no data within" in message)
    assert str(caught.value).startswith(f"http://***@127.0.0.1:{server.server_port}/{path}: ")
    assert "secret" not in str(caught.value)


def test_half_a_video_of_unknown_length_is_noted_as_in_a_file(server: VideoServer) -> None:
    with VideoFile(Address.parse(server.url("cut/film.mkv"), 2.0)) as video:
        assert sum(1 for _ in video.frames()) < 25 * SECONDS
        assert "truncated" in video.shortfall()


def test_nothing_that_listens_is_an_error_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for scheme in ("http", "rtsp"):
        with pytest.raises(VideoError, match="cannot be opened: Connection refused") as caught:
            VideoFile(Address.parse(f"{scheme}://127.0.0.1:{port}/x.mp4", 2.0))
        assert caught.value.remedy == "check that its server runs, and the port of the address"


def test_a_server_that_never_answers_is_left_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for scheme in ("http", "rtsp"):
            address, begin = Address.parse(f"{scheme}://127.0.0.1:{port}/x", 0.5), time.monotonic()
            with pytest.raises(VideoError, match=r"no data within 0\.5 s"):
                VideoFile(address)
            assert time.monotonic() - begin < 4


def test_a_playlist_of_segments_is_a_video(server: VideoServer) -> None:
    (server.folder / "hls").mkdir()
    path = server.folder / "hls" / "list.m3u8"
    write_video(path, steady(6.0), codec="libx264", options={"hls_time": "1"})
    with VideoFile(Address.parse(server.url("whole/hls/list.m3u8"), 5.0)) as video:
        assert sum(1 for _ in video.frames()) == 150
        assert video.end == pytest.approx(6.0, abs=0.05)


def test_a_playlist_cannot_name_files(server: VideoServer, tmp_path: Path) -> None:
    write_video(server.folder / "secret.ts", steady(1.0), codec="mpeg2video")
    path = server.folder / "secret.ts"
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:1,", f"file://{path}", "#EXT-X-ENDLIST"]
    (server.folder / "list.m3u8").write_text("\n".join(lines))
    with (
        pytest.raises(VideoError),
        VideoFile(Address.parse(server.url("ranges/list.m3u8"), 5.0)) as video,
    ):
        list(video.frames())


def test_sound_is_read_from_an_address(server: VideoServer) -> None:
    config = AudioConfig()
    with Sound(Address.parse(server.url("ranges/front.mp4"), 5.0), config, 0.1) as sound:
        assert sum(len(bands) for _, bands in sound.samples()) > 1000
    with (
        pytest.raises(VideoError, match="interrupted after"),
        Sound(Address.parse(server.url("stops/front.mp4"), 5.0), config, 0.1) as sound,
    ):
        list(sound.samples())


def test_addresses_are_found_among_arguments_and_in_lists(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("http://host/a.mp4\nrtsp://me:secret@host/b\n")
    found = find_videos([f"@{tmp_path / 'list.txt'}", "https://host/v_c.mp4?x=1"], timeout=3.0)
    assert list(found.paths) == ["a", "b", "c"]
    assert {path.timeout for path in found.paths.values()} == {3.0}
    assert found.files == {}
    (problem,) = find_videos(["http://one/a.mp4", "http://two/a.mp4"]).problems
    assert "another video has this name: http://one/a.mp4" in problem.problem
    with pytest.raises(VideoError, match="a table is read from a file: download it first"):
        find_videos(["http://host/a.csv"], "sensors")


def test_features_are_extracted_from_addresses(server: VideoServer, tmp_path: Path) -> None:
    encoder = f"onnx:{write_encoder(tmp_path / 'e.onnx', ['n', 3, 8, 8])}"
    videos = (server.url("private/film.mkv", CODED), server.url("ranges/late.mp4?key=s3cret"))
    request = ExtractRequest(videos, tmp_path / "set", encoder)
    summary = extract_videos(request)
    assert (summary.videos, summary.kept) == (2, 0)
    assert summary.video_seconds == pytest.approx(2 * SECONDS, abs=0.2)
    again = extract_videos(request)
    assert (again.videos, again.kept) == (1, 1)  # a query is not recorded, so it may have changed
    lines = (tmp_path / "set" / "extracted.jsonl").read_text().splitlines()
    sources = {json.loads(line)["source"] for line in lines}
    port = server.server_port
    assert sources == {
        f"http://***@127.0.0.1:{port}/private/film.mkv",
        f"http://127.0.0.1:{port}/ranges/late.mp4?***",
    }
    for file in (tmp_path / "set").rglob("*"):
        assert not file.is_file() or b"s3cret" not in file.read_bytes()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate of this machine that no authority signed, with its key next to it."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs openssl, to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=own"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{path}.key", "-out", str(path)]
    subprocess.run([program, *words], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("scheme", ["https", "rtsps"])
def test_certificates_are_checked(
    scheme: str,
    certificate: Path,
    server: VideoServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, f"{certificate}.key")
    film = write_video(server.folder / "tls.ts", steady(2.0), codec="mpeg2video")
    with video_server(server.folder, tls) as web, rtsp_server(film, tls=tls) as camera:
        url = (
            web.url("ranges/film.mkv")
            if scheme == "https"
            else f"rtsps://127.0.0.1:{camera.port}/x"
        )
        address = Address.parse(url, 3.0)
        with pytest.raises(VideoError, match="cannot be opened") as caught:
            VideoFile(address)
        assert "SSL_CERT_FILE=" in caught.value.remedy
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with VideoFile(address) as video:
            assert next(video.frames()).time == pytest.approx(0.0, abs=0.1)
