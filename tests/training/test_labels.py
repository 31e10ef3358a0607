"""The proposal classifier: trained on proposals, applied without torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from actspan import Bundle, Dataset, Proposals, Video
from actspan.config.base import changed
from actspan.config.training import ClassifierTrainConfig, TrainConfig
from actspan.core.errors import AnnotationError, BundleError, ConfigError, ShapeError
from actspan.core.types import Features
from actspan.data.annotations.formats import write_annotations
from actspan.data.detections import read_detections
from actspan.evaluation.detection import evaluate_detection
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.pipeline.classifier import ProposalClassifier
from actspan.pipeline.labelling import LabelChoice
from tests.examples import write_bundle

pytest.importorskip("torch", reason="needs the extra 'train'")

from actspan.training.parts import trainable
from actspan.training.train_classifier import collect_examples, labels_of, train_classifier
from actspan.training.trainer import train
from tests.training.tiny import BMN, JOINT, TINY, Collected

QUICK = ClassifierTrainConfig(hidden=16, steps=150, batch=64, dropout=0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a dataset of two labels, each with a channel that is high inside its instances."""
    folder = tmp_path_factory.mktemp("labelled") / "set"
    (folder / "features").mkdir(parents=True)
    rng = np.random.default_rng(0)
    videos = []
    for i in range(12):
        values = rng.normal(size=(60, 6))
        segments, labels = [], []
        for first in (6, 26, 44):
            label = int(rng.integers(2))
            last = first + int(rng.integers(6, 12))
            values[first:last, label] += 4
            segments.append((first / 2, last / 2))
            labels.append(("jump", "run")[label])
        np.save(folder / "features" / f"v{i}.npy", values.astype(np.float32))
        subset = "training" if i < 8 else "validation"
        videos.append(Video(f"v{i}", 30.0, subset, np.array(segments), tuple(labels)))
    write_annotations(folder / "annotations.json", videos)
    (folder / "dataset.toml").write_text("[features]\nchannels = 6\nstride_seconds = 0.5\n")
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    bundle = write_bundle(tmp_path_factory.mktemp("model") / "b", length=30)
    return train_classifier(trainable(Dataset.load(folder)), bundle, QUICK, seed=1)


def test_the_bundle_records_the_accuracy(trained: Bundle) -> None:
    assert trained.training is not None
    record = trained.training["classifier"]
    assert record["accuracy"]["validation"] > 0.9
    assert record["seed"] == 1
    assert trained.config.classifier is not None
    assert trained.config.classifier.labels == ("jump", "run")
    assert "classifier.onnx" in Bundle.load(trained.path).files


def test_instances_without_a_label_are_ignored_with_a_note(folder: Path, tmp_path: Path) -> None:
    dataset = trainable(Dataset.load(folder))
    bare = (replace(v, labels=("", *v.labels[1:])) if v.id == "v0" else v for v in dataset)
    dataset, report = dataset.select(bare), Collected()
    labels = labels_of(dataset)
    exact = {
        v.id: Proposals(*v.segments.T, np.ones(len(v.segments)), unit="seconds") for v in dataset
    }
    assert labels == ("jump", "run")
    _, codes = collect_examples(dataset, exact, labels, QUICK, seed=0)
    assert len(codes) == 2 * (8 * 3 - 1)  # instances, and the proposals that equal them
    assert codes.min() == 0
    bundle = write_bundle(tmp_path / "b", length=30)
    train_classifier(dataset, bundle, QUICK, report=report)
    assert "note: the classifier ignores 1 instance without a label" in report.lines


