"""The two kinds of samples: videos rescaled to T cells, and windows of long recordings.

Both have the same methods: `take` and `crop` return some samples, unchanged or as random windows;
`candidates` returns PEM's examples from one sample with boundary scores (3, T).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from actspan.config.stages import Edge, PipelineConfig
from actspan.config.training import TemTrainConfig, WindowTrainConfig
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Float32, Float64, Video
from actspan.data.dataset import Dataset
from actspan.data.recording import Window, pad_window, plan_windows
from actspan.data.rescale import fit_to_cells
from actspan.training.samples import (
    Int64,
    PemExamples,
    SampleBatch,
    SampleLabels,
    draw_windows,
    fingerprint_of,
    interpolate,
    pem_examples,
    read_all,
)


@dataclass(frozen=True, slots=True, eq=False)
class RescaledVideos:
    """Videos rescaled to T cells, in one array (V, C, T) float32.

    Labels are fractions of each video's feature span, not clipped.
    """

    ids: tuple[str, ...]
    features: Float32
    labels: tuple[SampleLabels, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def read(
        cls,
        dataset: Dataset,
        length: int,
        edge: Edge,
        what: str = "reading",
        progress: Progress = no_progress,
    ) -> Self:
        """Read and rescale every video of a checked dataset, on all cores."""
        features = np.empty((len(dataset), dataset.spec.channels or 0, length), dtype=np.float32)

        def load(index: int, video: Video) -> SampleLabels:
            read = dataset.read(video.id)
            features[index] = fit_to_cells(read, length, edge).T
            return SampleLabels.of(video, read.span)

        labels = tuple(read_all(load, dataset, what, progress))
        return cls(tuple(video.id for video in dataset), features, labels)

    def take(self, index: Int64) -> SampleBatch:
        """Return some samples unchanged; no cell is padded."""
        return SampleBatch(self.features[index], self._clipped(index), None)

    def crop(self, index: Int64, config: TemTrainConfig, draw: torch.Generator) -> SampleBatch:
        """Return random windows of some samples, which lie inside the video or contain it."""
        offset, size = draw_windows(len(index), config, draw)
        T = self.features.shape[2]
        features = interpolate(self.features[index], offset * T, size * T, T)
        windows = zip(self._clipped(index), offset.tolist(), size.tolist(), strict=True)
        return SampleBatch(
            features, [labels.in_window(*window) for labels, *window in windows], None
        )

    def _clipped(self, index: Int64) -> list[SampleLabels]:
        """Return the labels with instances clipped to the features, as published."""
        chosen = [self.labels[v] for v in index.tolist()]
        return [SampleLabels(np.clip(one.instances, 0.0, 1.0), one.ignored) for one in chosen]

    def candidates(self, index: int, scores: Float32, pipeline: PipelineConfig) -> PemExamples:
        """Return PEM's examples from one sample."""
        return pem_examples(scores, self.labels[index], pipeline)

    def fingerprint(self) -> str:
        """Return a SHA-256 checksum of all data."""
        return fingerprint_of(self.ids, [self.features], self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of recordings (bsn.md section 11). Each recording is stored once.

    Recordings are (C, n) float32, their labels in snippets, not clipped. `places` has the recording
    and the window of each sample; `length` is T.
    """

    ids: tuple[str, ...]
    recordings: tuple[Float32, ...]
    labels: tuple[SampleLabels, ...]
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
        what: str = "reading",
        progress: Progress = no_progress,
    ) -> Self:
        """Read every recording of a checked dataset, on all cores.

        The config chooses the windows to train on; without one these are all windows.
        """

        def load(index: int, video: Video) -> tuple[Float32, SampleLabels]:
            read = dataset.read(video.id)
            return np.ascontiguousarray(read.values.T), SampleLabels.of(video, read.stride)

        recordings, labels = zip(*read_all(load, dataset, what, progress), strict=True)
        places = [
            (r, window)
            for r, (recording, own) in enumerate(zip(recordings, labels, strict=True))
            for window in choose_windows(recording.shape[1], length, own.instances, config)
        ]
        ids = tuple(video.id for video in dataset)
        return cls(ids, recordings, labels, tuple(places), length)

    def take(self, index: Int64) -> SampleBatch:
        """Return some samples unchanged."""
        T = self.length
        chosen = [self.places[k] for k in index.tolist()]
        rows = [self.recordings[r][:, w.first : w.last] for r, w in chosen]
        features = np.stack([pad_window(row.T, T).T for row in rows])
        labels = [self.labels[r].in_window(w.first, T) for r, w in chosen]
        real = np.arange(T) < np.array([len(w) for _, w in chosen])[:, None]
        return SampleBatch(features, labels, None if real.all() else real)

    def crop(self, index: Int64, config: TemTrainConfig, draw: torch.Generator) -> SampleBatch:
        """Return some samples as random windows, moved by up to half a window and resized."""
        T = self.length
        shape = (3, len(index))
        chance, size, position = torch.rand(shape, generator=draw, dtype=torch.float64).numpy()
        size = config.crop_shortest + (config.crop_longest - config.crop_shortest) * size
        features, labels, real = [], [], np.ones((len(index), T), dtype=bool)
        for k, sample in enumerate(index.tolist()):
            r, window = self.places[sample]
            first, cells = float(window.first), float(T)
            if chance[k] < config.crop:
                cells = T * size[k]
                first += T / 2 - cells / 2 + (position[k] - 0.5) * T
                first = max(min(first, window.snippets - cells), 0.0)
            row = interpolate(self.recordings[r][None], np.array([first]), np.array([cells]), T)
            real[k] = first + cells * (np.arange(T) + 0.5) / T < window.snippets
            features.append(row[0] * real[k])
            labels.append(self.labels[r].in_window(first, cells))
        batch = np.stack(features).astype(np.float32)
        return SampleBatch(batch, labels, None if real.all() else real)

    def candidates(self, index: int, scores: Float32, pipeline: PipelineConfig) -> PemExamples:
        """Return PEM's examples from one sample, without those at inner edges."""
        r, window = self.places[index]
        labels = self.labels[r].in_window(window.first, len(window))
        return pem_examples(scores[:, : len(window)], labels, pipeline, window.inner_edges())

    def fingerprint(self) -> str:
        """Return a SHA-256 checksum of all data."""
        return fingerprint_of((self.ids, self.places), self.recordings, self.labels)


Samples = RescaledVideos | Windows


def choose_windows(
    snippets: int, length: int, instances: Float64, config: WindowTrainConfig | None
) -> list[Window]:
    """Choose the windows of a recording to train on (section 11); all without a config.

    `instances` are (M, 2) float64, start and end in snippets.
    """
    windows = list(plan_windows(snippets, length))
    if config is None:
        return windows
    full = [_has_instance(w, instances, config.instance_share) for w in windows]
    empty = [w for w, is_full in zip(windows, full, strict=True) if not is_full]
    kept = set(empty[:: round(1 / config.empty_share)]) if config.empty_share else set()
    return [w for w, is_full in zip(windows, full, strict=True) if is_full or w in kept]


def _has_instance(window: Window, instances: Float64, share: float) -> bool:
    start, end = instances.T
    inside = np.minimum(end, window.last) - np.maximum(start, window.first)
    return bool((inside >= share * (end - start)).any())
