"""Arrow files from strangers: batches whose offsets and sizes were checked before they are used.

Arrow trusts what it maps: an offset beyond a column reads foreign memory, and a compressed buffer
is expanded to whatever size it declares. Our writers never compress, so that is refused unread.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

_MAGIC = 8  # bytes before the first message
_HEADER, _COMPRESSION = 2, 3  # fields of Arrow's Message and RecordBatch, by number


def record_batches(file: Any, schema: Any) -> Iterator[Any]:
    """The record batches of an Arrow file, one at a time: views of its bytes.

    Parameters
    ----------
    file : pyarrow.Buffer
        The whole file.
    schema : pyarrow.Schema
        What it must have.

    Raises
    ------
    ValueError, pyarrow.ArrowException, OSError
        It is damaged, of other columns, compressed, or a value is missing.
    """
    import pyarrow as pa

    reader = pa.ipc.open_file(file)  # its footer: a file that was cut off has none
    if reader.schema != schema:
        raise ValueError("its columns are not those that it must have")
    messages = pa.ipc.MessageReader.open_stream(file.slice(_MAGIC))
    messages.read_next_message()  # the schema
    for _ in range(reader.num_record_batches):
        message = messages.read_next_message()
        if message.type != "record batch":
            raise ValueError(f"a {message.type} where a record batch must be")
        if _is_compressed(message.metadata.to_pybytes()):
            raise ValueError("it is compressed, which none of ours is")
        batch = pa.ipc.read_record_batch(message, schema)
        batch.validate(full=True)  # of lists their offsets; numbers are not looked at
        if any(column.null_count for column in batch.columns):
            raise ValueError("a value is missing")
        yield batch


def _is_compressed(metadata: bytes) -> bool:
    """Whether the record batch of a message names a codec; its flatbuffer was verified by Arrow."""
    try:
        (root,) = struct.unpack_from("<I", metadata)
        header = _field(metadata, root, _HEADER)
        (offset,) = struct.unpack_from("<I", metadata, header)
        return _field(metadata, header + offset, _COMPRESSION) != 0
    except struct.error as error:
        raise ValueError("the head of a record batch is damaged") from error


def _field(data: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table lies; 0 where it is not there."""
    (back,) = struct.unpack_from("<i", data, table)
    (size,) = struct.unpack_from("<H", data, table - back)
    slot = 4 + 2 * number
    if slot >= size:
        return 0
    (offset,) = struct.unpack_from("<H", data, table - back + slot)
    return table + offset if offset else 0
