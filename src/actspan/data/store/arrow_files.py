"""The Arrow files of a store: writing, and reading files that may come from anybody.

One row per video, in record batches of a few megabytes:

    video            string
    stride, length   float64, seconds
    span             float64, seconds at position 1.0 in results; NaN: rows * stride
    features         fixed_shape_tensor[T, C], or list<fixed_size_list[C]> where lengths vary
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.core.files import atomic_file, sha256
from actspan.data.store.store_manifest import Manifest, ShardRecord, shard_path
from actspan.data.timebase import SnippetGrid

_BATCH = 2**24  # bytes of features per record batch, which are in memory before they are written
_STREAM = 8  # bytes before the messages of an Arrow file
# Offsets in the vtables of Arrow's flatbuffers (Message.fbs).
_HEADER_OF_MESSAGE, _COMPRESSION_OF_BATCH = 8, 10


def schema_of(manifest: Manifest) -> Any:
    """Return the columns of a shard, as a `pyarrow.Schema`."""
    import pyarrow as pa

    number = pa.float32() if manifest.dtype == "float32" else pa.float16()
    if manifest.length is None:
        features = pa.list_(pa.list_(number, manifest.channels))
    else:
        features = pa.fixed_shape_tensor(number, (manifest.length, manifest.channels))
    seconds = [(name, pa.float64()) for name in ("stride", "length", "span")]
    return pa.schema([("video", pa.string()), *seconds, ("features", features)])


def block_of(batch: Any, manifest: Manifest) -> Block:
    """Return a view of the features of a record batch."""
    column = batch["features"]
    if manifest.length is None:
        values, bounds = column.values, np.from_dlpack(column.offsets).astype(np.int64)
    else:
        values, bounds = column.storage, np.arange(len(column) + 1) * manifest.length
    # flatten() and to_numpy() do the same, but import pyarrow.compute and pandas.
    return Block(np.from_dlpack(values.values).reshape(-1, manifest.channels), bounds)


class Block(NamedTuple):
    """Features of a record batch: rows (n, C), and the first row of each video, with the end."""

    rows: NDArray[Any]
    bounds: NDArray[np.int64]


class Batches:
    """The record batches of an untrusted Arrow file, each checked when it is requested.

    Arrow trusts its input: an offset beyond a column reads foreign memory, and a compressed buffer
    is expanded to the size that it declares. Our writers never compress, so compressed batches are
    refused unread.

    `file` is a `pyarrow.Buffer` with the whole file, of which batches are views; `schema` has the
    required columns. Raises ValueError, OSError and pyarrow.ArrowException if the file is damaged
    or has other columns; or a batch is compressed or lacks a value.
    """

    def __init__(self, file: Any, schema: Any) -> None:
        import pyarrow as pa

        with pa.ipc.open_file(file) as reader:
            if reader.schema != schema:
                raise ValueError("its columns are not those that it must have")
            count = reader.num_record_batches
        messages = pa.ipc.MessageReader.open_stream(file.slice(_STREAM))
        self._messages = [m for m in messages if m.type == "record batch"]
        if len(self._messages) != count:
            raise ValueError(f"{len(self._messages)} record batches where {count} were written")
        self._schema = schema

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Any:
        """Return one batch."""
        import pyarrow as pa

        message = self._messages[number]
        if _is_compressed(message.metadata.to_pybytes()):
            raise ValueError("it is compressed, which none of ours is")
        batch = pa.ipc.read_record_batch(message, self._schema)
        batch.validate(full=True)  # checks the offsets of lists, but not numbers
        if any(column.null_count for column in batch.columns):
            raise ValueError("a value is missing")
        return batch


def _is_compressed(metadata: bytes) -> bool:
    from flatbuffers import encode, packer
    from flatbuffers.table import Table

    try:
        message = Table(metadata, encode.Get(packer.uoffset, metadata, 0))
        header = message.Indirect(message.Pos + message.Offset(_HEADER_OF_MESSAGE))
        return bool(Table(metadata, header).Offset(_COMPRESSION_OF_BATCH))
    except (struct.error, IndexError, TypeError) as error:
        raise ValueError("its flatbuffers are damaged") from error


class Row(NamedTuple):
    """One video: its features, (n, C) of the store's type, and its snippet grid."""

    video: str
    values: NDArray[Any]
    grid: SnippetGrid


def write_shards(
    folder: Path, manifest: Manifest, rows: Iterable[Row], *, shard_size: int
) -> tuple[ShardRecord, ...]:
    """Write as many shards as the videos need, in constant memory.

    Parameters
    ----------
    manifest : Manifest
        Required properties of the shards; its own records are ignored.
    shard_size : int
        Bytes of features per shard; a larger video gets a separate shard.
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
    with atomic_file(path) as stream, pa.ipc.new_file(stream, schema) as writer:
        for _, group in groupby(rows, _Cut(_BATCH)):
            batch = list(group)
            writer.write_batch(_record_batch(batch, schema))
            videos += len(batch)
    return ShardRecord(videos=videos, size=path.stat().st_size, sha256=sha256(path))


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
