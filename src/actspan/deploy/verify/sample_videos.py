"""Test videos for variants: real features of a dataset, or synthetic ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from actspan.config.stages import TemConfig
from actspan.core.problems import Problem, dataset_notes
from actspan.core.types import BoundaryScores, Features, Float32, Video
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.rescale import Edge
from actspan.model.bundle import Bundle
from actspan.pipeline.outcomes import ScoredVideo, VideoInput
from actspan.pipeline.steps import feature_inputs

VIDEOS = 32  # number of synthetic videos


@dataclass(frozen=True, slots=True)
class SampleVideos:
    """Videos to run variants on."""

    name: str  # for reports
    jobs: Callable[[], Iterator[VideoInput]]  # returns new jobs, the same ones each time
    count: int
    truth: tuple[Video, ...] = ()  # videos with instances, if recall can be measured
    edge: Edge = "clamp"  # how rescaling fills cells beyond the outer snippets
    notes: tuple[str, ...] = ()  # assumptions that were made
    problems: tuple[Problem, ...] = ()  # skipped videos, with reasons


def of_dataset(path: Path, subset: str | None, bundle: Bundle) -> SampleVideos:
    """Return the videos of a subset that have features, and the skipped ones.

    Raises
    ------
    DataError
        The dataset cannot be read, or no video of the subset has usable features.
    """
    channels = None if bundle.config.tem is None else bundle.config.tem.channels
    dataset = Dataset.load(path).subset(subset, bundle.set_apart)
    dataset.require_fit(bundle.config)
    dataset = check_dataset(dataset, channels=channels, on_error="skip", trained_on=bundle.features)

    def inputs() -> Iterator[VideoInput]:
        return feature_inputs(dataset, dataset.videos.ids, bundle.config)

    name = f"{path.resolve().name}, {subset or 'all'}"
    truth = tuple(v for v in dataset.videos if len(v.segments))
    notes = (*dataset.notes, *dataset_notes(dataset.problems))
    return SampleVideos(name, inputs, len(dataset), truth, dataset.edge, notes, dataset.problems)


def synthetic_videos(bundle: Bundle, *, videos: int = VIDEOS, seed: int = 0) -> SampleVideos:
    """Create smooth random features; random boundary scores if the bundle has no TEM.

    Their scale is that of the network's standardisation if it has one, otherwise the deviation
    is 2.
    """
    make = _scores if bundle.config.tem is None else _features(bundle, bundle.config.tem)

    def inputs() -> Iterator[VideoInput]:
        return (VideoInput(f"made-up-{i}", partial(make, seed, i)) for i in range(videos))

    return SampleVideos(f"made-up, seed {seed}", inputs, videos)


def _features(bundle: Bundle, config: TemConfig) -> Callable[[int, int], Features]:
    weights = bundle.weights("tem")
    scale = weights.get("input.scale", np.float32(0.5))
    deviation = 1.0 / np.where(scale == 0, 1, scale)
    mean = weights.get("input.mean", np.float32(0))

    def make(seed: int, number: int) -> Features:
        rng = np.random.default_rng((seed, number))
        curves = _smooth(rng.standard_normal((config.length, config.channels), np.float32))
        return Features((mean + deviation * curves).astype(np.float32), stride=1.0, length=1.0)

    return make


def _scores(seed: int, number: int) -> ScoredVideo:
    rng = np.random.default_rng((seed, number))
    curves = _smooth(rng.standard_normal((100, 3), np.float32))
    scores = 1.0 / (1.0 + np.exp(1.5 - 2.0 * curves))
    return ScoredVideo(BoundaryScores.from_array(scores.T), 100.0)


def _smooth(noise: Float32) -> Float32:
    """Draw random rows that resemble their neighbours, deviation 1: (T, C)."""
    kernel = np.array([1, 2, 3, 2, 1], dtype=np.float32)
    kernel /= np.sqrt((kernel**2).sum())
    columns = [np.convolve(column, kernel, mode="same") for column in noise.T]
    return np.stack(columns, axis=1).astype(np.float32)