def test_the_same_seed_gives_the_same_weights(
    folder: Path, trained: Bundle, tmp_path: Path
) -> None:
    again = write_bundle(tmp_path / "b", length=30)
    again = train_classifier(trainable(Dataset.load(folder)), again, QUICK, seed=1)
    for name, weight in trained.weights("classifier").items():
        np.testing.assert_array_equal(weight, again.weights("classifier")[name])


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(TINY, id="tem-then-pem"),
        pytest.param(JOINT, id="joint"),
        pytest.param(BMN, id="bmn"),
        pytest.param(changed(JOINT, {"mode": "window"}, where="test"), id="windows"),
    ],
)
def test_an_interrupted_training_ends_with_the_same_bytes(
    settings: TrainConfig, folder: Path, tmp_path: Path
) -> None:
    dataset = trainable(Dataset.load(folder))
    options = {"classifier": QUICK, "seed": 1}
    whole = train(dataset, tmp_path / "whole", settings, **options)  # type: ignore[arg-type]
    out = tmp_path / "cut"
    for stop in (("training classifier", 51), ("training classifier", 101)):
        with pytest.raises(KeyboardInterrupt):
            train(dataset, out, settings, report=Collected(stop), **options)  # type: ignore[arg-type]
        assert not out.exists()
    again = Collected()
    done = train(dataset, out, settings, report=again, **options)  # type: ignore[arg-type]
    assert "resuming classifier: 2 of 3 epochs are done" in again.lines
    assert [epoch[:2] for epoch in again.epochs] == [("classifier", 3)]
    assert not (tmp_path / "cut.training").exists()
    assert {f"{net}.onnx" for net in (*done.nets, "classifier")} <= set(Bundle.load(out).files)
    for name in done.files:
        assert done.file(name).read_bytes() == whole.file(name).read_bytes(), name
    assert done.training == whole.training
    record = (done.training or {})["classifier"]
    assert 0 < record["evaluation"]["average_mAP"] <= 100


def test_a_training_is_not_resumed_with_other_labels(folder: Path, tmp_path: Path) -> None:
    dataset, out = trainable(Dataset.load(folder)), tmp_path / "b"
    stop = Collected(("training classifier", 50))
    with pytest.raises(KeyboardInterrupt):
        train(dataset, out, TINY, classifier=QUICK, report=stop)
    exchanged = [replace(v, labels=v.labels[::-1]) for v in dataset]
    renamed = [replace(v, labels=("swim",) * len(v.labels)) for v in dataset]
    for videos, names in (
        (exchanged, r"classifier\.sha256"),
        (renamed, r"classifier\.labels, classifier\.sha256"),
    ):
        with pytest.raises(ConfigError, match=rf"other settings \({names}\)"):
            train(dataset.select(videos), out, TINY, classifier=QUICK)


def test_a_few_steps_are_enough_to_run(folder: Path, tmp_path: Path) -> None:
    few = ClassifierTrainConfig(hidden=4, steps=10, least_steps=10)
    bundle = write_bundle(tmp_path / "b", length=30)
    assert train_classifier(trainable(Dataset.load(folder)), bundle, few).has_classifier
    with pytest.raises(ConfigError, match="steps must be at least 10"):
        ClassifierTrainConfig(steps=9)


@pytest.mark.parametrize(
    ("config", "examples", "steps"),
    [
        pytest.param(ClassifierTrainConfig(), 30_000, 1500, id="many examples"),
        pytest.param(ClassifierTrainConfig(), 2560, 600, id="some"),
        pytest.param(ClassifierTrainConfig(), 10, 200, id="few"),
        pytest.param(ClassifierTrainConfig.of_epochs(3), 10, 150, id="epochs, few"),
        pytest.param(ClassifierTrainConfig.of_epochs(40), 256_000, 2000, id="epochs, many"),
    ],
)
def test_steps_depend_on_the_number_of_examples(
    config: ClassifierTrainConfig, examples: int, steps: int
) -> None:
    assert config.steps_for(examples) == steps


def test_held_out_videos_are_not_trained_on(folder: Path, tmp_path: Path) -> None:
    dataset = Dataset.load(folder)
    dataset = trainable(dataset.select(replace(v, subset="") for v in dataset))
    report = Collected()
    done = train(
        dataset, tmp_path / "b", TINY, classifier=QUICK, validation_split=0.25, report=report
    )
    assert len(done.set_apart) == 3
    assert any(note.startswith("proposing 9/9") for note in report.notes)
    assert set((done.training or {})["classifier"]["accuracy"]) == {"training", "validation"}


