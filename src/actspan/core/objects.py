"""Files in an object store, or in any place that fsspec reaches by a URL."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from actspan.core.errors import ActSpanError, DataError, require

T = TypeVar("T")

_WAITS = (0.2, 0.8, 3.2)  # seconds between tries, since stores fail temporarily


def is_url(where: str | Path) -> bool:
    """Check that it is a URL, but not one of a local file."""
    text = str(where)
    return "://" in text and not text.startswith("file://")


def attempt(act: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Call a function of an object store, and try again if it fails temporarily.

    Raises the error of the last try. A missing file, a missing permission and ActSpan's own errors
    are raised at once.
    """
    waits = iter(_WAITS)
    while True:
        try:
            return act(*arguments, **options)
        except (ActSpanError, FileNotFoundError, PermissionError):
            raise
        except Exception:
            wait = next(waits, None)
            if wait is None:
                raise
        time.sleep(wait)


def reason_of(error: Exception) -> str:
    """Return the first line of a driver's error."""
    return str(error).partition("\n")[0] or type(error).__name__


class Objects:
    """The files below a URL (s3://bucket/folder).

    Raises
    ------
    MissingExtraError
        fsspec is not installed.
    DataError
        The driver of the protocol is not installed, or the URL is not valid.
    """

    def __init__(self, url: str) -> None:
        fsspec = require("fsspec", extra="cluster", purpose=f"reaching {url}")
        self.url = url.rstrip("/")
        try:
            self._files, root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise DataError(f"{url}: cannot be reached: {error}") from error
        self._root = root.rstrip("/")

    def names(self) -> list[str]:
        """Return the sorted paths of all files, relative to the URL.

        Raises
        ------
        DataError
            There are no files, or the store fails.
        """
        found = self.attempt("", self._files.find, self._root)
        names = sorted(path.removeprefix(self._root).lstrip("/") for path in found)
        if not any(names):
            raise DataError(f"{self.url}: nothing is there")
        return names

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file to a local one; raises like `attempt`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.attempt(name, self._files.get_file, f"{self._root}/{name}", str(path))

    def open(self, name: str, *, ahead: int = 0) -> Ranges:
        """Open a file to read parts, at least `ahead` bytes per request; raises like `attempt`."""
        return Ranges(self, name, ahead)

    def size(self, name: str) -> int:
        """Return the size of a file in bytes; raises like `attempt`."""
        return int(self.attempt(name, self._files.info, f"{self._root}/{name}")["size"])

    def part(self, name: str, begin: int, end: int) -> bytes:
        """Read the bytes begin <= i < end of a file; raises like `attempt`."""

        def read() -> bytes:
            found: bytes = self._files.cat_file(f"{self._root}/{name}", start=begin, end=end)
            if len(found) != end - begin:
                raise EOFError(f"{len(found)} bytes came of {end - begin}")
            return found

        return self.attempt(name, read)

    def attempt(self, name: str, act: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call a function of the store, and try again if it fails temporarily.

        Raises
        ------
        DataError
            All tries fail; names the file.
        """
        try:
            return attempt(act, *arguments, **options)
        except ActSpanError:
            raise
        except Exception as error:
            where = f"{self.url}/{name}".rstrip("/")
            raise DataError(f"{where}: cannot be read: {reason_of(error)}") from error


class Ranges:
    """A file of an object store, open for reading, with the methods that pyarrow needs."""

    closed = False

    def __init__(self, objects: Objects, name: str, ahead: int) -> None:
        self._objects, self._name, self._ahead = objects, name, ahead
        self._size = objects.size(name)
        self._position = 0
        self._begin, self._held = 0, b""  # position and content of the last request

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set and return the position."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Read the next bytes; fewer than `count` only at the end."""
        begin = self._position
        end = self._size if count < 0 else min(begin + count, self._size)
        if begin < self._begin or end > self._begin + len(self._held):
            wanted = min(max(end, begin + self._ahead), self._size)
            self._begin, self._held = begin, self._objects.part(self._name, begin, wanted)
        self._position = end
        return self._held[begin - self._begin : end - self._begin]

    def close(self) -> None:
        """Close the file and free its memory."""
        self.closed, self._held = True, b""
