"""Tasks of BSN: TEM is trained on cells, PEM on the candidates of the trained TEM.

TEM's augmentations use the videos of a batch as each other's partners, so they cost almost nothing.
No instance is cut, and none is mixed in at reduced strength.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from actspan.config.stages import PipelineConfig
from actspan.config.training import PemTrainConfig, TemTrainConfig, TrainingName
from actspan.core.types import BoundaryScores, Float32, Float64
from actspan.model.bmn.networks import Bmn
from actspan.model.bsn.losses import TemLoss, pem_loss, pem_targets, tem_loss, tem_targets
from actspan.model.bsn.networks import Tem
from actspan.proposals.bsp import bsp_features
from actspan.proposals.candidates import generate_proposals
from actspan.training.samples import Bool, Int64, SampleBatch, Samples, chunks

_ACTION = 0.5  # share of a cell in an instance above which the cell counts though it is ambiguous
_CHUNK_ROWS = 1 << 16


class Task(ABC):
    """Losses of the networks of one training.

    `videos` is the number of videos to draw batches from. Networks are called with batches on the
    CPU, and return their outputs there.
    """

    name: TrainingName
    videos: int

    @abstractmethod
    def losses(
        self, net: nn.Module, videos: Int64, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the losses of an augmented batch: `loss`, to be minimised, and its parts."""

    @abstractmethod
    def validate(self, net: nn.Module) -> float | None:
        """Compute the loss over the whole validation set; None if there is no such set."""

    def replicate(self, net: nn.Module, replica: Callable[..., nn.Module]) -> nn.Module:
        """Return the network that the other methods take; `replica` makes one on the device."""
        return replica(net)

    def scale(self, parameter: str) -> float:
        """Return a factor for the optimiser, by the name of a parameter.

        Where the network multiplies the output of a layer by it, AdamW trains the layer as if it
        did not: the rate is divided by it.
        """
        return 1.0


class CellTargets(NamedTuple):
    """Targets of a batch."""

    targets: Float32  # (B, 3, T): action, start, end
    # (B, T), False for padded and for ambiguous cells, which do not count; None if all count
    counted: Bool | None

    @property
    def mask(self) -> Bool:
        """`counted` as an array, (B, T), even if all cells count."""
        B, _, T = self.targets.shape
        return np.ones((B, T), dtype=bool) if self.counted is None else self.counted

    @property
    def background(self) -> Bool:
        """Cells, (B, T), that count and lie in no instance and no boundary region."""
        background: Bool = (self.targets == 0).all(axis=1) & self.mask
        return background


def cell_targets(batch: SampleBatch) -> CellTargets:
    """Compute the targets of samples."""
    length = batch.features.shape[2]
    targets = np.stack(
        [tem_targets(labels.instances, length, clip=False) for labels in batch.labels]
    )
    if not any(len(labels.ignored) for labels in batch.labels):
        return CellTargets(targets, batch.real)
    edges = np.arange(length + 1) / length
    ambiguous = np.stack([labels.ignores(edges[:-1], edges[1:]) for labels in batch.labels])
    counted: Bool = ~(ambiguous & (targets[:, 0] <= _ACTION))
    return CellTargets(targets, counted if batch.real is None else counted & batch.real)


def mix_backgrounds(
    features: Float32, targets: CellTargets, strongest: float, generator: torch.Generator
) -> Float32:
    """Add to each video a share of its partner, in cells where the partner shows background.

    `features` and the result are (B, C, T) float32; `strongest` bounds the random shares.
    """
    partner = _partners(len(features), generator)
    share = strongest * torch.rand(len(features), generator=generator).numpy()  # (B,) float32
    weight = (share[:, None] * targets.background[partner]).astype(np.float32)  # (B, T)
    return features + weight[:, None] * (features[partner] - features)


def splice(
    features: Float32, targets: CellTargets, chance: float, generator: torch.Generator
) -> tuple[Float32, CellTargets]:
    """Replace a stretch of some videos by the same stretch of their partner.

    A stretch starts and ends where both videos show background, or at the ends of the video.
    `features` are (B, C, T) float32; `chance` is the probability per video.
    """
    partner = _partners(len(features), generator)
    cuttable = targets.background & targets.background[partner]
    inside = _stretches(cuttable, chance, generator)  # (B, T)
    both = inside[:, None]
    spliced = np.where(both, targets.targets[partner], targets.targets)
    counted = targets.counted
    if counted is not None:
        counted = np.where(inside, counted[partner], counted)
    return np.where(both, features[partner], features), CellTargets(spliced, counted)


def _stretches(cuttable: Bool, chance: float, generator: torch.Generator) -> Bool:
    """Draw a stretch between two cells of every chosen row of `cuttable`, (B, T)."""
    B, T = cuttable.shape
    drawn = torch.rand((3, B), generator=generator).numpy()
    inside = np.zeros((B, T), dtype=bool)
    for k in np.flatnonzero(drawn[0] < chance).tolist():
        cuts = np.unique([0, *np.flatnonzero(cuttable[k]), T])
        first, last = np.sort(cuts[(drawn[1:, k] * len(cuts)).astype(int)])
        inside[k, first:last] = True
    return inside


def _partners(count: int, generator: torch.Generator) -> Int64:
    """Draw a partner for each of `count` videos; a single video is its own partner."""
    order = torch.randperm(count, generator=generator).numpy()
    partner = np.empty(count, dtype=np.int64)
    partner[order] = np.roll(order, 1)
    return partner


