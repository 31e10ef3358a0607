"""Storage of whole files by name: a local folder, or an object store by its URL.

Every file is complete or absent, since it appears only after it was written as a whole.
"""

from __future__ import annotations

import io
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from actspan.core.errors import ActSpanError, DataError, require
from actspan.core.files import StrPath, atomic_file, name_disk_errors
from actspan.core.locks import LOCK, lock_target
from actspan.core.object_files import ObjectFile, TemporaryCopy
from actspan.core.temporary import temporary_folder

T = TypeVar("T")

_WAITS = (0.2, 0.8, 3.2)  # seconds between tries, since object stores fail temporarily
# Protocols with atomic puts; for others, files are written under another name and moved.
_ATOMIC_PUTS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "memory"})


def is_url(where: StrPath) -> bool:
    """Return whether it is a URL, but not one of a local file."""
    text = str(where)
    return "://" in text and not text.startswith("file://")


def open_storage(where: str | Path) -> Storage:
    """Return the storage at a path or URL (s3://bucket/folder); errors are those of the class."""
    if is_url(where):
        return ObjectStorage(str(where))
    return FolderStorage(Path(str(where).removeprefix("file://")))


@dataclass
class FolderStorage:
    """Storage in a local folder."""

    path: Path
    _is_kept: bool = field(default=False, init=False)  # an empty folder, by its lock

    @property
    def name(self) -> str:
        """Its path, for messages."""
        return f"{self.path}/"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and lock it; remove incomplete files of killed processes.

        Raises as `lock_target`.
        """
        try:
            with lock_target(self.path, inside=True):
                try:
                    self._remove_incomplete()
                    yield
                finally:
                    self._remove_incomplete()
        finally:
            if self._is_kept:
                with suppress(OSError):  # another process uses it
                    self.path.rmdir()

    def _remove_incomplete(self) -> None:
        for leftover in self.path.glob(".*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            elif leftover.name != LOCK:
                leftover.unlink(missing_ok=True)

    def remove_if_empty(self) -> None:
        """Remove the folder if it has no files; call it while the folder is locked."""
        if self.path.is_dir() and not self.names():
            shutil.rmtree(self.path, ignore_errors=True)
            self._is_kept = self.path.is_dir()  # on Windows, which removes no open files

    def names(self) -> set[str]:
        """Return the names of all files; empty if the folder does not exist."""
        if not self.path.is_dir():
            return set()
        with name_disk_errors(self.path, "cannot be read"):
            return {entry.name for entry in os.scandir(self.path) if entry.name[0] != "."}

    def contains(self, name: str) -> bool:
        """Return whether a file exists."""
        return (self.path / name).exists()

    @contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for writing; it appears, durably, only if the block succeeds.

        Raises ActSpanError if it cannot be written; no part of it is left.
        """
        with atomic_file(self.path / name) as stream:
            yield stream

    def get(self, name: str) -> IO[bytes]:
        """Open a file for reading; raise DataError if it cannot be read."""
        with name_disk_errors(self.path / name, "cannot be read"):
            return (self.path / name).open("rb")

    def delete(self, name: str) -> None:
        """Remove a file if it exists."""
        with name_disk_errors(self.path / name, "cannot be removed"):
            (self.path / name).unlink(missing_ok=True)


class ObjectStorage:
    """Storage in an object store, or in any place that fsspec reaches by a URL.

    It cannot be locked: two processes that write one file write the same bytes. `name` is the URL,
    for messages. Raises MissingExtraError if fsspec is not installed, and DataError if the driver
    of the protocol is not installed, or the URL is not valid. Every method raises DataError, which
    names the file, if the store still fails after several tries.
    """

    def __init__(self, url: str) -> None:
        fsspec = require("fsspec", extra="cluster", purpose=f"reaching {url}")
        self.url = url.rstrip("/")
        self.name = f"{self.url}/"
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise DataError(f"{url}: cannot be reached: {error}") from error
        self._root = root.rstrip("/")
        self._has_atomic_puts = url.partition("://")[0] in _ATOMIC_PUTS

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, if the store has folders; there are no locks."""
        if not self._has_atomic_puts:
            self._attempt("", self._files.makedirs, self._root, exist_ok=True)
        yield

    def names(self) -> set[str]:
        """Return the names of all files that are not in a folder; empty if there are none."""
        self._files.invalidate_cache()
        try:
            paths = self._attempt("", self._files.ls, self._root, detail=False)
        except FileNotFoundError:
            return set()
        names = {path.rpartition("/")[2] for path in paths}
        return {name for name in names if name and name[0] != "."}

    def tree(self) -> list[str]:
        """Return the sorted paths of all files, also in folders, relative to the URL."""
        paths = self._attempt("", self._files.find, self._root)
        return sorted(filter(None, (p.removeprefix(self._root).lstrip("/") for p in paths)))

    def contains(self, name: str) -> bool:
        """Return whether a file exists."""
        self._files.invalidate_cache()
        return bool(self._attempt(name, self._files.exists, self._path(name)))

    @contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for writing; if the block succeeds, it is put: at once, or by a rename."""
        with temporary_folder() as folder:
            with open(copy := f"{folder}/file", "wb") as stream:
                yield stream
            if self._has_atomic_puts:
                self._attempt(name, self._files.put_file, copy, self._path(name))
                return
            partial = self._path(f".{uuid.uuid4().hex[:8]}.{name}")
            self._attempt(name, self._files.put_file, copy, partial)
            self._attempt(name, self._files.mv, partial, self._path(name))

    def get(self, name: str) -> IO[bytes]:
        """Download a file and open the copy, which is removed when it is closed."""
        with ExitStack() as stack:
            copy = stack.enter_context(temporary_folder()) / "file"
            self.download(name, copy)
            return TemporaryCopy(copy, stack.pop_all())

    def download(self, name: str, path: Path) -> None:
        """Copy a file to a local one."""
        self._read(name, self._files.get_file, self._path(name), str(path))

    def open_ranges(self, name: str, *, ahead: int = 0) -> IO[bytes]:
        """Open a file to read parts of it, at least `ahead` bytes per request."""
        size = int(self._read(name, self._files.info, self._path(name))["size"])

        def read(first: int, last: int) -> bytes:
            content: bytes = self._files.cat_file(self._path(name), start=first, end=last)
            if len(content) != last - first:
                raise EOFError(f"received {len(content)} of {last - first} bytes")
            return content

        file: Any = ObjectFile(partial(self._read, name, read), size)
        return io.BufferedReader(file, ahead) if ahead else file

    def delete(self, name: str) -> None:
        """Remove a file if it exists."""
        try:
            self._attempt(name, self._files.rm_file, self._path(name))
        except FileNotFoundError:
            return

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _read(self, name: str, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return self._attempt(name, function, *arguments)
        except FileNotFoundError as error:
            raise DataError(f"{self.name}{name}: does not exist") from error

    def _attempt(self, name: str, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call a function of the store, and try again if it fails temporarily.

        A missing file (FileNotFoundError) or permission is final.
        """
        waits = iter(_WAITS)
        while True:
            try:
                return function(*arguments, **options)
            except (ActSpanError, FileNotFoundError):
                raise
            except Exception as error:
                wait = None if isinstance(error, PermissionError) else next(waits, None)
                if wait is None:
                    reason = str(error).partition("\n")[0] or type(error).__name__
                    where = f"{self.name}{name}"
                    raise DataError(f"{where}: the object store fails: {reason}") from error
            time.sleep(wait)


Storage = FolderStorage | ObjectStorage
