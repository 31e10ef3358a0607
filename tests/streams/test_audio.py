"""Sound to log-mel bands."""

from __future__ import annotations

import json
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("av", reason="needs the extra 'video'")

from actspan.config.streams import AudioConfig
from actspan.core.errors import DatasetError, VideoError
from actspan.streams.audio import LogMel, Sound
from actspan.streams.extract_request import ExtractRequest, SampleRequest
from actspan.streams.extraction import extract_videos
from tests.streams.example_videos import steady, write_audio, write_video

RATE = 16_000


def write_wav(path: Path, sound: Any, rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def tone(frequency: float, seconds: float, rate: int = RATE) -> Any:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("frequency", [100.0, 440.0, 1000.0, 5000.0])
def test_a_tone_is_loudest_in_its_band(frequency: float) -> None:
    config = AudioConfig()
    mel = LogMel(config, 0.01)
    _, bands = mel.feed(tone(frequency, 1.0).astype(np.float32))
    tops = 2595 * np.log10(1 + np.array([frequency, RATE / 2]) / 700)
    expected = tops[0] / tops[1] * (config.bands + 1) - 1
    assert abs(bands[50].argmax() - expected) <= 1
    assert abs(bands[50].max()) < 6  # decibels of full scale
    _, silence = mel.feed(np.zeros(RATE, dtype=np.float32))
    assert silence[-1].max() == -100


@given(seed=st.integers(0, 2**32 - 1), hop=st.sampled_from([0.001, 0.005, 0.01]))
def test_frames_do_not_depend_on_the_pieces(seed: int, hop: float) -> None:
    rng = np.random.default_rng(seed)
    sound = rng.normal(size=int(rng.integers(1, 3000))).astype(np.float32)
    cuts = [0, *np.sort(rng.integers(0, len(sound) + 1, 3)).tolist(), len(sound)]

    def run(cuts: list[int]) -> Any:
        mel = LogMel(AudioConfig(bands=8), hop)
        parts = [mel.feed(sound[i:j]) for i, j in pairwise(cuts)]
        parts.append(mel.finish())
        starts = [first for first, _ in parts]
        lengths = [len(bands) for _, bands in parts]
        assert starts == [0, *np.cumsum(lengths)[:-1].tolist()]
        return np.concatenate([bands for _, bands in parts])

    whole = run([0, len(sound)])
    assert abs(len(whole) - len(sound) / (hop * RATE)) <= 0.5
    np.testing.assert_allclose(run(cuts), whole, atol=1e-6)


def test_a_recording(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(RATE), tone(1000, 1.0), np.zeros(RATE)])
    path = write_wav(tmp_path / "a.wav", sound)
    done = extract_videos(ExtractRequest((str(path),), tmp_path / "out", stride="0.1s"))
    rows = np.load(tmp_path / "out" / "features" / "a.npy")
    assert done.spec.channels == 128
    assert done.spec.extraction is not None
    assert done.spec.extraction.audio == AudioConfig()
    assert (done.snippets, done.problems) == (30, ())
    loud = rows[:, :64].max(axis=1)
    assert (loud[:9].max(), loud[21:].max()) == (-100, -100)
    assert loud[11:19].min() > -3
    assert rows[11:19, 64:].max() < 0.5  # a steady tone does not change


def test_sound_is_resampled(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(3000, 1.0, 44_100), 44_100)
    with Sound(path, AudioConfig(rate=8000, bands=32), 0.25) as sound:
        assert sound.announced == pytest.approx(1.0)
        bands = np.concatenate([values for _, values in sound.samples()])
        assert sound.end == pytest.approx(1.0, abs=0.01)
    assert set(bands[10:-10].argmax(axis=1)) == {28}


def test_the_sound_of_a_video(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.mp4")
    write_video(tmp_path / "silent.mkv", steady(1.0))
    request = ExtractRequest((str(tmp_path),), tmp_path / "out", kind="audio", on_error="skip")
    done = extract_videos(request)
    assert done.videos == 1
    assert [p.problem for p in done.problems if p.is_error] == ["contains no sound"]


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "the file is empty"), (b"hello, world" * 99, "not sound, or damaged")],
)
def test_files_without_sound(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises((VideoError, DatasetError), match=why):
        extract_videos(ExtractRequest((str(tmp_path),), tmp_path / "out"))


def test_real_recordings(data: Path, tmp_path: Path) -> None:
    folder = data / "finch-song"
    if not (folder / "audio").is_dir():
        pytest.skip("needs finch-song/audio")
    samples = SampleRequest(rate=32_000, statistics=("mean",))
    request = ExtractRequest(
        (str(folder),), tmp_path / "out", stride="5ms", length="5ms", samples=samples
    )
    done = extract_videos(request)
    assert done.videos == 21
    assert done.labelled
    name = "koumura0_0"
    ours = np.load(tmp_path / "out" / "features" / f"{name}.npy").mean(axis=1)
    theirs = np.load(folder / "features" / f"{name}.npy").astype(np.float64).mean(axis=1)
    assert abs(len(ours) - len(theirs)) <= 1
    count = min(len(ours), len(theirs))
    assert np.corrcoef(ours[:count], theirs[:count])[0, 1] > 0.95
    labels = json.loads((tmp_path / "out" / "annotations.json").read_text())["database"]
    assert labels[name]["annotations"]
