"""Features of an uploaded Arrow IPC file or stream, read one record batch at a time."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from actspan.core.errors import FeatureError
from actspan.core.files import check_expansion, check_size
from actspan.core.types import Float32
from actspan.data.arrow_batches import batch_messages, declared, read_batch

_COLUMNS = "numeric columns are needed, one per channel, or one column of fixed-size lists"


class ArrowUpload:
    """A table with a row per snippet: a column per channel, or one column of fixed-size lists.

    Nothing is decoded before the declared sizes are compared with the size of the file.
    Raises FeatureError if the file is damaged, or has other content.

    Attributes
    ----------
    shape : (n, C)
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        with _arrow_errors():
            check_size(path)
            with path.open("rb") as stream:
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            is_file = mapped[:6] == b"ARROW1"
            self._schema, self._messages = batch_messages(pa.py_buffer(mapped), is_file=is_file)
            self._is_list, channels = _form(self._schema)
            stated = [declared(message) for message in self._messages]
            if any(batch.rows < 0 for batch in stated):
                raise ValueError("a negative number of rows")
            self.shape = (sum(batch.rows for batch in stated), channels)
            needed = max(sum(batch.size for batch in stated), features_size(self.shape))
            check_expansion(len(mapped), needed)

    def blocks(self, rows: int) -> Iterator[Float32]:
        """Yield the features, at most `rows` at a time, as float32."""
        for message in self._messages:
            with _arrow_errors():
                batch = read_batch(message, self._schema)
            for first in range(0, batch.num_rows, rows):
                with _arrow_errors():
                    yield self._values(batch.slice(first, rows))

    def _values(self, batch: Any) -> Float32:
        if not self._is_list:
            columns = [c.to_numpy(zero_copy_only=False) for c in batch.columns]
            stacked: Float32 = np.stack(columns, axis=1, dtype=np.float32, casting="same_kind")
            return stacked
        values = batch.column(0)
        if values.null_count:
            raise FeatureError("Arrow: a list is missing")
        flat = values.flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat, np.float32).reshape(batch.num_rows, self.shape[1])


def features_size(shape: tuple[int, ...]) -> int:
    """Return the bytes that features of a shape take as the networks take them, float32."""
    return shape[0] * shape[1] * np.dtype(np.float32).itemsize


def _form(schema: Any) -> tuple[bool, int]:
    """Return whether the channels are those of lists, and how many there are."""
    from pyarrow import types

    kinds = schema.types
    if len(kinds) == 1 and types.is_fixed_size_list(kinds[0]):
        if not _is_number(kinds[0].value_type):
            raise FeatureError("Arrow: the lists must contain numbers, without missing values")
        return True, kinds[0].list_size
    if not kinds or not all(map(_is_number, kinds)):
        raise FeatureError(f"Arrow: {_COLUMNS}")
    return False, len(kinds)


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind))


@contextmanager
def _arrow_errors() -> Iterator[None]:
    """Raise FeatureError for what Arrow raises about a damaged file."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise FeatureError(f"Arrow: damaged or truncated: {reason}") from error
