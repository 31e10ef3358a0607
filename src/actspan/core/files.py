"""Files that are whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO

from actspan.core.errors import ActSpanError, DataError
from actspan.core.limits import EXPANDED, EXPANSION
from actspan.core.locks import HAS_LOCKS, try_lock
from actspan.core.wording import closest

StrPath = str | os.PathLike[str]

_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # NumPy's error of a full disk
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
# Errors of the machine, not of the file that is used: a later attempt may succeed.
_MACHINE_ERRORS = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)
)
_NEIGHBOURS = 10_000  # files compared with the name of a missing one
KINDS = {  # by the file or folder that marks it
    "model.toml": "a bundle",
    "run.toml": "a run",
    "store.toml": "a packed dataset",
    "stage.toml": "a stage",
    "features": "a dataset",
    "videos": "a folder of videos",
}
_FILE_SUFFIX = re.compile(
    r"\.(jsonl?|[ct]sv|txt|log|toml|ya?ml|xml|html|md|pdf|png|svg|jpg|parquet|arrow|xlsx|np[yz]|h5|"
    r"hdf5|mat|pkl|pth?|ckpt|safetensors|onnx|om|engine|plan|bin|zip|tar|gz|mp4|avi|mkv|mov|webm)",
    re.IGNORECASE,
)
_SEPARATORS = frozenset("/\\\0:" if os.name == "nt" else "/\\\0")  # "c:name" is on another drive
_TEMPORARY = re.compile(r"\.[0-9a-f]{8}~.+")
_MOUNTS = Path("/proc/self/fdinfo")  # of Linux


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing bytes; the file appears only if the block succeeds.

    Until then it has a hidden, random name, which is the stream's. It is locked, so that
    `remove_leftovers` of another process keeps it. An ActSpanError names the file if it cannot be
    made, or if the disk is full.
    """
    if path.exists():
        require_replaceable(path)
    _clean_once(os.path.abspath(path.parent))
    stream: IO[bytes] | None = None
    while stream is None:
        partial = path.with_name(f".{secrets.token_hex(4)}~{path.name}")
        try:
            stream = open(partial, "xb")  # noqa: SIM115  the kernel applies the umask
        except OSError as error:
            raise ActSpanError(f"{path}: cannot be written: {error.strerror}") from error
        with suppress(OSError):  # a file system without locks
            if not try_lock(stream.fileno()):  # another process takes it for a leftover
                stream.close()
                stream = None
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if not HAS_LOCKS:
                stream.close()
            os.replace(partial, path)
        sync(path.parent)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        raise_disk_error(path, error)
        raise  # an error of the block, not of writing


def require_replaceable(path: Path) -> None:
    """Raise ActSpanError if a file cannot be written by a rename: a folder or a mount point."""
    if path.is_dir():
        raise ActSpanError(f"{path}: cannot be written: is a folder; give the file a name")
    if is_mounted_file(path):
        raise ActSpanError(
            f"{path}: cannot be written: is a mount point, which no complete file can replace; "
            "mount the folder around it instead"
        )


def is_mounted_file(path: Path) -> bool:
    """Return whether a file is a mount point, as in a container; False where Linux does not say."""
    if path.is_symlink() or not path.is_file() or not _MOUNTS.is_dir():
        return False
    with suppress(OSError):
        return _mount(path) != _mount(path.parent)
    return False


def _mount(path: Path) -> str:
    """Return the number of the mount that contains a path."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        facts = (_MOUNTS / str(handle)).read_text(encoding="utf-8")
    finally:
        os.close(handle)
    return next((line for line in facts.splitlines() if line.startswith("mnt_id:")), "")


def remove_leftovers(folder: StrPath) -> None:
    """Remove temporary files from a folder whose processes were killed."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_if_left(entry.path)


_clean_once = lru_cache(maxsize=1024)(remove_leftovers)  # a folder may have many thousand files


def _remove_if_left(path: str) -> None:
    with suppress(OSError):  # of another user, on Windows also open, or without locks
        if not HAS_LOCKS:
            os.unlink(path)
            return
        handle = os.open(path, os.O_RDWR)
        try:
            if try_lock(handle):
                os.unlink(path)
        finally:
            os.close(handle)


def raise_disk_error(path: Path, error: BaseException) -> None:
    """Raise an ActSpanError that names the path, if an error is of a full or failing disk."""
    if not isinstance(error, OSError):
        return
    is_short = _SHORT_WRITE.fullmatch(str(error)) is not None
    if is_short or error.errno in _DISK_ERRORS:
        reason = os.strerror(errno.ENOSPC) if is_short else error.strerror
        raise ActSpanError(f"{path}: cannot be written: {reason}") from error


