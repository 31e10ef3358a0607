"""Verification of a store against its checksums."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from actspan.core.errors import DatasetError, StoreError
from actspan.core.files import folder_kind, sha256
from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem
from actspan.core.wording import counted
from actspan.data.store.manifest import MANIFEST, ShardRecord, find_manifest

_REMEDY = "Copy the store again, or pack the dataset again."


@dataclass(frozen=True, slots=True)
class Verified:
    """Size of the verified store."""

    shards: int
    videos: int
    size: int  # bytes


def verify_store(
    folder: Path | str, progress: Callable[[int, int], None] | None = None
) -> Verified:
    """Read all shards of a store, and compare their sizes and SHA-256 with the recorded ones.

    Parameters
    ----------
    folder : Path or str
    progress : callable, optional
        Called with (shards read, shards in all).

    Raises
    ------
    StoreError
        It is not a store, or its manifest is damaged.
    DatasetError
        Shards are missing or damaged; the message names all of them.
    """
    folder = Path(folder)
    manifest = find_manifest(folder)
    if manifest is None:
        raise StoreError(
            f"{folder}{folder_kind(folder)}: not a store (no {MANIFEST}); make one: actspan pack"
        )
    shards = list(zip(manifest.shard_paths(folder), manifest.shards, strict=True))
    problems = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, found in enumerate(map_ordered(pool, _damage, shards, ahead=8), start=1):
            if found:
                path, record = shards[done - 1]
                remedy = f"it holds {counted(record.videos, 'video')}"
                problems.append(Problem("", str(path), found, remedy))
            if progress:
                progress(done, len(shards))
    if problems:
        raise DatasetError(problems, _REMEDY)
    records = manifest.shards
    return Verified(len(records), sum(r.videos for r in records), sum(r.size for r in records))


def _damage(shard: tuple[Path, ShardRecord]) -> str:
    """Return what is wrong with a shard, or ""."""
    path, record = shard
    try:
        size = path.stat().st_size
        if size != record.size:
            return f"{size} bytes where {record.size} were written"
        return "" if sha256(path) == record.sha256 else "its SHA-256 is not the recorded one"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
