"""Errors of the disk and of the database of the service, as answers to requests."""

from __future__ import annotations

import errno
import os
import sqlite3

from actspan.core.files import machine_error
from actspan.server.error_responses import ProblemError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_WRONG_STATEMENT = sqlite3.SQLITE_ERROR  # an error of ours, which no later attempt repairs
_RETRY = {"Retry-After": "5"}


class StorageError(ProblemError):
    """Disk or database that cannot be used now; a later attempt may succeed.

    The status is 507 if there is no space, else 503.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail, _RETRY)


def storage_error(error: BaseException) -> StorageError | None:
    """Return the error of the disk or the database that an exception is, or was caused by."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, sqlite3.Error):
        return _database_error(error)
    cause = machine_error(error)
    return None if cause is None else disk_error(cause.errno)


def disk_error(number: int | None) -> StorageError:
    """Return the error of the disk with this `errno`."""
    if number in _FULL:
        return StorageError(507, "the disk of the service is full; free space on it, and try again")
    reason = os.strerror(number or 0)
    return StorageError(503, f"the service cannot use its disk ({reason}); try again later")


def _database_error(error: sqlite3.Error) -> StorageError | None:
    code = getattr(error, "sqlite_errorcode", _WRONG_STATEMENT) & 0xFF  # without the details
    if code == sqlite3.SQLITE_FULL:
        return disk_error(errno.ENOSPC)
    if code in _LOCKED:
        what = "another program has locked the database of the service; try again in a moment"
        return StorageError(503, what)
    if isinstance(error, sqlite3.OperationalError) and code != _WRONG_STATEMENT:
        return StorageError(503, f"the service cannot use its database ({error}); try again later")
    return None
