"""Augmentations that combine two videos, and stretches that annotators marked as ambiguous."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actspan import PipelineConfig
from actspan.model.bsn.losses import tem_targets
from actspan.model.bsn.networks import Network
from actspan.training.samples import RescaledVideos, SampleBatch, SampleLabels
from actspan.training.tasks import (
    Candidates,
    CellTargets,
    cell_targets,
    mix_backgrounds,
    splice,
)

T = 20
NONE = np.empty((0, 2))


def batch(seed: int, count: int = 4) -> tuple[np.ndarray, CellTargets]:
    """Return videos whose features are the numbers of the video and of the cell."""
    random = np.random.default_rng(seed)
    spans = np.sort(random.random((count, 1, 2)), axis=2)
    targets = np.stack([tem_targets(span, T) for span in spans])
    features = np.empty((count, 2, T), dtype=np.float32)
    features[:, 0], features[:, 1] = np.arange(count)[:, None], np.arange(T)
    return features, CellTargets(targets, None)


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(seed=st.integers(0, 999))
def test_splicing_moves_features_with_their_targets_and_cuts_no_instance(seed: int) -> None:
    features, aims = batch(seed)
    spliced, new = splice(features, aims, 1.0, draw(seed))
    np.testing.assert_array_equal(spliced[:, 1], features[:, 1])  # a cell stays where it is
    source = spliced[:, 0].astype(int)
    np.testing.assert_array_equal(
        new.targets, np.moveaxis(aims.targets[source, :, np.arange(T)], 2, 1)
    )
    quiet = new.background
    cut = np.diff(source, axis=1) != 0
    assert (quiet[:, :-1] | quiet[:, 1:])[cut].all()


def test_no_chance_splices_nothing() -> None:
    features, aims = batch(1)
    spliced, new = splice(features, aims, 0.0, draw(0))
    np.testing.assert_array_equal(spliced, features)
    np.testing.assert_array_equal(new.targets, aims.targets)


@given(seed=st.integers(0, 999))
def test_only_background_is_mixed_in_and_never_most_of_it(seed: int) -> None:
    features, aims = batch(seed)
    mixed = mix_backgrounds(features, aims, 0.3, draw(seed))
    shift = np.abs(mixed[:, 0] - features[:, 0])  # (B, T): share times distance of the two numbers
    assert (shift <= 0.3 * 3 + 1e-6).all()
    touched = shift > 0
    for row in touched:
        assert any((row <= quiet).all() for quiet in aims.background)
    np.testing.assert_allclose(mixed[:, 1], features[:, 1], rtol=1e-6)


def test_a_single_video_is_unchanged() -> None:
    features, aims = batch(2, count=1)
    np.testing.assert_array_equal(mix_backgrounds(features, aims, 0.5, draw(0)), features)
    np.testing.assert_array_equal(splice(features, aims, 1.0, draw(0))[0], features)


@pytest.mark.parametrize(
    ("ignored", "uncounted"),
    [
        pytest.param([[0.5, 0.75]], range(10, 15), id="stretch"),
        pytest.param([[0.5, 0.52]], [], id="less-than-half-a-cell"),
        pytest.param([[0.0, 1.0]], [*range(4), *range(8, 20)], id="an-instance-inside-counts"),
    ],
)
def test_ignored_cells_do_not_count(ignored: list[list[float]], uncounted: list[int]) -> None:
    marks = SampleLabels(np.array([[0.2, 0.4]]), np.array(ignored))
    counted = cell_targets(SampleBatch(np.zeros((1, 2, T), np.float32), [marks], None)).mask[0]
    assert np.flatnonzero(~counted).tolist() == list(uncounted)


def test_padded_and_ignored_cells_add_up() -> None:
    marks = SampleLabels(NONE, np.array([[0.0, 0.1]]))
    real = np.arange(T)[None] < 18
    counted = cell_targets(SampleBatch(np.zeros((1, 2, T), np.float32), [marks], real)).mask[0]
    assert np.flatnonzero(~counted).tolist() == [0, 1, 18, 19]


class Fixed(Network):
    """Boundary scores with a start in cells 0 and 9, and an end in cells 4 and 18."""

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        scores = torch.zeros(len(video), 3, T)
        scores[:, 1, [0, 9]] = scores[:, 2, [4, 18]] = 0.9
        return scores


@pytest.mark.parametrize(
    ("ignored", "targets"),
    [
        pytest.param(NONE, [0.0, 9 / 19, 0.5, 0.9, 1.0], id="none"),
        pytest.param(np.array([[0.0, 0.3]]), [9 / 19, 0.5, 0.9, 1.0], id="one"),
    ],
)
def test_candidates_in_ignored_stretches_are_left_out(
    ignored: np.ndarray, targets: list[float]
) -> None:
    video = SampleLabels(np.array([[0.475, 0.925]]), ignored)
    samples = RescaledVideos(("a",), np.zeros((1, 2, T), np.float32), (video,))
    found = Candidates(samples, Fixed(), PipelineConfig())
    assert len(found) == 1
    assert found.features[0].shape == (len(targets), 32)
    assert sorted(found.targets[0].tolist()) == pytest.approx(targets)
