"""Untrusted npy, npz and HDF5 files, of which only arrays of plain numbers are read.

`numpy.load` allocates the size that a header declares before it reads, expands a compressed member
whatever its size, and passes on the exceptions of its parser and of `zipfile`. HDF5 files can refer
to other files (external links, external storage, virtual datasets), contain cycles, and declare
terabytes that were never written. Here sizes are compared with the file, references to other files
are not followed, and every fault is a `ValueError` or `OSError`.
"""

from __future__ import annotations

import io
import math
import threading
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import FeatureError, require
from actspan.core.files import check_expansion, check_size
from actspan.data.names import Ignored

# NumPy parses headers with `ast`, which is not thread-safe in CPython 3.11 (gh-106905).
_HEADERS = threading.Lock()
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
HEAD = 16_384  # bytes that contain the header of an npy file; NumPy's limit is 10,000
_BLOCK = 1 << 20  # bytes to expand at a time
_WIDTH = 4  # bytes of a number as the networks take it, float32
_DEEPEST = 32  # nested groups of HDF5
_REORDERING = (2, 3)  # filters of HDF5 that do not compress: shuffle, fletcher32
_CHUNK_SLACK = 4096  # bytes by which a chunk that does not shrink may grow
_STORED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # methods that NumPy uses
CONTAINERS = (".npz", ".h5", ".hdf5")  # suffixes of files of several arrays


class ContentError(ValueError):
    """A file is intact, but contains something other than arrays of numbers."""


class Header(NamedTuple):
    """Header of an npy file, and the offset of its numbers."""

    shape: tuple[int, ...]
    order: str  # "C" or "F"
    dtype: np.dtype[Any]
    offset: int


def read_header(
    head: bytes | memoryview, size: int, records: Collection[np.dtype[Any]] = ()
) -> Header:
    """Read the header of an npy file of `size` bytes; `head` is its first `HEAD` bytes.

    Raises ValueError if it is not an npy file, or its array is larger than the file, or contains
    neither numbers nor a type in `records`.
    """
    stream = io.BytesIO(head)  # NumPy would read as many bytes as the header says that it has
    try:
        version = np.lib.format.read_magic(stream)
    except ValueError as error:
        raise ValueError("it is not an array file") from error
    if version not in _READ_HEADER:
        raise ContentError("it contains records, or is of a newer format")
    try:
        with _HEADERS:
            shape, is_fortran, dtype = _READ_HEADER[version](stream)
    except Exception as error:  # SyntaxError, RecursionError, MemoryError of the parser
        raise ValueError("its header is damaged") from error
    if dtype.hasobject:
        raise ContentError("it contains Python objects, not numbers")
    if dtype.kind not in "fiu" and dtype not in records:
        raise ContentError(f"it contains {dtype}, not numbers")
    offset = stream.tell()
    if any(n < 0 for n in shape):
        raise ValueError(f"its header says shape {shape}")
    if math.prod(shape) * dtype.itemsize > size - offset:
        raise ValueError("it is shorter than its header says")
    return Header(tuple(map(int, shape)), "F" if is_fortran else "C", dtype, offset)


def map_npy(path: Path, records: Collection[np.dtype[Any]] = ()) -> NDArray[Any]:
    """Return the array of an npy file, mapped into memory.

    Raises ValueError and OSError; records are only accepted if they are of a type in `records`.
    """
    check_size(path)
    with path.open("rb") as stream:
        header = read_header(stream.read(HEAD), path.stat().st_size, records)
    if 0 in header.shape:
        return np.empty(header.shape, header.dtype)
    shape: Any = header.shape
    order: Any = header.order
    return np.memmap(path, header.dtype, "r", header.offset, shape, order)


class Archive:
    """The arrays of an npz file, read one at a time.

    Everything raises ValueError and OSError if it is not a zip file, is damaged, or has two members
    of one name or other members.
    """

    def __init__(self, path: Path) -> None:
        check_size(path)
        with _zip_errors():
            self._zip = zipfile.ZipFile(path)
        self._size = path.stat().st_size
        members = self._zip.infolist()
        self._members = {m.filename.removesuffix(".npy"): m for m in members}
        if len(self._members) < len(members):
            self.close()
            raise ValueError("two members of one name")

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def names(self, ignored: Ignored) -> list[str]:
        """Return the names of the arrays, in the file's order; nothing is ignored."""
        return list(self._members)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return an array's shape, or None if it is not numeric."""
        member = self._members[name]
        with _zip_errors(), self._zip.open(member) as stream:
            try:
                return read_header(stream.read(HEAD), member.file_size).shape
            except ValueError:
                return None

    def read(self, name: str) -> NDArray[Any]:
        """Return one array."""
        member = self._members[name]
        if member.compress_type not in _STORED or member.flag_bits & 1:
            raise ValueError(f"member {name!r} is encrypted, or compressed by another program")
        with _zip_errors(), self._zip.open(member) as stream:
            head = stream.read(HEAD)
            header = read_header(head, member.file_size)
            count = math.prod(header.shape)
            # A member may say that it takes more room than the file has.
            stored = min(member.compress_size, self._size)
            check_expansion(stored, count * max(header.dtype.itemsize, _WIDTH))
            flat = np.empty(count, header.dtype)
            _fill(flat.view(np.uint8).data, head[header.offset :], stream)
        order: Any = header.order
        return flat.reshape(header.shape, order=order)


