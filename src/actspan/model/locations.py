"""Places of bundles: a folder, an archive, a URL of either, or a name on the Hub."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from actspan.core.errors import BundleError
from actspan.core.files import StrPath, check_size
from actspan.core.limits import SETTINGS, WEIGHTS
from actspan.core.temporary import folder_until_exit
from actspan.data.dataset import local_folder, location_of
from actspan.model import LABEL_FREE
from actspan.model.manifest import MANIFEST, check_place, read_manifest

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error)
_TIMEOUT = 30  # seconds without data
_BLOCK = 1 << 20
_FILES = 1000  # in an archive
_locations: dict[Path, str] = {}  # of bundles that are elsewhere, by their folder here


def bundle_folder(where: StrPath | None) -> Path:
    """Return the folder of a bundle, fetched to this machine if it is elsewhere.

    Parameters
    ----------
    where : str or path, optional
        A folder; an archive (.zip, .tar, .tar.gz) of one; an http(s) URL of either; a folder of an
        object store (s3://...); `hf://owner/name` on the Hub; None is the label-free bundle.

    Raises
    ------
    BundleError
        Nothing is found there, it cannot be fetched, or an archive contains no bundle.
    DataError, MissingExtraError
        An object store fails, or its driver is not installed.
    """
    if where is None:
        return LABEL_FREE
    check_place(where)
    text = str(where)
    if text.startswith("hf://"):
        from actspan.model.hub import local_bundle

        folder = local_bundle(text)
        _locations[folder] = f"{text.partition('@')[0]}@{folder.name}"  # the commit
        return folder
    if text.startswith(("http://", "https://")):
        folder = _fetched(text.rstrip("/"))
        _locations[folder] = text
        return folder
    path = local_folder(text)
    if not (text.lower().endswith(ARCHIVES) and path.is_file()):
        return path
    folder = _unpacked(path, path)
    _locations[folder] = str(path.resolve())
    return folder


def bundle_location(folder: Path, *, shown: bool = False) -> str:
    """Return what gives the same bundle to `bundle_folder` later, or on another machine.

    An address may contain a token in its query, which is left out of what is `shown`.
    """
    location = _locations.get(folder) or location_of(folder)
    return location.partition("?")[0] if shown and folder in _locations else location


@cache
def _fetched(url: str) -> Path:
    """Download a bundle over http: an archive, or a folder by its `model.toml`."""
    name = Path(urlsplit(url).path).name
    folder = folder_until_exit()
    if name.lower().endswith(ARCHIVES):
        _download(url, folder / name, WEIGHTS)
        return _unpacked(folder / name, url.partition("?")[0])
    bundle = folder / (name or "bundle")
    bundle.mkdir()
    _download(f"{url}/{MANIFEST}", bundle / MANIFEST, SETTINGS)
    for file, record in read_manifest(bundle).files.items():
        _download(f"{url}/{file}", bundle / file, record.size)
    return bundle


def _download(url: str, path: Path, limit: int) -> None:
    """Write the content of a URL to a file; raise BundleError if it is longer than `limit`."""
    shown = url.partition("?")[0]  # the rest may contain a token
    try:
        with urlopen(url, timeout=_TIMEOUT) as stream, path.open("wb") as file:  # noqa: S310
            while block := stream.read(_BLOCK):
                file.write(block)
                if file.tell() > limit:
                    raise BundleError(f"{shown}: larger than the {limit:,} bytes that are allowed")
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        what = "check the address, and that it can be reached from here"
        raise BundleError(f"{shown}: cannot be fetched: {reason}; {what}") from error


def _unpacked(archive: Path, source: str | Path) -> Path:
    """Unpack an archive to a temporary folder; return the folder with `model.toml` in it."""
    folder = folder_until_exit()
    try:
        check_size(archive, WEIGHTS)
        _unpack(archive, folder)
    except (OSError, ValueError, EOFError, RuntimeError, *_DAMAGED) as error:
        what = "download it again, or give the unpacked folder"
        raise BundleError(f"{source}: this archive cannot be unpacked: {error}; {what}") from error
    found = sorted(folder.rglob(MANIFEST), key=lambda path: len(path.parts))
    if not found:
        raise BundleError(
            f"{source}: this archive contains no bundle (no {MANIFEST}); make one of the bundle's "
            "folder"
        )
    return found[0].parent


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack regular files; raise ValueError if they are too many, too large or lie outside."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            _check_content(info.file_size for info in packed.infolist())
            packed.extractall(folder)  # noqa: S202  zipfile removes `..` and roots from names
        return
    opened = gzip.open if archive.name.lower().endswith("gz") else open
    with (
        opened(archive, "rb") as content,
        tarfile.open(fileobj=_ShortReads(content), mode="r:") as tape,  # type: ignore[call-overload]
    ):
        _check_content(member.size for member in tape)
        tape.extractall(folder, filter="data")  # refuses links and files outside


class _ShortReads:
    """Content of an archive, of which no long header is read as a whole."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self.seek, self.tell = content.seek, content.tell

    def read(self, size: int) -> bytes:
        """Read bytes; raise ValueError for more than any header of a bundle's archive needs."""
        if size > SETTINGS:
            raise ValueError(f"a header of {size:,} bytes")
        data: bytes = self._content.read(size)
        return data


def _check_content(sizes: Iterable[int]) -> None:
    """Raise ValueError as soon as files are too many or too large for a bundle."""
    total = 0
    for number, size in enumerate(sizes, start=1):
        total += size
        if number > _FILES or total > WEIGHTS:
            raise ValueError(
                f"a bundle has at most {_FILES:,} files of together {WEIGHTS:,} bytes, and here "
                "are more"
            )
