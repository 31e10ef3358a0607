"""Samples that training reads: videos rescaled to T cells, or windows of long recordings.

Both kinds have the same methods: `take` and `crop` return some samples, unchanged or as random
windows; `sample` describes the part of a recording that one sample shows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from actspan.config.stages import PipelineConfig
from actspan.config.training import BmnTrainConfig, TemTrainConfig, WindowTrainConfig
from actspan.core.progress import Progress, no_progress
from actspan.core.tiou import ioa_matrix
from actspan.core.types import Float32, Float64, Video
from actspan.data.cells import Window, fit_to_cells, pad_window, plan_windows
from actspan.data.dataset import Dataset

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
CropConfig = TemTrainConfig | BmnTrainConfig  # `crop` and its limits

_COVERED = 0.5  # what lies in an ignored stretch by more than this share is ignored
_CHUNK_VIDEOS = 64  # samples seen at once, to bound memory


@dataclass(frozen=True, slots=True, eq=False)
class SampleLabels:
    """Annotations of a video, or of a window of it.

    Instances, (M, 2), and ambiguous stretches (`Video.ignored`), (K, 2), are float64: start, end.
    """

    instances: Float64
    ignored: Float64

    def in_window(self, first: float, length: float) -> SampleLabels:
        """Return the labels as shares of a window that starts at `first`."""
        return SampleLabels((self.instances - first) / length, (self.ignored - first) / length)

    def ignores(self, start: Float64, end: Float64) -> Bool:
        """Return which of N segments lie in an ambiguous stretch by more than half."""
        covered: Bool = np.any(ioa_matrix(start, end, *self.ignored.T) > _COVERED, axis=1)
        return covered


class SampleBatch(NamedTuple):
    """Samples as TEM sees them."""

    features: Float32  # (B, C, T)
    labels: list[SampleLabels]  # positions as shares of the T cells
    real: Bool | None  # (B, T), False for padded cells; None if there are none


class Sample(NamedTuple):
    """Part of a recording that a sample shows."""

    labels: SampleLabels  # positions as shares of the `cells`
    cells: int  # that are not padded
    inner_edges: tuple[bool, bool]  # whether the recording continues before and after it


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

    def take(self, index: Int64) -> SampleBatch:
        """Return some samples unchanged; no cell is padded."""
        return SampleBatch(self.features[index], self._clipped(index), None)

    def crop(self, index: Int64, config: CropConfig, generator: torch.Generator) -> SampleBatch:
        """Return random windows of some samples, which lie inside the video or contain it."""
        T = self.features.shape[2]
        length, position = draw_windows(len(index), config, generator)
        offset = (1 - length) * position
        features = interpolate(self.features[index], offset * T, length * T, T)
        windows = zip(self._clipped(index), offset.tolist(), length.tolist(), strict=True)
        return SampleBatch(
            features, [labels.in_window(*window) for labels, *window in windows], None
        )

    def _clipped(self, index: Int64) -> list[SampleLabels]:
        """Return the labels with instances clipped to the features, as published."""
        chosen = [self.labels[v] for v in index.tolist()]
        return [
            SampleLabels(np.clip(labels.instances, 0.0, 1.0), labels.ignored) for labels in chosen
        ]

    def sample(self, index: int) -> Sample:
        """Return the labels of one sample, of which no cell is padded."""
        return Sample(self.labels[index], self.features.shape[2], (False, False))


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of recordings (bsn.md section 11). Each recording is stored once.

    Recordings are (C, n) float32, their labels in snippets, not clipped. `windows` are the samples,
    each with the position of its recording; `length` is T.
    """

    ids: tuple[str, ...]
    recordings: tuple[Float32, ...]
    labels: tuple[SampleLabels, ...]
    windows: tuple[tuple[int, Window], ...]
    length: int

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, index: Int64) -> SampleBatch:
        """Return some samples unchanged."""
        T = self.length
        chosen = [self.windows[k] for k in index.tolist()]
        rows = [self.recordings[r][:, w.first : w.last] for r, w in chosen]
        features = np.stack([pad_window(row.T, T).T for row in rows])
        labels = [self.labels[r].in_window(w.first, T) for r, w in chosen]
        real = np.arange(T) < np.array([len(w) for _, w in chosen])[:, None]
        return SampleBatch(features, labels, None if real.all() else real)

    def crop(self, index: Int64, config: CropConfig, generator: torch.Generator) -> SampleBatch:
        """Return some samples as random windows, moved by up to half a window and resized."""
        T = self.length
        recordings, windows = zip(*(self.windows[k] for k in index.tolist()), strict=True)
        snippets = np.array([window.snippets for window in windows])
        size, position = draw_windows(len(index), config, generator)
        cells = T * size
        first = np.array([window.first for window in windows])
        first = first + (T / 2 - cells / 2 + (position - 0.5) * T)
        first = np.maximum(np.minimum(first, snippets - cells), 0.0)
        real = first[:, None] + cells[:, None] * (np.arange(T) + 0.5) / T < snippets[:, None]
        rows = [
            interpolate(self.recordings[r][None], first[k : k + 1], cells[k : k + 1], T)
            for k, r in enumerate(recordings)
        ]
        labels = [
            self.labels[r].in_window(*window)
            for r, *window in zip(recordings, first.tolist(), cells.tolist(), strict=True)
        ]
        return SampleBatch(
            np.concatenate(rows) * real[:, None], labels, None if real.all() else real
        )

    def sample(self, index: int) -> Sample:
        """Return the labels of one sample, its cells and its inner edges."""
        r, window = self.windows[index]
        labels = self.labels[r].in_window(window.first, len(window))
        return Sample(labels, len(window), window.inner_edges())


