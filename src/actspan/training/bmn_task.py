"""Task of BMN: the confidence map and the boundary scores of videos or windows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from actspan.config.bmn import BmnConfig
from actspan.config.training import BmnTrainConfig, TrainingName
from actspan.model.bmn.losses import BmnLoss, bmn_loss, draw_proposals
from actspan.model.bmn.targets import bmn_targets, fitting_proposals, map_segments
from actspan.training.samples import Bool, Int64, SampleBatch, Samples, chunks
from actspan.training.tasks import Task, cell_targets


class BmnTask(Task):
    """Cells and proposals of the training videos; validated on those of the validation videos."""

    name: TrainingName = "bmn"

    def __init__(
        self,
        training: Samples,
        validation: Samples | None,
        network: BmnConfig,
        config: BmnTrainConfig,
    ) -> None:
        self.videos = len(training)
        self._network, self._config = network, config
        self._training, self._validation = training, validation
        self._segments, self._fitting = map_segments(network), fitting_proposals(network)

    def losses(
        self, net: nn.Module, videos: Int64, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the losses of an augmented batch: `loss`, and its three parts."""
        samples, config = self._training, self._config
        batch = samples.crop(videos, config, generator) if config.crop else samples.take(videos)
        loss = self._loss(net, batch, generator)
        return {
            "loss": loss.total,
            "boundaries": loss.boundaries,
            "regression": loss.regression,
            "classification": loss.classification,
        }

    def validate(self, net: nn.Module) -> float | None:
        """Compute the mean loss of the validation videos, in batches as in training."""
        if self._validation is None:
            return None
        total = 0.0
        for batch in chunks(self._validation, self._config.optim.batch):
            total += self._loss(net, batch, None).total.item() * len(batch.features)
        return total / len(self._validation)

    def _loss(
        self, net: nn.Module, batch: SampleBatch, generator: torch.Generator | None
    ) -> BmnLoss:
        """Compute the loss of a batch; without a generator, no proposals are drawn."""
        targets = [
            bmn_targets(labels.instances, self._network, self._config.anchor, clip=False)
            for labels in batch.labels
        ]
        iou, start, end = (torch.from_numpy(np.stack(part)) for part in zip(*targets, strict=True))
        cells, config = cell_targets(batch).counted, self._config.loss
        return bmn_loss(
            net(torch.from_numpy(batch.features)),
            (iou, start, end),
            config,
            torch.from_numpy(self.counted_proposals(batch)),
            cells=None if cells is None else torch.from_numpy(cells),
            draws=None if generator is None else draw_proposals(iou.shape, config, generator),
        )

    def counted_proposals(self, batch: SampleBatch) -> Bool:
        """Return which proposals of the map count, (B, R, C).

        Proposals that do not fit into the video, end in a padded cell or lie in an ambiguous
        stretch do not count.
        """
        start, end = self._segments
        counted = np.repeat(self._fitting[None], len(batch.labels), axis=0)
        if batch.real is not None:
            length = self._network.length
            last_cell = np.minimum(np.rint(end * length).astype(np.int64), length) - 1  # (R, C)
            counted &= batch.real[:, last_cell]
        for row, labels in zip(counted, batch.labels, strict=True):
            if len(labels.ignored):
                row &= ~labels.ignores(start.ravel(), end.ravel()).reshape(row.shape)
        return counted
