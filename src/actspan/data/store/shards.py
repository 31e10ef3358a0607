"""The shards of a store: Arrow IPC files of whole videos, read by mapping them into memory.

A row a video, in record batches of a few megabytes:

    video            string
    stride, length   float64, seconds
    span             float64, seconds that position 1.0 stands for in results; NaN: rows * stride
    features         fixed_shape_tensor[T, C], or list<fixed_size_list[C]> where lengths vary
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.data.store.manifest import MANIFEST, Manifest
from actspan.data.timebase import SnippetGrid
from actspan.errors import StoreError

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """One shard, mapped: nothing of its features is read until it is touched.

    Attributes
    ----------
    path : Path
    names : tuple of Arrow string array
        Ids of its N videos, a record batch each: views of the file.
    blocks : tuple of (n, C) array
        The rows of each record batch: views of the file.
    block, first, last : (N,) int64
        Where each video's rows lie: first <= i < last of a block.
    stride, length, span : (N,) float64
        Seconds; span is NaN where it is rows * stride.
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

    def ids(self) -> Iterator[str]:
        """Id of each video, in order."""
        return (name.as_py() for names in self.names for name in names)


class Packed(NamedTuple):
    """Where one video's features lie in a store."""

    shard: Shard
    row: int

    def __str__(self) -> str:
        return f"{self.shard.path}[{next(islice(self.shard.ids(), self.row, None))}]"

    @property
    def path(self) -> Path:
        """The shard's file."""
        return self.shard.path

    @property
    def rows(self) -> int:
        """Number of snippets, n."""
        return int(self.shard.last[self.row] - self.shard.first[self.row])

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the features are stored as."""
        return self.shard.blocks[0].dtype

    @property
    def values(self) -> NDArray[Any]:
        """The features, (n, C), float32 or float16: a view of the file."""
        shard, row = self
        block: NDArray[Any] = shard.blocks[shard.block[row]]
        return block[shard.first[row] : shard.last[row]]

    @property
    def grid(self) -> SnippetGrid:
        """How they lie in time, as settled when they were packed."""
        shard, row = self
        span = float(shard.span[row])
        seconds = float(shard.stride[row]), float(shard.length[row])
        return SnippetGrid(*seconds, None if isnan(span) else span)


class Places(Mapping[str, Packed]):
    """Where each video's features lie, by id; a `Packed` is made when one is asked for."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = tuple(shards)
        self._begins = np.cumsum([0, *map(len, shards)])  # of each shard, in videos
        self._numbers: dict[str, int] = {}  # counted through all shards; of equal ids the last
        for begin, shard in zip(self._begins.tolist(), shards, strict=False):
            self._numbers.update(zip(shard.ids(), count(begin), strict=False))

    def __getitem__(self, name: str) -> Packed:
        number = self._numbers[name]
        shard = int(np.searchsorted(self._begins, number, side="right")) - 1
        return Packed(self._shards[shard], number - int(self._begins[shard]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def open_shards(folder: Path, manifest: Manifest) -> Places:
    """Map all shards of a store; every video's place.

    Raises
    ------
    StoreError
        A shard is missing, truncated or damaged; names it. Bits that flipped within features are
        not looked for: `verify_store` does.
    """
    paths = manifest.shard_paths(folder)
    for path, record in zip(paths, manifest.shards, strict=True):
        _check_size(path, record.size)
    shards = []
    for path, record in zip(paths, manifest.shards, strict=True):
        shards.append(open_shard(path, manifest))
        if len(shards[-1]) != record.videos:
            what = f"{len(shards[-1])} videos where {record.videos} were written"
            raise _damaged(path, what)
    return Places(shards)


def open_shard(path: Path, manifest: Manifest) -> Shard:
    """Map one shard, without looking at the others.

    Raises
    ------
    StoreError
        It is missing or damaged.
    """
    import pyarrow as pa

    try:
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        # not pa.memory_map: that asks the system to page in whatever is opened
        reader = pa.ipc.open_file(pa.py_buffer(mapped))
        if reader.schema != schema_of(manifest):
            raise _damaged(path, f"its columns are not those that {MANIFEST} gives")
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        for batch in batches:
            _check_batch(path, batch)
        return _shard(path, manifest, batches)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(path, str(error).partition("\n")[0]) from error


def schema_of(manifest: Manifest) -> Any:
    """The columns of a shard, as a `pyarrow.Schema`."""
    import pyarrow as pa

    number = pa.float32() if manifest.dtype == "float32" else pa.float16()
    if manifest.length is None:
        features = pa.list_(pa.list_(number, manifest.channels))
    else:
        features = pa.fixed_shape_tensor(number, (manifest.length, manifest.channels))
    seconds = [(name, pa.float64()) for name in ("stride", "length", "span")]
    return pa.schema([("video", pa.string()), *seconds, ("features", features)])


def _shard(path: Path, manifest: Manifest, batches: list[Any]) -> Shard:
    rows = [_rows(batch, manifest) for batch in batches]
    seconds = {
        name: np.concatenate([np.from_dlpack(batch[name]) for batch in batches])
        for name in ("stride", "length", "span")
    }
    return Shard(
        path=path,
        names=tuple(batch["video"] for batch in batches),
        blocks=tuple(values for values, _ in rows),
        block=np.repeat(np.arange(len(batches)), [batch.num_rows for batch in batches]),
        first=np.concatenate([bounds[:-1] for _, bounds in rows]),
        last=np.concatenate([bounds[1:] for _, bounds in rows]),
        **seconds,
    )


def _rows(batch: Any, manifest: Manifest) -> tuple[NDArray[Any], Int64]:
    """All rows of a batch, (n, C), and where each of its videos begins, with the end: a view."""
    column = batch["features"]
    if manifest.length is None:
        values, bounds = column.values, np.from_dlpack(column.offsets).astype(np.int64)
    else:
        values, bounds = column.storage, np.arange(len(column) + 1) * manifest.length
    # flatten() and to_numpy() do the same, but import pyarrow.compute and pandas
    return np.from_dlpack(values.values).reshape(-1, manifest.channels), bounds


def _check_batch(path: Path, batch: Any) -> None:
    batch.validate(full=True)  # of lists their offsets; numbers are not looked at
    if any(column.null_count for column in batch.columns):
        raise _damaged(path, "a value is missing")


def _check_size(path: Path, size: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    if found != size:
        raise _damaged(path, f"{found} bytes where {size} were written")


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(f"{path}: damaged: {what}; copy the store again, or pack the dataset again")
