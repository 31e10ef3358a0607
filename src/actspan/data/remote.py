"""Datasets and bundles in an object store, each represented by a local folder.

The features of a store stay in the object store: ids and times are read first, features by record
batch. All other files are downloaded.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from math import isnan
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import DataError
from actspan.core.storage import ObjectStorage, is_url
from actspan.data.store.manifest import MANIFEST, Manifest, ShardRecord, damaged, shard_path
from actspan.data.store.places import Places
from actspan.data.store.shards import Int64, rows_of, schema_of
from actspan.data.timebase import SnippetGrid

_THREADS = 16  # parallel requests, because object stores have a high latency
_AHEAD = 2**16  # bytes: ids and times of a record batch are adjacent
_SMALL = (0, 1, 2, 3)  # columns of ids and times
_OPEN = 4  # shards whose features are in memory, a few record batches of 16 MB each

_urls: dict[Path, str] = {}  # by the local folder that represents it


def local_folder(where: str | Path) -> Path:
    """Return the folder, or a temporary one that represents a folder in an object store.

    Raises
    ------
    MissingExtraError
        fsspec is not installed.
    DataError
        Nothing is found there, or the store fails.
    """
    if is_url(where):
        return _downloaded(str(where))
    return Path(str(where).removeprefix("file://"))


def url_of(folder: Path) -> str | None:
    """Return the URL that a folder represents, or None."""
    return _urls.get(folder)


def location_of(folder: Path) -> str:
    """Return the argument for `local_folder` on other machines: a folder's URL, or its path."""
    return url_of(folder) or str(folder.resolve())


@cache
def _downloaded(url: str) -> Path:
    storage = ObjectStorage(url)
    names = storage.tree()
    if not names:
        raise DataError(f"{storage.url}: nothing is there")
    if MANIFEST in names:
        names = [name for name in names if not name.endswith(".arrow")]
    folder = Path(tempfile.mkdtemp(prefix="actspan-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    def download(name: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.download(name, path)

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(download, names))
    _urls[folder] = storage.url
    return folder


def open_remote(url: str, manifest: Manifest) -> Places:
    """Read the ids of all shards of a store, and return the location of every video.

    Raises
    ------
    StoreError
        A shard is missing, truncated or damaged, or a video occurs twice; the message names it.
    DataError
        The store fails.
    """
    storage, recent = ObjectStorage(url), _Recent()
    with ThreadPoolExecutor(_THREADS) as pool:

        def index(numbered: tuple[int, ShardRecord]) -> RemoteShard:
            return RemoteShard(storage, *numbered, manifest, recent)

        return Places(list(pool.map(index, enumerate(manifest.shards))), url)


class RemoteShard:
    """One shard, of which only requested features and the batch after them are downloaded.

    Attributes
    ----------
    name : str
        Its URL.
    """

    def __init__(
        self,
        storage: ObjectStorage,
        number: int,
        record: ShardRecord,
        manifest: Manifest,
        recent: _Recent,
    ) -> None:
        self._file = shard_path(Path(), number).name
        self.name = f"{storage.url}/{self._file}"
        self._storage, self._manifest, self._recent = storage, manifest, recent
        self._lock = Lock()
        self._blocks: dict[int, Future[tuple[NDArray[Any], Int64]]] = {}
        self._pool = ThreadPoolExecutor(1)
        self._index(record)

    def __len__(self) -> int:
        return len(self._block_of)

    def ids(self) -> Iterator[str]:
        """Return the ids of the videos, in order."""
        return (name.as_py() for names in self._names for name in names)

    def id(self, row: int) -> str:
        """Return the id of a video."""
        batch = int(self._block_of[row])
        name: str = self._names[batch][row - int(self._starts[batch])].as_py()
        return name

    def shape(self, row: int) -> tuple[int, int] | None:
        """Return the shape (n, C) of a video's features, or None if lengths vary."""
        length = self._manifest.length
        return None if length is None else (length, self._manifest.channels)

    def rows(self, row: int) -> NDArray[Any]:
        """Return a video's features, (n, C)."""
        self._recent.use(self)
        values, bounds = self._block(int(self._block_of[row]))
        at = row - int(self._starts[self._block_of[row]])
        return values[bounds[at] : bounds[at + 1]]

    def grid(self, row: int) -> SnippetGrid:
        """Return the snippet grid of a video."""
        stride, length, span = (float(column[row]) for column in self._seconds)
        return SnippetGrid(stride, length, None if isnan(span) else span)

    def close(self) -> None:
        """Release the features in memory."""
        with self._lock:
            self._blocks.clear()

    def _index(self, record: ShardRecord) -> None:
        batches = self._read(_SMALL, None)
        counts = [batch.num_rows for batch in batches]
        if sum(counts) != record.videos:
            what = f"{sum(counts)} videos where {record.videos} were written"
            raise damaged(self.name, what)
        self._names = [batch["video"] for batch in batches]
        self._starts = np.cumsum([0, *counts])
        self._block_of = np.repeat(np.arange(len(counts)), counts)
        self._seconds = [
            np.concatenate([np.from_dlpack(batch[name]) for batch in batches])
            for name in ("stride", "length", "span")
        ]

    def _block(self, number: int) -> tuple[NDArray[Any], Int64]:
        """Return the features of a record batch, and start to download the next one."""
        with self._lock:
            for old in set(self._blocks) - {number - 1, number, number + 1}:
                del self._blocks[old]
            for wanted in (number, number + 1):
                if wanted not in self._blocks and wanted < len(self._starts) - 1:
                    self._blocks[wanted] = self._pool.submit(self._fetch, wanted)
            future = self._blocks[number]
        try:
            return future.result()
        except DataError:
            with self._lock:
                self._blocks.pop(number, None)
            raise

    def _fetch(self, number: int) -> tuple[NDArray[Any], Int64]:
        return rows_of(self._read((), [number])[0], self._manifest)

    def _read(self, columns: tuple[int, ...], numbers: list[int] | None) -> list[Any]:
        """Return record batches (all for None) with some columns (all for an empty tuple)."""
        import pyarrow as pa

        options = pa.ipc.IpcReadOptions(included_fields=list(columns))
        stream = self._storage.open_ranges(self._file, ahead=_AHEAD if columns else 0)
        try:
            with pa.PythonFile(stream, "r") as file:
                reader = pa.ipc.open_file(file, options=options)
                if not columns and reader.schema != schema_of(self._manifest):
                    raise damaged(self.name, f"its columns are not those that {MANIFEST} gives")
                wanted = range(reader.num_record_batches) if numbers is None else numbers
                batches = [reader.get_batch(number) for number in wanted]
                for batch in batches:
                    batch.validate(full=True)  # an offset may point anywhere
                return batches
        except (ValueError, pa.ArrowException) as error:
            raise damaged(self.name, str(error).partition("\n")[0]) from error


class _Recent:
    """The shards with features in memory, few enough that memory stays constant."""

    def __init__(self) -> None:
        self._shards: OrderedDict[str, RemoteShard] = OrderedDict()
        self._lock = Lock()

    def use(self, shard: RemoteShard) -> None:
        """Note that a shard is read, and release the least recently used one."""
        with self._lock:
            self._shards[shard.name] = shard
            self._shards.move_to_end(shard.name)
            if len(self._shards) > _OPEN:
                self._shards.popitem(last=False)[1].close()
