"""Arrays stored in an HDF5 file; references to other files are not followed.

HDF5 files can refer to other files (external links, external storage, virtual datasets), contain
cycles (a group within itself), and declare terabytes that were never written. Only plain datasets
of numbers that are reached by hard links are read, and no more than their file can contain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


def dataset_names(path: Path, ignored: Ignored) -> list[str]:
    """Return the paths of a file's datasets, without the leading slash.

    Links that are not followed, groups that are nested too deeply and attributes are added to
    `ignored`.

    Raises
    ------
    ValueError, OSError
        The file is damaged.
    """
    with _open(path) as (h5py, file):
        walk = _Walk(h5py, ignored, {h5py.h5o.get_info(file.id).addr})
        for name in file.attrs:
            ignored.add("attributes", name)
        return list(walk.datasets(file))


def dataset_shapes(path: Path, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the datasets that are numeric; raise ValueError and OSError."""
    with _open(path) as (_, file):
        found = {name: file[name] for name in names}
        return {n: tuple(d.shape or ()) for n, d in found.items() if d.dtype.kind in "fiu"}


def read_dataset(path: Path, name: str) -> NDArray[Any]:
    """Return one dataset; raise ValueError and OSError."""
    with _open(path) as (h5py, file):
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise ContentError(f"{name} is a group, not an array")
        if dataset.is_virtual or dataset.external:
            raise ContentError(f"{name} lies in another file; copy its numbers into this one")
        if dataset.dtype.kind not in "fiu":
            raise ContentError(f"{name} holds {dataset.dtype}, not numbers")
        check_expansion(path.stat().st_size, int(dataset.size or 0) * dataset.dtype.itemsize)
        return np.asarray(dataset)


class _Walk:
    """A walk through groups along hard links, which visits every object once."""

    def __init__(self, h5py: Any, ignored: Ignored, seen: set[int]) -> None:
        self._h5py, self._ignored, self._seen = h5py, ignored, seen

    def datasets(self, group: Any, depth: int = 0) -> Iterator[str]:
        """Yield the names of the datasets below a group."""
        for key in group:
            if not isinstance(group.get(key, getlink=True), self._h5py.HardLink):
                self._ignored.add("links", key)
                continue
            item = group[key]
            address = self._h5py.h5o.get_info(item.id).addr
            if address in self._seen:
                continue
            self._seen.add(address)
            for name in item.attrs:
                self._ignored.add("attributes", name)
            if isinstance(item, self._h5py.Dataset):
                yield key
            elif depth == _DEEPEST:
                self._ignored.add("groups", key)
            elif isinstance(item, self._h5py.Group):
                yield from (f"{key}/{name}" for name in self.datasets(item, depth + 1))


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield h5py and the open file; raise ValueError for h5py's errors about damaged files."""
    h5py = require("h5py", extra="hdf5", purpose=f"reading {path.name}")
    check_size(path)
    try:
        with h5py.File(path, "r") as file:
            yield h5py, file
    except (RuntimeError, TypeError, KeyError, MemoryError, AttributeError) as error:
        raise ValueError(f"its HDF5 structure is damaged: {error}") from error
