"""Arrays stored in an HDF5 file; references to other files are not followed.

HDF5 files can refer to other files (external links, external storage, virtual datasets), contain
cycles (a group within itself), and declare terabytes that were never written. Only plain datasets
of numbers that are reached by hard links are read, and no more than their file can contain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import require
from actspan.core.files import check_size
from actspan.data.names import Ignored
from actspan.data.npy import ContentError, check_expansion

_DEEPEST = 32  # nested groups


@contextmanager
def open_hdf5(path: Path) -> Iterator[Hdf5File]:
    """Open a file; raise ValueError and OSError, in the block too, if it is damaged."""
    h5py = require("h5py", extra="hdf5", purpose=f"reading {path.name}")
    check_size(path)
    try:
        with h5py.File(path, "r") as file:
            yield Hdf5File(h5py, file, path.stat().st_size)
    except (RuntimeError, TypeError, KeyError, MemoryError, AttributeError) as error:
        raise ValueError(f"its HDF5 structure is damaged: {error}") from error


class Hdf5File:
    """The datasets of an open file of `size` bytes, by their paths without the leading slash."""

    def __init__(self, h5py: Any, file: Any, size: int) -> None:
        self._h5py, self._file, self._size = h5py, file, size

    def names(self, ignored: Ignored) -> list[str]:
        """Return the paths of the datasets.

        Links that are not followed, groups that are nested too deeply and attributes are counted in
        `ignored`.
        """
        for name in self._file.attrs:
            ignored.add("attributes", name)
        return list(self._walk(self._file, ignored, {self._address(self._file)}, 0))

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return a dataset's shape, or None if it is not numeric."""
        dataset = self._file[name]
        return tuple(dataset.shape or ()) if dataset.dtype.kind in "fiu" else None

    def read(self, name: str) -> NDArray[Any]:
        """Return one dataset."""
        dataset = self._file[name]
        if not isinstance(dataset, self._h5py.Dataset):
            raise ContentError(f"{name} is a group, not an array")
        if dataset.is_virtual or dataset.external:
            raise ContentError(f"{name} lies in another file; copy its numbers into this one")
        if dataset.dtype.kind not in "fiu":
            raise ContentError(f"{name} holds {dataset.dtype}, not numbers")
        check_expansion(self._size, int(dataset.size or 0) * dataset.dtype.itemsize)
        return np.asarray(dataset)

    def _address(self, item: Any) -> int:
        address: int = self._h5py.h5o.get_info(item.id).addr
        return address

    def _walk(self, group: Any, ignored: Ignored, seen: set[int], depth: int) -> Iterator[str]:
        """Yield the names of the datasets below a group, along hard links, each object once."""
        for key in group:
            if not isinstance(group.get(key, getlink=True), self._h5py.HardLink):
                ignored.add("links", key)
                continue
            item = group[key]
            address = self._address(item)
            if address in seen:
                continue
            seen.add(address)
            for name in item.attrs:
                ignored.add("attributes", name)
            if isinstance(item, self._h5py.Dataset):
                yield key
            elif depth == _DEEPEST:
                ignored.add("groups", key)
            elif isinstance(item, self._h5py.Group):
                yield from (f"{key}/{name}" for name in self._walk(item, ignored, seen, depth + 1))
