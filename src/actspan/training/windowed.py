"""Windows of long recordings as training samples (bsn.md section 11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from actspan.config.stages import PipelineConfig
from actspan.config.training import TemTrainConfig, WindowTrainConfig
from actspan.core.types import BoundaryScores, Float32, Float64, Video
from actspan.data.dataset import Dataset
from actspan.data.recording import Window, pad_window, plan_windows
from actspan.model.bsn.losses import pem_targets
from actspan.proposals.bsp import bsp_features
from actspan.proposals.candidates import generate_proposals
from actspan.training.crop import interpolate
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
class Windows:
    """Windows of recordings; see `Samples`. Each recording is stored once.

    Attributes
    ----------
    ids : tuple of str
        Ids of the recordings.
    recordings : tuple of (C, n) float32
    marks : tuple of Marks
        Marks of each recording; in snippets, not clipped.
    places : tuple of (int, Window)
        Recording and window of each sample.
    length : int
        T.
    """

    ids: tuple[str, ...]
    recordings: tuple[Float32, ...]
    marks: tuple[Marks, ...]
    places: tuple[tuple[int, Window], ...]
    length: int

    def __len__(self) -> int:
        return len(self.places)

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
            Which windows to train on; all of them by default.

        Raises
        ------
        FeatureError
            A file cannot be read.
        """

        def load(index: int, video: Video) -> tuple[Float32, Marks]:
            read = dataset.read(video.id)
            return np.ascontiguousarray(read.values.T), Marks.of(video, read.stride)

        recordings, marks = zip(*read_all(load, dataset, progress), strict=True)
        places = [
            (r, window)
            for r, (recording, of) in enumerate(zip(recordings, marks, strict=True))
            for window in choose_windows(recording.shape[1], length, of.instances, config)
        ]
        ids = tuple(video.id for video in dataset)
        return cls(ids, recordings, marks, tuple(places), length)

    def take(self, index: Int64) -> Seen:
        """Return some samples unchanged; see `Samples`."""
        T = self.length
        chosen = [self.places[k] for k in index.tolist()]
        rows = [self.recordings[r][:, w.first : w.last] for r, w in chosen]
        features = np.stack([pad_window(row.T, T).T for row in rows])
        marks = [self.marks[r].seen_from(w.first, T) for r, w in chosen]
        real = np.arange(T) < np.array([len(w) for _, w in chosen])[:, None]
        return Seen(features, marks, None if real.all() else real)

    def crop(self, index: Int64, config: TemTrainConfig, draw: torch.Generator) -> Seen:
        """Return some samples through random windows, moved by up to half a window and resized."""
        T = self.length
        chance, size, place = torch.rand(
            (3, len(index)), generator=draw, dtype=torch.float64
        ).numpy()
        size = config.crop_shortest + (config.crop_longest - config.crop_shortest) * size
        seen, marks, real = [], [], np.ones((len(index), T), dtype=bool)
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
            marks.append(self.marks[r].seen_from(first, cells))
        return Seen(np.stack(seen).astype(np.float32), marks, None if real.all() else real)

    def candidates(self, index: int, scores: Float32, pipeline: PipelineConfig) -> Found:
        """Return PEM's examples from one sample, without those at inner edges; see `Samples`."""
        r, window = self.places[index]
        cells = BoundaryScores.from_array(scores[:, : len(window)])
        found = generate_proposals(cells, pipeline.pgm, inner_edges=window.inner_edges())
        marks = self.marks[r].seen_from(window.first, len(window))
        found = drop_ignored(found, marks)[: pipeline.pgm.keep_training]
        return Found(bsp_features(cells, found, pipeline.bsp), pem_targets(found, marks.instances))

    def fingerprint(self) -> str:
        """Return a checksum of all data; see `Samples`."""
        return fingerprint_of((self.ids, self.places), self.recordings, self.marks)


def choose_windows(
    snippets: int, length: int, instances: Float64, config: WindowTrainConfig | None
) -> list[Window]:
    """Choose the windows of a recording to train on (section 11); all without a config.

    Parameters
    ----------
    instances : (M, 2) float64
        Start and end, snippets.
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
