"""Pictures, frame times and waveforms of served videos, over HTTP."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")
pytest.importorskip("av", reason="needs the extra 'video'")

import av

from actspan.server.media import FileCache
from actspan.server.settings import Limits
from tests.server.live import Answer, Live, serving
from tests.streams.example_videos import cut, level, steady, turn, write_video

BROWSE = "/api/browse"
UNEVEN = [0.0, 0.04, 0.08, 0.9, 0.94, 2.0, 2.5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media") / "videos"
    folder.mkdir()
    write_video(folder / "film.mp4", steady(12.0), audio=True)
    write_video(folder / "uneven.mkv", UNEVEN)
    turn(write_video(folder / "turned.mp4", steady(1.0)))
    cut(write_video(folder / "broken.mp4", steady(4.0)), 0.4)
    (folder.parent / "secret.mp4").write_bytes((folder / "film.mp4").read_bytes())
    return folder


@pytest.fixture(scope="module")
def live(folder: Path) -> Iterator[Live]:
    with serving(folder.parent / "data", videos=folder) as live:
        yield live


def pixels(answer: Answer) -> np.ndarray:
    assert answer.status == 200, answer.body
    with av.open(io.BytesIO(answer.body), format="mjpeg") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def brightness(picture: np.ndarray) -> float:
    """Return the brightness of a frame below the bright band that `write_video` paints."""
    return float(picture[picture.shape[0] // 2 :].mean())


def test_pictures_of_a_strip_are_the_frames_that_they_name(live: Live) -> None:
    about = live.ask(f"{BROWSE}/filmstrip", id="film", count=6, height=48).json
    assert (about["height"], about["width"], about["columns"]) == (48, 64, 6)
    sheet = pixels(live.ask(about["image"]))
    assert sheet.shape == (48, 6 * 64, 3)
    for place, seconds in enumerate(about["times"]):
        assert 0 <= (place + 0.5) * 2 - seconds <= 12 / 25 + 1e-6  # a key frame every 12 frames
        shown = brightness(sheet[:, place * 64 : (place + 1) * 64])
        assert shown == pytest.approx(level(round(seconds * 25)), abs=8)


def test_a_short_range_shows_every_frame(live: Live) -> None:
    asked = {"id": "film", "start": 5.0, "end": 5.8, "count": 20, "height": 48}
    about = live.ask(f"{BROWSE}/filmstrip", **asked).json
    np.testing.assert_allclose(about["times"], 5.0 + np.arange(20) * 0.04, atol=0.021)
    sheet = pixels(live.ask(about["image"]))
    shown = [brightness(sheet[:, i * 64 : (i + 1) * 64]) for i in range(20)]
    np.testing.assert_allclose(shown, [level(125 + i) for i in range(20)], atol=10)


@pytest.mark.parametrize("number", [0, 1, 13, 150, 299])
def test_a_single_frame_has_its_number_and_time(live: Live, number: int) -> None:
    answer = live.ask(f"{BROWSE}/frame", id="film", time=number / 25 + 0.02)
    assert answer.headers["actspan-frame"] == str(number)
    assert float(answer.headers["actspan-time"]) == pytest.approx(number / 25, abs=1e-3)
    assert brightness(pixels(answer)) == pytest.approx(level(number), abs=8)


def test_a_turned_video_is_shown_upright(live: Live) -> None:
    assert pixels(live.ask(f"{BROWSE}/frame", id="turned", time=0.5)).shape == (64, 48, 3)
    assert pixels(live.ask(f"{BROWSE}/thumbnail", id="turned", height=32)).shape == (32, 24, 3)


def test_frames_are_counted_and_an_uneven_rate_is_reported(live: Live) -> None:
    about = live.ask(f"{BROWSE}/frames", id="film").json
    assert (about["frames"], about["is_variable"]) == (300, False)
    assert about["rate"] == pytest.approx(25)
    uneven = live.ask(f"{BROWSE}/frames", id="uneven").json
    assert (uneven["frames"], uneven["is_variable"]) == (7, True)
    times = live.ask(f"{BROWSE}/frame-times", id="uneven", first=2, count=3).body
    np.testing.assert_allclose(np.frombuffer(times, "<f8"), UNEVEN[2:5], atol=2e-3)
    assert live.ask(f"{BROWSE}/frame-times", id="uneven", first=7).body == b""
    answer = live.ask(f"{BROWSE}/frame", id="uneven", time=1.5)
    assert (answer.headers["actspan-frame"], answer.headers["actspan-time"]) == ("4", "0.94")


def test_sound_is_a_waveform_and_silence_an_empty_one(live: Live) -> None:
    about = live.ask(f"{BROWSE}/waveform", id="film").json
    assert about["has_sound"]
    assert about["intervals"] == pytest.approx(12 * about["rate"], abs=about["rate"] / 5)
    tile = live.ask(f"{BROWSE}/waveform/tile", id="film", level=about["levels"] - 1)
    assert np.frombuffer(tile.body, "<f4").reshape(2, -1).shape[1] <= about["tile"]
    silent = live.ask(f"{BROWSE}/waveform", id="uneven").json
    assert (silent["has_sound"], silent["intervals"], silent["levels"]) == (False, 0, 0)
    assert live.ask(f"{BROWSE}/waveform/tile", id="uneven").status == 404


@pytest.mark.parametrize("path", ["filmstrip", "frame", "frames", "waveform", "thumbnail"])
def test_a_damaged_video_is_an_error_that_names_no_folder(
    live: Live, folder: Path, path: str
) -> None:
    answer = live.ask(f"{BROWSE}/{path}", id="broken")
    assert answer.status == 422
    assert "broken.mp4" in answer.json["detail"]
    assert str(folder) not in answer.json["detail"]
    assert live.ask(f"{BROWSE}/{path}", id="film").status == 200  # the next one is answered


@pytest.mark.parametrize("path", ["filmstrip", "filmstrip/image", "frame", "frames", "waveform"])
@pytest.mark.parametrize("name", ["nobody", "../secret", "film.mp4", "../secret.mp4", "\0"])
def test_names_are_looked_up_and_never_paths(live: Live, path: str, name: str) -> None:
    assert live.ask(f"{BROWSE}/{path}", id=name).status == 404


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("filmstrip", {"start": 5, "end": 5}),
        ("filmstrip", {"count": 10_000}),
        ("filmstrip", {"count": 240, "height": 360}),
        ("filmstrip", {"start": "nan"}),
        ("frame", {"time": -1}),
        ("frame", {"height": 100_000}),
    ],
)
def test_what_cannot_be_shown_is_refused(live: Live, path: str, query: dict[str, Any]) -> None:
    assert live.ask(f"{BROWSE}/{path}", id="film", **query).status == 422


def test_answers_can_be_kept_for_the_version_of_the_file(live: Live) -> None:
    image = live.ask(f"{BROWSE}/filmstrip", id="film", count=3).json["image"]
    answer = live.ask(image)
    assert "immutable" in answer.headers["cache-control"]
    again = live.ask(image, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    other = live.ask(f"{BROWSE}/thumbnail", id="film", version="of-long-ago")
    assert "immutable" not in other.headers["cache-control"]


def test_a_video_that_changed_is_read_again(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    write_video(videos / "film.mp4", steady(2.0))
    with serving(tmp_path / "data", videos=videos) as live:
        assert live.ask(f"{BROWSE}/frames", id="film").json["frames"] == 50
        write_video(videos / "film.mp4", steady(3.0))
        assert live.ask(f"{BROWSE}/frames", id="film").json["frames"] == 75


def test_many_requests_at_once_are_answered_once_computed(live: Live) -> None:
    asked = {"id": "film", "count": 7, "height": 40}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: live.ask(f"{BROWSE}/filmstrip/image", **asked), range(8)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1


def test_beyond_the_limit_of_waiting_requests_the_answer_is_429(
    folder: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, videos=folder, limits=Limits(waiting_media=0)) as live:
        answer = live.ask(f"{BROWSE}/frame", id="film")
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert live.ask(f"{BROWSE}/video", id="film").json["seconds"] is None


def test_videos_without_a_run_have_their_duration(live: Live) -> None:
    assert live.ask(f"{BROWSE}/video", id="film").json["seconds"] == pytest.approx(12, abs=0.2)
    assert live.ask(f"{BROWSE}/video", id="broken").json["seconds"] is None
    end = time.monotonic() + 20
    while live.ask(f"{BROWSE}/videos").json["evaluating"] and time.monotonic() < end:
        time.sleep(0.02)
    rows = live.ask(f"{BROWSE}/videos").json["videos"]
    seconds = {row["id"]: row["seconds"] for row in rows}
    assert seconds["turned"] == pytest.approx(1, abs=0.1)


def test_the_cache_is_bounded_and_survives_a_restart(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, most_bytes=250)
    for key in "abcd":
        cache.path(key).write_bytes(bytes(100))
        cache.add(key)
    time.sleep(0.02)  # the order of use is read from the times of the files
    assert (cache.get("b"), cache.get("c")) == (None, bytes(100))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d"]
    (tmp_path / ".half-written").write_bytes(b"x")
    again = FileCache(tmp_path, most_bytes=250, most_files=2)
    again.path("e").write_bytes(b"")
    again.add("e")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["c", "e"]  # c was used last
