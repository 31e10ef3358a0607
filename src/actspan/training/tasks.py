"""Tasks of both networks: TEM is trained on cells, PEM on the candidates of the trained TEM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actspan.config.stages import PipelineConfig
from actspan.config.training import PemTrainConfig, TemTrainConfig
from actspan.core.types import Float32, Float64
from actspan.model.bsn.losses import TemLoss, pem_loss, tem_loss
from actspan.model.bsn.networks import Network, Tem
from actspan.model.weights import Net
from actspan.training.samples import SampleBatch, Samples
from actspan.training.tem_batches import CellTargets, cell_targets, mix_backgrounds, splice

_CHUNK_VIDEOS = 64  # videos scored at once, to bound memory
_CHUNK_ROWS = 1 << 16


class TemTask:
    """Cells of the training videos; validated on all cells of the validation videos."""

    name: Net = "tem"

    def __init__(self, training: Samples, validation: Samples | None, config: TemTrainConfig):
        self.videos = len(training)
        self._config = config
        self._training, self._validation = training, validation
        if validation is not None:
            self._targets = _all_targets(validation)

    def losses(
        self, net: Network, videos: NDArray[np.int64], draw: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the losses of an augmented batch, total and per channel."""
        samples, config = self._training, self._config
        batch = samples.crop(videos, config, draw) if config.crop else samples.take(videos)
        features, targets = batch.features, cell_targets(batch)
        if config.mix:
            features = mix_backgrounds(features, targets, config.mix, draw)
        if config.splice:
            features, targets = splice(features, targets, config.splice, draw)
        loss = self._loss(net(torch.from_numpy(features)), targets)
        return {"loss": loss.total, "action": loss.action, "start": loss.start, "end": loss.end}

    def validate(self, net: Network) -> float | None:
        """Compute the loss over the whole validation set."""
        if self._validation is None:
            return None
        scores = torch.from_numpy(score_samples(net, self._validation))
        return self._loss(scores, self._targets).total.item()

    def _loss(self, scores: Tensor, targets: CellTargets) -> TemLoss:
        counted = None if targets.counted is None else torch.from_numpy(targets.counted)
        weight = self._config.action_weight
        return tem_loss(
            scores, torch.from_numpy(targets.targets), action_weight=weight, real=counted
        )


class Candidates:
    """Candidates of many videos, video after video.

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
    def find(cls, samples: Samples, tem: Network, pipeline: PipelineConfig) -> Self:
        """Find the candidates of a trained TEM: the best `keep_training` per video."""
        scores = score_samples(tem, samples)
        found = [samples.candidates(k, row, pipeline) for k, row in enumerate(scores)]
        return cls([one.features for one in found], [one.targets for one in found])

    def of(self, videos: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the features (n, 32) and targets (n,) of all candidates of some videos."""
        rows = [slice(self._offsets[v], self._offsets[v + 1]) for v in videos.tolist()]
        features, targets = ([part[r] for r in rows] for part in (self.features, self.targets))
        return torch.cat(features), torch.cat(targets)


class PemTask:
    """Candidates of the training videos; validated on those of the validation videos."""

    name: Net = "pem"

    def __init__(
        self, training: Candidates, validation: Candidates | None, config: PemTrainConfig
    ) -> None:
        self.videos = len(training)
        self._training, self._validation = training, validation
        self._kind = config.loss

    def losses(
        self, net: Network, videos: NDArray[np.int64], draw: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the loss of all candidates of a batch of videos."""
        features, targets = self._training.of(videos)
        return {"loss": pem_loss(net(features)[:, 0], targets, self._kind, generator=draw)}

    def validate(self, net: Network) -> float | None:
        """Compute the loss over all candidates of the validation set."""
        if self._validation is None:
            return None
        chunks = torch.split(self._validation.features, _CHUNK_ROWS)
        predicted = torch.cat([net(chunk)[:, 0] for chunk in chunks])
        return pem_loss(predicted, self._validation.targets, self._kind).item()


@torch.no_grad()
def score_samples(tem: Network, samples: Samples) -> Float32:
    """Compute the boundary scores of all samples, (V, 3, T)."""
    tem.eval()
    scores = [tem(torch.from_numpy(batch.features)).numpy() for batch in _chunks(samples)]
    joined: Float32 = np.concatenate(scores)
    return joined


def standardize(tem: Tem, samples: Samples) -> None:
    """Set TEM's input standardisation from the samples."""
    count, mean, square = 0, 0.0, 0.0
    for batch in _chunks(samples):  # Chan's parallel variance, chunk by chunk
        chunk = batch.features
        size = chunk.shape[0] * chunk.shape[2]
        of_chunk = chunk.mean(axis=(0, 2), dtype=np.float64)
        step = of_chunk - mean
        square += np.square(chunk - of_chunk[:, None]).sum(axis=(0, 2))
        square += np.square(step) * (count * size / (count + size))
        mean += step * (size / (count + size))
        count += size
    scale = inverse_deviation(np.sqrt(square / count))  # (C,)
    tem.standardize(torch.from_numpy(mean), torch.from_numpy(scale))


def inverse_deviation(deviation: Float64) -> Float64:
    """Return the scale of each channel; that of a constant channel, without information, is 0."""
    varies = deviation > 1e-6 * max(float(deviation.max()), 1e-30)
    return np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)


def _all_targets(samples: Samples) -> CellTargets:
    parts = [cell_targets(batch) for batch in _chunks(samples)]
    targets = np.concatenate([part.targets for part in parts])
    if all(part.counted is None for part in parts):
        return CellTargets(targets, None)
    return CellTargets(targets, np.concatenate([part.mask for part in parts]))


def _chunks(samples: Samples) -> Iterator[SampleBatch]:
    for first in range(0, len(samples), _CHUNK_VIDEOS):
        yield samples.take(np.arange(first, min(first + _CHUNK_VIDEOS, len(samples))))
