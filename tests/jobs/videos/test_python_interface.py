"""`actspan.load` and `propose` of videos: equal to the command, and with labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import actspan
from actspan import Bundle, Proposals
from actspan.core.errors import ConfigError, VideoError
from tests.examples import add_classifier, write_bundle
from tests.jobs.videos.conftest import LENGTH, STRIDE, Mode
from tests.streams.example_videos import write_audio


def assert_same(found: Proposals, expected: Proposals) -> None:
    assert (found.video, found.unit) == (expected.video, "seconds")
    for name in ("start", "end", "score"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_videos_give_the_result_of_the_command(
    mode: Mode, model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    bundle = model(mode)
    expected = actspan.propose(
        films, model=bundle.path, backbone=encoder, out=tmp_path / "run"
    ).proposals()
    paths = sorted(films.iterdir())
    with actspan.load(bundle, backbone=encoder) as pipeline:
        found = list(pipeline.propose(paths))
        one = pipeline.propose(str(paths[0]), top=2)
    assert [p.video for p in found] == ["long", "short"] == sorted(expected)
    for proposals in found:
        assert len(proposals) > 20
        assert_same(proposals, expected[str(proposals.video)])
    assert_same(one, found[0][:2])


def test_labels_of_a_video(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    spec = model("window").features
    assert spec.channels is not None
    bundle = add_classifier(
        write_bundle(
            tmp_path / "m", channels=spec.channels, length=LENGTH, mode="window", features=spec
        )
    )
    dataset = actspan.extract(
        films, out=tmp_path / "set", backbone=encoder, stride=f"{STRIDE}s", precision="float32"
    )
    with actspan.load(bundle, backbone=encoder) as pipeline:
        videos = pipeline.propose(sorted(films.iterdir()), top=5, detections=True)
        for found, features in zip(
            videos, pipeline.propose(dataset, top=5, detections=True), strict=True
        ):
            assert_same(found, features)
            assert [s.label for s in found] == [s.label for s in features]
            assert set(found.label.tolist()) <= {"jump", "long run"}  # type: ignore[union-attr]


def test_videos_and_features_in_one_iterable(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    dataset = actspan.extract(
        films, out=tmp_path / "set", backbone=encoder, stride=f"{STRIDE}s", precision="float32"
    )
    file = dataset.path / "features" / "short.npy"
    with actspan.load(model("window"), backbone=encoder) as pipeline:
        video, features, again = pipeline.propose([films / "short.mp4", file, films / "short.mp4"])
    assert_same(features, video)
    assert_same(again, video)


def test_label_free_of_a_video_and_of_sound(tmp_path: Path, films: Path) -> None:
    sound = write_audio(tmp_path / "sound.m4a")
    with actspan.load() as pipeline:
        found = list(pipeline.propose([films / "short.mp4", sound, films / "long.mkv"]))
    assert [p.video for p in found] == ["short", "sound", "long"]
    assert all((p.end <= limit).all() for p, limit in zip(found, (3.5, 1.5, 13.5), strict=True))
    assert len(found[0])


def test_what_does_not_apply_to_videos(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with actspan.load(model("window"), backbone=encoder) as pipeline:
        with pytest.raises(ConfigError, match="stride and length are those of features"):
            pipeline.propose(films / "short.mp4", stride=0.5)
        with pytest.raises(VideoError, match=r"broken\.mp4"):
            pipeline.propose(tmp_path / "broken.mp4")