def _fill(target: memoryview, first: bytes, stream: IO[bytes]) -> None:
    """Copy bytes, and what follows in a stream, until a target is full; raise ValueError if not."""
    block, at = first[: len(target)], 0
    while at < len(target):
        if not block:
            raise ValueError("it is shorter than its header says")
        target[at : at + len(block)] = block
        at += len(block)
        block = stream.read(min(_BLOCK, len(target) - at))


@contextmanager
def _zip_errors() -> Iterator[None]:
    """Raise ValueError for the exceptions of `zipfile` about a damaged file."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"its zip archive is damaged: {error}") from error


def open_container(path: Path) -> AbstractContextManager[Archive | Hdf5File]:
    """Open a file of several arrays; raise ValueError and OSError, in the block too."""
    return closing(Archive(path)) if path.suffix.lower() == ".npz" else _open_hdf5(path)


@contextmanager
def _open_hdf5(path: Path) -> Iterator[Hdf5File]:
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
            ignored["attributes", name] += 1
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
        if dataset.dtype.kind not in "fiu":
            raise ContentError(f"{name} contains {dataset.dtype}, not numbers")
        width = max(dataset.dtype.itemsize, _WIDTH)
        check_dataset(dataset, self._size, int(dataset.size or 0) * width)
        return np.asarray(dataset)

    def _address(self, item: Any) -> int:
        address: int = self._h5py.h5o.get_info(item.id).addr
        return address

    def _walk(self, group: Any, ignored: Ignored, seen: set[int], depth: int) -> Iterator[str]:
        """Yield the names of the datasets below a group, along hard links, each object once."""
        for key in group:
            if not isinstance(group.get(key, getlink=True), self._h5py.HardLink):
                ignored["links", key] += 1
                continue
            item = group[key]
            address = self._address(item)
            if address in seen:
                continue
            seen.add(address)
            for name in item.attrs:
                ignored["attributes", name] += 1
            if isinstance(item, self._h5py.Dataset):
                yield key
            elif depth == _DEEPEST:
                ignored["groups", key] += 1
            elif isinstance(item, self._h5py.Group):
                yield from (f"{key}/{name}" for name in self._walk(item, ignored, seen, depth + 1))


def check_dataset(dataset: Any, size: int, expanded: int) -> None:
    """Raise ValueError if a file of `size` bytes cannot fill an HDF5 dataset.

    `expanded` are the bytes that will be needed for it. ContentError if it is in other files.
    """
    if dataset.is_virtual or dataset.external:
        raise ContentError(f"{dataset.name} lies in another file; copy its numbers into this one")
    check_expansion(size, expanded)
    if dataset.chunks is None:
        return
    chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize  # expanded as a whole
    check_expansion(size, chunk)
    filters = dataset.id.get_create_plist()
    kinds = [filters.get_filter(i)[0] for i in range(filters.get_nfilters())]
    if sum(kind not in _REORDERING for kind in kinds) > 1:
        raise ContentError(f"{dataset.name} is compressed twice, which could grow without end")
    # A chunk is expanded to its own end, whatever its size should be.
    if dataset.id.chunk_iter(lambda info: info.size > chunk + _CHUNK_SLACK or None):
        raise ValueError(f"a chunk of {dataset.name} is larger than it should be")


def table_shape(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return the shape as (T, C) without further axes of size 1; None if there are others."""
    kept = list(shape)
    for axis in reversed(range(len(shape))):
        if len(kept) > 2 and kept[axis] == 1:
            del kept[axis]
    return (kept[0], kept[1]) if len(kept) == 2 and 0 not in kept else None


@contextmanager
def feature_errors(path: Path) -> Iterator[None]:
    """Raise FeatureError, which names the file, for every kind of bad file."""
    try:
        if path.stat().st_size == 0:
            raise FeatureError(f"{path}: the file is empty")
        yield
    except ContentError as error:
        raise FeatureError(f"{path}: {error}") from error
    except PermissionError as error:
        raise FeatureError(
            f"{path}: cannot be read: permission denied; change its permissions"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        what = "a link that leads nowhere; correct or remove the link"
        if not path.is_symlink() or path.exists():
            lines = str(getattr(error, "strerror", None) or error).splitlines()
            reason = lines[0] if lines else type(error).__name__
            what = f"cannot be read, damaged or truncated: {reason}"
        raise FeatureError(f"{path}: {what}") from error
