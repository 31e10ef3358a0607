"""Samples that training reads: the interface and the parts that both kinds share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from actspan.config.stages import PipelineConfig
from actspan.config.training import TemTrainConfig
from actspan.core.errors import ConfigError
from actspan.core.tiou import ioa_matrix
from actspan.core.types import Float32, Float64, Proposals, Video
from actspan.data.dataset import Dataset

TRAINING, VALIDATION = "training", "validation"  # subsets

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Loaded = TypeVar("Loaded")
Progress = Callable[[int, int], None]  # (videos done, total videos)


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """Annotations of a video, or of a window of it.

    Attributes
    ----------
    instances : (M, 2) float64
        Start and end.
    ignored : (K, 2) float64
        Ambiguous stretches (`Video.ignored`).
    """

    instances: Float64
    ignored: Float64

    @classmethod
    def of(cls, video: Video, unit: float) -> Self:
        """Return the marks of a video, in units of `unit` seconds, not clipped."""
        return cls(video.segments / unit, video.ignored / unit)

    def seen_from(self, first: float, length: float) -> Marks:
        """Return the marks as shares of a window that starts at `first`."""
        return Marks((self.instances - first) / length, (self.ignored - first) / length)


class Seen(NamedTuple):
    """Samples as a network sees them.

    Attributes
    ----------
    features : (B, C, T) float32
    marks : list of Marks
        Positions as shares of the T cells.
    real : (B, T) bool, optional
        False for padded cells; None if there are none.
    """

    features: Float32
    marks: list[Marks]
    real: Bool | None


class Samples(Protocol):
    """Training data of the networks: whole videos on T cells, or windows of recordings.

    Attributes
    ----------
    ids : tuple of str
        Ids of the videos.
    length : int
        T, the number of cells.
    """

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the videos."""
        ...

    @property
    def length(self) -> int:
        """Number of cells, T."""
        ...

    def __len__(self) -> int: ...

    def take(self, index: Int64) -> Seen:
        """Return some samples unchanged."""
        ...

    def crop(self, index: Int64, config: TemTrainConfig, draw: torch.Generator) -> Seen:
        """Return some samples seen through random windows."""
        ...

    def candidates(self, index: int, scores: Float32, pipeline: PipelineConfig) -> Found:
        """Return PEM's examples from one sample with boundary scores (3, T)."""
        ...

    def fingerprint(self) -> str:
        """Return a SHA-256 checksum of all data."""
        ...


class Found(NamedTuple):
    """Candidates of a sample: BSP features (N, 32) float32, and match_iou (N,) float32."""

    features: Float32
    targets: Float32


def read_all(
    load: Callable[[int, Video], Loaded], dataset: Dataset, progress: Progress | None
) -> Iterator[Loaded]:
    """Yield the result of `load(number, video)` for every video, in order, on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        loaded = pool.map(load, range(len(dataset)), dataset.videos)
        for done, item in enumerate(loaded, start=1):
            if progress:
                progress(done, len(dataset))
            yield item


def drop_ignored(found: Proposals, marks: Marks) -> Proposals:
    """Drop candidates of which more than half lies in an ignored stretch."""
    if not len(marks.ignored):
        return found
    inside = ioa_matrix(found.start, found.end, *marks.ignored.T)
    return found[(inside <= 0.5).all(axis=1)]


def fingerprint_of(names: object, features: Iterable[Float32], marks: Iterable[Marks]) -> str:
    """Compute a SHA-256 checksum of names and arrays."""
    digest = hashlib.sha256(repr(names).encode())
    arrays: list[NDArray[np.floating[Any]]] = [*features]
    arrays += [array for mark in marks for array in (mark.instances, mark.ignored)]
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()


def split_videos(videos: Sequence[Video], share: float, seed: int) -> tuple[set[str], set[str]]:
    """Set a share of the videos apart; the choice depends on the seed, not on their order.

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
        raise ConfigError(f"--validation-split needs at least two videos, not {len(ids)}")
    count = min(max(round(share * len(ids)), 1), len(ids) - 1)
    drawn = np.random.default_rng([seed, 0x5B11]).permutation(len(ids))[:count]
    validation = {ids[i] for i in drawn.tolist()}
    return set(ids) - validation, validation