def machine_error(error: BaseException) -> OSError | None:
    """Return the error of a full or broken disk, or of too many open files, that is the cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _MACHINE_ERRORS:
            return cause
        cause = cause.__cause__
    return None


@contextmanager
def name_disk_errors(path: Path, what: str = "") -> Iterator[None]:
    """Convert an OSError of a block, with its notes, to a DataError that names the file.

    `what` says what cannot be done, such as "cannot be read".
    """
    try:
        yield
    except OSError as error:
        reason = ": ".join(filter(None, (what, error.strerror or str(error))))
        named = DataError(f"{error.filename or path}: {reason}")
        for note in getattr(error, "__notes__", ()):
            named.add_note(note)
        raise named from error


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to the disk.

    A folder is left to the file system where folders cannot be opened, as on Windows.
    """
    is_folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    except PermissionError:
        if is_folder:
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def similar_path(path: Path) -> str:
    """Return a question that suggests the existing path closest to a missing one, else "".

    The first missing folder or file of the path is compared with the entries next to it.
    """
    rest: list[str] = []
    while not path.parent.exists():
        rest.insert(0, path.name)
        path = path.parent
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, _NEIGHBOURS)]
    except OSError:  # not a folder, or not readable
        return ""
    close = closest(path.name, names)
    if close is None or closest(path.stem, [Path(close).stem]) is None:  # only suffixes are alike
        return ""
    suggested = path.with_name(close).joinpath(*rest)
    return "" if not suggested.exists() else f" (did you mean {str(suggested)!r}?)"


def folder_name_error(path: Path, what: str) -> str:
    """Return an error message if the name of a new folder has the suffix of a file, else "".

    Examples
    --------
    >>> folder_name_error(Path("model.onnx"), "a bundle")
    'model.onnx: a bundle is a folder, and .onnx is the suffix of a file; leave it out'
    >>> folder_name_error(Path("model.v2"), "a bundle")
    ''
    """
    if not _FILE_SUFFIX.fullmatch(path.suffix) or path.exists():
        return ""
    return f"{path}: {what} is a folder, and {path.suffix} is the suffix of a file; leave it out"


def folder_kind(path: Path) -> str:
    """Return " (a run)", " (a bundle)" or similar for a folder that ActSpan wrote, else ""."""
    kinds = (name for file, name in KINDS.items() if (path / file).exists())
    return next((f" ({kind})" for kind in kinds), "")


def path_texts(paths: StrPath | Iterable[StrPath]) -> tuple[str, ...]:
    """Return one path, or several, as text."""
    several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    return tuple(os.fspath(path) for path in several)


def is_plain_name(name: str) -> bool:
    """Check that a name read from a file can only name a file in its folder."""
    return name not in ("", ".", "..") and not set(name) & _SEPARATORS


def check_size(path: Path, limit: int | None = None) -> None:
    """Raise OSError, with the reason, unless a path is a regular file or folder of this size.

    A pipe or a device could block or never end; holes of a file take memory, and no disk.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EINVAL, "neither a file nor a folder, but a pipe or a device")
    if limit is not None and status.st_size > limit:
        what = f"too large: {status.st_size:,} bytes; the limit is {limit:,}; split it"
        raise OSError(errno.EFBIG, what)
    if stat.S_ISREG(status.st_mode) and status.st_size > EXPANDED:
        _check_holes(path, status)


def _check_holes(path: Path, status: os.stat_result) -> None:
    """Raise OSError if nearly all of a file was never written; systems may not know it."""
    enough, found, end = status.st_size // EXPANSION, 0, 0
    # The number of blocks is cheap, but some file systems count them late.
    if getattr(status, "st_blocks", 0) * 512 >= enough or not hasattr(os, "SEEK_DATA"):
        return
    with path.open("rb") as stream:
        while found < enough:
            try:
                begin = os.lseek(stream.fileno(), end, os.SEEK_DATA)
                end = os.lseek(stream.fileno(), begin, os.SEEK_HOLE)
            except OSError as error:
                if error.errno != errno.ENXIO:  # the system does not say; ENXIO is the end
                    return
                what = f"{status.st_size:,} bytes, of which {found:,} were written: the rest is "
                raise OSError(errno.EFBIG, f"{what}holes; copy it again from its source") from error
            found += end - begin


def check_expansion(stored: int, expanded: int) -> None:
    """Raise ValueError if data would become far larger in memory than they are on disk."""
    if expanded > max(EXPANDED, EXPANSION * stored):
        raise ValueError(
            f"{stored:,} bytes would expand to {expanded:,}: a decompression "
            "bomb, or features that are all zeros; write it uncompressed"
        )


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes; raise OSError like `check_size`."""
    check_size(path, limit)
    return path.read_bytes()


def read_text(path: Path, limit: int, encoding: str = "utf-8") -> str:
    """Read a text file like `read_bytes`, keeping line ends; may raise UnicodeDecodeError."""
    check_size(path, limit)
    return path.read_bytes().decode(encoding)


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
