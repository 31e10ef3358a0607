"""Files that are whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

from actspan.core.errors import ActSpanError, DataError
from actspan.core.limits import EXPANDED, EXPANSION
from actspan.core.locks import lock_target
from actspan.core.wording import closest

StrPath = str | os.PathLike[str]

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_NEIGHBOURS = 10_000  # files compared with the name of a missing one
_KINDS = {
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
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)  # as open(..., "xb")


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing bytes; the file appears only if the block succeeds.

    An ActSpanError names the file if it cannot be made, or if the disk is full.
    """
    if path.is_dir():
        raise ActSpanError(f"{path}: cannot be written: is a folder; give the file a name")
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    try:
        handle = os.open(partial, _NEW, 0o666)  # the kernel applies the umask
    except OSError as error:
        raise ActSpanError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
        sync(path.parent)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        _raise_disk_error(path, error)
        raise  # an error of the block, not of writing


def remove_leftovers(path: Path) -> None:
    """Remove temporary files that `atomic_file` left next to `path` when its process was killed."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.????????"):
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make a folder to fill; if the block succeeds, it replaces `path`.

    An ActSpanError names the folder if it cannot be made, the disk is full, or another process
    writes to it.
    """
    with lock_target(path), _atomic_folder(path) as partial:
        yield partial


@contextmanager
def _atomic_folder(path: Path) -> Iterator[Path]:
    target = path.resolve()  # a link is kept, and its target is replaced
    partial = target.parent / f".{target.name}.{os.getpid()}.partial"
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
        _raise_disk_error(path, error)
        raise  # an error of the block, not of writing


def _raise_disk_error(path: Path, error: BaseException) -> None:
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        raise ActSpanError(f"{path}: cannot be written: {error.strerror}") from error


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


def replace_folder(fresh: Path, path: Path) -> None:
    """Move a finished folder durably to `path`, then remove the one that it replaces.

    Both must be on the same file system.
    """
    old = path.parent / f".{path.name}.{os.getpid()}.old"
    sync(fresh)
    if path.exists():
        path.rename(old)
    try:
        fresh.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


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
    kinds = (name for file, name in _KINDS.items() if (path / file).exists())
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