Samples = RescaledVideos | Windows


def read_samples(
    dataset: Dataset,
    pipeline: PipelineConfig,
    windows: WindowTrainConfig | None = None,
    what: str = "reading",
    progress: Progress = no_progress,
) -> Samples:
    """Read every video of a checked dataset on all cores, as the pipeline's mode needs it.

    Recordings are split into the windows to train on that `windows` chooses, or else into all.
    """
    assert pipeline.rescale.edge != "auto"
    length, edge, in_windows = pipeline.cells, pipeline.rescale.edge, pipeline.mode == "window"
    shape = (len(dataset), dataset.spec.channels or 0, length)
    features: Any = [None] * len(dataset) if in_windows else np.empty(shape, dtype=np.float32)

    def load(index: int, video: Video) -> SampleLabels:
        read = dataset.read(video.id)
        if in_windows:
            features[index], unit = np.ascontiguousarray(read.values.T), read.stride
        else:
            features[index], unit = fit_to_cells(read, length, edge).T, read.span
        return SampleLabels(video.segments / unit, video.ignored / unit)

    labels: list[SampleLabels] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for loaded in pool.map(load, range(len(dataset)), dataset.videos):
            labels.append(loaded)
            progress(what, len(labels), len(dataset))
    ids = tuple(video.id for video in dataset)
    if not in_windows:
        return RescaledVideos(ids, features, tuple(labels))
    chosen = [
        (r, window)
        for r, (recording, own) in enumerate(zip(features, labels, strict=True))
        for window in choose_windows(recording.shape[1], length, own.instances, windows)
    ]
    return Windows(ids, tuple(features), tuple(labels), tuple(chosen), length)


def fingerprint(samples: Samples) -> str:
    """Compute a SHA-256 checksum of all data."""
    names: object = samples.ids
    arrays: list[NDArray[np.floating[Any]]]
    if isinstance(samples, Windows):
        names, arrays = (samples.ids, samples.windows), [*samples.recordings]
    else:
        arrays = [samples.features]
    digest = hashlib.sha256(repr(names).encode())
    arrays += [array for labels in samples.labels for array in (labels.instances, labels.ignored)]
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()


def chunks(samples: Samples, size: int = _CHUNK_VIDEOS) -> Iterator[SampleBatch]:
    """Yield all samples, unchanged and in order, `size` at a time."""
    for first in range(0, len(samples), size):
        yield samples.take(np.arange(first, min(first + size, len(samples))))


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


def draw_windows(
    count: int, config: CropConfig, generator: torch.Generator
) -> tuple[Float64, Float64]:
    """Draw a window for each of `count` samples: lengths and positions, (count,) float64 each.

    Lengths are shares of the sample. Positions lie between 0 and 1. With the probability
    `1 - config.crop` the window is the sample itself: length 1, position 0.5.
    """
    chance, size, position = torch.rand(
        (3, count), generator=generator, dtype=torch.float64
    ).numpy()
    length = config.crop_shortest + (config.crop_longest - config.crop_shortest) * size
    unchanged = chance >= config.crop
    return np.where(unchanged, 1.0, length), np.where(unchanged, 0.5, position)


def interpolate(features: Float32, first: Float64, cells: Float64, length: int) -> Float32:
    """Resample features to windows, linearly interpolated between cell centres.

    Features are (B, C, n) float32, the result (B, C, T) with T = `length`. Windows start at `first`
    and have `cells` cells of `features`, (B,) float64. Outside `features` the outer cell is
    repeated.
    """
    B, C, n = features.shape
    steps = (np.arange(length) + 0.5) / length
    position = first[:, None] + cells[:, None] * steps - 0.5  # (B, T)
    position = np.clip(position, 0, n - 1)
    lower = np.minimum(position.astype(np.int64), max(n - 2, 0))
    share = torch.from_numpy((position - lower).astype(np.float32))[:, None]  # (B, 1, T)
    index = torch.from_numpy(lower)[:, None].expand(B, C, length)
    source = torch.from_numpy(features)
    upper = (index + 1).clamp(max=n - 1)
    out: Float32 = torch.lerp(source.gather(2, index), source.gather(2, upper), share).numpy()
    return out
