"""Form of the samples that training reads, and functions that both kinds of them share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from actspan.config.stages import PipelineConfig
from actspan.config.training import TemTrainConfig
from actspan.core.errors import ConfigError
from actspan.core.progress import Progress
from actspan.core.tiou import ioa_matrix
from actspan.core.types import BoundaryScores, Float32, Float64, Proposals, Video
from actspan.data.dataset import Dataset
from actspan.model.bsn.losses import pem_targets
from actspan.proposals.bsp import bsp_features
from actspan.proposals.candidates import generate_proposals

TRAINING, VALIDATION = "training", "validation"  # subsets

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True, eq=False)
class SampleLabels:
    """Annotations of a video, or of a window of it.

    Instances, (M, 2), and ambiguous stretches (`Video.ignored`), (K, 2), are float64: start, end.
    """

    instances: Float64
    ignored: Float64

    @classmethod
    def of(cls, video: Video, unit: float) -> Self:
        """Return the labels of a video, in units of `unit` seconds, not clipped."""
        return cls(video.segments / unit, video.ignored / unit)

    def in_window(self, first: float, length: float) -> SampleLabels:
        """Return the labels as shares of a window that starts at `first`."""
        return SampleLabels((self.instances - first) / length, (self.ignored - first) / length)


class SampleBatch(NamedTuple):
    """Samples as TEM sees them.

    Attributes
    ----------
    features : (B, C, T) float32
    labels : list of SampleLabels
        Positions as shares of the T cells.
    real : (B, T) bool, optional
        False for padded cells; None if there are none.
    """

    features: Float32
    labels: list[SampleLabels]
    real: Bool | None


class PemExamples(NamedTuple):
    """Candidates of a sample: BSP features (N, 32) float32, and match_iou (N,) float32."""

    features: Float32
    targets: Float32


def draw_windows(
    count: int, config: TemTrainConfig, draw: torch.Generator
) -> tuple[Float64, Float64]:
    """Draw a window for each of `count` videos: offsets and lengths, (count,) float64 each.

    Both are shares of the video's span. A window shorter than the span lies inside it, a longer
    one contains it; (0, 1), the span itself, has the probability `1 - config.crop`.
    """
    chance, size, position = torch.rand((3, count), generator=draw, dtype=torch.float64).numpy()
    length = config.crop_shortest + (config.crop_longest - config.crop_shortest) * size
    length[chance >= config.crop] = 1.0
    offset: Float64 = (1 - length) * position
    return offset, length


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


def pem_examples(
    scores: Float32,
    labels: SampleLabels,
    pipeline: PipelineConfig,
    inner_edges: tuple[bool, bool] = (False, False),
) -> PemExamples:
    """Return PEM's examples from boundary scores (3, T): the best `keep_training` candidates."""
    cells = BoundaryScores.from_array(scores)
    found = generate_proposals(cells, pipeline.pgm, inner_edges=inner_edges)
    found = drop_ignored(found, labels)[: pipeline.pgm.keep_training]
    targets = pem_targets(found, labels.instances)
    return PemExamples(bsp_features(cells, found, pipeline.bsp), targets)


def drop_ignored(found: Proposals, labels: SampleLabels) -> Proposals:
    """Drop candidates of which more than half lies in an ignored stretch."""
    if not len(labels.ignored):
        return found
    inside = ioa_matrix(found.start, found.end, *labels.ignored.T)
    return found[(inside <= 0.5).all(axis=1)]


def read_all(
    load: Callable[[int, Video], Loaded], dataset: Dataset, what: str, progress: Progress
) -> Iterator[Loaded]:
    """Yield the result of `load(number, video)` for every video, in order, on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        loaded = pool.map(load, range(len(dataset)), dataset.videos)
        for done, item in enumerate(loaded, start=1):
            progress(what, done, len(dataset))
            yield item


def fingerprint_of(
    names: object, features: Iterable[Float32], labels: Iterable[SampleLabels]
) -> str:
    """Compute a SHA-256 checksum of names and arrays."""
    digest = hashlib.sha256(repr(names).encode())
    arrays: list[NDArray[np.floating[Any]]] = [*features]
    arrays += [array for one in labels for array in (one.instances, one.ignored)]
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()


def split_videos(videos: Sequence[Video], share: float, seed: int) -> tuple[set[str], set[str]]:
    """Set a share of the videos apart; the choice depends on the seed, not on their order.

    Returns the ids of the training and of the validation videos, at least one each; raises
    ConfigError if `share` is not between 0 and 1, or there are fewer than two videos.
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
