"""What training reads: every video once, on the cells of the nets, in one array."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np

from actspan.data.dataset import Dataset
from actspan.data.rescale import Edge, fit_to_cells
from actspan.errors import ConfigError
from actspan.types import Float32, Float64, Video

Progress = Callable[[int, int], None]  # (videos done, videos in all)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Videos as the nets see them.

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

    def __len__(self) -> int:
        return len(self.ids)

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

        instances = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for fractions in pool.map(load, range(len(dataset)), dataset.videos):
                instances.append(fractions)
                if progress:
                    progress(len(instances), len(dataset))
        return cls(tuple(video.id for video in dataset), features, tuple(instances))

    def fingerprint(self) -> str:
        """SHA-256 over ids, features and instances."""
        digest = hashlib.sha256(repr((self.ids, self.features.shape)).encode())
        digest.update(np.ascontiguousarray(self.features).data.cast("B"))
        for fractions in self.instances:
            digest.update(repr(fractions.shape).encode())
            digest.update(fractions.tobytes())
        return digest.hexdigest()


def split_videos(videos: Sequence[Video], share: float, seed: int) -> tuple[set[str], set[str]]:
    """Set a share of the videos apart, the same ones for the same seed, whatever their order.

    Returns
    -------
    training, validation : set of str
        Video ids; both hold at least one.

    Raises
    ------
    ConfigError
        `share` is not between 0 and 1, or there are fewer than two videos.
    """
    if not 0 < share < 1:
        raise ConfigError(f"--validation-split {share}: must lie between 0 and 1")
    ids = sorted(video.id for video in videos)
    if len(ids) < 2:
        raise ConfigError(f"--validation-split needs at least two videos, there are {len(ids)}")
    count = min(max(round(share * len(ids)), 1), len(ids) - 1)
    drawn = np.random.default_rng([seed, 0x5B11]).permutation(len(ids))[:count]
    validation = {ids[i] for i in drawn.tolist()}
    return set(ids) - validation, validation
