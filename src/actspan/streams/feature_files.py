"""Files of an extraction: the features of a video, the journal of what is finished, the projection.

The journal, `extracted.jsonl`, has a line for each finished video with the origin of its features.
The projection to fewer channels consists of principal components of training features, of unit
variance. It is fitted once, kept next to the features, and used for every video that follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.config.base import NOT_JSON
from actspan.core.errors import ActSpanError, ConfigError, DataError, FeatureError, ShapeError
from actspan.core.files import atomic_file, is_plain_name, read_bytes, sha256
from actspan.core.limits import DOCUMENT, WEIGHTS
from actspan.core.types import Float32, Float64
from actspan.core.wording import counted
from actspan.data.features import Entry, read_array
from actspan.streams.addresses import Address, Location
from actspan.streams.extract_request import Precision

JOURNAL, PROJECTION = "extracted.jsonl", "projection.safetensors"
_ROWS = 4096  # rows read at a time
_LEAST = 1e-6  # variance below which a component is rounding error


class FeatureWriter:
    """Writer of one video's features as they come; see `FeatureFolder.writer`."""

    def __init__(self, stream: IO[bytes], channels: int, precision: Precision) -> None:
        self._stream, self._channels = stream, channels
        self._type = np.dtype(precision)
        self.rows = 0
        self._write_header()

    def _write_header(self) -> None:
        """Write NumPy's header, which leaves room for a larger number of rows."""
        shape = (self.rows, self._channels)
        facts = {"descr": self._type.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, facts)

    def add(self, rows: Float32) -> None:
        """Append snippets, (k, channels)."""
        limits = np.finfo(self._type)
        clipped = np.clip(rows, limits.min, limits.max) if self._type.itemsize == 2 else rows
        self._stream.write(np.ascontiguousarray(clipped, dtype=self._type).tobytes())
        self.rows += len(rows)

    def finish(self) -> None:
        """Write the final number of rows into the header."""
        self._stream.seek(0)
        self._write_header()


class JournalEntry(msgspec.Struct, frozen=True):
    """Origin of one feature file: a line of the journal."""

    video: str
    source: str  # the video file, or its address without credentials
    size: int  # of the video file, bytes; 0 of an address
    modified: int  # nanoseconds since 1970; 0 of an address
    settings: str  # checksum of all settings that determine the numbers
    seconds: float
    fps: float
    note: str = ""  # what was truncated or damaged

    def is_of(self, path: Location) -> bool:
        """Return whether a video file is still the one that the features were made of.

        Never for an address with a query, because queries are not recorded.
        """
        if isinstance(path, Address):
            return self.source == str(path) and not path.has_query
        try:
            status = path.stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.modified)


class Journal:
    """Lines of `extracted.jsonl`; the last one of each video counts.

    The file is created before the first features, as it says that `extract` makes the folder.

    Raises
    ------
    ActSpanError, DataError
        The journal cannot be created or read, or names a file of another folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        self.entries: dict[str, JournalEntry] = {}
        try:
            self.path.touch()
        except OSError as error:
            raise ActSpanError(f"{self.path}: cannot be written: {error.strerror}") from error
        try:
            lines = read_bytes(self.path, DOCUMENT).splitlines()
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from error
        for line in lines:
            try:
                entry = msgspec.json.decode(line, type=JournalEntry)
            except NOT_JSON:
                continue  # A truncated last line is ignored: that video is extracted again.
            if not is_plain_name(entry.video):  # Its features would be searched outside the folder.
                what = f"{entry.video!r} is not a valid video id; remove its line"
                raise DataError(f"{self.path}: {what}")
            self.entries[entry.video] = entry

    def add(self, entry: JournalEntry) -> None:
        """Append a line, after a line feed if the last line is incomplete."""
        self.entries[entry.video] = entry
        try:
            with self.path.open("a+b") as stream:
                if size := stream.tell():
                    stream.seek(size - 1)
                is_incomplete = size > 0 and stream.read(1) != b"\n"
                stream.write(b"\n" * is_incomplete + msgspec.json.encode(entry) + b"\n")
        except OSError as error:
            raise ActSpanError(f"{self.path}: cannot be written: {error.strerror}") from error


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
            raise ShapeError("a projection contains NaN or infinity")

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
        for rows in chunks_of(array):
            rows = rows.astype(np.float64)
            count += len(rows)
            total += rows.sum(axis=0)
            products += rows.T @ rows
    return count, total, products


def chunks_of(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the rows of a mapped file, some thousands at a time."""
    for begin in range(0, len(array), _ROWS):
        yield array[begin : begin + _ROWS]
