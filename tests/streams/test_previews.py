"""Waveforms and frame times of files: gaps, offsets, and what a player would show."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="needs the extra 'video'")

import av

from actspan.core.errors import VideoError
from actspan.streams.frame_times import read_frame_times
from actspan.streams.previews import read_strip
from actspan.streams.video_decoding import VideoFile
from actspan.streams.waveform import INTERVALS, read_waveform
from tests.streams.example_videos import cut, steady, write_audio, write_video

RATE = 8000


def write_bursts(path: Path, bursts: list[tuple[float, float, float]]) -> Path:
    """Write square waves of a loudness: (start, end, loudness), seconds; nothing in between."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for start, end, loudness in bursts:
            samples = np.tile([loudness, -loudness], round((end - start) * RATE / 2))
            frame = av.AudioFrame.from_ndarray(
                (samples * 32767).astype(np.int16)[None], format="s16", layout="mono"
            )
            frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
            frame.pts = round(start * RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["a.mkv", "a.mov"])
def test_peaks_lie_where_the_sound_is(name: str, tmp_path: Path) -> None:
    bursts = [(0.0, 1.5, 0.5), (1.5, 2.25, 0.25), (4.0, 5.0, 0.75)]
    peaks = read_waveform(write_bursts(tmp_path / name, bursts))
    assert peaks is not None
    expected = np.zeros(5 * INTERVALS)
    for start, end, loudness in bursts:
        expected[round(start * INTERVALS) : round(end * INTERVALS)] = loudness
    if name.endswith("mov"):  # a file of sound without gaps
        expected = np.delete(expected, slice(225, 400))
    np.testing.assert_allclose(peaks, [-expected, expected], atol=1e-3)


def test_a_video_without_sound_has_no_waveform(tmp_path: Path) -> None:
    assert read_waveform(write_video(tmp_path / "v.mp4", steady(1.0))) is None


def test_sound_alone_has_a_waveform(tmp_path: Path) -> None:
    peaks = read_waveform(write_audio(tmp_path / "a.m4a"))
    assert peaks is not None
    assert peaks.shape[1] == pytest.approx(INTERVALS, abs=10)


def test_what_is_no_video_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    for read in (read_waveform, read_frame_times):
        with pytest.raises(VideoError, match=r"text\.mp4"):
            read(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_frame_times_are_those_of_the_decoder(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, steady(2.0), audio=True)
    with VideoFile(path) as video:
        decoded = [frame.time for frame in video.frames()]
    found = read_frame_times(path)
    np.testing.assert_allclose(found.times, decoded, atol=1e-6)
    assert not found.is_variable


def test_a_strip_of_a_file_that_ends_early_shows_what_there_is(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "v.mkv", steady(60.0)), 0.5)
    strip = read_strip(path, 0.0, 60.0, 10, 32)
    known = [time for time in strip.times if time is not None]
    assert known[0] <= 3.0
    assert max(known) < 40.0
