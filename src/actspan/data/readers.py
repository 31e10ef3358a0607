"""Feature files: CSV, npy, npz and HDF5, to one array a video. Pickled content is never loaded."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.errors import FeatureError, require
from actspan.wording import counted

HDF5_SUFFIXES = (".h5", ".hdf5")
# what NumPy says (a part of it), and what it means
_PLAINLY = {
    "mmap length is greater": "it is shorter than its header says",
    "cannot reshape array": "it is shorter than its header says",
    "Python objects in dtype": "it holds Python objects, not numbers",
    "Object arrays cannot be loaded": "it holds Python objects, not numbers",
    "allow_pickle": "it is not an array file",
}
# NumPy parses headers by `ast`, which CPython 3.11 does not bear in two threads at once (gh-106905)
HEADERS = threading.Lock()
SUFFIXES = (".npy", ".csv", ".npz", *HDF5_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one video's array lies: a file, and its name inside a file of several."""

    path: Path
    key: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.key is None else f"{self.path}[{self.key}]"


def list_entries(path: Path) -> list[tuple[str, Entry]]:
    """Name the arrays of a file: its stem, or the arrays' own names where it holds several.

    Raises
    ------
    FeatureError
        It is not what its suffix says, or is empty.
    """
    if path.suffix not in (".npz", *HDF5_SUFFIXES):
        return [(path.stem, Entry(path))]
    keys = _guarded(path, _npz_keys if path.suffix == ".npz" else _hdf5_keys)
    if not keys:
        raise FeatureError(f"{path}: holds no arrays")
    if len(keys) == 1:
        return [(path.stem, Entry(path, keys[0]))]
    return [(key, Entry(path, key)) for key in keys]


def read_array(entry: Entry, *, mapped: bool = False) -> NDArray[Any]:
    """Load one video's array, two-dimensional and numeric.

    With `mapped`, an npy file is mapped into memory instead, and only what is touched is read.

    Raises
    ------
    FeatureError
        Empty, truncated, not numeric, pickled, or not two-dimensional; names the file.
    """
    reader = _map_npy if mapped and entry.path.suffix == ".npy" else _READERS[entry.path.suffix]
    array: NDArray[Any] = _guarded(entry.path, reader, entry.key)
    if array.ndim != 2 or 0 in array.shape:
        raise FeatureError(f"{entry}: shape {array.shape}, but a filled (T, C) array is needed")
    if array.dtype.kind not in "fiu":
        raise FeatureError(f"{entry}: holds {array.dtype}, not numbers")
    return array


def _guarded(path: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a reader and turn every way in which a file can be bad into a FeatureError."""
    import pyarrow as pa

    try:
        if path.stat().st_size == 0:
            raise FeatureError(f"{path}: the file is empty")
        return function(path, *arguments)
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        pa.ArrowException,
    ) as error:
        if isinstance(error, FeatureError):
            raise
        raise FeatureError(
            f"{path}: cannot be read, damaged or truncated: {plain_reason(error)}"
        ) from error


def plain_reason(error: Exception) -> str:
    """Why a file cannot be read, in our words where NumPy speaks of its own machinery."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return next((ours for theirs, ours in _PLAINLY.items() if theirs in reason), reason)


def _read_npy(path: Path, key: str | None) -> NDArray[Any]:
    return np.array(_map_npy(path, key))


def _map_npy(path: Path, key: str | None) -> NDArray[Any]:
    with HEADERS:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _read_npz(path: Path, key: str | None) -> NDArray[Any]:
    with HEADERS, np.load(path, allow_pickle=False) as archive:
        array: NDArray[Any] = archive[key]
        return array


def _npz_keys(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as archive:
        return list(archive.files)


def _read_hdf5(path: Path, key: str | None) -> NDArray[Any]:
    h5py = require("h5py", extra="hdf5", purpose=f"reading {path.name}")
    with h5py.File(path, "r") as store:
        return np.asarray(store[key])


def _hdf5_keys(path: Path) -> list[str]:
    h5py = require("h5py", extra="hdf5", purpose=f"reading {path.name}")

    def datasets(group: Any) -> Iterator[str]:
        for item in group.values():
            if isinstance(item, h5py.Group):
                yield from datasets(item)
            else:
                yield item.name.lstrip("/")

    with h5py.File(path, "r") as store:
        return list(datasets(store))


def _read_csv(path: Path, key: str | None) -> NDArray[np.float32]:
    """One row a snippet; a first row that is not numeric is a header."""
    from actspan.data.csv_numbers import parse_table

    text = path.read_bytes()
    end = text.find(b"\n") + 1 or len(text)
    first = text[:end].decode("utf-8-sig", errors="replace").rstrip("\r\n").split(",")
    first = [field.strip('"') for field in first]
    is_header = not all(map(_is_number, first))
    rows = np.frombuffer(text, np.uint8)[end if is_header else 0 :]
    table = parse_table(rows, len(first))
    return _read_any_csv(text, first, is_header) if table is None else table


def _read_any_csv(text: bytes, first: list[str], is_header: bool) -> NDArray[np.float32]:
    """The same by a general reader: quotes, blanks, and words for what is wrong."""
    import pyarrow as pa
    from pyarrow import csv

    names = first if is_header else [f"f{i}" for i in range(len(first))]
    options = csv.ReadOptions(autogenerate_column_names=not is_header, use_threads=False)
    # a type that is told is read four times as fast as one that has to be found out
    told = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float64()))
    table = csv.read_csv(pa.BufferReader(text), read_options=options, convert_options=told)
    for column in table.schema:
        if column.type not in (pa.float64(), pa.int64()):
            raise ValueError(f"column {column.name} holds {column.type}, not numbers")
    if not table.num_rows:
        return np.empty((0, table.num_columns), np.float32)
    (batch,) = table.combine_chunks().to_batches()
    values: NDArray[np.float64] = batch.to_tensor(null_to_nan=True).to_numpy()
    if np.isnan(values).any():
        raise ValueError(f"{counted(int(np.isnan(values).sum()), 'field')} empty or NaN")
    return values.astype(np.float32)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_READERS: dict[str, Callable[[Path, str | None], NDArray[Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    **dict.fromkeys(HDF5_SUFFIXES, _read_hdf5),
}
