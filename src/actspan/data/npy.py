"""Untrusted npy and npz files: headers are compared with the actual size of the file.

`numpy.load` allocates the size that a header declares before it reads, expands a compressed member
whatever its size, and passes on the exceptions of its parser and of `zipfile`. Here a file is an
array of plain numbers, or raises a `ValueError`.
"""

from __future__ import annotations

import math
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from actspan.core.files import check_size
from actspan.core.limits import EXPANDED, EXPANSION
from actspan.data.names import Ignored

# NumPy parses headers with `ast`, which is not thread-safe in CPython 3.11 (gh-106905).
_HEADERS = threading.Lock()
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_STORED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # methods that NumPy uses


class ContentError(ValueError):
    """A file is intact, but contains something other than arrays of numbers."""


class Header(NamedTuple):
    """Header of an npy file, and the offset of its numbers."""

    shape: tuple[int, ...]
    order: str  # "C" or "F"
    dtype: np.dtype[Any]
    offset: int


def read_header(stream: IO[bytes], size: int) -> Header:
    """Read the header of an npy file of `size` bytes.

    Raises
    ------
    ValueError
        It is not an npy file, or its array is not numeric, or larger than the file.
    """
    try:
        version = np.lib.format.read_magic(stream)
    except ValueError as error:
        raise ValueError("it is not an array file") from error
    if version not in _READ_HEADER:
        raise ContentError("it holds records, or is of a newer format")
    try:
        with _HEADERS:
            shape, is_fortran, dtype = _READ_HEADER[version](stream)
    except OSError:
        raise
    except Exception as error:  # SyntaxError, RecursionError, MemoryError of the parser
        raise ValueError("its header is damaged") from error
    if dtype.hasobject:
        raise ContentError("it holds Python objects, not numbers")
    if dtype.kind not in "fiu":
        raise ContentError(f"it holds {dtype}, not numbers")
    offset = stream.tell()
    if any(n < 0 for n in shape):
        raise ValueError(f"its header says shape {shape}")
    if math.prod(shape) * dtype.itemsize > size - offset:
        raise ValueError("it is shorter than its header says")
    return Header(tuple(map(int, shape)), "F" if is_fortran else "C", dtype, offset)


def map_npy(path: Path) -> NDArray[Any]:
    """Return the array of an npy file, mapped into memory; raise ValueError and OSError."""
    check_size(path)
    with path.open("rb") as stream:
        header = read_header(stream, path.stat().st_size)
    if 0 in header.shape:
        return np.empty(header.shape, header.dtype)
    shape: Any = header.shape
    order: Any = header.order
    return np.memmap(path, header.dtype, "r", header.offset, shape, order)


class Archive:
    """The arrays of an npz file, read one at a time; a context manager that closes the file.

    Raises
    ------
    ValueError, OSError
        It is not a zip file, is damaged, or has two members of one name or other members; also by
        every method.
    """

    def __init__(self, path: Path) -> None:
        check_size(path)
        with _zip_errors():
            self._zip = zipfile.ZipFile(path)
        members = self._zip.infolist()
        self._members = {m.filename.removesuffix(".npy"): m for m in members}
        if len(self._members) < len(members):
            self.close()
            raise ValueError("two members of one name")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

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
                return read_header(stream, member.file_size).shape
            except ValueError:
                return None

    def read(self, name: str) -> NDArray[Any]:
        """Return one array."""
        member = self._members[name]
        if member.compress_type not in _STORED or member.flag_bits & 1:
            raise ValueError(f"member {name!r} is encrypted, or compressed by another program")
        check_expansion(member.compress_size, member.file_size)
        with _zip_errors(), self._zip.open(member) as stream:
            header = read_header(stream, member.file_size)
            size = math.prod(header.shape) * header.dtype.itemsize
            data = stream.read(size)
        if len(data) != size:
            raise ValueError("it is shorter than its header says")
        order: Any = header.order
        return np.frombuffer(bytearray(data), header.dtype).reshape(header.shape, order=order)


def check_expansion(stored: int, expanded: int) -> None:
    """Raise ValueError if data would become far larger in memory than it is on disk."""
    if expanded > max(EXPANDED, EXPANSION * stored):
        raise ValueError(
            f"{stored:,} bytes would expand to {expanded:,}: a bomb, or features of nothing but "
            f"zeros; write it uncompressed"
        )


@contextmanager
def _zip_errors() -> Iterator[None]:
    """Raise ValueError for the exceptions of `zipfile` about a damaged file."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"its zip archive is damaged: {error}") from error
