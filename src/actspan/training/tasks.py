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
from actspan.core.types import Float32
from actspan.model.bsn.losses import TemLoss, pem_loss, tem_loss
from actspan.model.bsn.networks import Network, Tem
from actspan.model.weights import Net
from actspan.training.aims import Aims, aims_of
from actspan.training.mixing import mix_backgrounds, splice
from actspan.training.samples import Samples, Seen

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
            self._judged = _all_aims(validation)

    def losses(
        self, net: Network, videos: NDArray[np.int64], draw: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch, total and per channel."""
        features, aims = self._see(videos, draw)
        loss = self._loss(net(torch.from_numpy(features)), aims)
        return {"loss": loss.total, "action": loss.action, "start": loss.start, "end": loss.end}

    def validate(self, net: Network) -> float | None:
        """Compute the loss over the whole validation set."""
        if self._validation is None:
            return None
        scores = torch.from_numpy(score_samples(net, self._validation))
        return self._loss(scores, self._judged).total.item()

    def _see(self, videos: NDArray[np.int64], draw: torch.Generator) -> tuple[Float32, Aims]:
        """Return an augmented batch and its targets."""
        samples, config = self._training, self._config
        seen = samples.crop(videos, config, draw) if config.crop else samples.take(videos)
        features, aims = seen.features, aims_of(seen)
        if config.mix:
            features = mix_backgrounds(features, aims, config.mix, draw)
        if config.splice:
            features, aims = splice(features, aims, config.splice, draw)
        return features, aims

    def _loss(self, scores: Tensor, aims: Aims) -> TemLoss:
        targets = torch.from_numpy(aims.targets)
        counted = None if aims.counted is None else torch.from_numpy(aims.counted)
        return tem_loss(scores, targets, action_weight=self._config.action_weight, real=counted)


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
    def find(cls, samples: Samples, scores: Float32, pipeline: PipelineConfig) -> Self:
        """Find candidates from boundary scores, (V, 3, T): the best `keep_training` per video."""
        found = [samples.candidates(k, row, pipeline) for k, row in enumerate(scores)]
        return cls([one.features for one in found], [one.targets for one in found])

    def of(self, videos: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the features (n, 32) and targets (n,) of all candidates of some videos."""
        rows = [slice(self._offsets[v], self._offsets[v + 1]) for v in videos.tolist()]
        return (
            torch.cat([self.features[r] for r in rows]),
            torch.cat([self.targets[r] for r in rows]),
        )


@torch.no_grad()
def score_samples(tem: Network, samples: Samples) -> Float32:
    """Compute the boundary scores of all samples, (V, 3, T)."""
    tem.eval()
    scores = [tem(torch.from_numpy(seen.features)).numpy() for seen in _chunks(samples)]
    joined: Float32 = np.concatenate(scores)
    return joined


def standardize(tem: Tem, samples: Samples) -> None:
    """Set TEM's input standardisation from the samples.

    A constant channel gets scale 0, because it carries no information.
    """
    count, mean, square = 0, 0.0, 0.0
    for seen in _chunks(samples):  # Chan's parallel variance, chunk by chunk
        chunk = seen.features
        size = chunk.shape[0] * chunk.shape[2]
        of_chunk = chunk.mean(axis=(0, 2), dtype=np.float64)
        step = of_chunk - mean
        square += np.square(chunk - of_chunk[:, None]).sum(axis=(0, 2))
        square += np.square(step) * (count * size / (count + size))
        mean += step * (size / (count + size))
        count += size
    deviation = np.sqrt(square / count)  # (C,)
    telling = deviation > 1e-6 * max(float(deviation.max()), 1e-30)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=telling)
    tem.standardize(torch.from_numpy(mean), torch.from_numpy(scale))


def _all_aims(samples: Samples) -> Aims:
    parts = [aims_of(seen) for seen in _chunks(samples)]
    targets = np.concatenate([part.targets for part in parts])
    if all(part.counted is None for part in parts):
        return Aims(targets, None)
    return Aims(targets, np.concatenate([part.counts for part in parts]))


def _chunks(samples: Samples) -> Iterator[Seen]:
    for first in range(0, len(samples), _CHUNK_VIDEOS):
        yield samples.take(np.arange(first, min(first + _CHUNK_VIDEOS, len(samples))))
