"""Joint training of TEM and PEM with learnt curves: targets, drawn candidates, sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from actspan import Bundle, Dataset, Pipeline, Proposals
from actspan.config.base import changed
from actspan.config.stages import BspConfig, PemConfig, PipelineConfig, TemConfig
from actspan.core.errors import ConfigError
from actspan.core.tiou import tiou_matrix
from actspan.model.bsn.networks import Pem, Tem
from actspan.proposals.curves import curve_features
from actspan.training.hardware import Hardware
from actspan.training.joint_task import (
    DrawnCandidates,
    JointTask,
    TemAndPem,
    draw_candidates,
    position_loss,
    position_targets,
    sample_curves,
)
from actspan.training.loop import fit
from actspan.training.parts import trainable
from actspan.training.samples import RescaledVideos, SampleBatch, SampleLabels
from actspan.training.state import StateFolder
from actspan.training.tasks import Task
from actspan.training.trainer import train
from tests.examples import write_dataset
from tests.training.tiny import JOINT, NETS, OPTIM, Collected

T, S = 20, 3
NONE = np.empty((0, 2))


def labels(*instances: tuple[float, float], ignored: object = NONE) -> SampleLabels:
    return SampleLabels(np.array(instances).reshape(-1, 2), np.asarray(ignored, dtype=np.float64))


def batch(*parts: SampleLabels, real: list[int] | None = None) -> SampleBatch:
    features = np.zeros((len(parts), 2, T), dtype=np.float32)
    cells = None if real is None else np.arange(T) < np.array(real)[:, None]
    return SampleBatch(features, list(parts), cells)


def drawn(part: SampleBatch, count: int = 200, seed: int = 0) -> DrawnCandidates:
    scores = np.random.default_rng(1).random((len(part.labels), 2, T)).astype(np.float32)
    return draw_candidates(part, scores, count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("cells", [T, T - 7], ids=["whole", "padded"])
def test_training_samples_curves_as_proposals_do(cells: int) -> None:
    rng = np.random.default_rng(3)
    curves = rng.random((2, S, T)).astype(np.float32)
    curves[1, :, cells:] = 0  # a padded window
    ends = np.sort(rng.random((40, 2)), axis=1)
    ends[:, 1] = np.maximum(ends[:, 1], ends[:, 0] + 0.5 / cells)
    ends[:2] = [[0, 1], [1 - 1 / cells, 1]]
    candidates = Proposals(*ends.T, np.ones(40), unit="fraction")
    config = BspConfig()
    expected = [
        curve_features(np.ascontiguousarray(part[:, :n]), candidates, config)
        for part, n in zip(curves, (T, cells), strict=True)
    ]
    for video, n in enumerate((T, cells)):
        start, end = ends.T * n / T
        rows = DrawnCandidates(np.full(40, video), start, end, np.zeros(40, dtype=np.float32))
        found = sample_curves(torch.from_numpy(curves), rows, config)
        np.testing.assert_allclose(found.numpy(), expected[video], atol=1e-6)


def test_the_loss_of_a_candidate_reaches_the_curves_it_sees() -> None:
    curves = torch.rand(2, S, T, requires_grad=True)
    one = DrawnCandidates(*map(np.array, ([1], [0.25], [0.5], [1.0])))
    sample_curves(curves, one, BspConfig()).sum().backward()
    assert curves.grad is not None
    seen = curves.grad.abs().sum(dim=1) > 0  # (2, T)
    assert not seen[0].any()
    assert np.flatnonzero(seen[1].numpy()).tolist() == list(range(3, 12))  # a quarter more


def test_positions_are_those_of_boundaries_in_their_cells() -> None:
    found = position_targets(labels((0.06, 0.5), (0.07, 1.0), (-0.1, 1.2)), 10)
    expected = np.full((2, 10), np.nan)
    expected[0, 0] = 0.6  # nearer to the centre of the cell than 0.7
    expected[1, [5, 9]] = [0, 1]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_only_cells_with_a_boundary_have_a_loss_of_positions() -> None:
    positions = torch.full((2, 2, T), 0.5)
    positions[:, :, 5] = 0.1
    part = batch(labels((0.2625, 0.7625)), labels(), real=[T, 3])
    assert position_loss(positions, part).item() == pytest.approx((0.15 + 0.25) / 2)
    assert position_loss(positions[:1], batch(labels())).item() == 0


def test_candidates_are_drawn_with_their_overlap() -> None:
    part = batch(labels((0.2, 0.4), (0.5, 0.9)), labels())
    found = drawn(part)
    own = found.video == 0
    assert 150 < own.sum() <= 200
    overlap = tiou_matrix(found.start[own], found.end[own], *part.labels[0].instances.T)
    np.testing.assert_allclose(found.tiou[own], overlap.max(axis=1), atol=1e-6)
    assert not found.tiou[~own].any()
    assert (found.tiou > 0.7).sum() > 40
    assert (found.tiou[own] < 0.3).sum() > 20
    assert (found.end - found.start).min() >= 0.5 / T
    assert found.start.min() >= 0
    assert found.end.max() <= 1


def test_the_generator_decides_what_is_drawn() -> None:
    part = batch(labels((0.2, 0.4)))
    for a, b in zip(drawn(part), drawn(part), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(drawn(part)[1][:9], drawn(part, seed=1)[1][:9])


def test_candidates_that_do_not_count_are_not_drawn() -> None:
    found = drawn(batch(labels((0.1, 0.3), ignored=[[0.5, 0.8]]), real=[16]))
    assert found.end.max() <= 16 / T
    covered = np.minimum(found.end, 0.8) - np.maximum(found.start, 0.5)
    assert (covered <= 0.5 * (found.end - found.start)).all()


def test_a_batch_without_a_candidate_has_a_finite_loss() -> None:
    everything = SampleLabels(NONE, np.array([[-1.0, 2.0]]))
    samples = RescaledVideos(("a",), np.zeros((1, 2, T), dtype=np.float32), (everything,))
    pipeline = PipelineConfig(tem=TemConfig(channels=2, length=T, hidden=4, curves=S))
    pem = Pem(PemConfig(inputs=pipeline.pem_inputs, hidden=4))
    task = JointTask(samples, samples, pipeline, JOINT.tem, JOINT.pem)
    assert not len(drawn(batch(everything)).tiou)
    net = TemAndPem(Tem(pipeline.tem), pem)
    losses = task.losses(net, np.array([0]), torch.Generator())
    losses["loss"].backward()  # type: ignore[no-untyped-call]
    assert all(np.isfinite(value.item()) for value in losses.values())
    assert task.validate(net) == 0


def test_candidates_follow_the_scores() -> None:
    scores = np.zeros((1, 2, T), dtype=np.float32)
    scores[0, 0, 4] = scores[0, 1, 11] = 1
    found = draw_candidates(batch(labels()), scores, 100, torch.Generator())
    cells = np.floor(np.stack([found.start, found.end]) * T)
    assert (cells == [[4], [11]]).all(axis=0).sum() > 60


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "d"
    return trainable(Dataset.load(write_dataset(folder, videos=8)))


@pytest.fixture(scope="module")
def bundle(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return train(dataset, tmp_path_factory.mktemp("model") / "bundle", JOINT)


def weights_of(bundle: Bundle) -> dict[str, bytes]:
    return {net: bundle.file(f"{net}.safetensors").read_bytes() for net in NETS}


def test_both_networks_are_trained_in_one_loop(dataset: Dataset, bundle: Bundle) -> None:
    record = dict(bundle.training or {})
    assert record["bsn"][0]["epochs"] == 3
    assert record["bsn"][0]["validation"] > 0
    assert not {"tem", "pem"} & record.keys()
    assert list((bundle.path / "logs" / "bsn").iterdir())
    assert bundle.config.pem is not None
    assert bundle.config.pem.inputs == bundle.config.pem_inputs == 65
    assert {"tem.onnx", "pem.onnx"} <= set(bundle.files)
    with Pipeline.load(bundle, threads=1) as pipeline:
        assert len(pipeline.propose(dataset.read(dataset.videos[0].id)))


def test_two_trainings_give_the_same_bytes(
    bundle: Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    assert weights_of(train(dataset, tmp_path / "again", JOINT)) == weights_of(bundle)
    other = weights_of(train(dataset, tmp_path / "other", JOINT, seed=1))
    assert all(other[net] != weights_of(bundle)[net] for net in NETS)


def test_an_interrupted_training_ends_with_the_same_bytes(
    bundle: Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "b", JOINT, report=Collected(("training BSN", 5)))
    report = Collected()
    assert weights_of(train(dataset, tmp_path / "b", JOINT, report=report)) == weights_of(bundle)
    assert any("resuming BSN: 2 of 3 epochs" in line for line in report.lines)


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_an_ensemble_of_wide_features_is_one_bundle(mode: str, tmp_path: Path) -> None:
    spec = "[features]\nchannels = 24\nstride_seconds = 0.5\n"
    folder = write_dataset(tmp_path / "d", channels=24, spec=spec)
    changes = {"mode": mode, "ensemble": 2, "tem": {"components": 3}}
    data, config = trainable(Dataset.load(folder)), changed(JOINT, changes, where="test")
    bundle = train(data, tmp_path / "model", config)
    tem = bundle.config.tem
    assert tem is not None
    assert (tem.channels, tem.members, tem.curves) == (24, 2, 8)
    assert len(dict(bundle.training or {})["bsn"]) == 2
    with Pipeline.load(bundle, threads=1) as pipeline:
        assert len(pipeline.propose(data.read(data.videos[0].id)))


def test_joint_training_learns(dataset: Dataset, tmp_path: Path) -> None:
    longer = {"tem": {"optim": {"passes": 60, "epochs": 6}}}
    bundle = train(dataset, tmp_path / "b", changed(JOINT, longer, where="test"))
    (fit,) = dict(bundle.training or {})["bsn"]
    assert fit["training"] < 3.5  # knowing nothing is 2.77 + 0.25 + 1.39
    assert fit["validation"] < 3.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"pem": {"loss": "weighted"}}, "trained together: change tem.optim", id="loss"
        ),
        pytest.param({"pem": {"optim": {"rate": 0.1}}}, "change tem.optim", id="optim"),
        pytest.param({"tem": {"splice": 0.5}}, "splice is not possible", id="splice"),
    ],
)
def test_settings_that_would_not_be_used_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        changed(JOINT, changes, where="test")


class Scaled(torch.nn.Module):
    """A layer whose output is multiplied by a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.layer, self.factor = torch.nn.Linear(3, 1), factor
        torch.nn.init.constant_(self.layer.weight, 0.1 / factor)
        torch.nn.init.constant_(self.layer.bias, 0.1 / factor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.layer(x)


class Regression(Task):
    """A task in which a layer is fitted."""

    name = "tem"
    videos = 8

    def __init__(self, factor: float) -> None:
        self.factor, self.inputs = factor, torch.randn(8, 3, generator=torch.Generator())

    def losses(self, net: torch.nn.Module, videos: Any, generator: Any) -> dict[str, torch.Tensor]:
        x = self.inputs[torch.from_numpy(videos)]
        return {"loss": (net(x)[:, 0] - x @ torch.tensor([1.0, -2.0, 3.0])).square().mean()}

    def validate(self, net: torch.nn.Module) -> float | None:
        return None

    def scale(self, parameter: str) -> float:
        return self.factor


def test_a_layer_learns_as_if_its_output_were_not_multiplied(tmp_path: Path) -> None:
    optim = msgspec.structs.replace(OPTIM, weight_decay=0.3, passes=20)
    found = []
    for factor in (1.0, 0.01):
        net, state = Scaled(factor), StateFolder.open(tmp_path / str(factor), {}, restart=False)
        options: Any = {"state": state, "report": Collected(), "hardware": Hardware.find("cpu")}
        fit(net, Regression(factor), optim, seed=0, **options)
        found.append(factor * net.layer.weight.detach())
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)
    assert (found[0] - 0.1).abs().max() > 0.1
