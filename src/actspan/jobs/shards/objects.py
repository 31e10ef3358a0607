"""Shards in an object store, or in any place that fsspec reaches."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterable
from typing import IO, Any, TypeVar

from actspan.core.errors import ResultError, require
from actspan.core.objects import attempt, reason_of

T = TypeVar("T")

# Protocols with atomic puts; elsewhere files are written under another name and moved.
_WHOLE_PUTS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "memory"})


class ObjectStore:
    """A place in an object store, by its URL (s3://bucket/run.partial).

    It cannot be locked. Two drivers of one run do the same work twice, with the same bytes.

    Raises
    ------
    MissingExtraError
        fsspec, or its driver for the protocol, is not installed.
    ResultError
        The URL is not valid.
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
        """Make the folder, if the store has folders."""
        if not self._whole:
            self._try("", self._files.makedirs, self._root, exist_ok=True)

    def release(self) -> None:
        """Do nothing, since there is no lock."""

    def names(self) -> set[str]:
        """Return the names of all files, each of which is complete."""
        self._files.invalidate_cache()
        try:
            found = self._try("", self._files.ls, self._root, detail=False)
        except FileNotFoundError:
            return set()
        return {path.rpartition("/")[2] for path in found} - {""}

    def holds(self, name: str) -> bool:
        """Check that a file exists."""
        self._files.invalidate_cache()
        return bool(self._try(name, self._files.exists, self._path(name)))

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a file: in one put, or under another name first.

        Raises
        ------
        ResultError
            The store fails repeatedly.
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
        """Fetch a file and open the copy, which is removed when it is closed.

        Raises
        ------
        ResultError
            The file does not exist, or the store fails repeatedly.
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
        """Remove a file if it exists."""
        try:
            self._try(name, self._files.rm_file, self._path(name))
        except FileNotFoundError:
            return

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _try(self, name: str, act: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call a function of the store, and try again if it fails temporarily."""
        try:
            return attempt(act, *arguments, **options)
        except FileNotFoundError:
            raise
        except Exception as error:
            reason = reason_of(error)
            raise ResultError(f"{self.name}{name}: the store fails: {reason}") from error
