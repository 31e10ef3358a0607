"""Locks that keep two processes from writing one file or folder at the same time."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from actspan.core.errors import DataError

try:
    import fcntl
except ImportError:  # Windows, which neither renames nor removes open files
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # of file systems without locks
LOCK = ".lock"
_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())


@contextmanager
def lock_target(target: Path, *, inside: bool = False, wait: float = 0) -> Iterator[bool]:
    """Lock a file or folder that is written until the block ends; the lock ends with the process.

    The same code can lock a target again within the block. Yields False then, else True.

    Parameters
    ----------
    target : Path
        It need not exist; the folder around it is created.
    inside : bool
        Keep the lock file in the folder `target`, which is created, not next to it. For a folder
        that is written in place, whose parent may not be writable.
    wait : float
        Seconds to wait for another process that has locked the target.

    Raises
    ------
    DataError
        Another process has locked the target, which is named with that process; or the lock file
        cannot be created.
    """
    try:
        path = target.resolve()  # two names of one place have one lock
    except RuntimeError as error:
        raise DataError(f"{target}: cannot be written: is a loop of links") from error
    file = path / LOCK if inside else path.with_name(f".{path.name}{LOCK}")
    if file in _held.get():
        yield False
        return
    created = [folder for folder in file.parents if not folder.exists()]  # deepest first
    try:
        with lock_file(file, target, "is writing it; wait until that ends, or stop it", wait):
            token = _held.set(_held.get() | {file})
            try:
                yield True
            finally:
                _held.reset(token)
    finally:
        for folder in created:
            with suppress(OSError):  # not empty
                folder.rmdir()


@contextmanager
def lock_file(file: Path, target: Path, busy: str, wait: float = 0) -> Iterator[None]:
    """Lock `target` by the lock file `file` until the block ends; its folder is created.

    Raises DataError if the file cannot be created, or if another process has locked it, also after
    `wait` seconds; `busy` continues the message after the name of that process.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file, timeout=wait, thread_local=False, fallback_to_soft=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        with suppress(OSError):  # a full disk is reported by the work itself
            file.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
    except Timeout as error:
        raise DataError(f"{target}: {_holder(file)} {busy}") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise DataError(f"{target}: cannot be created: {error.strerror}") from error
    try:
        yield
    finally:
        is_removed = False
        try:
            # A process that opened the file before takes no lock on it once it is removed.
            with suppress(PermissionError):  # Windows removes no open files
                file.unlink(missing_ok=True)
                is_removed = True
        finally:
            lock.release()
        if not is_removed:
            with suppress(OSError):  # another process has opened it
                file.unlink(missing_ok=True)


def _holder(file: Path) -> str:
    """Return the process that has locked a file."""
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="utf-8")[:200] or "another process"
    return "another process"


def try_lock(handle: int) -> bool:
    """Lock an open file until it is closed; return False if another process has locked it.

    Raises OSError on file systems without locks. Where `HAS_LOCKS` is false it locks nothing.
    """
    if not HAS_LOCKS:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
