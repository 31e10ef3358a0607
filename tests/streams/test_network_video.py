"""Live video over RTSP and HTTP: interruptions are bridged, reported, and bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="needs the extra 'video'")

from actspan.core.errors import VideoError
from actspan.streams.addresses import Address
from actspan.streams.network_video import NetworkVideo, Retry
from tests.streams.example_videos import steady, write_video
from tests.streams.http_server import video_server
from tests.streams.rtsp_server import RtspServer, h264_track, rtsp_server

SECONDS = 4.0
QUICK = Retry(attempts=3, delay=0.2)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("live") / "film.ts"
    return write_video(path, steady(SECONDS), codec="mpeg2video")


def serving(*shares: float | None) -> Callable[[int], float | None]:
    """Return what each connection gets; those after the last are refused."""
    return lambda number: shares[number - 1] if number <= len(shares) else None


def address_of(server: RtspServer) -> Address:
    return Address.parse(f"rtsp://me:secret@127.0.0.1:{server.port}/gate", 0.5)


def times_of(video: NetworkVideo) -> list[float]:
    with video:
        return [frame.time for frame in video.open().frames()]


@pytest.mark.parametrize("share", [0.5, -0.5], ids=["ended", "silent"])
def test_time_goes_on_during_an_interruption(share: float, film: Path) -> None:
    lines: list[str] = []
    with rtsp_server(film, seconds=SECONDS, before=serving(share, None, 0.5)) as server:
        video, begin = NetworkVideo(address_of(server), QUICK, lines.append), time.monotonic()
        times = times_of(video)
        passed = time.monotonic() - begin
    assert (np.diff(times) > 0).all()
    gap = int(np.argmax(np.diff(times)))
    silence = 0.5 if share < 0 else 0.0
    assert times[gap] == pytest.approx(2.0, abs=0.3)
    assert times[gap + 1] - times[gap] >= silence + 0.3  # of the delays
    assert times[-1] < passed  # which includes the attempts after the second connection
    assert len(times) > 80
    (line,) = lines
    assert line.startswith(f"rtsp://***@127.0.0.1:{server.port}/gate: no pictures from ")
    assert "connected again after 2 attempts" in line
    reason = "no data within 0.5 s" if share < 0 else "the server ended the stream"
    assert f"({reason})" in line
    assert video.shortfall().startswith("1 interruption, ")


def test_h264_as_cameras_send_it(film: Path) -> None:
    lines: list[str] = []
    track = h264_track(film)
    with rtsp_server(track, seconds=SECONDS, before=serving(0.5, 0.5)) as server:
        video = NetworkVideo(address_of(server), QUICK, lines.append)
        times = times_of(video)
    assert (np.diff(times) > 0).all()
    assert len(times) == pytest.approx(25 * SECONDS, abs=8)
    (line,) = lines
    assert "connected again after 1 attempt" in line


def test_a_camera_that_stays_away_is_given_up(film: Path) -> None:
    lines: list[str] = []
    with rtsp_server(film, seconds=1.0, before=serving(0.5)) as server:
        video = NetworkVideo(address_of(server), QUICK, lines.append)
        times = times_of(video)
        assert server.connections == 4
    assert len(times) > 40
    assert lines == []
    assert "not back after 3 attempts to connect again" in video.lost
    assert "secret" not in video.lost


def test_attempts_are_counted_since_the_last_picture(film: Path) -> None:
    lines: list[str] = []
    shares = (0.5, None, None, 0.5, None, None, 0.5)
    with rtsp_server(film, seconds=0.5, before=serving(*shares)) as server:
        video = NetworkVideo(address_of(server), QUICK, lines.append)
        times_of(video)
    assert [line.rpartition("after ")[2] for line in lines] == ["3 attempts", "3 attempts"]
    assert video.lost


def test_a_video_can_be_stopped_during_an_interruption(film: Path) -> None:
    with rtsp_server(film, seconds=0.5, before=serving(0.5)) as server:
        video = NetworkVideo(address_of(server), Retry(attempts=5, delay=60.0), print)
        threading.Timer(1.5, video.stop).start()
        begin = time.monotonic()
        assert times_of(video)
    assert time.monotonic() - begin < 4
    assert video.lost == ""


def test_the_first_connection_is_not_tried_again(film: Path) -> None:
    with rtsp_server(film, before=serving()) as server:
        video = NetworkVideo(address_of(server), QUICK, print)
        with pytest.raises(VideoError, match=r"cannot be opened: .*; check that its server runs"):
            video.open()
        assert server.connections <= 2


@pytest.fixture
def web(film: Path) -> Iterator[Callable[[str], Address]]:
    with video_server(film.parent) as server:
        yield lambda path: Address.parse(server.url(path), 1.0)


def test_a_stream_over_http_ends_where_the_server_ends_it(web: Callable[[str], Address]) -> None:
    lines: list[str] = []
    for path in ("chunked/film.ts", "ranges/film.ts"):
        video = NetworkVideo(web(path), QUICK, lines.append)
        assert times_of(video)[-1] == pytest.approx(SECONDS, abs=0.1)
        assert (video.lost, lines) == ("", [])


def test_a_stream_over_http_is_connected_again(web: Callable[[str], Address]) -> None:
    lines: list[str] = []
    video = NetworkVideo(web("once/film.ts"), QUICK, lines.append)
    times = times_of(video)
    assert len(times) > 25 * SECONDS * 1.3  # half of it, then all of it
    assert (np.diff(times) > 0).all()
    (line,) = lines
    assert "connected again after 1 attempt" in line
