"""Files in an object store, or wherever else fsspec reaches by a URL."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from actspan.errors import ActSpanError, DataError, require

T = TypeVar("T")

_WAITS = (0.2, 0.8, 3.2)  # seconds between tries: stores have bad moments


def is_url(where: str | Path) -> bool:
    """Whether it is a URL that is not a local file's."""
    text = str(where)
    return "://" in text and not text.startswith("file://")


def attempt(act: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Ask an object store, again if it has a bad moment.

    Drivers raise whatever they like; the last error is raised as it is, and one that another try
    would not change at once.
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
    """What a driver's error says, in a line."""
    return str(error).partition("\n")[0] or type(error).__name__


class Objects:
    """The files below a URL (s3://bucket/folder).

    Raises
    ------
    MissingExtraError
        fsspec is not installed.
    DataError
        The driver of the protocol is not installed, or the URL makes no sense.
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
        """All files, by their paths below the URL, in order.

        Raises
        ------
        DataError
            There are none, or the store fails.
        """
        found = self.attempt("", self._files.find, self._root)
        names = sorted(path.removeprefix(self._root).lstrip("/") for path in found)
        if not any(names):
            raise DataError(f"{self.url}: nothing is there")
        return names

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file to a local one; raises as `attempt`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.attempt(name, self._files.get_file, f"{self._root}/{name}", str(path))

    def open(self, name: str, *, ahead: int = 0) -> Ranges:
        """A file to read parts of, with at least `ahead` bytes a request; raises as `attempt`."""
        return Ranges(self, name, ahead)

    def size(self, name: str) -> int:
        """Bytes of a file; raises as `attempt`."""
        return int(self.attempt(name, self._files.info, f"{self._root}/{name}")["size"])

    def part(self, name: str, begin: int, end: int) -> bytes:
        """The bytes begin <= i < end of a file; raises as `attempt`."""

        def read() -> bytes:
            found: bytes = self._files.cat_file(f"{self._root}/{name}", start=begin, end=end)
            if len(found) != end - begin:
                raise EOFError(f"{len(found)} bytes came of {end - begin}")
            return found

        return self.attempt(name, read)

    def attempt(self, name: str, act: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Ask the store, again if it has a bad moment.

        Raises
        ------
        DataError
            It fails all the same; names the file.
        """
        try:
            return attempt(act, *arguments, **options)
        except ActSpanError:
            raise
        except Exception as error:
            where = f"{self.url}/{name}".rstrip("/")
            raise DataError(f"{where}: cannot be read: {reason_of(error)}") from error


class Ranges:
    """A file of an object store that is open for reading, as pyarrow wants it."""

    closed = False

    def __init__(self, objects: Objects, name: str, ahead: int) -> None:
        self._objects, self._name, self._ahead = objects, name, ahead
        self._size = objects.size(name)
        self._position = 0
        self._begin, self._held = 0, b""  # what was fetched last

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def read(self, count: int = -1) -> bytes:
        """The next bytes, fewer only at the end."""
        begin = self._position
        end = self._size if count < 0 else min(begin + count, self._size)
        if begin < self._begin or end > self._begin + len(self._held):
            wanted = min(max(end, begin + self._ahead), self._size)
            self._begin, self._held = begin, self._objects.part(self._name, begin, wanted)
        self._position = end
        return self._held[begin - self._begin : end - self._begin]

    def close(self) -> None:
        """Let go of what was fetched."""
        self.closed, self._held = True, b""
