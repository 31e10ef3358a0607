"""Videos to moments: as in two steps, or refused in words."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from actspan import Bundle, Proposals
from actspan.config.stages import FeatureSpec
from actspan.core.errors import (
    ActSpanError,
    AnnotationError,
    BundleError,
    DatasetError,
    MissingExtraError,
    ResultError,
)
from actspan.data.results import read_result
from actspan.jobs.proposing.job import propose_dataset
from actspan.jobs.proposing.request import Request
from actspan.jobs.video_inference.answers import (
    Selection,
    VideoMoments,
    check_answer_file,
    write_answers,
)
from actspan.jobs.video_inference.job import VideosRequest, propose_videos
from actspan.streams.extraction import ExtractRequest, extract_videos
from actspan.streams.feature_files import Precision
from actspan.streams.projection import PROJECTION
from actspan.streams.snippet_grid import Grid, Span
from tests.jobs.videos.conftest import LENGTH, STRIDE, Mode
from tests.made_up import write_annotations, write_bundle
from tests.streams.made_videos import steady, write_audio, write_video

GRID = Grid(Span(STRIDE, "s"), Span(2 * STRIDE, "s"))


def in_two_steps(
    model: Bundle, films: Path, encoder: str, folder: Path, precision: Precision = "float32"
) -> dict[str, Proposals]:
    """Extract, then propose from the features."""
    request = ExtractRequest((str(films),), folder / "set", encoder, GRID, precision=precision)
    extract_videos(request)
    out = folder / "result.json"
    propose_dataset(Request(model=model.path, dataset=folder / "set", out=out))
    return read_result(out)


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_the_answer_is_that_of_two_steps(
    mode: Mode, model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    expected = in_two_steps(model(mode), films, encoder, tmp_path)
    request = VideosRequest(model(mode).path, (str(films),), backbone=encoder)
    found = propose_videos(request)
    assert {video.id for video in found.videos} == expected.keys() == {"long", "short"}
    assert [video.seconds for video in found.videos] == pytest.approx([13.0, 3.0], abs=0.05)
    again = propose_videos(replace(request, threads=3))
    for video, once_more in zip(found.videos, again.videos, strict=True):
        assert len(video.proposals) > 20
        for name in ("start", "end", "score"):
            values = getattr(video.proposals, name)
            np.testing.assert_array_equal(values, getattr(expected[video.id], name))
            np.testing.assert_array_equal(values, getattr(once_more.proposals, name))


def test_rounded_features_change_scores_by_rounding_alone(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    rounded = in_two_steps(model("rescale"), films, encoder, tmp_path, "float16")
    found = propose_videos(VideosRequest(model("rescale").path, (str(films),), backbone=encoder))
    for video in found.videos:
        np.testing.assert_allclose(video.proposals.score, rounded[video.id].score, atol=2e-3)


def test_projected_features_come_from_the_projection_in_the_bundle(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    request = ExtractRequest(
        (str(films),), tmp_path / "set", encoder, GRID, channels=3, precision="float32"
    )
    spec = extract_videos(request).spec
    bundle = write_bundle(tmp_path / "m", channels=3, length=LENGTH, features=spec)
    wanted = VideosRequest(bundle.path, (str(films),), backbone=encoder)
    with pytest.raises(BundleError, match=f"copy {PROJECTION} there"):
        propose_videos(wanted)
    shutil.copy(tmp_path / "set" / PROJECTION, bundle.path)
    out = tmp_path / "result.json"
    propose_dataset(Request(model=bundle.path, dataset=tmp_path / "set", out=out))
    expected = read_result(out)
    for video in propose_videos(wanted).videos:
        np.testing.assert_allclose(video.proposals.score, expected[video.id].score, atol=1e-5)
    (bundle.path / PROJECTION).write_bytes(b"something else")
    with pytest.raises(BundleError, match="is not the projection"):
        propose_videos(wanted)


def test_training_brings_the_projection_into_the_bundle(
    films: Path, encoder: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="needs the extra 'train'")
    from actspan import PemConfig, PipelineConfig, TemConfig, TrainConfig
    from actspan.config.training import OptimConfig, PemTrainConfig, TemTrainConfig
    from actspan.data.dataset import Dataset
    from actspan.training.parts import trainable
    from actspan.training.train import train

    shutil.copytree(films, tmp_path / "videos")
    instance = {"segment": [0.5, 1.5], "label": "act"}
    entry = {"subset": "training", "annotations": [instance]}
    lengths = {"long": 13.0, "short": 3.0}
    write_annotations(tmp_path, {k: {"duration": v, **entry} for k, v in lengths.items()})
    request = ExtractRequest((str(tmp_path),), tmp_path / "set", encoder, GRID, channels=3)
    extract_videos(request)
    optim = OptimConfig(epochs=1, batch=2)
    config = TrainConfig(
        pipeline=PipelineConfig(tem=TemConfig(length=LENGTH, hidden=4), pem=PemConfig(hidden=4)),
        tem=TemTrainConfig(optim=optim),
        pem=PemTrainConfig(optim=optim),
    )
    bundle = train(trainable(Dataset.load(tmp_path / "set")), tmp_path / "model", config)
    assert PROJECTION in bundle.files
    found = propose_videos(VideosRequest(bundle.path, (str(films),), backbone=encoder))
    assert all(len(video.proposals) for video in found.videos)


def test_without_pyav_the_extra_is_named(
    model: Callable[[Mode], Bundle],
    films: Path,
    encoder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'actspan\[video\]'"):
        propose_videos(VideosRequest(model("window").path, (str(films),), backbone=encoder))


def changed(spec: FeatureSpec, **changes: object) -> FeatureSpec:
    """A spec with other settings of its extraction."""
    assert spec.extraction is not None
    extraction = msgspec.structs.replace(spec.extraction, **changes)
    return msgspec.structs.replace(spec, extraction=extraction)


MISFITS: dict[str, tuple[Callable[[FeatureSpec], FeatureSpec], str]] = {
    "features from elsewhere": (
        lambda spec: msgspec.structs.replace(spec, extraction=None, backbone="two-stream"),
        "features of two-stream that actspan extract did not make",
    ),
    "of unknown origin": (
        lambda spec: FeatureSpec(channels=spec.channels),
        "features of unknown origin",
    ),
    "another encoder of this name": (
        lambda spec: changed(spec, sha256="0" * 64),
        "is not the backbone that .* was trained with",
    ),
    "a backbone of another version": (
        lambda spec: msgspec.structs.replace(spec, backbone="resnet-99"),
        "features of resnet-99, which this version does not have",
    ),
    "other channels": (
        lambda spec: changed(spec, streams="appearance"),
        "takes features of 10 channels, but its backbone and projection give 5",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_model_of_other_features_is_refused(
    case: str, model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    change, message = MISFITS[case]
    spec = change(model("rescale").features)
    bundle = write_bundle(tmp_path / "m", channels=10, length=LENGTH, features=spec)
    with pytest.raises(BundleError, match=message):
        propose_videos(VideosRequest(bundle.path, (str(films),), backbone=encoder))


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        pytest.param(None, "say where it lies: --backbone onnx:FOLDER/e.onnx", id="not-said"),
        pytest.param("default", "say where it lies", id="the-default"),
        pytest.param("onnx:nowhere.onnx", "nowhere.onnx: no such file", id="no-such-file"),
    ],
)
def test_an_encoder_has_to_be_named(
    backbone: str | None, message: str, model: Callable[[Mode], Bundle], films: Path
) -> None:
    with pytest.raises(BundleError, match=message):
        propose_videos(VideosRequest(model("rescale").path, (str(films),), backbone=backbone))


def test_bad_videos_are_found_before_work_starts(
    model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    write_video(tmp_path / "a.mkv", steady(2.0))
    write_audio(tmp_path / "song.mp4")
    request = VideosRequest(model("window").path, (str(tmp_path),), backbone=encoder)
    with pytest.raises(DatasetError, match="holds no pictures, only audio"):
        propose_videos(request)
    found = propose_videos(replace(request, on_error="skip"))
    assert [video.id for video in found.videos] == ["a"]
    assert [problem.video for problem in found.problems] == ["song"]
    with pytest.raises(DatasetError, match="Nothing is left"):
        propose_videos(replace(request, videos=(str(tmp_path / "song.mp4"),), on_error="skip"))
    with pytest.raises(ActSpanError, match="no such file"):
        propose_videos(replace(request, videos=("nothing.mp4",)))


def test_a_subset_of_a_dataset_with_videos(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    shutil.copytree(films, tmp_path / "videos")
    entry = {"duration": 3.0, "annotations": []}
    database = {"long": {"subset": "training", **entry}, "short": {"subset": "validation", **entry}}
    write_annotations(tmp_path, database)
    request = VideosRequest(model("rescale").path, (str(tmp_path),), "validation", backbone=encoder)
    assert [video.id for video in propose_videos(request).videos] == ["short"]
    with pytest.raises(AnnotationError, match="there are: 'training', 'validation'"):
        propose_videos(replace(request, subset="testing"))
    with pytest.raises(AnnotationError, match="only a dataset folder"):
        propose_videos(replace(request, videos=(str(films),)))


FOUND = Proposals([1.0, 4.0, 2.0], [2.0, 6.5, 3.0], [0.9, 0.5, 0.1])


@pytest.mark.parametrize(
    ("selection", "scores"),
    [
        pytest.param(Selection(), [0.9, 0.5, 0.1], id="all"),
        pytest.param(Selection(top=1), [0.9], id="best"),
        pytest.param(Selection(min_score=0.5), [0.9, 0.5], id="at-least"),
        pytest.param(Selection(2, 0.95), [], id="none"),
    ],
)
def test_selection(selection: Selection, scores: list[float]) -> None:
    assert selection.of(FOUND).score.tolist() == scores


def test_answers_as_json_and_csv(tmp_path: Path) -> None:
    moments = [VideoMoments("a, b", Path("a.mp4"), 7.0, FOUND)]
    for name in ("x.json", "x.csv"):
        check_answer_file(tmp_path / name)
        write_answers(tmp_path / name, moments)
    entry = json.loads((tmp_path / "x.json").read_text())["results"]["a, b"][1]
    assert entry == {"score": 0.5, "segment": [4.0, 6.5]}
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines[:2] == ["video,start,end,score", '"a, b",1.0,2.0,0.9']
    with pytest.raises(ResultError, match=r"a file in \.json, \.csv, \.parquet"):
        check_answer_file(tmp_path / "run")
    with pytest.raises(ResultError, match="does not exist"):
        check_answer_file(tmp_path / "none" / "x.json")
