"""Types of uploads, detected by their first bytes, and arrays of features from their content.

Names and media types from callers are ignored. Anything but array files and video containers is
refused: FFmpeg also reads playlists, which refer to other files.
"""

from __future__ import annotations

import io
import math
import mmap
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import FeatureError, ShapeError
from actspan.data.array_files import read_header

Kind = Literal["npy", "arrow", "video"]

HEAD = 512  # bytes that determine the type
_HEADER = 16_384  # bytes that contain the header of an npy file; NumPy's limit is 10,000
_ARROW = (b"ARROW1\0\0", b"\xff\xff\xff\xff")  # a file; a stream
_VIDEO = re.compile(
    rb".{4}(ftyp|moov|mdat|wide|free|skip)"  # MP4, MOV
    rb"|\x1a\x45\xdf\xa3"  # Matroska, WebM
    rb"|RIFF.{4}AVI |OggS|FLV\x01|\x00\x00\x01\xba|\x30\x26\xb2\x75"  # ..., MPEG-PS, ASF
    rb"|\x47.{187}\x47|.{4}\x47.{191}\x47",  # MPEG-TS, M2TS
    re.DOTALL,
)


def kind_of(head: bytes) -> Kind | None:
    """Return the type of an upload by its first `HEAD` bytes, or None if it is not supported."""
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(_ARROW):
        return "arrow"
    return "video" if _VIDEO.match(head) else None


def npy_array(data: bytes | bytearray | mmap.mmap) -> NDArray[Any]:
    """Return the array of an npy file as a view of its bytes; nothing is unpickled or allocated.

    Raises FeatureError if the file is damaged, or is not a table of numbers.
    """
    size = memoryview(data).nbytes
    try:
        header = read_header(io.BytesIO(memoryview(data)[:_HEADER]), size)
    except ValueError as error:
        raise FeatureError(f"npy: damaged or truncated: {error}") from error
    if len(header.shape) != 2:
        raise FeatureError(f"npy: shape {header.shape}; numbers of shape (n, C) are needed")
    values, needed = size - header.offset, math.prod(header.shape) * header.dtype.itemsize
    if values != needed:
        raise FeatureError(f"npy: {values} bytes of values where its header says {needed}")
    flat: NDArray[Any] = np.frombuffer(data, header.dtype, offset=header.offset)
    order: Any = header.order
    return flat.reshape(header.shape, order=order)


def check_features(shape: tuple[int, ...], channels: int) -> None:
    """Raise ShapeError unless an array of features, (n, C), is not empty and has these channels."""
    if len(shape) != 2 or 0 in shape:
        raise ShapeError(f"features have shape {shape}; (n, C) with n, C >= 1 is needed")
    if shape[1] != channels:
        raise ShapeError(f"features have {shape[1]} channels, the model expects {channels}")


def arrow_array(path: Path) -> NDArray[Any]:
    """Return the array of an Arrow IPC file or stream, with a row per snippet.

    Columns are numbers, one per channel, or there is one column of fixed-size lists.
    Raises FeatureError if the file is damaged, or has other content.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            is_file = source.read(6) == b"ARROW1"
            source.seek(0)
            with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(source) as reader:
                table = reader.read_all()
            table.validate(full=True)
            return _arrow_values(table)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise FeatureError(f"Arrow: damaged or truncated: {error}") from error


def _arrow_values(table: Any) -> NDArray[Any]:
    import pyarrow as pa

    types = set(table.schema.types)
    if len(types) == 1 and table.num_columns == 1 and pa.types.is_fixed_size_list(*types):
        (kind,) = types
        values = table.column(0).combine_chunks()
        if values.null_count or not _is_number(kind.value_type):
            raise FeatureError("Arrow: the lists must hold numbers, without missing values")
        flat = values.flatten().to_numpy(zero_copy_only=False)
        rows: NDArray[Any] = flat.reshape(-1, kind.list_size)
        return rows
    if not types or not all(map(_is_number, types)):
        raise FeatureError(
            "Arrow: numeric columns are needed, one per channel, or one column of fixed-size lists"
        )
    columns = [column.to_numpy() for column in table.columns]
    return np.stack(columns, axis=1)


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
