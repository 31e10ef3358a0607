"""What training reads, once: the contract of its samples, and what its two kinds share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from actspan.config import PipelineConfig, TemTrainConfig
from actspan.data.dataset import Dataset
from actspan.errors import ConfigError
from actspan.types import Float32, Float64, Video

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Loaded = TypeVar("Loaded")
Progress = Callable[[int, int], None]  # (videos done, videos in all)


class Samples(Protocol):
    """What the nets learn from: whole videos on T cells, or windows of recordings.

    Attributes
    ----------
    ids : tuple of str
        Of the videos.
    length : int
        T.
    instances : sequence of (M, 2) float64
        Of each sample; fractions of its T cells, not clipped.
    clips : bool
        Whether instances end where the sample ends (a whole video), or go on (a window).
    """

    clips: ClassVar[bool]

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the videos."""
        ...

    @property
    def length(self) -> int:
        """T."""
        ...

    @property
    def instances(self) -> Sequence[Float64]:
        """Of each sample."""
        ...

    def __len__(self) -> int: ...

    def take(self, index: Int64) -> Float32:
        """Features of some samples, (B, C, T)."""
        ...

    def real(self, index: Int64) -> Bool | None:
        """Which cells are not padded, (B, T); None where none is."""
        ...

    def crop(
        self, index: Int64, config: TemTrainConfig, draw: torch.Generator
    ) -> tuple[Float32, list[Float64], Bool | None]:
        """Some samples seen through random windows: features, instances, cells not padded."""
        ...

    def candidates(self, index: int, scores: Float32, pipeline: PipelineConfig) -> Found:
        """What PEM learns from in one sample whose boundary scores are (3, T)."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 over all of it."""
        ...


class Found(NamedTuple):
    """Candidates of a sample: BSP features (N, 32) float32, and match_iou (N,) float32."""

    features: Float32
    targets: Float32


def read_all(
    load: Callable[[int, Video], Loaded], dataset: Dataset, progress: Progress | None
) -> Iterator[Loaded]:
    """What `load(number, video)` returns for every video, in order, on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        loaded = pool.map(load, range(len(dataset)), dataset.videos)
        for done, item in enumerate(loaded, start=1):
            if progress:
                progress(done, len(dataset))
            yield item


def fingerprint_of(names: object, features: Iterable[Float32], instances: Iterable[Float64]) -> str:
    """SHA-256 over names and arrays."""
    digest = hashlib.sha256(repr(names).encode())
    arrays: list[NDArray[np.floating[Any]]] = [*features, *instances]
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
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
