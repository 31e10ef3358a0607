"""Untrusted Arrow files: batches whose offsets and sizes are checked before use.

Arrow trusts mapped files: an offset beyond a column reads foreign memory, and a compressed buffer
is expanded to whatever size it declares. Our writers never compress, so compressed files are
refused unread.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, overload

import numpy as np

# Field numbers of Arrow's flatbuffers.
_BATCHES_OF_FOOTER, _HEADER_OF_MESSAGE, _COMPRESSION_OF_BATCH = 3, 2, 3
_BLOCK = np.dtype([("offset", "<i8"), ("head", "<i4"), ("gap", "<i4"), ("body", "<i8")])
_TAIL = 10  # bytes: the size of the footer, and a magic word


class Batches(Sequence[Any]):
    """The record batches of an Arrow file, each checked when it is requested: views of its bytes.

    Parameters
    ----------
    file : pyarrow.Buffer
        The whole file.
    schema : pyarrow.Schema
        The required schema.

    Raises
    ------
    ValueError, pyarrow.ArrowException, OSError
        It is damaged or has other columns; or a batch is compressed or lacks a value.
    """

    def __init__(self, file: Any, schema: Any) -> None:
        import pyarrow as pa

        self._file = file
        self._reader = pa.ipc.open_file(file)  # verifies the flatbuffer of the footer
        if self._reader.schema != schema:
            raise ValueError("its columns are not those that it must have")
        size = _number("<i", file.slice(file.size - _TAIL, 4).to_pybytes(), 0)
        self._blocks = _blocks(file.slice(file.size - _TAIL - size, size).to_pybytes())

    def __len__(self) -> int:
        return int(self._reader.num_record_batches)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        """Return one batch, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        if not 0 <= index < len(self):
            raise IndexError(index)
        offset, size = int(self._blocks[index]["offset"]), int(self._blocks[index]["head"])
        if offset < 0 or not 0 <= size <= self._file.size - offset:
            raise ValueError("its footer leads out of the file")
        if _is_compressed(self._file.slice(offset, size).to_pybytes()):
            raise ValueError("it is compressed, which none of ours is")
        batch = self._reader.get_batch(index)
        batch.validate(full=True)  # checks the offsets of lists, but not numbers
        if any(column.null_count for column in batch.columns):
            raise ValueError("a value is missing")
        return batch


def _blocks(footer: bytes) -> Any:
    """Return the locations of the record batches."""
    vector = _follow(footer, _field(footer, _follow(footer, 0), _BATCHES_OF_FOOTER))
    return np.frombuffer(footer, _BLOCK, _number("<I", footer, vector), vector + 4)


def _is_compressed(message: bytes) -> bool:
    """Return whether the message of a record batch names a codec."""
    flatbuffer = message[8:]  # follows a marker and its size
    header = _follow(flatbuffer, _field(flatbuffer, _follow(flatbuffer, 0), _HEADER_OF_MESSAGE))
    return _field(flatbuffer, header, _COMPRESSION_OF_BATCH) != 0


def _follow(data: bytes, place: int) -> int:
    """Return the place that the offset at a place points to."""
    return place + _number("<I", data, place)


def _field(data: bytes, table: int, number: int) -> int:
    """Return the place of a field of a table, or 0 if it is missing."""
    fields = table - _number("<i", data, table)
    slot = 4 + 2 * number
    if slot >= _number("<H", data, fields):
        return 0
    offset = _number("<H", data, fields + slot)
    return table + offset if offset else 0


def _number(kind: str, data: bytes, place: int) -> int:
    try:
        return int(struct.unpack_from(kind, data, place)[0])
    except struct.error as error:
        raise ValueError("its flatbuffers are damaged") from error
