"""Videos to proposals: equal to those of extracted features, or a clear error."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from actspan import Bundle, Proposals, Run
from actspan.config.stages import FeatureSpec
from actspan.core.errors import (
    ActSpanError,
    AnnotationError,
    BundleError,
    ConfigError,
    DatasetError,
    FeatureError,
    MissingExtraError,
)
from actspan.data.result_files import read_result
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest, Selection
from actspan.jobs.sinks import Sink
from actspan.pipeline.labelling import LabelChoice
from actspan.pipeline.outcomes import Outcome
from actspan.streams.extract_request import ExtractRequest, Precision
from actspan.streams.extraction import extract_videos
from actspan.streams.feature_files import PROJECTION
from tests.examples import write_annotations, write_bundle
from tests.jobs.videos.conftest import LENGTH, STRIDE, Mode
from tests.runs import contents, found_in
from tests.streams.example_videos import steady, write_audio, write_video


def in_two_steps(
    model: Bundle, films: Path, encoder: str, folder: Path, precision: Precision = "float32"
) -> dict[str, Proposals]:
    """Extract, then propose from the features."""
    request = ExtractRequest(
        (str(films),), folder / "set", encoder, f"{STRIDE}s", precision=precision
    )
    extract_videos(request)
    out = folder / "result.json"
    propose(ProposeRequest(model=model.path, dataset=folder / "set", out=out))
    return read_result(out)


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_videos_give_the_proposals_of_extracted_features(
    mode: Mode, model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    expected = in_two_steps(model(mode), films, encoder, tmp_path)
    request = ProposeRequest(model(mode).path, videos=(str(films),), backbone=encoder)
    summary, found = found_in(request)
    assert found.keys() == expected.keys() == {"long", "short"}
    assert summary.video_seconds == pytest.approx(16.0, abs=0.1)
    _, again = found_in(replace(request, threads=3))
    for video, proposals in found.items():
        assert len(proposals) > 20
        for name in ("start", "end", "score"):
            values = getattr(proposals, name)
            np.testing.assert_array_equal(values, getattr(expected[video], name))
            np.testing.assert_array_equal(values, getattr(again[video], name))


def test_rounded_features_change_scores_by_rounding_alone(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    rounded = in_two_steps(model("rescale"), films, encoder, tmp_path, "float16")
    _, found = found_in(
        ProposeRequest(model("rescale").path, videos=(str(films),), backbone=encoder)
    )
    for video, proposals in found.items():
        np.testing.assert_allclose(proposals.score, rounded[video].score, atol=2e-3)


def test_projected_features_come_from_the_projection_in_the_bundle(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    request = ExtractRequest(
        (str(films),), tmp_path / "set", encoder, f"{STRIDE}s", channels=3, precision="float32"
    )
    spec = extract_videos(request).spec
    bundle = write_bundle(tmp_path / "m", channels=3, length=LENGTH, features=spec)
    wanted = ProposeRequest(bundle.path, videos=(str(films),), backbone=encoder)
    with pytest.raises(BundleError, match=f"copy {PROJECTION} there"):
        found_in(wanted)
    shutil.copy(tmp_path / "set" / PROJECTION, bundle.path)
    out = tmp_path / "result.json"
    propose(ProposeRequest(model=bundle.path, dataset=tmp_path / "set", out=out))
    expected = read_result(out)
    for video, proposals in found_in(wanted)[1].items():
        np.testing.assert_allclose(proposals.score, expected[video].score, atol=1e-5)
    (bundle.path / PROJECTION).write_bytes(b"something else")
    with pytest.raises(BundleError, match="is not the projection"):
        found_in(wanted)


def test_training_copies_the_projection_into_the_bundle(
    films: Path, encoder: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="needs the extra 'train'")
    from actspan import PemConfig, PipelineConfig, TemConfig, TrainConfig
    from actspan.config.training import OptimConfig, PemTrainConfig, TemTrainConfig
    from actspan.data.dataset import Dataset
    from actspan.training.parts import trainable
    from actspan.training.trainer import train

    shutil.copytree(films, tmp_path / "videos")
    instance = {"segment": [0.5, 1.5], "label": "act"}
    entry = {"subset": "training", "annotations": [instance]}
    lengths = {"long": 13.0, "short": 3.0}
    write_annotations(tmp_path, {k: {"duration": v, **entry} for k, v in lengths.items()})
    request = ExtractRequest((str(tmp_path),), tmp_path / "set", encoder, f"{STRIDE}s", channels=3)
    extract_videos(request)
    optim = OptimConfig(epochs=1, batch=2)
    config = TrainConfig(
        pipeline=PipelineConfig(tem=TemConfig(length=LENGTH, hidden=4), pem=PemConfig(hidden=4)),
        tem=TemTrainConfig(optim=optim),
        pem=PemTrainConfig(optim=optim),
    )
    bundle = train(trainable(Dataset.load(tmp_path / "set")), tmp_path / "model", config)
    assert PROJECTION in bundle.files
    _, found = found_in(ProposeRequest(bundle.path, videos=(str(films),), backbone=encoder))
    assert all(map(len, found.values()))


def test_the_error_without_pyav_names_the_extra(
    model: Callable[[Mode], Bundle],
    films: Path,
    encoder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install '.*\[video\]'"):
        found_in(ProposeRequest(model("window").path, videos=(str(films),), backbone=encoder))


def changed(spec: FeatureSpec, **changes: object) -> FeatureSpec:
    """Return a spec with other settings of its extraction."""
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
        "expects features of 10 channels, but its backbone and projection give 5",
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
        found_in(ProposeRequest(bundle.path, videos=(str(films),), backbone=encoder))


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        pytest.param(None, "pass its path: --backbone onnx:FOLDER/e.onnx", id="not-said"),
        pytest.param("default", "pass its path", id="the-default"),
        pytest.param("onnx:nowhere.onnx", "nowhere.onnx: no such file", id="no-such-file"),
    ],
)
def test_an_encoder_has_to_be_named(
    backbone: str | None, message: str, model: Callable[[Mode], Bundle], films: Path
) -> None:
    with pytest.raises(BundleError, match=message):
        found_in(ProposeRequest(model("rescale").path, videos=(str(films),), backbone=backbone))


def test_bad_videos_are_found_before_work_starts(
    model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    write_video(tmp_path / "a.mkv", steady(2.0))
    write_audio(tmp_path / "song.mp4")
    request = ProposeRequest(model("window").path, videos=(str(tmp_path),), backbone=encoder)
    with pytest.raises(DatasetError, match="contains no pictures, only audio"):
        found_in(request)
    summary, found = found_in(replace(request, on_error="skip"))
    assert list(found) == ["a"]
    assert [problem.video for problem in summary.problems] == ["song"]
    with pytest.raises(DatasetError, match="be used: fix the cause"):
        found_in(replace(request, videos=(str(tmp_path / "song.mp4"),), on_error="skip"))
    with pytest.raises(ActSpanError, match="no such file"):
        found_in(replace(request, videos=("nothing.mp4",)))


def test_a_subset_of_a_dataset_with_videos(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    shutil.copytree(films, tmp_path / "videos")
    entry = {"duration": 3.0, "annotations": []}
    database = {"long": {"subset": "training", **entry}, "short": {"subset": "validation", **entry}}
    write_annotations(tmp_path, database)
    request = ProposeRequest(
        model("rescale").path, videos=(str(tmp_path),), subset="validation", backbone=encoder
    )
    assert list(found_in(request)[1]) == ["short"]
    with pytest.raises(AnnotationError, match="available: 'training', 'validation'"):
        found_in(replace(request, subset="testing"))
    with pytest.raises(AnnotationError, match="only a dataset folder"):
        found_in(replace(request, videos=(str(films),)))


FOUND = Proposals([1.0, 4.0, 2.0], [2.0, 6.5, 3.0], [0.9, 0.5, 0.1], unit="seconds")


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


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_a_run_of_videos_equals_a_run_of_their_features(
    mode: Mode, model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    in_two_steps(model(mode), films, encoder, tmp_path)
    request = ProposeRequest(model(mode).path, out=tmp_path / "run", backbone=encoder,
                             videos=(str(films),))  # fmt: skip
    propose(replace(request, videos=(), dataset=tmp_path / "set", out=tmp_path / "two-steps"))
    summary = propose(request)
    assert (summary.videos, summary.kept) == (2, 0)
    assert contents(tmp_path / "run", "run.toml") == contents(tmp_path / "two-steps", "run.toml")
    assert Run.load(tmp_path / "run").info["dataset"]["files"].keys() == {"long", "short"}
    assert propose(replace(request, resume=True)).kept == 2


def test_videos_are_resumed_to_the_same_bytes(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    class Stopping(Sink):
        """Stops the job at the second video."""

        def add(self, outcome: Outcome) -> None:
            if outcome.id == "short":
                raise KeyboardInterrupt

    request = ProposeRequest(model("window").path, out=tmp_path / "run", backbone=encoder,
                             videos=(str(films),), resume=True)  # fmt: skip
    propose(replace(request, out=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt) as caught:
        propose(request, sinks=[Stopping()])
    assert caught.value.__notes__[0].startswith("saved: 2 of 2 shards (2 of 2 videos)")
    (request.partial / "000001.shard").unlink()
    assert propose(request).kept == 1
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_changed_video_is_named_when_a_job_is_resumed(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    shutil.copytree(films, tmp_path / "films")
    request = ProposeRequest(model("window").path, out=tmp_path / "x.json", backbone=encoder,
                             videos=(str(tmp_path / "films"),), resume=True)  # fmt: skip

    class Failing(Sink):
        def add(self, outcome: Outcome) -> None:
            if outcome.id == "short":
                raise ActSpanError("full disk")

    with pytest.raises(ActSpanError, match="full disk"):
        propose(request, sinks=[Failing()])
    os.utime(tmp_path / "films" / "long.mkv", ns=(1, 1))
    with pytest.raises(FeatureError, match=r"videos of 1 video changed .*'long' first"):
        propose(request)
    summary = propose(replace(request, on_error="skip"))
    assert (summary.kept, [p.video for p in summary.problems]) == (2, ["long"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"dataset": Path()}, "one source", id="two-sources"),
        pytest.param({"videos": ()}, "one source", id="none"),
        pytest.param({"resume": True}, "nothing can be resumed", id="resume"),
        pytest.param({"scores": Path()}, "belong to a dataset", id="scores"),
        pytest.param(
            {
                "videos": (),
                "dataset": Path(),
                "scores": Path(),
                "labels": LabelChoice(classify=True),
            },
            "boundary scores come without",
            id="classifier",
        ),
    ],
)
def test_settings_that_contradict_each_other(
    changes: dict[str, Any], message: str, model: Callable[[Mode], Bundle], films: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        found_in(replace(ProposeRequest(model("window").path, videos=(str(films),)), **changes))


def test_labels_and_selection_of_videos(
    model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    scores = {name: [{"label": "jump", "score": 0.5}] for name in ("long", "short")}
    (tmp_path / "labels.json").write_text(json.dumps({"results": scores}))
    request = ProposeRequest(model("window").path, out=tmp_path / "x.csv", backbone=encoder,
                             videos=(str(films),), selection=Selection(top=3),
                             labels=LabelChoice(tmp_path / "labels.json"))  # fmt: skip
    summary = propose(request)
    assert (summary.proposals, summary.detections) == (6, 6)
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines[0] == "video,start,end,score,label"
    assert len(lines) == 7
