"""Extraction of a dataset from videos: complete, resumable, independent of threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("onnx", reason="needs the extra 'video'")

from actspan.core.errors import ActSpanError, ConfigError, DataError, DatasetError
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.streams.extract_request import ExtractRequest, Grid, Span
from actspan.streams.extraction import extract_videos
from actspan.streams.snippet_features import Extractor
from tests.examples import edit_annotations, write_annotations
from tests.streams.encoders import write_encoder
from tests.streams.example_videos import cut, steady, write_audio, write_video

LENGTHS = {"one": 1.0, "two": 2.1, "three": 0.7}
MINE = {"segment": [0.1, 0.5], "label": "mine"}


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    return f"onnx:{write_encoder(tmp_path / 'e.onnx', ['n', 3, 8, 8])}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a dataset folder with videos; the second one has a variable frame rate."""
    folder = tmp_path / "source"
    (folder / "videos").mkdir(parents=True)
    for name, seconds in LENGTHS.items():
        times = steady(seconds)
        times = [t for k, t in enumerate(times) if name != "two" or k % 7 != 3]
        write_video(folder / "videos" / f"{name}.mkv", times)
    entry = {"subset": "training", "feature_frame": 3, "annotations": []}
    database = {name: {"duration": seconds, **entry} for name, seconds in LENGTHS.items()}
    database["one"]["annotations"] = [{"segment": [0.2, 0.6], "label": "act"}]
    write_annotations(folder, database)
    return folder


@pytest.fixture
def request_(source: Path, encoder: str, tmp_path: Path) -> ExtractRequest:
    return ExtractRequest((str(source),), tmp_path / "out", encoder, precision="float32")


def features(out: Path) -> dict[str, np.ndarray]:
    return {file.stem: np.load(file) for file in sorted((out / "features").iterdir())}


def stamps(out: Path) -> dict[str, int]:
    return {file.stem: file.stat().st_mtime_ns for file in (out / "features").iterdir()}


def test_the_output_is_a_dataset(request_: ExtractRequest) -> None:
    done = extract_videos(request_)
    assert (done.videos, done.kept, done.problems) == (3, 0, ())
    dataset = check_dataset(Dataset.load(request_.out).subset("training"))
    assert [p.problem for p in dataset.problems] == []
    assert dataset["one"].labels == ("act",)
    assert dataset.spec == done.spec
    for video in dataset:
        read = dataset.read(video.id)
        assert (read.stride, read.length) == (0.25, 0.5)
        assert read.span == pytest.approx(LENGTHS[video.id], abs=0.126)


def test_features_equal_a_plain_implementation(request_: ExtractRequest) -> None:
    """Sample and embed one video frame by frame, with nothing shared or batched."""
    from actspan.streams.backbone import Backbone, FrameConverter, find_backbone
    from actspan.streams.video_decoding import VideoFile

    extract_videos(request_)
    with Backbone(find_backbone(request_.backbone)) as net:
        with VideoFile(Path(request_.videos[0]) / "videos" / "two.mkv") as video:
            frames = list(video.frames())
            converter = FrameConverter(net.size, net.file.pictures)
            pictures = [converter.convert(f.image) for f in frames]
        vectors = np.concatenate([net.embed(p[None]) for p in pictures])
    times = np.array([f.time for f in frames])
    rows = []
    for i in range(8):
        at = (i + 0.5) * 0.25 + (np.arange(4) - 1.5) * 0.125 + 1e-3
        shown = vectors[np.maximum(np.searchsorted(times, at) - 1, 0)]
        rows.append(np.concatenate([shown.mean(axis=0), shown.std(axis=0)]))
    np.testing.assert_allclose(features(request_.out)["two"], rows, atol=1e-5)


def test_threads_change_nothing(request_: ExtractRequest, tmp_path: Path) -> None:
    extract_videos(replace(request_, threads=1))
    extract_videos(replace(request_, threads=4, out=tmp_path / "again"))
    once, again = features(request_.out), features(tmp_path / "again")
    assert once.keys() == again.keys()
    assert all(np.array_equal(once[name], again[name]) for name in once)


def test_only_what_is_missing_or_changed_is_done_again(request_: ExtractRequest) -> None:
    extract_videos(request_)
    before = stamps(request_.out)
    (request_.out / "features" / "one.npy").unlink()
    os.utime(Path(request_.videos[0]) / "videos" / "three.mkv")
    done = extract_videos(request_)
    after = stamps(request_.out)
    assert (done.videos, done.kept) == (2, 1)
    assert [name for name in before if before[name] == after[name]] == ["two"]


def test_an_incomplete_journal_is_repaired(request_: ExtractRequest) -> None:
    extract_videos(request_)
    journal = request_.out / "extracted.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert extract_videos(request_).videos == 1
    assert extract_videos(request_).videos == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from actspan.streams import feature_files
from actspan.streams.extract_request import ExtractRequest
from actspan.streams.extraction import extract_videos