class TemTask(Task):
    """Cells of the training videos; validated on all cells of the validation videos."""

    name: TrainingName = "tem"

    def __init__(self, training: Samples, validation: Samples | None, config: TemTrainConfig):
        self.videos = len(training)
        self._config = config
        self._training, self._validation = training, validation
        if validation is not None:
            parts = [cell_targets(batch) for batch in chunks(validation)]
            all_count = all(part.counted is None for part in parts)
            counted = None if all_count else np.concatenate([part.mask for part in parts])
            self._targets = CellTargets(np.concatenate([p.targets for p in parts]), counted)

    def losses(
        self, net: nn.Module, videos: Int64, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the losses of an augmented batch: `loss`, and per channel."""
        samples, config = self._training, self._config
        batch = samples.crop(videos, config, generator) if config.crop else samples.take(videos)
        features, targets = batch.features, cell_targets(batch)
        if config.mix:
            features = mix_backgrounds(features, targets, config.mix, generator)
        if config.splice:
            features, targets = splice(features, targets, config.splice, generator)
        loss = self._loss(net(torch.from_numpy(features)), targets)
        return {"loss": loss.total, "action": loss.action, "start": loss.start, "end": loss.end}

    def validate(self, net: nn.Module) -> float | None:
        """Compute the loss over the whole validation set; None if there is no such set."""
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
    """Candidates of many videos: the best `keep_training` per video of a trained TEM.

    Attributes
    ----------
    features : list of (N, 32) float32 tensor
        BSP features per video.
    targets : list of (N,) float32 tensor
        match_iou per video.
    """

    def __init__(self, samples: Samples, tem: nn.Module, pipeline: PipelineConfig) -> None:
        self.features: list[Tensor] = []
        self.targets: list[Tensor] = []
        for index, scores in enumerate(score_samples(tem, samples)):
            labels, cells, inner_edges = samples.sample(index)
            boundaries = BoundaryScores.from_array(scores[:, :cells])
            candidates = generate_proposals(boundaries, pipeline.pgm, inner_edges=inner_edges)
            candidates = candidates[~labels.ignores(candidates.start, candidates.end)]
            candidates = candidates[: pipeline.pgm.keep_training]
            self.features.append(
                torch.from_numpy(bsp_features(boundaries, candidates, pipeline.bsp))
            )
            self.targets.append(torch.from_numpy(pem_targets(candidates, labels.instances)))

    def __len__(self) -> int:
        return len(self.features)

    def of(self, videos: Iterable[int]) -> tuple[Tensor, Tensor]:
        """Return the features (n, 32) and targets (n,) of all candidates of some videos."""
        videos = list(videos)
        features, targets = ([part[v] for v in videos] for part in (self.features, self.targets))
        return torch.cat(features), torch.cat(targets)


class PemTask(Task):
    """Candidates of the training videos; validated on those of the validation videos."""

    name: TrainingName = "pem"

    def __init__(
        self, training: Candidates, validation: Candidates | None, config: PemTrainConfig
    ) -> None:
        self.videos = len(training)
        self._training, self._kind = training, config.loss
        self._validation = None if validation is None else validation.of(range(len(validation)))

    def losses(
        self, net: nn.Module, videos: Int64, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the loss of all candidates of a batch of videos."""
        features, targets = self._training.of(videos.tolist())
        return {"loss": pem_loss(net(features)[:, 0], targets, self._kind, generator=generator)}

    def validate(self, net: nn.Module) -> float | None:
        """Compute the loss over all candidates of the validation set."""
        if self._validation is None:
            return None
        features, targets = self._validation
        predicted = torch.cat([net(chunk)[:, 0] for chunk in torch.split(features, _CHUNK_ROWS)])
        return pem_loss(predicted, targets, self._kind).item()


@torch.no_grad()
def score_samples(tem: nn.Module, samples: Samples) -> Float32:
    """Compute the boundary scores of all samples, (V, 3, T)."""
    tem.eval()
    scores = [tem(torch.from_numpy(batch.features)).numpy() for batch in chunks(samples)]
    joined: Float32 = np.concatenate(scores)
    return joined


def input_statistics(samples: Samples) -> tuple[Float64, Float64]:
    """Return the mean of every channel and the inverse of its deviation: (C,), (C,)."""
    count, mean, square = 0, np.zeros(1), np.zeros(1)
    for batch in chunks(samples):  # Chan's parallel variance, chunk by chunk
        chunk = batch.features
        size = chunk.shape[0] * chunk.shape[2]
        of_chunk = chunk.mean(axis=(0, 2), dtype=np.float64)
        step = of_chunk - mean
        square = square + np.square(chunk - of_chunk[:, None]).sum(axis=(0, 2))
        square = square + np.square(step) * (count * size / (count + size))
        mean = mean + step * (size / (count + size))
        count += size
    return mean, inverse_deviation(np.sqrt(square / count))


def standardize(net: Tem | Bmn, samples: Samples) -> None:
    """Set the standardisation of a network's input from the samples."""
    net.standardize(*(torch.from_numpy(values) for values in input_statistics(samples)))


def inverse_deviation(deviation: Float64) -> Float64:
    """Return the scale of each channel; that of a constant channel, without information, is 0."""
    varies = deviation > 1e-6 * max(float(deviation.max()), 1e-30)
    return np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
