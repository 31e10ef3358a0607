"""What the two networks are trained on: TEM on cells, PEM on the candidates of the trained TEM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actspan.bundle import Net as NetName
from actspan.config import PemTrainConfig, PipelineConfig, TemTrainConfig
from actspan.nets.base import Net
from actspan.nets.losses import pem_loss, tem_loss
from actspan.nets.targets import pem_targets, tem_targets
from actspan.nets.tem import Tem
from actspan.proposals import bsp_features, generate_proposals
from actspan.training.crop import crop, draw_windows
from actspan.training.samples import Samples
from actspan.types import BoundaryScores, Float32

_CHUNK_VIDEOS = 64  # judged at once, which bounds memory
_CHUNK_ROWS = 1 << 16


class TemTask:
    """Cells of the training videos; judged by the loss over all cells of the validation videos."""

    name: NetName = "tem"

    def __init__(self, training: Samples, validation: Samples | None, config: TemTrainConfig):
        self.videos = len(training)
        self._config = config
        self._instances = training.instances
        self._features = torch.from_numpy(training.features)  # (V, C, T)
        self._targets = _cell_targets(training)  # (V, 3, T)
        self._validation = validation
        self._judged = None if validation is None else _cell_targets(validation)

    def losses(
        self, net: Net, videos: NDArray[np.int64], draw: torch.Generator
    ) -> dict[str, Tensor]:
        """Losses of a batch, whole and a channel."""
        chosen = torch.from_numpy(videos)
        features, targets = self._features[chosen], self._targets[chosen]
        if self._config.crop:
            windows = draw_windows(len(videos), self._config, draw)
            instances = [self._instances[v] for v in videos.tolist()]
            features, targets = crop(features, targets, instances, windows)
        loss = tem_loss(net(features), targets, action_weight=self._config.action_weight)
        return {"loss": loss.total, "action": loss.action, "start": loss.start, "end": loss.end}

    def validate(self, net: Net) -> float | None:
        """The loss over the whole validation set."""
        if self._validation is None or self._judged is None:
            return None
        scores = torch.from_numpy(score_videos(net, self._validation.features))
        return tem_loss(scores, self._judged, action_weight=self._config.action_weight).total.item()


class PemTask:
    """Candidates of the training videos; judged by the loss over those of the validation videos."""

    name: NetName = "pem"

    def __init__(
        self, training: Candidates, validation: Candidates | None, config: PemTrainConfig
    ) -> None:
        self.videos = len(training)
        self._training, self._validation = training, validation
        self._kind = config.loss

    def losses(
        self, net: Net, videos: NDArray[np.int64], draw: torch.Generator
    ) -> dict[str, Tensor]:
        """The loss of all candidates of a batch of videos."""
        features, targets = self._training.of(videos)
        return {"loss": pem_loss(net(features)[:, 0], targets, self._kind, generator=draw)}

    def validate(self, net: Net) -> float | None:
        """The loss over all candidates of the validation set."""
        if self._validation is None:
            return None
        chunks = torch.split(self._validation.features, _CHUNK_ROWS)
        predicted = torch.cat([net(chunk)[:, 0] for chunk in chunks])
        return pem_loss(predicted, self._validation.targets, self._kind).item()


class Candidates:
    """The candidates of many videos, one after the other.

    Attributes
    ----------
    features : (N, 32) float32 tensor
        BSP features.
    targets : (N,) float32 tensor
        match_iou.
    """

    def __init__(self, features: list[Float32], targets: list[Float32]) -> None:
        counts = [len(rows) for rows in targets]
        self._offsets = np.concatenate([[0], np.cumsum(counts)]).tolist()
        self.features = torch.from_numpy(np.concatenate(features))
        self.targets = torch.from_numpy(np.concatenate(targets))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @classmethod
    def find(cls, samples: Samples, scores: Float32, pipeline: PipelineConfig) -> Self:
        """Candidates from boundary scores, (V, 3, T): the best `keep_training` a video."""
        features, targets = [], []
        for video, instances in zip(scores, samples.instances, strict=True):
            cells = BoundaryScores.from_array(video)
            found = generate_proposals(cells, pipeline.pgm)[: pipeline.pgm.keep_training]
            features.append(bsp_features(cells, found, pipeline.bsp))
            targets.append(pem_targets(found, instances))
        return cls(features, targets)

    def of(self, videos: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Features (n, 32) and targets (n,) of all candidates of some videos."""
        rows = [slice(self._offsets[v], self._offsets[v + 1]) for v in videos.tolist()]
        return (
            torch.cat([self.features[r] for r in rows]),
            torch.cat([self.targets[r] for r in rows]),
        )


@torch.no_grad()
def score_videos(tem: Net, features: Float32) -> Float32:
    """Boundary scores of many videos: (V, C, T) to (V, 3, T)."""
    tem.eval()
    scores = [tem(torch.from_numpy(chunk)).numpy() for chunk in _chunks(features)]
    joined: Float32 = np.concatenate(scores)
    return joined


def standardize(tem: Tem, features: Float32) -> None:
    """Make TEM scale every channel of its input as `features`, (V, C, T), need it.

    A channel that is constant is silenced: it tells nothing.
    """
    count = features.shape[0] * features.shape[2]
    mean = sum(chunk.sum(axis=(0, 2), dtype=np.float64) for chunk in _chunks(features)) / count
    square = np.zeros(features.shape[1])
    for chunk in _chunks(features):
        square += np.square(chunk - mean[:, None]).sum(axis=(0, 2))
    deviation = np.sqrt(square / count)  # (C,)
    telling = deviation > 1e-6 * max(float(deviation.max()), 1e-30)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=telling)
    tem.standardize(torch.from_numpy(mean), torch.from_numpy(scale))


def _cell_targets(samples: Samples) -> Tensor:
    length = samples.features.shape[2]
    return torch.from_numpy(np.stack([tem_targets(i, length) for i in samples.instances]))


def _chunks(features: Float32) -> Iterator[Float32]:
    for first in range(0, len(features), _CHUNK_VIDEOS):
        yield features[first : first + _CHUNK_VIDEOS]
