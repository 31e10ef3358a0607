"""Writer of a store's shards from a stream of videos, in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.core.files import atomic_file
from actspan.data.store.manifest import Manifest, ShardRecord, shard_path
from actspan.data.store.shards import schema_of
from actspan.data.timebase import SnippetGrid

_BATCH = 2**24  # bytes of features per record batch, which are in memory before they are written


class Row(NamedTuple):
    """One video: its features, (n, C) of the store's type, and its snippet grid."""

    video: str
    values: NDArray[Any]
    grid: SnippetGrid


def write_shards(
    folder: Path, manifest: Manifest, rows: Iterable[Row], *, shard_size: int
) -> tuple[ShardRecord, ...]:
    """Write as many shards as the videos need; rows are consumed while writing.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        Required properties of the shards; its own records are ignored.
    rows : iterable of Row
    shard_size : int
        Bytes of features per shard; a larger video gets a separate shard.

    Raises
    ------
    ActSpanError
        The disk is full, or the folder is not writable.
    """
    schema = schema_of(manifest)
    shards = groupby(rows, _Cut(shard_size))
    return tuple(_write(shard_path(folder, number), schema, shard) for number, shard in shards)


class _Cut:
    """Return the group number of a row; groups have at most `limit` bytes, or one row."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = self._number = 0

    def __call__(self, row: Row) -> int:
        if self._size and self._size + row.values.nbytes > self._limit:
            self._size, self._number = 0, self._number + 1
        self._size += row.values.nbytes
        return self._number


def _write(path: Path, schema: Any, rows: Iterable[Row]) -> ShardRecord:
    import pyarrow as pa

    videos = 0
    with atomic_file(path) as stream:
        measured = _Measured(stream)
        with pa.ipc.new_file(measured, schema) as writer:
            for _, group in groupby(rows, _Cut(_BATCH)):
                batch = list(group)
                writer.write_batch(_record_batch(batch, schema))
                videos += len(batch)
    return ShardRecord(videos=videos, size=measured.size, sha256=measured.sha256)


def _record_batch(rows: Sequence[Row], schema: Any) -> Any:
    import pyarrow as pa

    videos, values, grids = zip(*rows, strict=True)
    columns = list(zip(*grids, strict=True))[:3]  # `covered` follows from the annotations
    seconds = [pa.array(np.array(column, np.float64)) for column in columns]  # None becomes NaN
    features = _features(values, schema.field("features").type)
    return pa.record_batch([pa.array(videos, pa.string()), *seconds, features], schema=schema)


def _features(values: Sequence[NDArray[Any]], kind: Any) -> Any:
    import pyarrow as pa

    flat = pa.array(np.concatenate(values, axis=None))
    if isinstance(kind, pa.FixedShapeTensorType):
        storage = pa.FixedSizeListArray.from_arrays(flat, kind.storage_type.list_size)
        return pa.ExtensionArray.from_storage(kind, storage)
    bounds = np.cumsum([0, *map(len, values)]).astype(np.int32)
    rows = pa.FixedSizeListArray.from_arrays(flat, values[0].shape[1])
    return pa.ListArray.from_arrays(pa.array(bounds), rows)


class _Measured:
    """A stream that records the size and checksum of the written bytes."""

    closed = False  # required by pyarrow

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._hash = stream, hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()
