"""Frames of unusual files, at the right time and upright."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="needs the extra 'video'")

import av

from actspan.config.stages import PictureConfig
from actspan.core.errors import VideoError
from actspan.streams.backbone import FrameConverter, Size, normalise
from actspan.streams.video_decoding import VideoFile, parse_duration
from tests.streams.example_videos import (
    cut,
    level,
    picture,
    steady,
    turn,
    write_audio,
    write_tone,
    write_video,
)

WHOLE = PictureConfig(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def times_and_levels(path: Path) -> tuple[list[float], list[int]]:
    """Return the times of frames, and how bright the middle of each is."""
    times, levels = [], []
    with VideoFile(path) as video:
        for frame in video.frames():
            times.append(frame.time)
            pixels = FrameConverter(Size(8, 8), WHOLE).convert(frame.image)
            levels.append(int(pixels[4, 4, 0]))
    return times, levels


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mov", "a.ts"])
def test_frames_come_in_order_at_their_time(name: str, tmp_path: Path) -> None:
    codec = "mpeg2video" if name == "a.ts" else "mpeg4"
    path = write_video(tmp_path / name, steady(1.0), codec=codec)
    times, levels = times_and_levels(path)
    np.testing.assert_allclose(times, steady(1.0), atol=2e-3)
    np.testing.assert_allclose(levels, [level(k) for k in range(25)], atol=6)


def test_a_variable_frame_rate(tmp_path: Path) -> None:
    given = [0.0, 0.04, 0.08, 0.9, 0.94, 2.0, 2.5]
    times, levels = times_and_levels(write_video(tmp_path / "v.mkv", given))
    np.testing.assert_allclose(times, given, atol=2e-3)
    np.testing.assert_allclose(levels, [level(k) for k in range(7)], atol=6)


def test_time_begins_where_presentation_begins(tmp_path: Path) -> None:
    late = [10.0 + t for t in steady(1.0)]
    times, _ = times_and_levels(write_video(tmp_path / "late.mkv", late))
    np.testing.assert_allclose(times, steady(1.0), atol=2e-3)


def test_an_edit_list_keeps_the_offset_to_sound(tmp_path: Path) -> None:
    late = [0.5 + t for t in steady(1.0)]
    path = write_video(tmp_path / "offset.mp4", late, audio=True)
    times, _ = times_and_levels(path)
    np.testing.assert_allclose(times, late, atol=0.07)  # the sound itself begins a little before


def test_frames_without_timestamps(tmp_path: Path) -> None:
    path = write_video(tmp_path / "raw.m4v", steady(1.0))  # a bare stream has none
    times, _ = times_and_levels(path)
    assert len(times) >= 24
    assert (np.diff(times) > 0).all()
    np.testing.assert_allclose(times[-1], 0.96, atol=0.1)


@pytest.mark.parametrize("size", [(49, 65), (33, 47), (2, 2)])
def test_odd_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    path = write_video(tmp_path / "odd.mkv", steady(0.2), size=size, codec="ffv1")
    _, levels = times_and_levels(path)
    np.testing.assert_allclose(levels, [level(k) for k in range(5)], atol=12)


def test_rotation_is_undone(tmp_path: Path) -> None:
    path = write_video(tmp_path / "turned.mp4", steady(0.2))
    with VideoFile(path) as video:
        upright = FrameConverter(Size(32, 24), WHOLE).convert(next(iter(video.frames())).image)
    with VideoFile(turn(path)) as video:
        turned = FrameConverter(Size(32, 24), WHOLE).convert(next(iter(video.frames())).image)
    assert upright[2, 12, 0] > 200 > upright[12, 22, 0]  # the band is at the top
    assert turned[16, 22, 0] > 200 > turned[2, 4, 0]  # a quarter clockwise: at the right


def test_a_crop_is_the_middle(tmp_path: Path) -> None:
    config = PictureConfig(mean=WHOLE.mean, std=WHOLE.std, fit="crop", resize=20)
    with VideoFile(write_video(tmp_path / "v.mp4", steady(0.2))) as video:
        image = next(iter(video.frames())).image
    # 48 x 64 becomes 20 x 27, of which rows 6 to 14 are below the band.
    assert FrameConverter(Size(20, 20), config).convert(image)[1, 1, 0] > 200
    assert FrameConverter(Size(8, 8), config).convert(image)[1, 1, 0] < 60
    assert FrameConverter(Size(40, 10), config).convert(image).shape == (40, 10, 3)


@pytest.mark.parametrize(
    "axes", [pytest.param((2, 0, 1), id="CHW"), pytest.param((0, 1, 2), id="HWC")]
)
def test_pixels_are_normalised(axes: tuple[int, ...]) -> None:
    pixels = np.array([[[0, 51, 255], [255, 0, 0]]], dtype=np.uint8)  # (1, 2, 3)
    share = PictureConfig(mean=(0.0, 0.2, 0.5), std=(1.0, 1.0, 0.5))
    plain = PictureConfig(mean=(1.0, 1.0, 1.0), std=(2.0, 2.0, 2.0), range=255)
    for config, wanted in (
        (share, [[0, 0, 1], [1, -0.2, -1]]),
        (plain, [[-0.5, 25, 127], [127, -0.5, -0.5]]),
    ):
        values = normalise(pixels, config, axes)
        np.testing.assert_allclose(values, np.transpose([wanted], axes), atol=1e-5)
        assert values.flags.c_contiguous


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "v.mkv", steady(4.0)), 0.5)
    with VideoFile(path) as video:
        count = sum(1 for _ in video.frames())
        assert 20 < count < 90
        assert "truncated" in video.shortfall() or video.announced is None
        assert video.end == pytest.approx(count / 25, abs=0.1)


def longer(path: Path, *, sound: float = 0.0, pictures: float = 0.0, start: float = 0.0) -> Path:
    """Write 2 s of pictures, and beside them sound or other pictures that last longer."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=25) for _ in range(2 if pictures else 1)]
        tone = container.add_stream("aac", rate=16000) if sound else None
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for stream, seconds in zip(streams, (2.0, pictures), strict=False):
            for number in range(int(seconds * 25)):
                frame = av.VideoFrame.from_ndarray(picture(number, (48, 64)), format="rgb24")
                frame.pts, frame.time_base = number + round(start * 25), Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        if tone is not None:
            write_tone(container, tone, sound)
    return path


