"""Bodies of requests."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def list_table(array: np.ndarray) -> pa.Table:
    """One column of lists."""
    flat = pa.array(array.ravel())
    return pa.table({"features": pa.FixedSizeListArray.from_arrays(flat, array.shape[1])})


def column_table(array: np.ndarray) -> pa.Table:
    """A column a channel."""
    return pa.table({f"f{i}": column for i, column in enumerate(array.T)})


def arrow(table: pa.Table, open_writer: Any = pa.ipc.new_stream) -> bytes:
    sink = io.BytesIO()
    with open_writer(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
