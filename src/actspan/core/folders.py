"""Output folders that are whole or absent: filled elsewhere, then put in their place by a rename.

A folder that cannot be renamed, such as a mount point (a volume in a container), is filled in place
from a complete folder inside it. The file that marks its kind (`model.toml`, `run.toml`) is moved
last, so nothing reads a part of it. What a killed process leaves is removed, undone or completed by
the next one that locks the folder.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actspan.core.errors import ActSpanError
from actspan.core.files import KINDS, raise_disk_error, sync
from actspan.core.locks import LOCK, lock_target

# Entries in a folder that is filled in place. A complete folder is "ready" while the old content is
# removed, and "moving" while its own content is moved.
_OWN = ".actspan-"
_READY, _MOVING = f"{_OWN}ready", f"{_OWN}moving"
_TEMPORARY = re.compile(rf"{re.escape(_OWN)}[0-9a-f]{{8}}")
_OLD = ".{}.old"  # a folder while a new one takes its place by two renames
_KEPT = frozenset((LOCK, "lost+found"))  # the latter is at the root of a file system
_FIXED = (errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES, errno.EROFS)  # cannot be renamed
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux


def is_free(path: Path) -> bool:
    """Return whether a new output folder can be put at a path: it is absent, or empty.

    Files of an unfinished output do not count.
    """
    if not path.is_dir():
        return not path.exists()
    names = {entry.name for entry in path.iterdir()}
    if names & {_READY, _MOVING}:  # the content is removed or completed under the lock
        return True
    return all(name in _KEPT or name.startswith(_OWN) for name in names)


def work_folder(out: Path, name: str) -> Path:
    """Return the folder for the unfinished content of an output folder.

    It is `OUT.name` next to the folder, or `OUT/.actspan-name` if `out` cannot be renamed.
    """
    target = Path(os.path.realpath(out))  # a link is kept, and its target is replaced
    inside = target / f"{_OWN}{name}"
    if target.is_dir() and (inside.is_dir() or not _is_replaceable(target)):
        return inside
    return target.with_name(f"{target.name}.{name}")


@contextmanager
def locked_folder(path: Path, *, wait: float = 0) -> Iterator[None]:
    """Lock an output folder, and repair what a killed process left; raises as `lock_target`."""
    target = Path(os.path.realpath(path))  # of a loop of links, too, which the lock refuses
    with lock_target(path, inside=not _is_replaceable(target), wait=wait) as is_outermost:
        if is_outermost:
            repair_folder(target)
        yield


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make a folder to fill; if the block succeeds, it replaces `path`.

    An ActSpanError names the folder if it cannot be made, the disk is full, or another process
    writes to it.
    """
    with locked_folder(path):
        target = Path(os.path.realpath(path))
        partial = target.with_name(f".{secrets.token_hex(4)}~{target.name}")
        if not _is_replaceable(target):
            partial = target / f"{_OWN}{secrets.token_hex(4)}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
        except OSError as error:
            raise ActSpanError(f"{path}: cannot be created: {error.strerror}") from error
        try:
            yield partial
            replace_folder(partial, target)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise_disk_error(path, error)
            raise  # an error of the block, not of writing


def replace_folder(fresh: Path, path: Path) -> None:
    """Move a finished folder durably to `path`, then remove the one that it replaces.

    Call it while `path` is locked. If the process is killed, `path` is the old folder or the new
    one; if there is neither, `repair_folder` restores one of them.
    """
    sync(fresh)
    if not fresh.is_relative_to(path):
        try:
            _swap(fresh, path)
        except OSError as error:
            if error.errno not in _FIXED or not path.is_dir():
                raise
        else:
            return
        fresh = _copy_inside(fresh, path)
    fresh.rename(path / _READY)
    _fill(path)


def repair_folder(path: Path) -> None:
    """Undo or complete what a killed process left of an output folder, which must be locked."""
    old = path.with_name(_OLD.format(path.name))
    if old.is_dir() and not path.exists():
        old.rename(path)
    elif old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    temporary = re.compile(rf"\.?(\.[0-9a-f]{{8}}~)+{re.escape(path.name)}({re.escape(LOCK)})?")
    for entry in path.parent.glob(".*~*"):
        if temporary.fullmatch(entry.name):
            _remove(entry)
    if path.is_dir():
        _fill(path)
        for entry in path.glob(f"{_OWN}*"):
            if _TEMPORARY.fullmatch(entry.name):
                _remove(entry)


def _is_replaceable(target: Path) -> bool:
    """Return whether a folder, if it exists, can be renamed as far as can be known.

    No folder can be moved into itself, which is one error for mount points and another for others.
    """
    if not target.is_dir():
        return True
    if not os.access(target.parent, os.W_OK | os.X_OK):
        return False
    try:
        os.rename(target, target / f"{_OWN}probe")
    except OSError as error:
        return error.errno != errno.EXDEV
    return True


def _swap(fresh: Path, path: Path) -> None:
    """Rename a folder to `path`, and remove the one there."""
    if not path.exists():
        fresh.rename(path)
    elif _exchange(fresh, path):
        sync(path.parent)
        shutil.rmtree(fresh, ignore_errors=True)
        return
    else:
        old = path.with_name(_OLD.format(path.name))
        path.rename(old)
        try:
            fresh.rename(path)
        except OSError:
            old.rename(path)
            raise
        sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    sync(path.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; return False where there is no such operation."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return False
    paths = _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other)
    if library.renameat2(*paths, _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _copy_inside(fresh: Path, path: Path) -> Path:
    """Move a folder into `path`, which may be on another file system; return the new one."""
    inside = path / f"{_OWN}{secrets.token_hex(4)}"
    shutil.copytree(fresh, inside)
    for file in inside.rglob("*"):
        sync(file)
    shutil.rmtree(fresh, ignore_errors=True)
    return inside


def _fill(path: Path) -> None:
    """Replace the content of a folder by the complete one in it, if there is one.

    It can be killed at any time, and continues when it is called again.
    """
    ready, moving = path / _READY, path / _MOVING
    if ready.is_dir():
        sync(path)
        for entry in sorted(path.iterdir(), key=_is_marker, reverse=True):
            if entry.name not in _KEPT and not entry.name.startswith(_OWN):
                _remove(entry)
        ready.rename(moving)
    if moving.is_dir():
        for entry in sorted(moving.iterdir(), key=_is_marker):
            if _is_marker(entry):  # the others must be durable before
                sync(path)
            entry.rename(path / entry.name)
        moving.rmdir()
        sync(path)


def _is_marker(entry: Path) -> bool:
    return entry.name in KINDS


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
