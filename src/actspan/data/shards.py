"""The shards of a store: untrusted Arrow files, and the location of every video.

One row per video, in record batches of a few megabytes:

    video            string
    stride, length   float64, seconds
    span             float64, seconds at position 1.0 in results; NaN: rows * stride
    features         fixed_shape_tensor[T, C], or list<fixed_size_list[C]> where lengths vary
"""

from __future__ import annotations

import mmap
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import isnan, nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.core.files import check_size
from actspan.data.arrow_batches import Batches
from actspan.data.names import file_stem  # older stores have ids with a suffix
from actspan.data.store_manifest import Manifest, damaged
from actspan.data.timebase import SnippetGrid


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


class Block(NamedTuple):
    """Features of a record batch: rows (n, C), and the first row of each video, with the end."""

    rows: NDArray[Any]
    bounds: NDArray[np.int64]


def block_of(batch: Any, manifest: Manifest) -> Block:
    """Return a view of the features of a record batch."""
    column = batch["features"]
    if manifest.length is None:
        values, bounds = column.values, np.from_dlpack(column.offsets).astype(np.int64)
    else:
        values, bounds = column.storage, np.arange(len(column) + 1) * manifest.length
    # flatten() and to_numpy() do the same, but import pyarrow.compute and pandas.
    return Block(np.from_dlpack(values.values).reshape(-1, manifest.channels), bounds)


class Shard:
    """The videos of one shard; ids and times are in memory, features are read on request.

    `name` is its path or URL, for messages; `batches` are record batches with all columns but the
    features, and `blocks` are their features: views, or a function that downloads one by number.
    Raises ValueError if a stride or length in seconds is not positive.
    """

    def __init__(
        self,
        name: str,
        batches: Sequence[Any],
        blocks: Sequence[Block] | Callable[[int], Block],
        manifest: Manifest,
    ) -> None:
        self.name = name
        self.blocks, self.manifest = blocks, manifest
        self._ids = [batch["video"] for batch in batches]
        counts: list[int] = [batch.num_rows for batch in batches]
        self._first = [0, *accumulate(counts)]  # video of each batch
        self.seconds = [
            np.concatenate([np.from_dlpack(batch[column]) for batch in batches])
            for column in ("stride", "length", "span")
        ]
        if not all((column > 0).all() for column in self.seconds[:2]):
            raise ValueError("a stride or length in seconds that is not positive")

    def __len__(self) -> int:
        return self._first[-1]

    def ids(self) -> Iterator[str]:
        """Yield the ids of the videos, in order."""
        return (name.as_py() for names in self._ids for name in names)

    def id(self, row: int) -> str:
        """Return the id of a video."""
        batch, place = self.find(row)
        name: str = self._ids[batch][place].as_py()
        return name

    def find(self, row: int) -> tuple[int, int]:
        """Return the number of a video's record batch, and its place there."""
        batch = bisect_right(self._first, row) - 1
        return batch, row - self._first[batch]


class PackedFeatures(NamedTuple):
    """The location of one video's features in a store."""

    shard: Shard
    row: int

    def __str__(self) -> str:
        return f"{self.shard.name}[{self.id}]"

    @property
    def id(self) -> str:
        """Id of the video."""
        return file_stem(self.shard.id(self.row))

    @property
    def values(self) -> NDArray[Any]:
        """Return the features, (n, C), float32 or float16; a view if the file is local."""
        batch, place = self.shard.find(self.row)
        blocks = self.shard.blocks
        rows, bounds = blocks(batch) if callable(blocks) else blocks[batch]
        return rows[bounds[place] : bounds[place + 1]]

    @property
    def grid(self) -> SnippetGrid:
        """Return the snippet grid, as determined when the features were packed."""
        stride, length, span = (column.item(self.row) for column in self.shard.seconds)
        return SnippetGrid(stride, length, None if isnan(span) else span)

    @property
    def times(self) -> tuple[float, float]:
        """Return the seconds that the features cover, and the larger of stride and length.

        NaN if the number of snippets is unknown before download.
        """
        stride, length, _, _ = self.grid
        snippets = self.shard.manifest.length
        if snippets is None and callable(self.shard.blocks):
            return nan, nan
        return stride * (len(self.values) if snippets is None else snippets), max(stride, length)


class PackedIndex(Mapping[str, PackedFeatures]):
    """Locations of the videos' features by id; each `PackedFeatures` is created on request.

    Ids stay in the shards. This class has their sorted hashes, which take a tenth of a dictionary's
    memory. Raises StoreError, which names the store, if a video occurs twice.
    """

    def __init__(self, shards: Sequence[Shard], store: Path | str) -> None:
        self._shards = tuple(shards)
        self._first = [0, *accumulate(map(len, shards))]  # video of each shard
        hashes = np.fromiter(map(hash, self), np.int64, count=len(self))
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        self._hashes = array("q", hashes.tobytes())
        self._numbers = array("i", order.astype(np.int32).tobytes())
        for place in np.flatnonzero(hashes[1:] == hashes[:-1]).tolist():
            first, other = (self._packed(number) for number in self._numbers[place : place + 2])
            if first.id == other.id:
                raise damaged(store, f"video {first.id!r} is in it twice")

    def __getitem__(self, name: str) -> PackedFeatures:
        wanted = hash(name)
        place = bisect_left(self._hashes, wanted)
        while place < len(self) and self._hashes[place] == wanted:
            packed = self._packed(self._numbers[place])
            if packed.id == name:
                return packed
            place += 1
        raise KeyError(name)

    def _packed(self, number: int) -> PackedFeatures:
        shard = bisect_right(self._first, number) - 1
        return PackedFeatures(self._shards[shard], number - self._first[shard])

    def __iter__(self) -> Iterator[str]:
        return (file_stem(name) for shard in self._shards for name in shard.ids())

    def __len__(self) -> int:
        return self._first[-1]


def open_shards(folder: Path, manifest: Manifest) -> PackedIndex:
    """Map all shards of a store, and return the location of every video.

    Raises StoreError if a shard is missing, truncated or damaged, or a video occurs twice. Bits
    that flipped within features are only found by `verify_store`.
    """
    paths = manifest.shard_paths(folder)
    for path, record in zip(paths, manifest.shards, strict=True):
        try:
            size = path.stat().st_size
        except OSError as error:
            raise damaged(path, error.strerror or str(error)) from error
        if size != record.size:
            raise damaged(path, f"{size} bytes where {record.size} were written")
    shards = [open_shard(path, manifest) for path in paths]
    require_counts(shards, manifest)
    return PackedIndex(shards, folder)


def open_shard(path: Path, manifest: Manifest) -> Shard:
    """Map one shard, without reading the others; raise StoreError if it is missing or damaged."""
    import pyarrow as pa

    try:
        check_size(path)
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        # pa.memory_map would ask the system to load the whole file.
        batches = list(Batches(pa.py_buffer(mapped), schema_of(manifest)))
        return Shard(str(path), batches, [block_of(b, manifest) for b in batches], manifest)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, str(error).partition("\n")[0]) from error


def require_counts(shards: Sequence[Shard], manifest: Manifest) -> None:
    """Raise StoreError if a shard has another number of videos than recorded."""
    for shard, record in zip(shards, manifest.shards, strict=True):
        if len(shard) != record.videos:
            what = f"{len(shard)} videos where {record.videos} were written"
            raise damaged(shard.name, what)
