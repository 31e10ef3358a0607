"""Recordings of sensors to proposals: equal to those of extracted features, or a clear error."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from msgspec.structs import replace

from actspan import Bundle
from actspan.core.errors import BundleError, ConfigError, DatasetError, VideoError
from actspan.data.detections import read_detections
from actspan.data.result_files import read_result
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.pipeline.labelling import LabelChoice
from actspan.streams.extract_request import ExtractRequest
from actspan.streams.extraction import extract_videos
from tests.examples import add_classifier, write_bundle
from tests.runs import contents, found_in


@pytest.fixture
def walks(tmp_path: Path) -> Path:
    """Return a folder with a recording of 60 s, and one of 8 s."""
    rng = np.random.default_rng(0)
    (tmp_path / "walks").mkdir()
    for name, count in {"long": 3000, "short": 400}.items():
        values = np.cumsum(rng.normal(size=(count, 3)), axis=0)
        table = np.column_stack([np.arange(count) / 50, values])
        path = tmp_path / "walks" / f"{name}.csv"
        np.savetxt(path, table, delimiter=",", header="t,ax,ay,az", comments="")
    return tmp_path / "walks"


def write_model(walks: Path, mode: Literal["rescale", "window"]) -> Bundle:
    request = ExtractRequest((str(walks),), walks.parent / "set")
    spec = extract_videos(request).spec
    assert spec.channels is not None
    return write_bundle(walks.parent / mode, channels=spec.channels, mode=mode, features=spec)


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Return a folder with sound of 60 s, and of 8 s."""
    pytest.importorskip("av", reason="needs the extra 'video'")
    rng = np.random.default_rng(0)
    (tmp_path / "songs").mkdir()
    for name, seconds in {"long": 60, "short": 8}.items():
        loud = np.repeat(rng.random(4 * seconds), 4000)
        with wave.open(str(tmp_path / "songs" / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            sound = 10_000 * loud * rng.uniform(-1, 1, len(loud))
            file.writeframes(sound.astype("<i2").tobytes())
    return tmp_path / "songs"


@pytest.mark.parametrize("mode", ["rescale", "window"])
@pytest.mark.parametrize("kind", ["walks", "songs"])
def test_recordings_give_the_proposals_of_extracted_features(
    mode: Literal["rescale", "window"],
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    folder: Path = request.getfixturevalue(kind)
    model = write_model(folder, mode)
    out = tmp_path / "result.json"
    propose(ProposeRequest(model=model.path, dataset=tmp_path / "set", out=out))
    expected = read_result(out)
    summary, found = found_in(ProposeRequest(model.path, videos=(str(folder),)))
    assert found.keys() == expected.keys() == {"long", "short"}
    assert summary.video_seconds == pytest.approx(68.0)
    for video, proposals in found.items():
        assert len(proposals) > 10
        for name in ("start", "end", "score"):
            values = getattr(proposals, name)
            np.testing.assert_array_equal(values, getattr(expected[video], name))


@pytest.mark.parametrize("mode", ["rescale", "window"])
@pytest.mark.parametrize("kind", ["walks", "songs"])
def test_recordings_get_the_labels_of_extracted_features(
    mode: Literal["rescale", "window"],
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    folder: Path = request.getfixturevalue(kind)
    model = add_classifier(write_model(folder, mode))
    labels = LabelChoice(classify=True)
    out, again = tmp_path / "result.json", tmp_path / "again.json"
    propose(ProposeRequest(model.path, dataset=tmp_path / "set", out=out, labels=labels))
    propose(ProposeRequest(model.path, videos=(str(folder),), out=again, labels=labels))
    assert all(len(found) > 20 for found in read_detections(again).values())
    assert again.read_bytes() == out.read_bytes()


def test_a_run_is_resumed(walks: Path, tmp_path: Path) -> None:
    model = write_model(walks, "window")
    request = ProposeRequest(model.path, videos=(str(walks),), out=tmp_path / "run")
    propose(request)
    expected = contents(tmp_path / "run")
    second = replace(request, out=tmp_path / "again")

    def stop(what: str, done: int, total: int) -> None:
        if what == "seconds of recording" and done > 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        propose(second, stop)
    summary = propose(replace(second, resume=True))
    assert summary.kept == 1
    assert contents(tmp_path / "again").keys() == expected.keys()
    assert (tmp_path / "again" / "result.json").read_bytes() == (
        tmp_path / "run" / "result.json"
    ).read_bytes()


def test_files_of_another_kind_are_refused(walks: Path, tmp_path: Path) -> None:
    model = write_model(walks, "window")
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises((VideoError, DatasetError), match="audio, and features of sensors are"):
        propose(ProposeRequest(model.path, videos=(str(tmp_path / "a.wav"),)))
    (tmp_path / "b.csv").write_text("t,ax,ay\n0,1,2\n")
    with pytest.raises((VideoError, DatasetError), match="has no column 'az'"):
        propose(ProposeRequest(model.path, videos=(str(tmp_path / "b.csv"),)))
    with pytest.raises(BundleError, match="takes sensors: leave --backbone out"):
        propose(ProposeRequest(model.path, videos=(str(walks),), backbone="onnx:a.onnx"))


@pytest.mark.parametrize(("kind", "stride"), [("walks", "0.1s"), ("songs", "0.02s")])
def test_without_a_model_recordings_equal_their_extracted_features(
    kind: str, stride: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(kind)
    run = tmp_path / "run"
    propose(ProposeRequest(videos=(str(folder),), out=run))
    extract_videos(ExtractRequest((str(folder),), tmp_path / "features", stride=stride))
    propose(ProposeRequest(dataset=tmp_path / "features", out=tmp_path / "same.json"))
    assert (run / "result.json").read_bytes() == (tmp_path / "same.json").read_bytes()
    assert "label-free" in (run / "run.toml").read_text()


def test_poses_without_a_model_need_a_rate(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("scorer,x\nbodyparts,nose\ncoords,x\n0,1\n")
    with pytest.raises(
        ConfigError, match=r"actspan extract \S+a\.csv --rate HZ --out features/, then"
    ):
        propose(ProposeRequest(videos=(str(tmp_path / "a.csv"),)))


def test_options_of_extract_are_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,a\n0,1\n0.1,x\n")
    with pytest.raises(
        VideoError, match=r"actspan extract \S+a\.csv --column NAME --out features/, then"
    ):
        propose(ProposeRequest(videos=(str(tmp_path / "a.csv"),)))
