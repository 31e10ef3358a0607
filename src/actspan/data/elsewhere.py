"""Datasets and bundles in an object store, each represented by a local folder.

A store's features stay in the object store and are read in parts (`store/remote.py`); all other
files are downloaded.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from actspan.core.objects import Objects, is_url

_THREADS = 16  # parallel downloads, because object stores have a high latency
_STORE = "store.toml"
_urls: dict[Path, str] = {}


def local_folder(where: str | Path) -> Path:
    """Return the folder, or a temporary one that represents a folder in an object store.

    Raises
    ------
    MissingExtraError
        fsspec is not installed.
    DataError
        Nothing is found there, or the store fails.
    """
    if is_url(where):
        return _fetched(str(where))
    return Path(str(where).removeprefix("file://"))


def url_of(folder: Path) -> str | None:
    """Return the URL that a folder represents, or None."""
    return _urls.get(folder)


def source_of(folder: Path) -> str:
    """Return the argument for `local_folder` on other machines: a folder's URL, or its path."""
    return url_of(folder) or str(folder.resolve())


@cache
def _fetched(url: str) -> Path:
    objects = Objects(url)
    names = objects.names()
    if _STORE in names:
        names = [name for name in names if not name.endswith(".arrow")]
    folder = Path(tempfile.mkdtemp(prefix="actspan-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(lambda name: objects.fetch(name, folder / name), names):
            pass
    _urls[folder] = objects.url
    return folder
