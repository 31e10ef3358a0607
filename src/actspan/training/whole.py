"""Whole videos, rescaled to T cells, as samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch

from actspan.config import PipelineConfig, TemTrainConfig
from actspan.data.dataset import Dataset
from actspan.data.rescale import Edge, fit_to_cells
from actspan.nets.targets import pem_targets
from actspan.proposals import bsp_features, generate_proposals
from actspan.training.crop import draw_windows, interpolate
from actspan.training.samples import Bool, Found, Int64, Progress, fingerprint_of, read_all
from actspan.types import BoundaryScores, Float32, Float64, Video


@dataclass(frozen=True, slots=True, eq=False)
class WholeVideos:
    """Videos that were rescaled to T cells, in one array; see `Samples`.

    Attributes
    ----------
    ids : tuple of str
    features : (V, C, T) float32
    instances : tuple of (M, 2) float64
        Fractions of each video's feature span, not clipped.
    """

    ids: tuple[str, ...]
    features: Float32
    instances: tuple[Float64, ...]
    clips: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def length(self) -> int:
        """T."""
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

        def load(index: int, video: Video) -> Float64:
            read = dataset.read(video.id)
            features[index] = fit_to_cells(read, length, edge).T
            fractions: Float64 = video.segments / read.span
            return fractions

        instances = list(read_all(load, dataset, progress))
        return cls(tuple(video.id for video in dataset), features, tuple(instances))

    def take(self, index: Int64) -> Float32:
        """See `Samples`."""
        return self.features[index]

    def real(self, index: Int64) -> Bool | None:
        """See `Samples`: no cell is padded."""
        return None

    def crop(
        self, index: Int64, config: TemTrainConfig, draw: torch.Generator
    ) -> tuple[Float32, list[Float64], Bool | None]:
        """See `Samples`: windows lie inside the video, or hold all of it."""
        offset, size = draw_windows(len(index), config, draw)
        T = self.length
        seen = interpolate(self.features[index], offset * T, size * T, T)
        clipped = [np.clip(self.instances[v], 0.0, 1.0) for v in index.tolist()]
        instances = [(x - offset[k]) / size[k] for k, x in enumerate(clipped)]
        return seen, instances, None

    def candidates(self, index: int, scores: Float32, pipeline: PipelineConfig) -> Found:
        """See `Samples`."""
        cells = BoundaryScores.from_array(scores)
        found = generate_proposals(cells, pipeline.pgm)[: pipeline.pgm.keep_training]
        targets = pem_targets(found, self.instances[index])
        return Found(bsp_features(cells, found, pipeline.bsp), targets)

    def fingerprint(self) -> str:
        """See `Samples`."""
        return fingerprint_of(self.ids, [self.features], self.instances)
