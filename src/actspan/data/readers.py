"""Feature files (CSV, npy, npz, HDF5), read as one array per video. Pickles are never loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import FeatureError
from actspan.data.names import Ignored
from actspan.data.npy import Archive, ContentError, map_npy

HDF5_SUFFIXES = (".h5", ".hdf5")
SUFFIXES = (".npy", ".csv", ".npz", *HDF5_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Entry:
    """The location of one video's array.

    Attributes
    ----------
    path : Path
    key : str, optional
        Its name inside a file of several arrays.
    joined : tuple of str
        Arrays of the same file whose channels are appended.
    axis : int
        The axis of the channels, along which arrays are joined.
    """

    path: Path
    key: str | None = None
    joined: tuple[str, ...] = ()
    axis: int = 1

    def __str__(self) -> str:
        return str(self.path) if self.key is None else f"{self.path}[{'+'.join(self.keys)}]"

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of its arrays inside the file; empty if the file is the array."""
        return () if self.key is None else (self.key, *self.joined)

    @property
    def suffix(self) -> str:
        """Suffix of the file, in lower case."""
        return self.path.suffix.lower()


def list_arrays(path: Path, ignored: Ignored) -> list[str]:
    """Return the names of the arrays in a file; empty if the file is one array without a name.

    Parameters
    ----------
    ignored : Ignored
        Collects the other contents of the file.

    Raises
    ------
    FeatureError
        It does not fit its suffix, or is empty.
    """
    lister = _LISTERS.get(path.suffix.lower())
    if lister is None:
        return []
    names: list[str] = _guarded(path, lister, ignored)
    if not names:
        raise FeatureError(f"{path}: holds no arrays")
    return names


def feature_shapes(path: Path, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays that can be features: filled (T, C) arrays of numbers.

    Raises
    ------
    FeatureError
        The file is damaged.
    """
    shapes = _npz_shapes if path.suffix.lower() == ".npz" else _hdf5_shapes
    found: dict[str, tuple[int, ...]] = _guarded(path, shapes, names)
    squeezed = {name: _squeezed(shape) for name, shape in found.items()}
    return {name: shape for name, shape in squeezed.items() if _is_table(shape)}


def read_array(entry: Entry, *, mapped: bool = False) -> NDArray[Any]:
    """Return one video's array, two-dimensional and numeric; further axes of size 1 are dropped.

    With `mapped`, an npy file is mapped into memory instead, and only accessed parts are read.

    Raises
    ------
    FeatureError
        Empty, truncated, not numeric, pickled, or not two-dimensional; the message names the file.
    """
    reader = _map_npy if mapped and entry.suffix == ".npy" else _READERS[entry.suffix]
    arrays = [_table(_guarded(entry.path, reader, key), entry) for key in entry.keys or (None,)]
    if not entry.joined:
        return arrays[0]
    lengths = [array.shape[1 - entry.axis] for array in arrays]
    if len(set(lengths)) > 1:
        counts = ", ".join(map(str, lengths))
        raise FeatureError(f"{entry}: arrays of {counts} snippets cannot be joined")
    return np.concatenate(arrays, axis=entry.axis)


def read_noted(entry: Entry) -> tuple[NDArray[Any], str]:
    """Return a mapped array as `read_array` does, and what was dropped from a CSV file, as text."""
    if entry.suffix != ".csv":
        return read_array(entry, mapped=True), ""
    table, dropped = _guarded(entry.path, _read_csv_noted)
    return _table(table, entry), dropped


def _table(array: NDArray[Any], entry: Entry) -> NDArray[Any]:
    shape = _squeezed(array.shape)
    if not _is_table(shape):
        raise FeatureError(f"{entry}: shape {array.shape}, but a filled (T, C) array is needed")
    if array.dtype.kind not in "fiu":
        raise FeatureError(f"{entry}: holds {array.dtype}, not numbers")
    return array.reshape(shape)


def _is_table(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and 0 not in shape


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape without axes of size 1, from the last on, until two axes are left."""
    kept = list(shape)
    for axis in reversed(range(len(shape))):
        if len(kept) > 2 and kept[axis] == 1:
            del kept[axis]
    return tuple(kept)


def _guarded(path: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a reader and raise FeatureError for every kind of bad file."""
    try:
        if path.stat().st_size == 0:
            raise FeatureError(f"{path}: the file is empty")
        return function(path, *arguments)
    except ContentError as error:
        raise FeatureError(f"{path}: {error}") from error
    except PermissionError as error:
        raise FeatureError(f"{path}: may not be read; change its permissions") from error
    except (OSError, ValueError, KeyError) as error:
        if path.is_symlink() and not path.exists():
            what = "a link that leads nowhere; correct or remove the link"
            raise FeatureError(f"{path}: {what}") from error
        raise FeatureError(
            f"{path}: cannot be read, damaged or truncated: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return text.splitlines()[0] if text else type(error).__name__


def _read_npy(path: Path, key: str | None) -> NDArray[Any]:
    return np.array(map_npy(path))


def _map_npy(path: Path, key: str | None) -> NDArray[Any]:
    return map_npy(path)


def _read_npz(path: Path, key: str) -> NDArray[Any]:
    with Archive(path) as archive:
        return archive.read(key)


def _npz_names(path: Path, ignored: Ignored) -> list[str]:
    with Archive(path) as archive:
        return archive.names


def _npz_shapes(path: Path, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    with Archive(path) as archive:
        return {name: shape for name in names if (shape := archive.shape(name)) is not None}


def _read_hdf5(path: Path, key: str) -> NDArray[Any]:
    from actspan.data.hdf5 import read_dataset

    return read_dataset(path, key)


def _hdf5_names(path: Path, ignored: Ignored) -> list[str]:
    from actspan.data.hdf5 import dataset_names

    return dataset_names(path, ignored)


def _hdf5_shapes(path: Path, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    from actspan.data.hdf5 import dataset_shapes

    return dataset_shapes(path, names)


def _read_csv(path: Path, key: str | None) -> NDArray[Any]:
    return _read_csv_noted(path)[0]


def _read_csv_noted(path: Path) -> tuple[NDArray[Any], str]:
    from actspan.data.csv_features import read_csv

    return read_csv(path)


_LISTERS: dict[str, Callable[[Path, Ignored], list[str]]] = {
    ".npz": _npz_names,
    **dict.fromkeys(HDF5_SUFFIXES, _hdf5_names),
}
_READERS: dict[str, Callable[[Path, Any], NDArray[Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    **dict.fromkeys(HDF5_SUFFIXES, _read_hdf5),
}
