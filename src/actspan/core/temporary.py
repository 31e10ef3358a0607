"""Folders for temporary files; those of a killed process are removed by the next one."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from actspan.core.locks import HAS_LOCKS, LOCK, try_lock

_PREFIX = "actspan-"
_NAME = re.compile(r"actspan-[a-z0-9_]{8}")
_FILES = "files"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder for temporary files, and remove it after the block.

    The folder around it is locked until then. The first call of a process removes those that no
    process has locked. Raises OSError if it cannot be made.
    """
    if HAS_LOCKS:
        _clean_once(tempfile.gettempdir())
    with ExitStack() as stack:
        around: Path | None = None
        while around is None:
            around = _make_locked(stack)
        try:
            (around / _FILES).mkdir()
            yield around / _FILES
        finally:
            _remove(around)


def folder_until_exit() -> Path:
    """Make a folder for temporary files, which is removed when the process ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(temporary_folder())


def _make_locked(stack: ExitStack) -> Path | None:
    """Make a folder with a lock file; None if another process has taken it for a leftover."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    if not HAS_LOCKS:
        return folder
    try:
        lock = stack.enter_context(open(folder / LOCK, "xb"))  # noqa: SIM115
    except FileNotFoundError:
        return None
    with suppress(OSError):  # a file system without locks
        if not try_lock(lock.fileno()):
            return None
    return folder if (folder / LOCK).exists() else None


def _remove(folder: Path) -> None:
    """Remove a folder, its lock file last."""
    for part in (folder / _FILES, folder):
        shutil.rmtree(part, ignore_errors=True)


@cache
def _clean_once(place: str) -> None:
    """Remove the folders in a place that killed processes left."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):  # of another user, of another kind, or without locks
                    _remove_if_left(Path(entry.path))


def _remove_if_left(folder: Path) -> None:
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        os.rmdir(folder)  # an empty one: its process was killed before or after it was locked
        return
    try:
        if try_lock(handle):
            _remove(folder)
    finally:
        os.close(handle)
