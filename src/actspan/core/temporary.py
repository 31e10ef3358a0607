"""Folders for temporary files; those of a killed process are removed by the next one."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from actspan.core.locks import HAS_LOCKS, LOCK, try_lock

_PREFIX = "actspan-"
_FILES = "files"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder for temporary files, and remove it after the block.

    It is locked until then. Each call removes the folders of this kind that no process has locked.
    Raises OSError if it cannot be made.
    """
    if HAS_LOCKS:
        _remove_left()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name, ExitStack() as stack:
        if HAS_LOCKS:
            lock = stack.enter_context(open(Path(name, LOCK), "xb"))
            with suppress(OSError):  # a file system without locks
                try_lock(lock.fileno())
        folder = Path(name, _FILES)
        folder.mkdir()
        yield folder


def folder_until_exit() -> Path:
    """Make a folder for temporary files, which is removed when the process ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(temporary_folder())


def _remove_left() -> None:
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                _remove_unlocked(Path(entry.path))


def _remove_unlocked(folder: Path) -> None:
    with suppress(OSError):  # of another user, of another kind, or without locks
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        try:
            # One without files may be about to be locked.
            if (folder / _FILES).is_dir() and try_lock(handle):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
