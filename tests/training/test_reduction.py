"""Training on principal components: the trained network sees all channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from actspan import TemConfig
from actspan.data.cells import plan_windows
from actspan.training.reduction import Reduction
from actspan.training.samples import RescaledVideos, SampleLabels, Samples, Windows
from actspan.training.tasks import score_samples

C, T = 30, 16
NONE = SampleLabels(np.empty((0, 2)), np.empty((0, 2)))


def stream(snippets: int, seed: int = 0) -> np.ndarray:
    """Return (C, snippets) features of rank 5, besides noise, with a mean and unequal scales."""
    rng = np.random.default_rng(seed)
    mixed = np.random.default_rng(9).normal(size=(C, 5)) @ rng.normal(size=(5, snippets))
    scale = np.linspace(0.1, 10, C)[:, None]
    noise = 0.01 * rng.normal(size=(C, snippets))
    return ((mixed + noise) * scale + 3).astype(np.float32)


def rescaled() -> Samples:
    return RescaledVideos(("a", "b"), np.stack([stream(T), stream(T, 1)]), (NONE, NONE))


def windows() -> Samples:
    recordings = (stream(3 * T), stream(T - 5, 1))  # The window of the second one is padded.
    chosen = [(r, w) for r, f in enumerate(recordings) for w in plan_windows(f.shape[1], T)]
    return Windows(("a", "b"), recordings, (NONE, NONE), tuple(chosen), T)


@pytest.mark.parametrize("samples", [rescaled, windows])
def test_the_merged_network_equals_the_trained_one(samples: Callable[[], Samples]) -> None:
    full = samples()
    reduction = Reduction.of(full, 5)
    assert reduction is not None
    torch.manual_seed(1)
    config = TemConfig(channels=C, length=T, hidden=8, dilated=2)
    tem = reduction.build(config).eval()
    merged = reduction.merge_into(tem)
    assert merged.config == config
    expected = score_samples(tem, reduction.project(full))
    np.testing.assert_allclose(score_samples(merged, full), expected, atol=2e-6)


def test_components_hold_what_the_channels_share() -> None:
    full = rescaled()
    reduction = Reduction.of(full, 5)
    assert reduction is not None
    np.testing.assert_allclose(reduction.basis.T @ reduction.basis, np.eye(5), atol=1e-5)
    kept: Any = reduction.project(full)
    assert kept.features.shape == (2, 5, T)
    varying = kept.features - kept.features.mean(axis=(0, 2), keepdims=True)
    assert np.square(varying).mean() * 5 > 0.99 * C


@pytest.mark.parametrize("components", [0, C, C + 1])
def test_features_that_are_not_wide_are_not_reduced(components: int) -> None:
    assert Reduction.of(rescaled(), components) is None


def test_few_snippets_give_few_components() -> None:
    one = RescaledVideos(("a",), stream(4)[None], (NONE,))
    reduction = Reduction.of(one, 20)
    assert reduction is not None
    assert reduction.basis.shape == (C, 4)
