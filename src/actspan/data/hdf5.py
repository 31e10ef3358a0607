"""Arrays of an HDF5 file that lie in it: nothing that points elsewhere is followed.

HDF5 can make one file name another (external links, external storage, virtual datasets), run in
circles (a group that holds itself), and declare terabytes that were never written. Only plain
datasets of numbers that hard links lead to are read, and no more than their file can hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.data.npy import check_expansion
from actspan.errors import require
from actspan.files import check_size

_DEEPEST = 32  # groups within groups


def dataset_names(path: Path) -> list[str]:
    """Where the datasets of a file lie, without the leading slash; raises ValueError, OSError."""
    with _open(path) as (h5py, file):
        return list(_walk(h5py, file, {h5py.h5o.get_info(file.id).addr}))


def read_dataset(path: Path, name: str) -> NDArray[Any]:
    """One dataset; raises ValueError and OSError."""
    with _open(path) as (h5py, file):
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise ValueError(f"{name} is a group, not an array")
        if dataset.is_virtual or dataset.external:
            raise ValueError(f"{name} lies in another file; copy its numbers into this one")
        if dataset.dtype.kind not in "fiu":
            raise ValueError(f"{name} holds {dataset.dtype}, not numbers")
        check_expansion(path.stat().st_size, int(dataset.size or 0) * dataset.dtype.itemsize)
        return np.asarray(dataset)


def _walk(h5py: Any, group: Any, seen: set[int], depth: int = 0) -> Iterator[str]:
    """Names of the datasets below a group that hard links lead to, every object once."""
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            continue
        item = group[key]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            continue
        seen.add(address)
        if isinstance(item, h5py.Dataset):
            yield key
        elif isinstance(item, h5py.Group) and depth < _DEEPEST:
            yield from (f"{key}/{name}" for name in _walk(h5py, item, seen, depth + 1))


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    """h5py and the file; what h5py raises about a damaged one becomes a ValueError."""
    h5py = require("h5py", extra="hdf5", purpose=f"reading {path.name}")
    check_size(path)
    try:
        with h5py.File(path, "r") as file:
            yield h5py, file
    except (RuntimeError, TypeError, KeyError, MemoryError, AttributeError) as error:
        raise ValueError(f"its HDF5 structure is damaged: {error}") from error
