"""Packed stores in an object store: ids and times are read first, features by record batch."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from actspan.core.errors import DataError
from actspan.core.storage import ObjectStorage
from actspan.data.shards import (
    Block,
    PackedIndex,
    Shard,
    block_of,
    require_counts,
    schema_of,
)
from actspan.data.store_manifest import MANIFEST, Manifest, damaged, shard_path

THREADS = 16  # parallel requests, because object stores have a high latency
_AHEAD = 2**16  # bytes: ids and times of a record batch are adjacent
_SMALL = (0, 1, 2, 3)  # columns of ids and times
_PARALLEL, _KEPT = 4, 12  # record batches of 16 MB that are downloaded, and kept in memory


def open_remote_shards(url: str, manifest: Manifest) -> PackedIndex:
    """Return the location of every video in a store.

    Raises StoreError, which names the shard, if one is missing, truncated or damaged, or a video
    occurs twice; DataError if the object store fails.
    """
    store = _RemoteStore(url, manifest)
    with ThreadPoolExecutor(THREADS) as pool:
        shards = list(pool.map(store.open_shard, range(len(manifest.shards))))
    require_counts(shards, manifest)
    return PackedIndex(shards, url)


class _RemoteStore:
    """A store whose features are downloaded by record batch, on request.

    The latest blocks are kept, few enough that memory stays constant.
    """

    def __init__(self, url: str, manifest: Manifest) -> None:
        self._storage, self._manifest = ObjectStorage(url), manifest
        self._lock, self._pool = Lock(), ThreadPoolExecutor(_PARALLEL)
        self._blocks: OrderedDict[tuple[str, int], Future[Block]] = OrderedDict()

    def open_shard(self, number: int) -> Shard:
        """Return a shard, after a download of its ids and times."""
        file = shard_path(Path(), number).name
        name, batches = f"{self._storage.url}/{file}", self._read(file, _SMALL)
        try:
            return Shard(name, batches, partial(self._block, file, len(batches)), self._manifest)
        except ValueError as error:
            raise damaged(name, str(error)) from error

    def _block(self, file: str, count: int, number: int) -> Block:
        """Return one of the blocks of a shard, and start to download the one after it."""
        with self._lock:
            for wanted in range(number, min(number + 2, count)):
                key = (file, wanted)
                if key not in self._blocks:
                    self._blocks[key] = self._pool.submit(self._download, *key)
                self._blocks.move_to_end(key)
            block = self._blocks[file, number]
            while len(self._blocks) > _KEPT:
                self._blocks.popitem(last=False)
        try:
            return block.result()
        except DataError:
            with self._lock:
                self._blocks.pop((file, number), None)
            raise

    def _download(self, file: str, number: int) -> Block:
        return block_of(self._read(file, (), [number])[0], self._manifest)

    def _read(
        self, file: str, columns: tuple[int, ...], numbers: list[int] | None = None
    ) -> list[Any]:
        """Return record batches (all for None) with some columns (all for an empty tuple)."""
        import pyarrow as pa

        name = f"{self._storage.url}/{file}"
        options = pa.ipc.IpcReadOptions(included_fields=list(columns))
        stream = self._storage.open_ranges(file, ahead=_AHEAD if columns else 0)
        try:
            with pa.PythonFile(stream, "r") as opened:
                reader = pa.ipc.open_file(opened, options=options)
                if not columns and reader.schema != schema_of(self._manifest):
                    raise damaged(name, f"its columns are not those that {MANIFEST} gives")
                wanted = range(reader.num_record_batches) if numbers is None else numbers
                batches = [reader.get_batch(number) for number in wanted]
                for batch in batches:
                    batch.validate(full=True)  # an offset may point anywhere
                return batches
        except (ValueError, pa.ArrowException) as error:
            raise damaged(name, str(error).partition("\n")[0]) from error
