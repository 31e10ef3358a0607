"""Training of BMN on small synthetic data: it learns, is repeatable to the bit, and resumes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from actspan import Bundle, Dataset, Pipeline
from actspan.config.base import changed
from actspan.config.bmn import BmnConfig
from actspan.config.stages import PipelineConfig, RescaleConfig
from actspan.config.training import PRESETS, BmnTrainConfig, OptimConfig, preset
from actspan.core.errors import ChangedTrainingError, ConfigError
from actspan.model.bmn.networks import Bmn
from actspan.training.bmn_task import BmnTask
from actspan.training.loop import Plan
from actspan.training.parts import for_dataset, preset_of, trainable
from actspan.training.samples import RescaledVideos, SampleLabels, Samples, read_samples
from actspan.training.train import train_config
from actspan.training.trainer import train
from tests.examples import write_dataset
from tests.training.tiny import BMN as TINY
from tests.training.tiny import NETWORK, Collected

BMN_PRESETS = ("jjboy2020", "jjboy2019", "mmaction2", "paddle")
NONE = np.empty((0, 2))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    return trainable(Dataset.load(write_dataset(folder, videos=8)))


@pytest.fixture(scope="module")
def bundle(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return train(dataset, tmp_path_factory.mktemp("model") / "bundle", TINY)


def weights_of(bundle: Bundle) -> bytes:
    return bundle.file("bmn.safetensors").read_bytes()


def test_the_bundle_proposes(bundle: Bundle, dataset: Dataset) -> None:
    assert bundle.config.bmn is not None
    assert bundle.config.bmn.channels == 6
    assert bundle.config.tem is None
    with Pipeline.load(bundle, threads=1, edge=dataset.edge) as pipeline:
        assert len(pipeline.propose(dataset.read(dataset.videos[0].id))) > 0


def test_the_bundle_records_its_training(bundle: Bundle) -> None:
    record = dict(bundle.training or {})
    assert record["preset"] == "custom"
    assert list(record["config"]) == ["bmn"]
    assert len(record["bmn"]) == 1
    assert record["bmn"][0]["epochs"] == 3
    assert record["bmn"][0]["validation"] > 0
    assert "model" in record["evaluation"]["figures"]
    assert list((bundle.path / "logs").iterdir()) == [bundle.path / "logs" / "bmn"]


@pytest.mark.parametrize("stop", [("training BMN", 1), ("training BMN", 3), ("evaluating", 1)])
def test_an_interrupted_training_ends_with_the_same_bytes(
    bundle: Bundle, dataset: Dataset, tmp_path: Path, stop: tuple[str, int]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "cut-off", TINY, report=Collected(stop))
    changed_settings = changed(TINY, {"bmn": {"dropout": 0.1}}, where="test")
    with pytest.raises(ChangedTrainingError, match=r"config\.bmn\.dropout"):
        train(dataset, tmp_path / "cut-off", changed_settings)
    assert weights_of(train(dataset, tmp_path / "cut-off", TINY)) == weights_of(bundle)


def test_the_seed_matters(bundle: Bundle, dataset: Dataset, tmp_path: Path) -> None:
    other = train(dataset, tmp_path / "other", TINY, seed=1)
    assert weights_of(other) != weights_of(bundle)


def test_long_recordings_are_trained_on_windows(dataset: Dataset, tmp_path: Path) -> None:
    config = changed(TINY, {"mode": "window"}, where="test")
    trained = train(dataset, tmp_path / "bundle", config)
    assert trained.config.mode == "window"
    assert trained.config.soft_nms.keep == 1000
    with Pipeline.load(trained, threads=1) as pipeline:
        assert len(pipeline.propose(dataset.read(dataset.videos[0].id))) > 0


@pytest.mark.parametrize("name", BMN_PRESETS)
def test_each_preset_learns(name: str, dataset: Dataset, tmp_path: Path) -> None:
    sizes = {"length": 20, "samples": 4, "base": 8, "sampled": 8, "matched": 8, "hidden": 4}
    optim = {"rate": 0.005, "batch": 4, "passes": 90}
    changes = {"pipeline": {"bmn": sizes}, "bmn": {"optim": optim, "standardize": True}}
    report = Collected()
    train(dataset, tmp_path / "b", changed(preset(name), changes, where="test"), report=report)
    losses = [training for _, _, training, _ in report.epochs]
    assert len(losses) == 9
    assert losses[-1] < 0.8 * losses[0]


def samples_of(instances: list[tuple[float, float]], ignored: np.ndarray = NONE) -> Samples:
    labels = SampleLabels(np.array(instances, dtype=np.float64).reshape(-1, 2), ignored)
    features = np.random.default_rng(0).normal(size=(1, 6, 20)).astype(np.float32)
    return RescaledVideos(("a",), features, (labels,))


def counted_of(samples: Samples) -> np.ndarray:
    task = BmnTask(samples, None, NETWORK, BmnTrainConfig())
    return task.counted_proposals(samples.take(np.array([0])))[0]


def test_proposals_in_an_ambiguous_stretch_do_not_count() -> None:
    counted = counted_of(samples_of([(0.1, 0.2)], ignored=np.array([[0.5, 0.75]])))
    assert counted[0, 9]
    assert not counted[0, 10]  # (duration, start): cell 10 is the first of the stretch
    assert not counted[4, 10]
    assert counted[9, 10]  # half of it is in the stretch
    assert not np.triu(counted[::-1], 1).any()  # proposals that do not fit


def test_proposals_that_end_in_padded_cells_do_not_count(dataset: Dataset) -> None:
    settings = PipelineConfig(
        mode="window", bmn=BmnConfig(length=100), rescale=RescaleConfig(edge="clamp")
    )
    samples = read_samples(dataset, settings)
    batch = samples.take(np.arange(len(samples)))
    assert batch.real is not None
    network = BmnConfig(length=100, axes="start-end")
    counted = BmnTask(samples, None, network, BmnTrainConfig()).counted_proposals(batch)
    for row, real in zip(counted, batch.real, strict=True):
        expected = np.triu(np.ones((100, 100), dtype=bool)) & real[None]
        np.testing.assert_array_equal(row, expected)


def test_validation_does_not_depend_on_chance_and_sees_every_video() -> None:
    one, other = samples_of([(0.2, 0.6)]), samples_of([(0.5, 0.7)])
    both = RescaledVideos(
        ("a", "b"),
        np.concatenate([one.features, other.features]),  # type: ignore[union-attr]
        (*one.labels, *other.labels),
    )
    torch.manual_seed(0)
    net = Bmn(msgspec.structs.replace(NETWORK, channels=6)).eval()

    def validated(samples: Samples) -> float:
        config = BmnTrainConfig(optim=OptimConfig(batch=1))
        loss = BmnTask(samples, samples, NETWORK, config).validate(net)
        assert loss is not None
        return loss

    assert validated(both) == validated(both)
    assert validated(both) == pytest.approx((validated(one) + validated(other)) / 2)


def test_gradients_are_no_longer_than_their_limit(dataset: Dataset, tmp_path: Path) -> None:
    optim = {"method": "adam", "schedule": "step", "longest_gradient": 1e-12, "average": 0.0}
    trained = [
        train(
            dataset,
            tmp_path / str(limit),
            changed(TINY, {"bmn": {"optim": {**optim, "longest_gradient": limit}}}, where="test"),
        ).weights("bmn")["map.conv4.weight"]
        for limit in (0.0, 1e-12, 1e9)
    ]
    # Adam divides the gradient by its size, but adds 1e-8 to the divisor.
    torch.manual_seed(0)
    moved = [np.abs(weights - trained[0]).max() for weights in trained]
    assert moved[2] < 1e-6
    assert moved[1] > 1e-3


def test_whole_batches_leave_out_the_rest() -> None:
    optim = OptimConfig(epochs=9, passes=9, batch=16, whole_batches=True)
    assert Plan.of(optim, 47).steps == 9 * 2
    assert Plan.of(optim, 5).steps == 9
    assert Plan.of(msgspec.structs.replace(optim, whole_batches=False), 47).steps == 9 * 3


@pytest.mark.parametrize("name", BMN_PRESETS)
def test_presets_are_told_apart_and_sizes_change(name: str, dataset: Dataset) -> None:
    assert preset_of(for_dataset(PRESETS[name], dataset), dataset) == name
    config = train_config(name, length=50, epochs=2)
    assert config.pipeline.bmn is not None
    assert config.pipeline.bmn.length == 50
    assert config.bmn.optim.epochs == config.bmn.optim.passes == 2
    assert config.pipeline.tem is config.pipeline.pem is None


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("paddle", {"tem_hidden": 8}, r"--tem-hidden: preset 'paddle' trains BMN.*pipeline\.bmn"),
        ("paddle", {"ensemble": 2}, "ensemble: BMN is one network"),
        ("paddle", {"config": {"tem": {"dropout": 0.1}}}, "tem: these settings train BMN"),
        ("default", {"config": {"bmn": {"dropout": 0.1}}}, "bmn: these settings train TEM and PEM"),
        ("default", {"config": {"pipeline": {"bmn": {}}}}, "presets of BMN: jjboy2020"),
        (
            "paddle",
            {"config": {"bmn": {"loss": {"least_ratio": 2.0, "most_ratio": 1.5}}}},
            "least_ratio must not be above most_ratio",
        ),
        ("paddle", {"config": {"bmn": {"crop_longest": 0.1}}}, "bmn: crop_shortest must not"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train_config(name, **options)  # type: ignore[arg-type]
