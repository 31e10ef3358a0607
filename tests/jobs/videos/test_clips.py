"""Clips are as long as their segments, and show the same frames as the video."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from actspan import Proposals
from actspan.core.errors import ActSpanError, VideoError
from actspan.jobs.clips import ClipSink, Method, cut, cut_clips
from actspan.streams.video_decoding import VideoFile
from tests.streams.example_videos import level, turn, write_video

FPS = 25
KEYS = {"g": "25", "sc_threshold": "0", "bf": "2"}  # a key frame a second, and B-frames


def film(path: Path, codec: str = "libx264", *, audio: bool = False) -> Path:
    """Write ten seconds; the level of a frame says its number modulo 50."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=KEYS)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        sound = container.add_stream("aac", rate=16000) if audio else None
        for number in range(10 * FPS):
            pixels = np.full((48, 64, 3), level(number), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            if sound is not None:
                tone = av.AudioFrame.from_ndarray(
                    np.zeros((1, 640), dtype=np.float32), format="fltp", layout="mono"
                )
                tone.sample_rate, tone.pts = 16000, 640 * number
                container.mux(sound.encode(tone))
        container.mux(stream.encode(None))
        if sound is not None:
            container.mux(sound.encode(None))
    return path


def levels(path: Path) -> list[float]:
    with VideoFile(path) as video:
        return [float(f.image.to_ndarray(format="gray").mean()) for f in video.frames()]


CASES: list[tuple[str, float, float, Method]] = [
    ("film.mp4", 3.0, 5.0, "copied"),
    ("film.mp4", 3.05, 5.0, "copied"),
    ("film.mp4", 3.4, 5.2, "encoded"),
    ("film.mp4", 0.0, 1.0, "copied"),
    ("film.mp4", 9.0, 10.0, "copied"),
    ("film.mkv", 2.0, 3.5, "copied"),
    ("film.mkv", 8.52, 10.0, "encoded"),
    ("film.ts", 4.4, 7.0, "encoded"),
    ("film.avi", 4.4, 5.6, "copied"),
]


@pytest.mark.parametrize(("name", "start", "end", "way"), CASES)
def test_a_clip_shows_its_segment(
    name: str, start: float, end: float, way: Method, tmp_path: Path
) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    clip = cut(film(tmp_path / name, codec), start, end, tmp_path / "clip")
    assert clip.way == way
    assert clip.path == tmp_path / "clip.mp4"
    seen = levels(clip.path)
    frames = (end - start) * FPS
    assert -2 <= len(seen) - frames <= 4
    assert clip.seconds == pytest.approx(len(seen) / FPS, abs=3.5 / FPS)
    whole = levels(tmp_path / name)
    shifts = range(-3, 4) if way == "copied" else range(-1, 2)
    assert min(distance(seen, whole, round(start * FPS) + shift) for shift in shifts) < 2.5


def distance(seen: list[float], whole: list[float], first: int) -> float:
    """Return how far levels are from those that begin at frame `first`; neighbours are 4 apart."""
    beside = whole[max(first, 0) :]
    pairs = zip(seen[:-4], beside, strict=False)  # a copied clip ends with what others refer to
    return float(np.median([abs(a - b) for a, b in pairs]))


@pytest.mark.parametrize("start", [3.0, 3.4])
@pytest.mark.parametrize("name", ["film.mp4", "film.ts"])
def test_sound_is_copied(name: str, start: float, tmp_path: Path) -> None:
    clip = cut(film(tmp_path / name, audio=True), start, 6.0, tmp_path / "clip")
    with av.open(str(clip.path)) as container:
        (sound,) = container.streams.audio
        heard = [p for p in container.demux(sound) if p.pts is not None]
        seconds = sum(float(p.duration * p.time_base) for p in heard)
    assert seconds == pytest.approx(6.0 - start, abs=0.2)


def test_a_rotation_is_kept(tmp_path: Path) -> None:
    path = turn(film(tmp_path / "film.mp4"))
    with VideoFile(path) as video:
        turned = next(video.frames()).image.rotation
    assert turned != 0
    for start in (3.0, 3.4):
        clip = cut(path, start, 5.0, tmp_path / "clip")
        with VideoFile(clip.path) as video:
            assert next(video.frames()).image.rotation == turned


def test_odd_sizes_and_rates(tmp_path: Path) -> None:
    times = [k / 25 for k in range(150) if k % 7]
    path = write_video(tmp_path / "odd.mkv", times, size=(47, 63), codec="ffv1")
    clip = cut(path, 2.28, 4.3, tmp_path / "clip")
    assert (clip.way, clip.path.suffix) == ("copied", ".mkv")  # which takes any codec
    clip = cut(path, 2.5, 4.3, tmp_path / "clip")
    assert (clip.way, clip.path.suffix) == ("encoded", ".mp4")
    path = write_video(tmp_path / "odd.mp4", times, size=(46, 62))
    clip = cut(path, 2.1, 4.3, tmp_path / "clip")
    assert (clip.way, clip.path.suffix) == ("encoded", ".mp4")
    assert clip.seconds == pytest.approx(2.2, abs=0.1)


def test_clips_of_a_video_are_named_by_rank_and_place(tmp_path: Path) -> None:
    segments = Proposals([3.0, 7.4], [5.0, 11.0], [0.9, 0.4], unit="seconds")
    clips = list(cut_clips("film", film(tmp_path / "film.mp4"), segments, tmp_path, end=10.0))
    assert [c.path.name for c in clips] == ["film_01_3.00-5.00.mp4", "film_02_7.40-10.00.mp4"]
    assert clips[1].seconds == pytest.approx(2.6, abs=0.1)


def test_clips_that_cannot_be_cut_or_written_are_errors(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4")
    with pytest.raises(VideoError, match="no such file"):
        cut(tmp_path / "none.mp4", 1.0, 2.0, tmp_path / "clip")
    with pytest.raises(ActSpanError, match="cannot be written"):
        cut(path, 1.0, 2.0, tmp_path / "none" / "clip")
    (tmp_path / "file").touch()
    with pytest.raises(ActSpanError, match="cannot be created"):
        ClipSink(tmp_path / "file" / "clips", print)
    with pytest.raises(VideoError, match="came out"):
        cut(path, 4.0, 60.0, tmp_path / "clip")
    assert not (tmp_path / "clip.mp4").exists()
