"""The shards of a store: Arrow IPC files of whole videos, which are mapped into memory.

One row per video, in record batches of a few megabytes:

    video            string
    stride, length   float64, seconds
    span             float64, seconds at position 1.0 in results; NaN: rows * stride
    features         fixed_shape_tensor[T, C], or list<fixed_size_list[C]> where lengths vary
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.core.files import check_size
from actspan.data.arrow import Batches
from actspan.data.store.manifest import Manifest, damaged
from actspan.data.store.places import Places
from actspan.data.timebase import SnippetGrid

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """One mapped shard; features are read from disk only on access.

    Attributes
    ----------
    path : Path
    names : tuple of Arrow string array
        Ids of its N videos, a record batch each: views of the file.
    blocks : tuple of (n, C) array
        The rows of each record batch: views of the file.
    block, first, last : (N,) int64
        Rows of each video: first <= i < last of a block.
    stride, length, span : (N,) float64
        Seconds; a span of NaN means rows * stride.
    """

    path: Path
    names: tuple[Any, ...]
    blocks: tuple[NDArray[Any], ...]
    block: Int64
    first: Int64
    last: Int64
    stride: NDArray[np.float64]
    length: NDArray[np.float64]
    span: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.block)

    @property
    def name(self) -> str:
        """Path of the shard, for messages."""
        return str(self.path)

    def ids(self) -> Iterator[str]:
        """Return the ids of the videos, in order."""
        return (name.as_py() for names in self.names for name in names)

    def id(self, row: int) -> str:
        """Return the id of a video."""
        batch = self.block[row]
        name: str = self.names[batch][row - int(np.searchsorted(self.block, batch))].as_py()
        return name

    def rows(self, row: int) -> NDArray[Any]:
        """Return a video's features, (n, C), float32 or float16, as a view of the file."""
        block: NDArray[Any] = self.blocks[self.block[row]]
        return block[self.first[row] : self.last[row]]

    def shape(self, row: int) -> tuple[int, int]:
        """Return the shape (n, C) of a video's features."""
        return int(self.last[row] - self.first[row]), self.blocks[0].shape[1]

    def grid(self, row: int) -> SnippetGrid:
        """Return the snippet grid of a video, as determined when it was packed."""
        span = float(self.span[row])
        seconds = float(self.stride[row]), float(self.length[row])
        return SnippetGrid(*seconds, None if isnan(span) else span)


def open_shards(folder: Path, manifest: Manifest) -> Places:
    """Map all shards of a store, and return the location of every video.

    Raises
    ------
    StoreError
        A shard is missing, truncated or damaged, or a video occurs twice. Bits that
        flipped within features are only found by `verify_store`.
    """
    paths = manifest.shard_paths(folder)
    for path, record in zip(paths, manifest.shards, strict=True):
        _check_size(path, record.size)
    shards = []
    for path, record in zip(paths, manifest.shards, strict=True):
        shards.append(open_shard(path, manifest))
        if len(shards[-1]) != record.videos:
            what = f"{len(shards[-1])} videos where {record.videos} were written"
            raise damaged(path, what)
    return Places(shards, folder)


def open_shard(path: Path, manifest: Manifest) -> Shard:
    """Map one shard, without reading the others.

    Raises
    ------
    StoreError
        It is missing or damaged.
    """
    import pyarrow as pa

    try:
        check_size(path)
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        # pa.memory_map would ask the system to load the whole file.
        return _shard(path, manifest, list(Batches(pa.py_buffer(mapped), schema_of(manifest))))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, str(error).partition("\n")[0]) from error


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


def _shard(path: Path, manifest: Manifest, batches: list[Any]) -> Shard:
    rows = [rows_of(batch, manifest) for batch in batches]
    seconds = {
        name: np.concatenate([np.from_dlpack(batch[name]) for batch in batches])
        for name in ("stride", "length", "span")
    }
    if not all((seconds[name] > 0).all() for name in ("stride", "length")):
        raise ValueError("a stride or length in seconds that is not positive")
    return Shard(
        path=path,
        names=tuple(batch["video"] for batch in batches),
        blocks=tuple(values for values, _ in rows),
        block=np.repeat(np.arange(len(batches)), [batch.num_rows for batch in batches]),
        first=np.concatenate([bounds[:-1] for _, bounds in rows]),
        last=np.concatenate([bounds[1:] for _, bounds in rows]),
        **seconds,
    )


def rows_of(batch: Any, manifest: Manifest) -> tuple[NDArray[Any], Int64]:
    """Return a view of all rows of a batch, (n, C), and each video's first row, with the end."""
    column = batch["features"]
    if manifest.length is None:
        values, bounds = column.values, np.from_dlpack(column.offsets).astype(np.int64)
    else:
        values, bounds = column.storage, np.arange(len(column) + 1) * manifest.length
    # flatten() and to_numpy() do the same, but import pyarrow.compute and pandas.
    return np.from_dlpack(values.values).reshape(-1, manifest.channels), bounds


def _check_size(path: Path, size: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    if found != size:
        raise damaged(path, f"{found} bytes where {size} were written")
