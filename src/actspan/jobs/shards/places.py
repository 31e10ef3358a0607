"""Storage of the files of an unfinished run."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from actspan.core.errors import ResultError
from actspan.core.files import atomic_file

_LOCK = ".lock"


class Place(Protocol):
    """Contract of a folder or an object store that stores complete files under plain names."""

    name: str  # for people

    def acquire(self) -> None:
        """Lock the place for one driver if possible; make it if it does not exist."""
        ...

    def release(self) -> None:
        """Unlock the place."""
        ...

    def names(self) -> set[str]:
        """Return the names of all files, each of which is complete."""
        ...

    def holds(self, name: str) -> bool:
        """Check that a file exists."""
        ...

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a file durably and atomically."""
        ...

    def get(self, name: str) -> IO[bytes]:
        """Open a file for reading it once."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file if it exists."""
        ...


class Folder:
    """A local folder.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"{path}/"
        self._lock: int | None = None

    def acquire(self) -> None:
        """Make the folder and lock it until `release` or the end of the process.

        Raises
        ------
        ResultError
            Another process has locked the folder, or it cannot be made.
        """
        if self._lock is not None:
            return
        with _named(self.path, "cannot be made"):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise ResultError(
                f"{self.name}: another process is at work on this run; wait for it, or stop it"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # the file system has no locks
                raise
        self.sweep()  # leftovers of a killed process

    def sweep(self) -> None:
        """Remove hidden and incomplete files, if this object holds the lock."""
        if self._lock is None:
            return
        for leftover in self.path.glob(".*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            elif leftover.name != _LOCK:
                leftover.unlink(missing_ok=True)

    def release(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def names(self) -> set[str]:
        """Return the names of all files, each of which is complete."""
        if not self.path.is_dir():
            return set()
        with _named(self.path, "cannot be read"):
            return {entry.name for entry in os.scandir(self.path) if entry.name[0] != "."}

    def holds(self, name: str) -> bool:
        """Check that a file exists."""
        return (self.path / name).exists()

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a file and wait until it is on the disk.

        Raises
        ------
        ActSpanError
            The file cannot be written; no part of it is left.
        """
        with atomic_file(self.path / name) as stream:
            stream.writelines(chunks)

    def get(self, name: str) -> IO[bytes]:
        """Open a file.

        Raises
        ------
        ResultError
            The file cannot be read.
        """
        with _named(self.path / name, "cannot be read"):
            return (self.path / name).open("rb")

    def delete(self, name: str) -> None:
        """Remove a file if it exists."""
        with _named(self.path / name, "cannot be removed"):
            (self.path / name).unlink(missing_ok=True)

    def remove_if_empty(self) -> None:
        """Remove the folder if it is empty."""
        if self._lock is not None and {entry.name for entry in os.scandir(self.path)} <= {_LOCK}:
            shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def _named(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResultError(f"{path}: {what}: {error.strerror}") from error
