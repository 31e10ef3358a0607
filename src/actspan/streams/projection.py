"""Projection to fewer channels: principal components of training features, of unit variance.

The projection is fitted once, kept beside the features, and used for every video that follows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from actspan.core.errors import ConfigError, FeatureError, ShapeError
from actspan.core.files import atomic_file, read_bytes, sha256
from actspan.core.limits import WEIGHTS
from actspan.core.types import Float32, Float64
from actspan.core.wording import counted
from actspan.data.features import Entry, read_array

PROJECTION = "projection.safetensors"
_ROWS = 4096  # rows read at a time
_LEAST = 1e-6  # variance below which a component is rounding error


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """A projection from C channels to N; raises ShapeError if shapes do not fit."""

    mean: Float32  # (C,)
    matrix: Float32  # (C, N)

    def __post_init__(self) -> None:
        shape = self.matrix.shape
        if self.mean.ndim != 1 or len(shape) != 2 or len(self.mean) != shape[0] or 0 in shape:
            raise ShapeError(f"mean {self.mean.shape} and matrix {shape}; (C,), (C, N) are needed")
        if not all(np.isfinite(array).all() for array in (self.mean, self.matrix)):
            raise ShapeError("a projection holds NaN or infinity")

    @property
    def channels(self) -> int:
        """Number of output channels, N."""
        return int(self.matrix.shape[1])

    def apply(self, rows: Float32) -> Float32:
        """Project snippets, (k, C) to (k, N)."""
        return ((rows - self.mean) @ self.matrix).astype(np.float32, copy=False)

    def save(self, path: Path) -> str:
        """Write the projection; return its checksum."""
        from safetensors.numpy import save

        arrays = {"mean": self.mean, "matrix": np.ascontiguousarray(self.matrix)}
        with atomic_file(path) as stream:
            stream.write(save(arrays))
        return sha256(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load a projection; raise FeatureError if the file is missing or damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays = load(read_bytes(path, WEIGHTS))
            return cls(arrays["mean"], arrays["matrix"])
        except (OSError, SafetensorError, KeyError, ShapeError) as error:
            raise FeatureError(
                f"{path}: missing or damaged ({error}); remove it to project again"
            ) from error


def fit_projection(files: Iterable[Path], channels: int) -> Projection:
    """Fit principal components to the features in some files, each scaled to unit variance.

    Channels are scaled to unit variance first, so that both streams count equally. Raises
    ConfigError if there are fewer snippets, or fewer channels, than requested components.
    """
    count, total, products = _moments(files)
    if channels > min(count - 1, len(total)):
        raise ConfigError(
            f"{channels} channels cannot be fitted: the training videos have "
            f"{counted(count, 'snippet')} of {counted(len(total), 'channel')}"
        )
    mean = total / count
    covariance = products / count - np.outer(mean, mean)
    deviation = np.sqrt(np.maximum(np.diag(covariance), _LEAST))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    values, vectors = values[::-1][:channels], vectors[:, ::-1][:, :channels]
    matrix = vectors / deviation[:, None] / np.sqrt(np.maximum(values, _LEAST))
    return Projection(mean.astype(np.float32), matrix.astype(np.float32))


def _moments(files: Iterable[Path]) -> tuple[int, Float64, Float64]:
    """Compute the number, the sum and the sum of outer products of all snippets."""
    count, total, products = 0, np.zeros(0), np.zeros((0, 0))
    for file in files:
        array = read_array(Entry(file), mapped=True)
        if not count:
            total = np.zeros(array.shape[1])
            products = np.zeros((array.shape[1], array.shape[1]))
        for begin in range(0, len(array), _ROWS):
            rows = np.asarray(array[begin : begin + _ROWS], dtype=np.float64)
            count += len(rows)
            total += rows.sum(axis=0)
            products += rows.T @ rows
    return count, total, products
