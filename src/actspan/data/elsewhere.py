"""Datasets and bundles in an object store: a local folder stands for each.

A store's features stay where they are, and are read in parts (`store/remote.py`); anything else
is fetched whole.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from actspan.objects import Objects, is_url

_THREADS = 16  # files are fetched beside each other: a store answers slowly, but to many
_STORE = "store.toml"
_urls: dict[Path, str] = {}


def local_folder(where: str | Path) -> Path:
    """The folder itself, or one of this process that stands for a folder in an object store.

    Raises
    ------
    MissingExtraError
        fsspec is not installed.
    DataError
        Nothing is there, or the store fails.
    """
    if is_url(where):
        return _fetched(str(where))
    return Path(str(where).removeprefix("file://"))


def url_of(folder: Path) -> str | None:
    """The URL that a folder stands for, if it stands for one."""
    return _urls.get(folder)


def source_of(folder: Path) -> str:
    """What `local_folder` takes elsewhere: the URL that a folder stands for, or its own path."""
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
