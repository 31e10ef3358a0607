"""Whole videos, rescaled to T cells, as training samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from actspan.config.stages import PipelineConfig
from actspan.config.training import TemTrainConfig
from actspan.core.types import BoundaryScores, Float32, Video
from actspan.data.dataset import Dataset
from actspan.data.rescale import Edge, fit_to_cells
from actspan.model.bsn.losses import pem_targets
from actspan.proposals.bsp import bsp_features
from actspan.proposals.candidates import generate_proposals
from actspan.training.crop import draw_windows, interpolate
from actspan.training.samples import (
    Found,
    Int64,
    Marks,
    Progress,
    Seen,
    drop_ignored,
    fingerprint_of,
    read_all,
)


@dataclass(frozen=True, slots=True, eq=False)
class WholeVideos:
    """Videos rescaled to T cells, in one array; see `Samples`.

    Attributes
    ----------
    ids : tuple of str
    features : (V, C, T) float32
    marks : tuple of Marks
        Fractions of each video's feature span, not clipped.
    """

    ids: tuple[str, ...]
    features: Float32
    marks: tuple[Marks, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def length(self) -> int:
        """Number of cells, T."""
        return int(self.features.shape[2])

    @classmethod
    def read(
        cls, dataset: Dataset, length: int, edge: Edge, progress: Progress | None = None
    ) -> Self:
        """Read and rescale every video of a checked dataset, on all cores.

        Raises
        ------
        FeatureError
            A file cannot be read.
        """
        features = np.empty((len(dataset), dataset.spec.channels or 0, length), dtype=np.float32)

        def load(index: int, video: Video) -> Marks:
            read = dataset.read(video.id)
            features[index] = fit_to_cells(read, length, edge).T
            return Marks.of(video, read.span)

        marks = list(read_all(load, dataset, progress))
        return cls(tuple(video.id for video in dataset), features, tuple(marks))

    def take(self, index: Int64) -> Seen:
        """Return some samples unchanged; no cell is padded."""
        return Seen(self.features[index], self._clipped(index), None)

    def crop(self, index: Int64, config: TemTrainConfig, draw: torch.Generator) -> Seen:
        """Return some samples through random windows, which lie inside the video or contain it."""
        offset, size = draw_windows(len(index), config, draw)
        T = self.length
        seen = interpolate(self.features[index], offset * T, size * T, T)
        windows = zip(self._clipped(index), offset.tolist(), size.tolist(), strict=True)
        return Seen(seen, [marks.seen_from(*window) for marks, *window in windows], None)

    def _clipped(self, index: Int64) -> list[Marks]:
        """Return the marks with instances clipped to the features, as published."""
        chosen = [self.marks[v] for v in index.tolist()]
        return [Marks(np.clip(m.instances, 0.0, 1.0), m.ignored) for m in chosen]

    def candidates(self, index: int, scores: Float32, pipeline: PipelineConfig) -> Found:
        """Return PEM's examples from one sample; see `Samples`."""
        cells = BoundaryScores.from_array(scores)
        marks = self.marks[index]
        found = drop_ignored(generate_proposals(cells, pipeline.pgm), marks)
        found = found[: pipeline.pgm.keep_training]
        targets = pem_targets(found, marks.instances)
        return Found(bsp_features(cells, found, pipeline.bsp), targets)

    def fingerprint(self) -> str:
        """Return a checksum of all data; see `Samples`."""
        return fingerprint_of(self.ids, [self.features], self.marks)
