"""`actspan.load` and `propose`: arrays, files of features, datasets, and iterables of these."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import actspan
from actspan import Bundle, Dataset, Features, Pipeline, Proposals
from actspan.config.stages import FeatureSpec
from actspan.core.errors import (
    ActSpanError,
    BundleError,
    ConfigError,
    DataError,
    DatasetError,
    FeatureError,
    ShapeError,
)
from tests.examples import CHANNELS, STRIDE, add_classifier, write_bundle, write_dataset

SPEC = FeatureSpec(channels=CHANNELS, stride_seconds=STRIDE, length_seconds=2 * STRIDE)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return add_classifier(write_bundle(tmp_path_factory.mktemp("models") / "m", features=SPEC))


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> Iterator[Pipeline]:
    with actspan.load(bundle.path, threads=2) as model:
        yield model


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset.load(write_dataset(tmp_path / "set"))


def values(rows: int = 50, channels: int = CHANNELS) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(rows, channels)).astype(np.float32)


def assert_same(found: Proposals, expected: Proposals) -> None:
    for name in ("start", "end", "score"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.unit == expected.unit == "seconds"


def test_an_array_has_the_times_of_the_models_features(model: Pipeline) -> None:
    expected = model.propose(Features(values(), STRIDE, 2 * STRIDE))
    assert_same(model.propose(values()), expected)
    twice = model.propose(values(), stride=2 * STRIDE)
    np.testing.assert_allclose(twice.end, 2 * expected.end)
    assert model.propose(values()).video is None


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
def test_a_file_of_features_gives_its_name_to_the_result(
    suffix: str, model: Pipeline, tmp_path: Path
) -> None:
    path = tmp_path / f"v_match{suffix}"
    if suffix == ".csv":
        np.savetxt(path, values(), delimiter=",", fmt="%.9g")
    elif suffix == ".npz":
        np.savez(path, features=values())
    else:
        np.save(path, values())
    found = model.propose(path)
    assert_same(found, model.propose(values()))
    assert found.video == "match"
    assert_same(model.propose(str(path)), found)


def test_iterables_are_answered_in_order_and_with_their_ids(
    model: Pipeline, tmp_path: Path
) -> None:
    np.save(tmp_path / "b.npy", values(30))
    many = [Features(values(), STRIDE, STRIDE, video="a"), tmp_path / "b.npy", values(40)]
    found = list(model.propose(many))
    assert [p.video for p in found] == ["a", "b", None]
    for one, source in zip(found, many, strict=True):
        assert_same(one, model.propose(source))
    assert list(model.propose([])) == []


def test_a_dataset_gives_the_result_of_the_command(
    model: Pipeline, bundle: Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    run = actspan.propose(
        dataset=dataset.path, model=bundle.path, subset="validation", out=tmp_path / "run"
    )
    expected = run.proposals()
    found = {p.video: p for p in model.propose(dataset.subset("validation"))}
    assert list(found) == list(expected) == ["video1", "video3"]
    for video, proposals in found.items():
        assert_same(proposals, expected[str(video)])
        assert expected[str(video)].video == video


def test_the_best_are_chosen(model: Pipeline) -> None:
    everything = model.propose(values())
    assert_same(model.propose(values(), top=3), everything[:3])
    floor = float(everything.score[5])
    assert_same(model.propose(values(), min_score=floor), everything[everything.score >= floor])
    with pytest.raises(ConfigError, match="top is 0"):
        model.propose(values(), top=0)


def test_detections_have_labels(model: Pipeline, dataset: Dataset) -> None:
    plain, (first, *_) = model.propose(values(), top=5), model.propose(dataset, detections=True)
    found = model.propose(values(), top=5, detections=True)
    assert len(found) == 5
    assert {segment.label for segment in found} <= {"jump", "long run"}
    assert sorted(found.start) == sorted(plain.start)
    assert (np.diff(found.score) <= 0).all()
    assert first.video == "video0"
    assert first.label is not None


def test_changed_settings(bundle: Bundle, tmp_path: Path) -> None:
    changes = {"soft_nms": {"keep": 4}}
    file = tmp_path / "settings.toml"
    file.write_text("[pipeline.soft_nms]\nkeep = 4\n")
    for settings in (changes, file):
        with actspan.load(bundle, settings=settings) as model:
            assert len(model.propose(values())) == 4
    with pytest.raises(ConfigError, match="wrong"):
        actspan.load(bundle, settings={"soft_nms": {"wrong": 1}})


def test_label_free_needs_a_stride_and_no_model() -> None:
    steps = np.repeat(values(6), 10, axis=0)
    with actspan.load() as model:
        found = model.propose(steps, stride=0.5, top=1)
        assert found[0].end <= 30.0
        with pytest.raises(ConfigError, match=r"give stride, the seconds .* stride=0\.5"):
            model.propose(steps)


def test_windows_of_a_long_file(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "m", mode="window", features=SPEC)
    np.save(tmp_path / "day.npy", values(107))
    with actspan.load(bundle) as model:
        assert_same(model.propose(tmp_path / "day.npy"), model.propose(values(107)))
        both = list(model.propose([values(107), values(33)]))
        assert_same(both[1], model.propose(values(33)))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        pytest.param("nothing.npy", DataError, r"nothing\.npy: no such file", id="missing"),
        pytest.param("empty", DataError, "is a folder, and propose takes one file", id="folder"),
        pytest.param(
            "set",
            DataError,
            r"\(a dataset\): is a folder.* give the dataset: actspan\.Dataset\.load\('set'\)",
            id="dataset folder",
        ),
        pytest.param("two.npz", FeatureError, "a, b", id="two arrays"),
        pytest.param("rtsp://camera/1", ActSpanError, "live address.*--follow", id="camera"),
        pytest.param(3, ShapeError, "int: features, an array", id="number"),
        pytest.param([None], ShapeError, "NoneType: features, an array", id="item"),
        pytest.param(np.zeros(4), ShapeError, r"shape \(4,\)", id="vector"),
        pytest.param(np.zeros((9, 4)), ShapeError, "4 channels.* expects 6", id="channels"),
        pytest.param("clip.mp4", BundleError, "features of unknown origin", id="video"),
    ],
)
def test_sources_that_cannot_be_used_are_explained(
    source: object,
    error: type[Exception],
    message: str,
    model: Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("clip.mp4").write_bytes(b"")
    write_dataset(Path("set"))
    np.savez("two.npz", a=values(), b=values(9))
    with pytest.raises(error, match=message):
        list(model.propose(source))  # type: ignore[call-overload]


def test_a_dataset_with_problems_is_refused_before_work(model: Pipeline, dataset: Dataset) -> None:
    np.save(dataset.path / "features" / "video2.npy", np.full((9, CHANNELS), np.nan))
    with pytest.raises(DatasetError, match="video2"):
        model.propose(dataset)


def test_a_closed_model_has_freed_its_parts(bundle: Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    with actspan.load(copy) as model:
        model.propose(values(), detections=True)
    with pytest.raises(ActSpanError, match="the pipeline is closed"):
        model.propose(values())


@pytest.mark.parametrize("choice", [{"top": "x"}, {"top": 0}, {"top": 1.5}, {"min_score": "x"}])
def test_a_choice_of_the_wrong_type(model: Pipeline, choice: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        model.propose(values(), **choice)


@pytest.mark.parametrize("times", [{"stride": "x"}, {"stride": 1, "length": "x"}])
def test_times_of_the_wrong_type(model: Pipeline, times: dict[str, Any], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", values())
    for source in (values(), tmp_path / "a.npy"):
        with pytest.raises(ActSpanError, match="must be positive seconds"):
            model.propose(source, **times)


def test_results_are_taken_before_the_pipeline_is_closed(bundle: Bundle) -> None:
    with actspan.load(bundle, threads=1) as model:
        fresh = model.propose([values()])
        begun = model.propose(values() for _ in range(3000))
        next(begun)
    for results in (fresh, begun):
        with pytest.raises(ActSpanError, match="the pipeline is closed"):
            list(results)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        pytest.param("films/a.mp4", r"is a video.*load\(\)\.propose\('films/a\.mp4'\)", id="video"),
        pytest.param("", "empty path", id="empty"),
        pytest.param(5, "int is not a model", id="number"),
    ],
)
def test_what_is_no_place_of_a_model(place: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        actspan.load(place)
    with pytest.raises(BundleError, match=message):
        Bundle.load(place)
