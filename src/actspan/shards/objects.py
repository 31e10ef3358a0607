"""Shards in an object store, or wherever fsspec reaches."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterable
from typing import IO, Any, TypeVar

from actspan.errors import ResultError, require
from actspan.objects import attempt, reason_of

T = TypeVar("T")

# a put appears as a whole or not at all; elsewhere files are written aside and moved
_WHOLE_PUTS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "memory"})


class ObjectStore:
    """A place in an object store, by its URL (s3://bucket/run.partial).

    It cannot be locked: two drivers at one run do the same work twice, to the same bytes.

    Raises
    ------
    MissingExtraError
        fsspec, or its driver for the protocol, is not installed.
    ResultError
        The URL makes no sense.
    """

    def __init__(self, url: str) -> None:
        fsspec = require("fsspec", extra="cluster", purpose=f"reaching {url}")
        self.name = f"{url.rstrip('/')}/"
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise ResultError(f"{url}: {error}") from error
        except ValueError as error:
            raise ResultError(f"{url}: cannot be reached: {error}") from error
        self._root = root.rstrip("/")
        self._whole = url.partition("://")[0] in _WHOLE_PUTS

    def acquire(self) -> None:
        """Make the folder, where there are any."""
        if not self._whole:
            self._try("", self._files.makedirs, self._root, exist_ok=True)

    def release(self) -> None:
        """Nothing was taken."""

    def names(self) -> set[str]:
        """The files that are there, each of them whole."""
        self._files.invalidate_cache()
        try:
            found = self._try("", self._files.ls, self._root, detail=False)
        except FileNotFoundError:
            return set()
        return {path.rpartition("/")[2] for path in found} - {""}

    def holds(self, name: str) -> bool:
        """Whether a file is there."""
        self._files.invalidate_cache()
        return bool(self._try(name, self._files.exists, self._path(name)))

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a file: in one put, or under another name first.

        Raises
        ------
        ResultError
            The store does not take it, though it was asked several times.
        """
        path = self._path(name)
        with tempfile.NamedTemporaryFile(prefix="actspan-") as copy:
            copy.writelines(chunks)
            copy.flush()
            if self._whole:
                self._try(name, self._files.put_file, copy.name, path)
                return
            aside = self._path(f".{uuid.uuid4().hex[:8]}.{name}")
            self._try(name, self._files.put_file, copy.name, aside)
            self._try(name, self._files.mv, aside, path)

    def get(self, name: str) -> IO[bytes]:
        """Fetch a file and open the copy, which goes when it is closed.

        Raises
        ------
        ResultError
            It is not there, or the store does not give it, though it was asked several times.
        """
        handle, copy = tempfile.mkstemp(prefix="actspan-")
        os.close(handle)
        try:
            self._try(name, self._files.get_file, self._path(name), copy)
            return open(copy, "rb")
        except FileNotFoundError as error:
            raise ResultError(f"{self.name}{name}: is not there") from error
        finally:
            os.unlink(copy)

    def delete(self, name: str) -> None:
        """Remove a file if it is there."""
        try:
            self._try(name, self._files.rm_file, self._path(name))
        except FileNotFoundError:
            return

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _try(self, name: str, act: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Ask the store, again if it has a bad moment."""
        try:
            return attempt(act, *arguments, **options)
        except FileNotFoundError:
            raise
        except Exception as error:
            reason = reason_of(error)
            raise ResultError(f"{self.name}{name}: the store fails: {reason}") from error
