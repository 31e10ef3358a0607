"""Training examples of a proposal classifier: pooled segments and their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actspan.config.training import ClassifierTrainConfig
from actspan.core.errors import AnnotationError
from actspan.core.tiou import tiou_matrix
from actspan.core.types import Float32, Proposals, Video
from actspan.data.dataset import Dataset
from actspan.pipeline.classifier import pool_features
from actspan.training.samples import TRAINING


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Pooled segments and their labels.

    Attributes
    ----------
    features : (R, inputs) float32
    label : (R,) int64
        Positions in the labels; the number of labels stands for background.
    """

    features: Float32
    label: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)


def collect(
    dataset: Dataset,
    proposals: Mapping[str, Proposals],
    labels: tuple[str, ...],
    config: ClassifierTrainConfig,
    seed: int,
) -> Examples:
    """Return examples of all training videos: instances, and a bounded number of proposals each."""
    code = {label: number for number, label in enumerate(labels)}
    features, targets = [], []
    for number, video in enumerate(videos_of(dataset, TRAINING)):
        rng = np.random.default_rng([seed, number])
        found = proposals.get(video.id, Proposals.empty())
        segments, label = _examples_of(video, found, code, config, rng)
        features.append(pool_features(dataset.open(video.id), segments))
        targets.append(label)
    return Examples(np.concatenate(features), np.concatenate(targets))


def _examples_of(
    video: Video,
    proposals: Proposals,
    code: Mapping[str, int],
    config: ClassifierTrainConfig,
    rng: np.random.Generator,
) -> tuple[Proposals, NDArray[np.int64]]:
    """Return instances, and proposals drawn from those that clearly match one or none.

    Instances without a label, and proposals that match them, are left out.
    """
    start, end = video.segments.T
    own = np.array([code.get(label, -1) for label in video.labels], np.int64)
    overlap = tiou_matrix(proposals.start, proposals.end, start, end)  # (N, M)
    closeness = overlap.max(axis=1, initial=0.0)
    inside = _draw(closeness >= config.positive_tiou, config.positives, rng)
    outside = _draw(closeness < config.negative_tiou, config.negatives, rng)
    nearest = overlap[inside].argmax(axis=1) if len(inside) else np.empty(0, np.int64)
    chosen = proposals[np.concatenate([inside, outside])]
    segments = Proposals(
        np.concatenate([start, chosen.start]),
        np.concatenate([end, chosen.end]),
        np.ones(len(own) + len(chosen)),
    )
    background = np.full(len(outside), len(code), np.int64)
    label = np.concatenate([own, own[nearest], background])
    return segments[label >= 0], label[label >= 0]


def _draw(mask: NDArray[np.bool_], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    there = np.flatnonzero(mask)
    return there if len(there) <= most else np.sort(rng.choice(there, most, replace=False))


def labels_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the labels of the training videos, sorted; "" counts as no label.

    Raises
    ------
    AnnotationError
        There are no labels.
    """
    chosen = videos_of(dataset, TRAINING)
    labels = tuple(sorted({label for video in chosen for label in video.labels} - {""}))
    if not labels:
        raise AnnotationError(
            f"{dataset.path}: the training videos' instances have no labels to learn"
        )
    return labels


def videos_of(dataset: Dataset, subset: str) -> list[Video]:
    """Return the videos of one part."""
    return [video for video in dataset if video.subset == subset]