def without_tags(path: Path) -> Path:
    """Remove what FFmpeg writes to Matroska about the length of each stream."""
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"DURATIOX"))
    return path


def report_of(path: Path, *, streamed: bool = False) -> str:
    with path.open("rb") as stream, VideoFile(path, stream if streamed else None) as video:
        assert sum(1 for _ in video.frames()) > 10
        return video.shortfall()


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({"sound": 9.0}, id="sound goes on"),
        pytest.param({"pictures": 7.0}, id="other pictures go on"),
        pytest.param({"start": 100_000.0}, id="a clock that starts late"),
        pytest.param({"start": 100_000.0, "pictures": 7.0}, id="both"),
    ],
)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
@pytest.mark.parametrize("streamed", [False, True])
def test_complete_pictures_are_not_reported_as_cut_short(
    tmp_path: Path, suffix: str, others: dict[str, float], streamed: bool
) -> None:
    path = longer(tmp_path / f"v{suffix}", **others)
    note = "1 further video stream ignored" if "pictures" in others else ""
    assert report_of(path, streamed=streamed and suffix != ".mp4") == note
    if suffix == ".mkv":
        assert report_of(without_tags(path), streamed=streamed) == note


@pytest.mark.parametrize("tags", [True, False])
def test_cut_pictures_are_reported_despite_other_streams(tmp_path: Path, tags: bool) -> None:
    path = cut(longer(tmp_path / "v.mkv", sound=2.0), 0.6)
    assert "truncated" in report_of(path if tags else without_tags(path))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00:10.023000000", 10.023),
        ("27:46:44.000000000", 100_004.0),
        ("01:00:00", 3600.0),
        ("00:00:00.000000000", None),
        ("10.5", None),
        ("", None),
        ("x:00:01", None),
    ],
)
def test_times_of_tags(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


def test_damage_in_the_middle_is_skipped(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.avi", steady(4.0))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    times, _ = times_and_levels(path)
    assert len(times) > 60
    assert times[-1] > 3.5


REFUSED = {
    "missing": (lambda p: p, "no such file"),
    "empty": (lambda p: (p.write_bytes(b"") and p) or p, "the file is empty"),
    "text": (lambda p: p.write_text("hello") and p, "not a video"),
    "audio only": (write_audio, "contains no pictures, only audio"),
    "no index": (lambda p: cut(write_video(p, steady(1.0)), 0.6), "truncated before its index"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_files_are_refused_by_name(case: str, tmp_path: Path) -> None:
    make, why = REFUSED[case]
    path = make(tmp_path / "v.mp4")
    with pytest.raises(VideoError, match=why) as error:
        VideoFile(path)
    assert str(path) in str(error.value)


def test_a_session_description_in_a_stream_opens_no_address() -> None:
    text = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        "m=video 5555 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    )
    with pytest.raises(VideoError, match="not a video, damaged, or truncated"):
        VideoFile(Path("stdin"), BytesIO(text.encode()))
