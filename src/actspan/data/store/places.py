"""Locations of the features of each video in the shards of a store."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from actspan.data.names import file_stem  # older stores have ids with a suffix
from actspan.data.store.manifest import damaged
from actspan.data.timebase import SnippetGrid


class AnyShard(Protocol):
    """Interface of a shard, local or remote."""

    @property
    def name(self) -> str:
        """Path or URL of the shard, for messages."""
        ...

    def __len__(self) -> int: ...

    def ids(self) -> Iterator[str]:
        """Return the ids of the videos, in order."""
        ...

    def id(self, row: int) -> str:
        """Return the id of a video."""
        ...

    def rows(self, row: int) -> NDArray[Any]:
        """Return the features of a video, as `Shard.rows` does."""
        ...

    def shape(self, row: int) -> tuple[int, int] | None:
        """Return the shape as `Shard.shape` does, or None if it is unknown before reading."""
        ...

    def grid(self, row: int) -> SnippetGrid:
        """Return the snippet grid of a video, as `Shard.grid` does."""
        ...


class Packed(NamedTuple):
    """The location of one video's features in a store."""

    shard: AnyShard
    row: int

    def __str__(self) -> str:
        return f"{self.shard.name}[{self.id}]"

    @property
    def id(self) -> str:
        """Id of the video."""
        return file_stem(self.shard.id(self.row))

    @property
    def path(self) -> Path:
        """The shard's file."""
        return Path(self.shard.name)

    @property
    def values(self) -> NDArray[Any]:
        """The features, (n, C), float32 or float16."""
        return self.shard.rows(self.row)

    @property
    def shape(self) -> tuple[int, int] | None:
        """The shape (n, C), or None if it is unknown until features are read."""
        return self.shard.shape(self.row)

    @property
    def grid(self) -> SnippetGrid:
        """The snippet grid, as determined when the features were packed."""
        return self.shard.grid(self.row)


class Places(Mapping[str, Packed]):
    """Locations of the videos' features by id; each `Packed` is created on request.

    Ids stay in the shards. This class stores their sorted hashes, which take a tenth of a
    dictionary's memory.

    Raises
    ------
    StoreError
        A video occurs twice; the message names the store.
    """

    def __init__(self, shards: Sequence[AnyShard], store: Path | str) -> None:
        self._shards = tuple(shards)
        self._begins = [0, *accumulate(map(len, shards))]  # first video of each shard
        hashes = np.fromiter(map(hash, self), np.int64, count=len(self))
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        self._hashes = array("q", hashes.tobytes())
        self._numbers = array("i", order.astype(np.int32).tobytes())
        for place in np.flatnonzero(hashes[1:] == hashes[:-1]).tolist():
            one, other = (self._packed(number) for number in self._numbers[place : place + 2])
            if one.id == other.id:
                raise damaged(store, f"video {one.id!r} is in it twice")

    def __getitem__(self, name: str) -> Packed:
        wanted = hash(name)
        place = bisect_left(self._hashes, wanted)
        while place < len(self) and self._hashes[place] == wanted:
            found = self._packed(self._numbers[place])
            if found.id == name:
                return found
            place += 1
        raise KeyError(name)

    def _packed(self, number: int) -> Packed:
        shard = bisect_right(self._begins, number) - 1
        return Packed(self._shards[shard], number - self._begins[shard])

    def __iter__(self) -> Iterator[str]:
        return (file_stem(name) for shard in self._shards for name in shard.ids())

    def __len__(self) -> int:
        return self._begins[-1]
