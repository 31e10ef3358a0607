"""Samples of training: rescaled videos, windows of long recordings, random windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from actspan import Dataset, PemConfig, Pipeline, PipelineConfig, TemConfig
from actspan.config.stages import FusionConfig, RescaleConfig, SoftNmsConfig
from actspan.config.training import (
    OptimConfig,
    PemTrainConfig,
    RankingConfig,
    TemTrainConfig,
    TrainConfig,
    WindowTrainConfig,
)
from actspan.model.bsn.losses import tem_loss, tem_targets
from actspan.training.parts import for_dataset, trainable
from actspan.training.samples import (
    RescaledVideos,
    SampleLabels,
    choose_windows,
    draw_windows,
    interpolate,
    read_samples,
)
from actspan.training.tasks import cell_targets
from actspan.training.trainer import train
from tests.examples import write_dataset
from tests.training.tiny import Collected

T = 10
OPTIM = OptimConfig(batch=4, epochs=2, passes=2)


def pipeline_of(length: int) -> PipelineConfig:
    tem, rescale = TemConfig(length=length, hidden=8), RescaleConfig(edge="clamp")
    return PipelineConfig(mode="window", tem=tem, pem=PemConfig(hidden=8), rescale=rescale)


TINY = TrainConfig(
    pipeline=pipeline_of(T),
    tem=TemTrainConfig(optim=OPTIM, standardize=True, crop=0.5),
    pem=PemTrainConfig(optim=OPTIM),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = write_dataset(tmp_path_factory.mktemp("data") / "recordings", videos=6)
    return trainable(Dataset.load(folder))


@pytest.mark.parametrize(("mode", "lines"), [("auto", 1), ("window", 0)])
def test_long_recordings_are_trained_on_windows_which_is_reported_if_not_requested(
    dataset: Dataset, tmp_path: Path, mode: Literal["auto", "window"], lines: int
) -> None:
    report = Collected()
    config = msgspec.structs.replace(TINY, mode=mode)
    bundle = train(dataset, tmp_path / "bundle", config, report=report)
    assert sum("trained on windows" in line for line in report.lines) == lines
    assert bundle.config.mode == "window"
    assert bundle.config.soft_nms.keep == 1000
    with Pipeline.load(bundle) as pipeline:
        for video in dataset.subset("validation"):
            proposals = pipeline.propose(dataset.read(video.id))
            assert len(proposals)
            assert proposals.end.max() <= video.duration + 1e-9


def test_short_videos_are_rescaled(dataset: Dataset, tmp_path: Path) -> None:
    longer = msgspec.structs.replace(TINY, pipeline=pipeline_of(40))
    assert train(dataset, tmp_path / "bundle", longer).config.mode == "rescale"


@pytest.mark.parametrize(
    ("share", "empty", "firsts"),
    [
        pytest.param(0.9, 0.0, [10], id="only-windows-that-contain-the-instance"),
        pytest.param(0.5, 0.0, [5, 10, 15], id="half-of-it-is-enough"),
        pytest.param(0.9, 1.0, [0, 5, 10, 15, 20, 25, 30], id="and-all-others"),
        pytest.param(0.9, 0.5, [0, 10, 15, 25], id="and-every-other-of-the-others"),
    ],
)
def test_which_windows_are_trained_on(share: float, empty: float, firsts: list[int]) -> None:
    config = WindowTrainConfig(instance_share=share, empty_share=empty)
    windows = choose_windows(40, T, np.array([[12.0, 18.0]]), config)
    assert [w.first for w in windows] == firsts


def test_instances_move_with_their_window_and_padding_is_not_real(dataset: Dataset) -> None:
    short = dataset.select([replace(dataset.videos[0])])
    samples = read_samples(short, pipeline_of(100))
    video, snippets = short.videos[0], len(short.read(short.videos[0].id))
    features, (marks,), real = samples.take(np.array([0]))
    np.testing.assert_allclose(marks.instances * 100 * 0.5, video.segments)
    assert real is not None
    assert real.sum() == snippets
    assert (features[0, :, snippets:] == 0).all()


def test_random_windows_keep_features_and_instances_together(dataset: Dataset) -> None:
    samples = read_samples(dataset, pipeline_of(T))
    config = TemTrainConfig(crop=1.0)
    index = np.arange(len(samples))
    seen, marks, real = samples.crop(index, config, torch.Generator().manual_seed(0))
    inside, outside = [], []
    for row, mark in zip(seen, marks, strict=True):
        action = tem_targets(mark.instances, T, clip=False)[0]
        inside += row[0][action > 0.99].tolist()  # channel 0 carries the trace of actions
        outside += row[0][action < 0.01].tolist()
    assert np.mean(inside) > np.mean(outside) + 1.5
    assert seen.shape == (len(samples), 6, T)
    assert real is None or real.shape == (len(samples), T)


def test_boundaries_outside_a_window_are_no_targets() -> None:
    action, start, end = tem_targets(np.array([[-0.01, 1.3]]), T, clip=False)
    assert action.tolist() == [1.0] * T
    assert not start.any()
    assert not end.any()


def test_padded_cells_carry_no_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(2, 3, T, generator=generator)
    targets = torch.rand(2, 3, T, generator=generator)
    real = torch.ones(2, T, dtype=torch.bool)
    real[1, 6:] = False
    loss = tem_loss(scores, targets, real=real).total
    scores[1, :, 6:], targets[1, :, 6:] = 0.999, 0.0
    assert torch.equal(tem_loss(scores, targets, real=real).total, loss)
    everything = tem_loss(scores, targets, real=torch.ones(2, T, dtype=torch.bool)).total
    assert torch.allclose(everything, tem_loss(scores, targets).total)


def test_windows_lie_inside_the_span_or_contain_it() -> None:
    draw = torch.Generator().manual_seed(0)
    length, position = draw_windows(500, TemTrainConfig(crop=0.5), draw)
    offset = (1 - length) * position
    whole = (offset == 0) & (length == 1)
    assert 0.4 < whole.mean() < 0.6
    assert ((length >= 0.5) & (length <= 1.3)).all()
    inside = length <= 1
    assert ((offset >= 0) & (offset + length <= 1 + 1e-12))[inside].all()
    assert ((offset <= 0) & (offset + length >= 1 - 1e-12))[~inside].all()


def samples_of(features: np.ndarray, instances: np.ndarray) -> RescaledVideos:
    marks = SampleLabels(instances, np.empty((0, 2)))
    return RescaledVideos(("a",), features.astype(np.float32), (marks,))


def test_features_and_targets_move_together() -> None:
    # Features that equal the targets still do so after a crop, away from fractions of a cell.
    length, instances = 20, np.array([[0.25, 0.5], [0.7, 0.9]])
    samples = samples_of(tem_targets(instances, length)[None], instances)
    config = TemTrainConfig(crop=1.0, crop_shortest=0.5, crop_longest=0.5)
    seen = samples.crop(np.array([0]), config, torch.Generator().manual_seed(3))
    (aims,), features = cell_targets(seen).targets, seen.features
    fraction = (aims[0] > 0.01) & (aims[0] < 0.99)
    assert ((features[0, 0] > 0.5) == (aims[0] > 0.5))[~fraction].all()
    assert aims[0].any()


def test_the_whole_span_is_unchanged() -> None:
    features = np.random.default_rng(0).random((1, 5, 20))
    samples = samples_of(features, np.array([[0.5, 1.2]]))
    config = TemTrainConfig(crop=1e-9)
    seen = samples.crop(np.array([0]), config, torch.Generator())
    np.testing.assert_allclose(seen.features, features, atol=1e-6)
    np.testing.assert_array_equal(seen.labels[0].instances, [[0.5, 1.0]])


def test_cells_outside_the_span_repeat_the_outer_ones() -> None:
    features = np.arange(4, dtype=np.float32).reshape(1, 1, 4)
    seen = interpolate(features, np.array([-2.0]), np.array([8.0]), 4)
    assert seen[0, 0].tolist() == pytest.approx([0.0, 0.5, 2.5, 3.0])


@pytest.mark.parametrize("decay", [0.75, 0.4])
def test_models_of_windows_keep_more_proposals(dataset: Dataset, decay: float) -> None:
    # Other settings of suppression, as `actspan tune` writes them, do not change the number.
    pipeline = msgspec.structs.replace(TINY.pipeline, soft_nms=SoftNmsConfig(decay=decay))
    config = msgspec.structs.replace(TINY, mode="window", pipeline=pipeline)
    suppression = for_dataset(config, dataset).pipeline.soft_nms
    assert suppression == SoftNmsConfig(decay=decay, picks=1000, keep=1000)


@pytest.mark.parametrize(("videos", "decay"), [(2, 0.75), (3, 0.3)])
def test_few_training_videos_are_ranked_by_their_own_settings(
    dataset: Dataset, videos: int, decay: float
) -> None:
    """Check that `few` counts up to `few_videos`; the dataset has 3 training videos."""
    few = RankingConfig(SoftNmsConfig(decay=0.3), FusionConfig(start=0.5))
    config = msgspec.structs.replace(TINY, mode="rescale", few_videos=videos, few=few)
    pipeline = for_dataset(config, dataset).pipeline
    assert pipeline.soft_nms.decay == decay
    assert pipeline.fusion.start == (0.5 if decay == 0.3 else 1.0)
    own = msgspec.structs.replace(
        config.pipeline, soft_nms=SoftNmsConfig(decay=0.9), fusion=FusionConfig(end=0.2)
    )
    changed = for_dataset(msgspec.structs.replace(config, pipeline=own), dataset).pipeline
    assert changed.soft_nms.decay == 0.9
    assert changed.fusion == FusionConfig(end=0.2)
