"""Feature files (CSV, npy, npz, HDF5), read as one array per video. Pickles are never loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import FeatureError
from actspan.data.array_files import Archive, ContentError, map_npy, open_hdf5
from actspan.data.csv_features import read_csv
from actspan.data.names import Ignored


class Container(Protocol):
    """A file of several arrays."""

    def names(self, ignored: Ignored) -> list[str]:
        """Return the names of the arrays; count the other contents in `ignored`."""
        ...

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return an array's shape, or None if it is not numeric."""
        ...

    def read(self, name: str) -> NDArray[Any]:
        """Return one array."""
        ...


_CONTAINERS: dict[str, Callable[[Path], AbstractContextManager[Container]]] = {
    ".npz": Archive,
    ".h5": open_hdf5,
    ".hdf5": open_hdf5,
}
SUFFIXES = (".npy", ".csv", *_CONTAINERS)


@dataclass(frozen=True, slots=True)
class Entry:
    """The location of one video's array."""

    path: Path
    key: str | None = None  # its name inside a file of several arrays
    joined: tuple[str, ...] = ()  # arrays of the same file whose channels are appended
    axis: int = 1  # of the channels, along which arrays are joined

    def __str__(self) -> str:
        if self.key is None:
            return str(self.path)
        return f"{self.path}[{'+'.join((self.key, *self.joined))}]"

    @property
    def is_csv(self) -> bool:
        """Return whether rows are snippets, whatever their number."""
        return self.path.suffix.lower() == ".csv"


def list_arrays(path: Path, ignored: Ignored) -> list[str]:
    """Return the names of the arrays in a file; empty if the file is one array without a name.

    Other contents are counted in `ignored`. Raises FeatureError if the file does not fit its
    suffix, or is empty.
    """
    container = _CONTAINERS.get(path.suffix.lower())
    if container is None:
        return []
    with _feature_errors(path), container(path) as file:
        names = file.names(ignored)
    if not names:
        raise FeatureError(f"{path}: holds no arrays")
    return names


def feature_shapes(path: Path, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays that can be features: filled (T, C) arrays of numbers.

    Raises FeatureError if the file is damaged.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    with _feature_errors(path), _CONTAINERS[path.suffix.lower()](path) as file:
        for name in names:
            shape = file.shape(name)
            if shape is not None and (table := _table_shape(shape)):
                shapes[name] = table
    return shapes


def read_array(entry: Entry, *, mapped: bool = False) -> NDArray[Any]:
    """Return one video's array, two-dimensional and numeric; further axes of size 1 are dropped.

    With `mapped`, an npy file is mapped into memory instead, and only accessed parts are read.

    Raises
    ------
    FeatureError
        Empty, truncated, not numeric, pickled, or not two-dimensional; the message names the file.
    """
    return read_noted(entry, mapped=mapped)[0]


def read_noted(entry: Entry, *, mapped: bool) -> tuple[NDArray[Any], str]:
    """Return an array as `read_array` does, and what was dropped from a CSV file, as text."""
    dropped = ""
    with _feature_errors(entry.path):
        if entry.key is not None:
            with _CONTAINERS[entry.path.suffix.lower()](entry.path) as file:
                arrays = [file.read(key) for key in (entry.key, *entry.joined)]
        elif entry.is_csv:
            table, dropped = read_csv(entry.path)
            arrays = [table]
        else:
            array = map_npy(entry.path)
            arrays = [array if mapped else np.array(array)]
    tables = [_table(array, entry) for array in arrays]
    if len(tables) == 1:
        return tables[0], dropped
    lengths = [table.shape[1 - entry.axis] for table in tables]
    if len(set(lengths)) > 1:
        counts = ", ".join(map(str, lengths))
        raise FeatureError(f"{entry}: arrays of {counts} snippets cannot be joined")
    return np.concatenate(tables, axis=entry.axis), dropped


def _table(array: NDArray[Any], entry: Entry) -> NDArray[Any]:
    shape = _table_shape(array.shape)
    if shape is None:
        raise FeatureError(f"{entry}: shape {array.shape}, but a filled (T, C) array is needed")
    if array.dtype.kind not in "fiu":
        raise FeatureError(f"{entry}: holds {array.dtype}, not numbers")
    return array.reshape(shape)


def _table_shape(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return the shape as (T, C) without further axes of size 1; None if there are others."""
    kept = list(shape)
    for axis in reversed(range(len(shape))):
        if len(kept) > 2 and kept[axis] == 1:
            del kept[axis]
    return (kept[0], kept[1]) if len(kept) == 2 and 0 not in kept else None


@contextmanager
def _feature_errors(path: Path) -> Iterator[None]:
    """Raise FeatureError for every kind of bad file."""
    try:
        if path.stat().st_size == 0:
            raise FeatureError(f"{path}: the file is empty")
        yield
    except ContentError as error:
        raise FeatureError(f"{path}: {error}") from error
    except PermissionError as error:
        raise FeatureError(f"{path}: may not be read; change its permissions") from error
    except (OSError, ValueError, KeyError) as error:
        what = "a link that leads nowhere; correct or remove the link"
        if not path.is_symlink() or path.exists():
            lines = str(getattr(error, "strerror", None) or error).splitlines()
            reason = lines[0] if lines else type(error).__name__
            what = f"cannot be read, damaged or truncated: {reason}"
        raise FeatureError(f"{path}: {what}") from error
