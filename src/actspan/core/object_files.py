"""Files of an object store that are open for reading: a copy of one, or parts of it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any


class TemporaryCopy(io.BufferedReader):
    """A file in a temporary folder, which is removed when the file is closed."""

    def __init__(self, path: Path, folder: ExitStack) -> None:
        super().__init__(io.FileIO(path))
        self._folder = folder

    def close(self) -> None:
        """Close the file, and remove its folder."""
        super().close()
        self._folder.close()


class ObjectFile(io.RawIOBase):
    """A file of an object store that is open for reading parts of it."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._read_part, self._size = read, size  # returns the bytes begin <= i < end
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, which is returned."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read as much as fits into the buffer, and return its size."""
        end = min(self._position + len(buffer), self._size)
        part = self._read_part(self._position, end) if end > self._position else b""
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)
