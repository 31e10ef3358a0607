"""Feature files: CSV, npy, npz and HDF5, to one array a video. Pickled content is never loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.data.ignored import Ignored
from actspan.data.npy import Archive, ContentError, map_npy
from actspan.errors import FeatureError
from actspan.files import read_bytes
from actspan.limits import DOCUMENT
from actspan.wording import counted

HDF5_SUFFIXES = (".h5", ".hdf5")
SUFFIXES = (".npy", ".csv", ".npz", *HDF5_SUFFIXES)

_BOM = b"\xef\xbb\xbf"
_SEPARATORS = (b",", b";", b"\t", b" ")  # of a CSV file; numpy.savetxt writes blanks
_ROW_NUMBERS = {"", "Unnamed: 0", "index"}  # names that pandas gives to them


@dataclass(frozen=True, slots=True)
class Entry:
    """The place of one video's array.

    Attributes
    ----------
    path : Path
    key : str, optional
        Its name inside a file of several.
    joined : tuple of str
        Arrays of the same file whose channels follow.
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
        """Names of its arrays inside the file; empty where the file is the array."""
        return () if self.key is None else (self.key, *self.joined)

    @property
    def suffix(self) -> str:
        """Suffix of the file, in small letters."""
        return self.path.suffix.lower()


def list_arrays(path: Path, ignored: Ignored) -> list[str]:
    """Return the names of the arrays in a file; none where the file is one array without a name.

    Parameters
    ----------
    ignored : Ignored
        Gets what else the file holds.

    Raises
    ------
    FeatureError
        It is not what its suffix says, or is empty.
    """
    lister = _LISTERS.get(path.suffix.lower())
    if lister is None:
        return []
    names: list[str] = _guarded(path, lister, ignored)
    if not names:
        raise FeatureError(f"{path}: holds no arrays")
    return names


def list_features(path: Path, names: Iterable[str]) -> list[str]:
    """Return the names of those arrays that can be features: filled (T, C) arrays of numbers.

    Raises
    ------
    FeatureError
        The file is damaged.
    """
    shapes = _npz_shapes if path.suffix.lower() == ".npz" else _hdf5_shapes
    found: dict[str, tuple[int, ...]] = _guarded(path, shapes, names)
    return [name for name, shape in found.items() if _is_table(_squeezed(shape))]


def read_array(entry: Entry, *, mapped: bool = False) -> NDArray[Any]:
    """Load one video's array, two-dimensional and numeric; further axes of size 1 are dropped.

    With `mapped`, an npy file is mapped into memory instead, and only what is touched is read.

    Raises
    ------
    FeatureError
        Empty, truncated, not numeric, pickled, or not two-dimensional; names the file.
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
    """Read as `read_array` does, mapped, and say what was dropped from a CSV file, if anything."""
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
    """The shape without axes of size 1, from the last on, until two axes are left."""
    kept = list(shape)
    for axis in reversed(range(len(shape))):
        if len(kept) > 2 and kept[axis] == 1:
            del kept[axis]
    return tuple(kept)


def _guarded(path: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a reader and turn every way in which a file can be bad into a FeatureError."""
    try:
        if path.stat().st_size == 0:
            raise FeatureError(f"{path}: the file is empty")
        return function(path, *arguments)
    except ContentError as error:
        raise FeatureError(f"{path}: {error}") from error
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


class _Csv(NamedTuple):
    """A table's text with commas between fields, its first row, and what that row shows."""

    text: bytes
    first: list[str]
    has_header: bool
    has_row_numbers: bool  # the first column may be one that pandas adds

    @property
    def rows(self) -> NDArray[np.uint8]:
        begin = (self.text.find(b"\n") + 1 or len(self.text)) if self.has_header else 0
        return np.frombuffer(self.text, np.uint8)[begin:]


def _open_csv(text: bytes) -> _Csv:
    """Find what separates the fields, and whether the first row is a header."""
    line = text[: text.find(b"\n") + 1 or len(text)].removeprefix(_BOM).rstrip(b"\r\n")
    separator = next((mark for mark in _SEPARATORS if mark in line.strip()), b",")
    if separator != b",":
        text, line = text.replace(separator, b","), line.replace(separator, b",")
    fields = [field.strip('"') for field in line.decode(errors="replace").split(",")]
    has_header = _is_numbered(fields) or not all(map(_is_number, fields))
    has_row_numbers = has_header and len(fields) > 1 and fields[0] in _ROW_NUMBERS
    return _Csv(text, fields, has_header, has_row_numbers)


def _is_numbered(fields: list[str]) -> bool:
    """Whether fields are the header that pandas writes for columns without names: 0, 1, 2, ..."""
    return len(fields) > 2 and fields == [str(i) for i in range(len(fields))]


def _read_csv(path: Path, key: str | None) -> NDArray[np.float32]:
    """One row per snippet; a first row that is not numeric is a header."""
    return _read_csv_noted(path)[0]


def _read_csv_noted(path: Path) -> tuple[NDArray[np.float32], str]:
    """The same without what pandas adds, and words for what that was."""
    from actspan.data.csv_numbers import parse_table

    csv = _open_csv(read_bytes(path, DOCUMENT))
    table = parse_table(csv.rows, len(csv.first))
    if table is None:
        table = _read_any_csv(csv.text, csv.first, csv.has_header)
    dropped = ["the header 0, 1, 2, ..."] if _is_numbered(csv.first) else []
    if csv.has_row_numbers and np.array_equal(table[:, 0], np.arange(len(table))):
        table = table[:, 1:]
        dropped.append("a first column of row numbers")
    return table, " and ".join(dropped)


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
            raise ContentError(f"column {column.name} holds {column.type}, not numbers")
    if not table.num_rows:
        return np.empty((0, table.num_columns), np.float32)
    (batch,) = table.combine_chunks().to_batches()
    values: NDArray[np.float64] = batch.to_tensor(null_to_nan=True).to_numpy()
    if np.isnan(values).any():
        raise ContentError(f"{counted(int(np.isnan(values).sum()), 'field')} empty or NaN")
    return values.astype(np.float32)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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