@pytest.mark.parametrize("out", ["run", "detections.json"])
def test_proposals_are_labelled(folder: Path, trained: Bundle, tmp_path: Path, out: str) -> None:
    request = ProposeRequest(
        trained.path,
        folder,
        tmp_path / out,
        subset="validation",
        labels=LabelChoice(classify=True),
    )
    summary = propose(request)
    found = read_detections(tmp_path / out)
    assert summary.detections == sum(map(len, found.values())) == 2 * summary.proposals
    assert set(found) == {f"v{i}" for i in range(8, 12)}
    assert evaluate_detection(folder, tmp_path / out).classes == ("jump", "run")


def test_labels_are_right(folder: Path, trained: Bundle) -> None:
    dataset = Dataset.load(folder)
    right = []
    with ProposalClassifier.open(trained) as classifier:
        for video in dataset.subset("validation"):
            start, end = video.segments.T
            exact = Proposals(start, end, np.ones(len(start)), unit="seconds")
            found = classifier.detect(dataset.open(video.id), exact, top=1)
            order = np.argsort(found.segments.start)
            right += [a == b for a, b in zip(found[order].labels, video.labels, strict=True)]
        none = classifier.detect(dataset.open("v0"), Proposals.empty("seconds"))
        with pytest.raises(ShapeError, match="the classifier expects 6"):
            classifier.detect(Features(np.zeros((9, 2)), 0.5, 0.5), exact)
    assert np.mean(right) > 0.9
    assert len(none) == 0


def test_no_torch_is_needed_to_apply_it(folder: Path, trained: Bundle, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from actspan.pipeline.labelling import LabelChoice\n"
        "from actspan.jobs.driver import propose\n"
        "from actspan.jobs.propose_request import ProposeRequest\n"
        f"propose(ProposeRequest(Path({str(trained.path)!r}), Path({str(folder)!r}), "
        f"Path({str(tmp_path / 'x.json')!r}), backend='onnxruntime', "
        "labels=LabelChoice(classify=True)))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_examples_are_instances_and_a_bounded_number_of_clear_proposals(folder: Path) -> None:
    dataset = trainable(Dataset.load(folder))
    video = dataset["v0"]
    start, end = video.segments.T
    near = Proposals(np.repeat(start, 5), np.repeat(end, 5), np.ones(15), unit="seconds")
    far = Proposals(np.full(9, 0.0), np.full(9, 1.0), np.ones(9), unit="seconds")
    unclear = Proposals(start, end + 1.5 * (end - start), np.ones(3), unit="seconds")  # tIoU 0.4
    given = {"v0": Proposals.concat([near, far, unclear])}
    config = replace_config(positives=4, negatives=2)
    names = ("jump", "run")
    features, codes = collect_examples(dataset.select([video]), given, names, config, seed=0)
    assert len(features) == len(codes) == 3 + 4 + 2
    assert codes[:3].tolist() == [names.index(name) for name in video.labels]
    assert (codes[-2:] == 2).all()
    assert (codes[:-2] < 2).all()


def replace_config(**changes: int) -> ClassifierTrainConfig:
    return structs.replace(QUICK, **changes)


def test_missing_inputs_are_reported(folder: Path, tmp_path: Path) -> None:
    dataset = trainable(Dataset.load(folder))
    bare = dataset.select([replace(v, labels=("",) * len(v.labels)) for v in dataset])
    with pytest.raises(AnnotationError, match="no labels to learn"):
        labels_of(bare)
    half = write_bundle(tmp_path / "half", tem=False)
    with pytest.raises(BundleError, match="has no TEM to make them"):
        train_classifier(dataset, half, QUICK)
    request = ProposeRequest(
        half.path, folder, tmp_path / "x.json", labels=LabelChoice(classify=True)
    )
    whole = structs.replace(request, model=write_bundle(tmp_path / "whole").path)
    with pytest.raises(BundleError, match="has no classifier of proposals"):
        propose(whole)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    "bad", [{"steps": 0}, {"dropout": 1.0}, {"negative_tiou": 0.6}, {"rate": 0.0}]
)
def test_bad_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="classifier"):
        ClassifierTrainConfig(**bad)  # type: ignore[arg-type]
