"""Record batches of untrusted Arrow data, whose sizes are judged before Arrow reads them.

Arrow trusts its input: an offset beyond a column reads foreign memory, and a compressed buffer is
expanded to the size that it declares.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

_STREAM = 8  # bytes before the messages of an Arrow file
# Offsets in the vtables of Arrow's flatbuffers (Message.fbs).
_HEADER_OF_MESSAGE, _LENGTH_OF_BATCH, _BUFFERS_OF_BATCH, _COMPRESSION_OF_BATCH = 8, 4, 8, 10
_BUFFER = struct.Struct("<qq")  # offset in the body, length
_EXPANDED = struct.Struct("<q")  # before a compressed buffer: its bytes, or -1 if it is not
_STATED = 8  # bytes of it


class Declared(NamedTuple):
    """Declaration of a record batch about itself."""

    rows: int
    size: int  # bytes of its buffers in memory
    is_compressed: bool


def batch_messages(data: Any, *, is_file: bool) -> tuple[Any, list[Any]]:
    """Return the schema of an Arrow file or stream, a `pyarrow.Buffer`, and its record batches.

    Batches are messages, views of the data that are not decoded. Raises ValueError, OSError and
    pyarrow.ArrowException if the data are damaged, or there are messages of another kind.
    """
    import pyarrow as pa

    messages = pa.ipc.MessageReader.open_stream(data.slice(_STREAM) if is_file else data)
    schema, batches = None, list[Any]()
    for message in messages:
        if schema is None:
            schema = pa.ipc.read_schema(message)
        elif message.type == "record batch":
            batches.append(message)
        else:
            raise ValueError(f"it contains a {message.type}")
    if schema is None:
        raise ValueError("it contains no columns")
    return schema, batches


def declared(message: Any) -> Declared:
    """Return what a record batch declares, from its message; raise ValueError if it is damaged."""
    from flatbuffers import encode, number_types, packer
    from flatbuffers.table import Table

    metadata, body = message.metadata.to_pybytes(), message.body
    try:
        root = Table(metadata, encode.Get(packer.uoffset, metadata, 0))
        header = root.Indirect(root.Pos + root.Offset(_HEADER_OF_MESSAGE))
        batch = Table(metadata, header)
        is_compressed = bool(batch.Offset(_COMPRESSION_OF_BATCH))
        rows = batch.GetSlot(_LENGTH_OF_BATCH, 0, number_types.Int64Flags)
        place = batch.Offset(_BUFFERS_OF_BATCH)
        size = 0
        for number in range(batch.VectorLen(place) if place else 0):
            at = batch.Vector(place) + number * _BUFFER.size
            offset, length = _BUFFER.unpack_from(metadata, at)
            expanded = length
            if is_compressed and length >= _STATED:
                (stated,) = _EXPANDED.unpack_from(body, offset)
                expanded = length - _STATED if stated == -1 else stated
            if min(offset, length, expanded) < 0:
                raise ValueError("its flatbuffers are damaged")
            size += expanded
    except (struct.error, IndexError, TypeError) as error:
        raise ValueError("its flatbuffers are damaged") from error
    return Declared(int(rows), size, is_compressed)


def read_batch(message: Any, schema: Any) -> Any:
    """Decode a record batch; its offsets are checked, its numbers are not."""
    import pyarrow as pa

    batch = pa.ipc.read_record_batch(message, schema)
    batch.validate(full=True)
    return batch


class Batches:
    """The record batches of an untrusted Arrow file of ours, each checked when it is requested.

    Our writers never compress, so compressed batches are refused unread.

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
        message = self._messages[number]
        if declared(message).is_compressed:
            raise ValueError("it is compressed, which none of ours is")
        batch = read_batch(message, self._schema)
        if any(column.null_count for column in batch.columns):
            raise ValueError("a value is missing")
        return batch
