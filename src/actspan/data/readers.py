"""Feature files: CSV, npy, npz and HDF5, to one array a video. Pickled content is never loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.data.npy import Archive, map_npy
from actspan.errors import FeatureError
from actspan.files import read_bytes
from actspan.limits import DOCUMENT
from actspan.wording import counted

HDF5_SUFFIXES = (".h5", ".hdf5")
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
    try:
        if path.stat().st_size == 0:
            raise FeatureError(f"{path}: the file is empty")
        return function(path, *arguments)
    except (OSError, ValueError, KeyError) as error:
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


def _npz_keys(path: Path) -> list[str]:
    with Archive(path) as archive:
        return archive.names


def _read_hdf5(path: Path, key: str) -> NDArray[Any]:
    from actspan.data.hdf5 import read_dataset

    return read_dataset(path, key)


def _hdf5_keys(path: Path) -> list[str]:
    from actspan.data.hdf5 import dataset_names

    return dataset_names(path)


def _read_csv(path: Path, key: str | None) -> NDArray[np.float32]:
    """One row a snippet; a first row that is not numeric is a header."""
    from actspan.data.csv_numbers import parse_table

    text = read_bytes(path, DOCUMENT)
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
    try:
        table = csv.read_csv(pa.BufferReader(text), read_options=options, convert_options=told)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
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


_READERS: dict[str, Callable[[Path, Any], NDArray[Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    **dict.fromkeys(HDF5_SUFFIXES, _read_hdf5),
}