source, out, encoder, kind, name, calls = sys.argv[1:]
kind = getattr(feature_files, kind)
whole = getattr(kind, name)
passed = []

def killed(*arguments):
    if len(passed) == int(calls):
        os.kill(os.getpid(), signal.SIGKILL)
    passed.append(1)
    whole(*arguments)

setattr(kind, name, killed)
extract_videos(ExtractRequest((source,), Path(out), encoder, precision="float32"))
"""


@pytest.mark.parametrize(
    ("where", "calls", "kept"),
    [
        pytest.param(("FeatureWriter", "finish"), 0, 0, id="first-video"),
        pytest.param(("Journal", "add"), 0, 0, id="first-video-before-its-record"),
        pytest.param(("FeatureWriter", "finish"), 1, 1, id="second-video"),
    ],
)
def test_after_a_kill_only_the_rest_is_extracted(
    request_: ExtractRequest,
    source: Path,
    tmp_path: Path,
    where: tuple[str, str],
    calls: int,
    kept: int,
) -> None:
    words = [sys.executable, "-c", KILLED, str(source), str(request_.out), request_.backbone]
    ended = subprocess.run([*words, *where, str(calls)], check=False)
    assert ended.returncode == -signal.SIGKILL
    done = extract_videos(request_)
    assert (done.videos, done.kept) == (3 - kept, kept)
    extract_videos(replace(request_, out=tmp_path / "at once"))
    once, again = (sorted(out.rglob("*")) for out in (tmp_path / "at once", request_.out))
    assert [path.name for path in once] == [path.name for path in again]
    for path, other in zip(once, again, strict=True):
        assert path.is_dir() or path.suffix == ".jsonl" or path.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"stride": "0.5s", "length": "0.5s"},
        {"streams": "motion"},
        {"frames": 2},
        {"precision": "float16"},
        {"channels": 3},
    ],
)
def test_other_settings_start_again(request_: ExtractRequest, change: dict[str, object]) -> None:
    extract_videos(request_)
    done = extract_videos(replace(request_, **change, force=True))
    assert done.videos == (0 if "channels" in change else 3)  # these are only projected
    assert Dataset.load(request_.out).spec == done.spec
    assert extract_videos(replace(request_, **change)).kept == 3
    check_dataset(Dataset.load(request_.out))


def test_another_preprocessing_starts_again(request_: ExtractRequest) -> None:
    extract_videos(request_)
    toml = Path(request_.backbone.removeprefix("onnx:")).with_suffix(".toml")
    toml.write_text(toml.read_text() + 'order = "bgr"\n')
    assert extract_videos(replace(request_, force=True)).videos == 3


def test_features_of_other_settings_are_removed_only_with_force(
    request_: ExtractRequest, source: Path
) -> None:
    videos = [str(source / "videos" / f"{name}.mkv") for name in LENGTHS]
    extract_videos(replace(request_, videos=tuple(videos)))
    edit_annotations(request_.out, "two", annotations=[MINE])
    before = stamps(request_.out)
    other = replace(request_, videos=(videos[0],), frames=2)
    with pytest.raises(DataError, match=r"of 3 videos \(one, .*--force"):
        extract_videos(other)
    assert stamps(request_.out) == before
    done = extract_videos(replace(other, force=True))
    assert set(done.removed) == set(LENGTHS)
    assert done.labelled
    left = [video.id for video in Dataset.load(request_.out)]
    assert sorted(left) == ["one", "two"]  # annotated videos stay


def test_frames_as_the_unit_follow_each_video(request_: ExtractRequest) -> None:
    extract_videos(replace(request_, stride="5f", length="5f"))
    dataset = check_dataset(Dataset.load(request_.out))
    assert dataset.read("one").stride == pytest.approx(0.2)
    assert len(dataset.read("one")) == 5


@pytest.mark.parametrize("factor", [1000, 1 / 5])
def test_wrong_durations_are_one_note(
    request_: ExtractRequest, source: Path, factor: float
) -> None:
    for name, seconds in LENGTHS.items():
        edit_annotations(
            source,
            name,
            duration=seconds * factor,
            annotations=[{"segment": [0.1 * seconds, 0.9 * seconds], "label": "act"}],
        )
    (note,) = extract_videos(request_).problems
    assert not note.is_error
    assert note.problem.startswith("durations look")
    assert note.remedy.endswith(str(source / "annotations.json"))


def test_the_projection_is_kept_for_new_videos(request_: ExtractRequest, source: Path) -> None:
    request = replace(request_, channels=4)
    extract_videos(request)
    values = np.concatenate(list(features(request.out).values()))
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(axis=0), 1, atol=0.1)
    projection = (request.out / "projection.safetensors").read_bytes()
    before = features(request.out)["one"]
    (request.out / "features" / "one.npy").unlink()
    assert extract_videos(request).videos == 1
    np.testing.assert_allclose(features(request.out)["one"], before, atol=1e-3)
    assert (request.out / "projection.safetensors").read_bytes() == projection


def test_too_many_channels_are_refused(request_: ExtractRequest) -> None:
    with pytest.raises(ConfigError, match="11 channels cannot be fitted"):
        extract_videos(replace(request_, channels=11))


def test_plain_videos_are_listed_beside_labels(request_: ExtractRequest, source: Path) -> None:
    videos = [str(source / "videos" / f"{name}.mkv") for name in LENGTHS]
    extract_videos(replace(request_, videos=tuple(videos[:2])))
    assert Dataset.load(request_.out)["one"].duration == pytest.approx(1.0, abs=0.01)
    edit_annotations(request_.out, "one", annotations=[MINE])
    extract_videos(replace(request_, videos=tuple(videos)))
    dataset = Dataset.load(request_.out)
    assert len(dataset) == 3
    assert dataset["one"].labels == ("mine",)


def test_bad_videos_are_found_before_work_starts(request_: ExtractRequest, source: Path) -> None:
    write_audio(source / "videos" / "one.mp4").rename(source / "videos" / "one.mkv")
    (source / "videos" / "three.mkv").write_bytes(b"no video")
    with pytest.raises(DatasetError) as error:
        extract_videos(request_)
    assert {p.video for p in error.value.problems} == {"one", "three"}
    assert not request_.out.exists()
    done = extract_videos(replace(request_, on_error="skip"))
    assert done.videos == 1
    assert [video.id for video in Dataset.load(request_.out)] == ["two"]
    alone = (str(source / "videos" / "three.mkv"),)
    with pytest.raises(DatasetError, match="be used: fix the cause"):
        extract_videos(replace(request_, videos=alone, on_error="skip"))


def test_a_video_that_was_cut_off_is_used_and_noted(request_: ExtractRequest, source: Path) -> None:
    path = write_video(source / "videos" / "two.mkv", steady(6.0))
    cut(path, 0.5)
    done = extract_videos(request_)
    (note,) = done.problems
    assert not note.is_error
    assert "truncated" in note.problem
    assert 5 < len(features(request_.out)["two"]) < 20
    assert extract_videos(request_).problems == done.problems  # said again when it is kept


def test_a_video_that_cannot_be_decoded_stops_no_other(
    request_: ExtractRequest, source: Path
) -> None:
    (source / "videos" / "one.mkv").unlink()
    path = write_video(source / "videos" / "one.avi", steady(1.0))
    data = bytearray(path.read_bytes())
    place = data.index(b"movi")
    while (place := data.find(b"00dc", place)) >= 0 and place + 8 < data.index(b"idx1"):
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        data[place + 8 : place + 8 + size] = bytes(size)  # a frame stays, without its content
        place += 8 + size
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="not one frame can be decoded"):
        extract_videos(request_)
    assert sorted(features(request_.out)) == ["three", "two"]
    assert extract_videos(replace(request_, on_error="skip")).kept == 2


def test_files_of_others_are_not_overwritten(request_: ExtractRequest, source: Path) -> None:
    with pytest.raises(ActSpanError, match="contains videos"):
        extract_videos(replace(request_, out=source))
    (request_.out / "features").mkdir(parents=True)
    np.save(request_.out / "features" / "one.npy", np.ones((3, 2)))
    with pytest.raises(ActSpanError, match="extract did not make"):
        extract_videos(request_)


def test_clips_are_one_stream(request_: ExtractRequest, tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "clip.onnx", ["n", 3, 3, 8, 8])
    request = replace(request_, backbone=f"onnx:{path}")
    done = extract_videos(request)
    assert done.spec.channels == 5
    assert done.spec.extraction is not None
    assert (done.spec.extraction.frames, done.spec.extraction.streams) == (3, "appearance")
    with pytest.raises(ConfigError, match="only --stream appearance"):
        extract_videos(replace(request, streams="both"))
    with pytest.raises(ConfigError, match="expects clips of 3 frames, not 4"):
        extract_videos(replace(request, frames=4))


def test_real_videos_with_the_default_backbone(data: Path, tmp_path: Path) -> None:
    video = data / "jhmdb-spliced" / "videos" / "js002.mp4"
    done = extract_videos(ExtractRequest((str(video),), tmp_path / "out"))
    assert done.spec.channels == 2560
    values = features(tmp_path / "out")["js002"]
    assert (values.shape, values.dtype) == ((61, 2560), np.float16)
    assert 0.05 < values[:, :1280].mean() < 2


def test_an_extractor_gives_parts_as_it_goes(source: Path, encoder: str) -> None:
    from actspan.streams.backbone import find_backbone

    path = write_video(source / "long.mkv", steady(12.0))
    with Extractor(find_backbone(encoder), Grid(Span(0.25, "s"), Span(0.25, "s"))) as extractor:
        parts = list(extractor.run([path]))
    assert len(parts) > 5
    assert [part.ending is None for part in parts] == [True] * (len(parts) - 1) + [False]
    assert sum(len(part.rows) for part in parts) == 48
