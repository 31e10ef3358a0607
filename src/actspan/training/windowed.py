"""Windows of long recordings as samples (bsn.md section 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch

from actspan.config import PipelineConfig, TemTrainConfig, WindowTrainConfig
from actspan.data.dataset import Dataset
from actspan.data.windows import Window, pad_window, plan_windows, seen_elsewhere
from actspan.nets.targets import pem_targets
from actspan.proposals import bsp_features, generate_proposals
from actspan.training.crop import interpolate
from actspan.training.samples import Bool, Found, Int64, Progress, fingerprint_of, read_all
from actspan.types import BoundaryScores, Float32, Float64, Video


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of recordings; see `Samples`. The recordings are held once.

    Attributes
    ----------
    ids : tuple of str
        Of the recordings.
    recordings : tuple of (C, n) float32
    segments : tuple of (M, 2) float64
        Of each recording; in snippets, not clipped.
    places : tuple of (int, Window)
        Which recording, and which part of it, each sample is.
    length : int
        T.
    """

    ids: tuple[str, ...]
    recordings: tuple[Float32, ...]
    segments: tuple[Float64, ...]
    places: tuple[tuple[int, Window], ...]
    length: int
    clips: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.places)

    @property
    def instances(self) -> Sequence[Float64]:
        """See `Samples`."""
        return [(self.segments[r] - w.first) / self.length for r, w in self.places]

    @classmethod
    def read(
        cls,
        dataset: Dataset,
        length: int,
        config: WindowTrainConfig | None,
        progress: Progress | None = None,
    ) -> Self:
        """Read every recording of a checked dataset, on all cores.

        Parameters
        ----------
        config : WindowTrainConfig, optional
            Which windows are learnt from; all of them unless given.

        Raises
        ------
        FeatureError
            A file cannot be read.
        """

        def load(index: int, video: Video) -> tuple[Float32, Float64]:
            read = dataset.read(video.id)
            return np.ascontiguousarray(read.values.T), video.segments / read.stride

        recordings, segments = zip(*read_all(load, dataset, progress), strict=True)
        places = [
            (r, window)
            for r, (recording, instances) in enumerate(zip(recordings, segments, strict=True))
            for window in choose_windows(recording.shape[1], length, instances, config)
        ]
        ids = tuple(video.id for video in dataset)
        return cls(ids, recordings, segments, tuple(places), length)

    def take(self, index: Int64) -> Float32:
        """See `Samples`."""
        chosen = [self.places[k] for k in index.tolist()]
        rows = [self.recordings[r][:, w.first : w.last] for r, w in chosen]
        return np.stack([pad_window(row.T, self.length).T for row in rows])

    def real(self, index: Int64) -> Bool | None:
        """See `Samples`."""
        cells = np.array([len(self.places[k][1]) for k in index.tolist()])
        return None if (cells == self.length).all() else np.arange(self.length) < cells[:, None]

    def crop(
        self, index: Int64, config: TemTrainConfig, draw: torch.Generator
    ) -> tuple[Float32, list[Float64], Bool | None]:
        """See `Samples`: windows are moved by up to half a window, and are shorter or longer."""
        T = self.length
        chance, size, place = torch.rand(
            (3, len(index)), generator=draw, dtype=torch.float64
        ).numpy()
        size = config.crop_shortest + (config.crop_longest - config.crop_shortest) * size
        seen, instances, real = [], [], np.ones((len(index), T), dtype=bool)
        for k, sample in enumerate(index.tolist()):
            r, window = self.places[sample]
            first, cells = float(window.first), float(T)
            if chance[k] < config.crop:
                cells = T * size[k]
                first += T / 2 - cells / 2 + (place[k] - 0.5) * T
                first = max(min(first, window.snippets - cells), 0.0)
            row = interpolate(self.recordings[r][None], np.array([first]), np.array([cells]), T)
            real[k] = first + cells * (np.arange(T) + 0.5) / T < window.snippets
            seen.append(row[0] * real[k])
            instances.append((self.segments[r] - first) / cells)
        return np.stack(seen).astype(np.float32), instances, None if real.all() else real

    def candidates(self, index: int, scores: Float32, pipeline: PipelineConfig) -> Found:
        """See `Samples`: as in the pipeline, what a neighbour sees better is left out."""
        r, window = self.places[index]
        cells = BoundaryScores.from_array(scores[:, : len(window)])
        found = generate_proposals(cells, pipeline.pgm)
        found = found[~seen_elsewhere(found.start, found.end, window)]
        found = found[: pipeline.pgm.keep_training]
        instances = (self.segments[r] - window.first) / len(window)
        return Found(bsp_features(cells, found, pipeline.bsp), pem_targets(found, instances))

    def fingerprint(self) -> str:
        """See `Samples`."""
        return fingerprint_of((self.ids, self.places), self.recordings, self.segments)


def choose_windows(
    snippets: int, length: int, instances: Float64, config: WindowTrainConfig | None
) -> list[Window]:
    """The windows of a recording that are learnt from (bsn.md section 11); all without a config.

    Parameters
    ----------
    instances : (M, 2) float64
        Snippets.
    """
    windows = list(plan_windows(snippets, length))
    if config is None:
        return windows
    held = [_holds(w, instances, config.instance_share) for w in windows]
    empty = [w for w, full in zip(windows, held, strict=True) if not full]
    kept = set(empty[:: round(1 / config.empty_share)]) if config.empty_share else set()
    return [w for w, full in zip(windows, held, strict=True) if full or w in kept]


def _holds(window: Window, instances: Float64, share: float) -> bool:
    start, end = instances.T
    inside = np.minimum(end, window.last) - np.maximum(start, window.first)
    return bool((inside >= share * (end - start)).any())
