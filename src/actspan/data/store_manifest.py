"""The manifest of a store, `store.toml`, and verification of a store against it.

    store/
    ├── store.toml         what is in the shards: type, channels, cells, checksums
    ├── dataset.toml       what the features are, settled when they were packed
    ├── annotations.json   as they were, in any format
    ├── 00000.arrow        shards: features of whole videos, see `shards.py`
    └── 00001.arrow

Shards are named by their number, so that no name in a file decides what is opened.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec

from actspan.config.base import Bounds, Config, dump_toml, from_dict, read_toml
from actspan.config.stages import DType, PipelineConfig, TemConfig
from actspan.core.errors import ConfigError, DatasetError, StoreError
from actspan.core.files import atomic_file, folder_kind, sha256
from actspan.core.limits import CELLS, SIZE
from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.wording import counted

MANIFEST = "store.toml"
_FORMAT = 1


class ShardRecord(Config, frozen=True, kw_only=True):
    """Expected properties of a shard."""

    videos: int
    size: int  # bytes
    sha256: str


class Manifest(Config, frozen=True, kw_only=True):
    """Contents of a store."""

    format: int = _FORMAT
    dtype: DType  # of the features
    channels: Annotated[int, Bounds(1, SIZE)]
    # Rows of every video; if not given, lengths vary.
    length: Annotated[int | None, Bounds(1, CELLS)] = None
    # How outer cells were filled, if videos were rescaled to `length` cells.
    edge: Literal["clamp", "zero"] | None = None
    notes: tuple[str, ...] = ()  # assumptions about the features when they were packed
    left_out: dict[str, str] = msgspec.field(default_factory=dict)  # video id to reason
    shards: tuple[ShardRecord, ...] = ()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `store.toml`; raise StoreError if it is damaged, or of another version."""
        path = folder / MANIFEST
        try:
            values = read_toml(path)
            if values.get("format") != _FORMAT:
                raise StoreError(
                    f"{path}: format {values.get('format')!r}, this version reads {_FORMAT}; pack "
                    "the dataset again"
                )
            return from_dict(cls, values, where=str(path))
        except ConfigError as error:
            raise StoreError(f"{error}; pack the dataset again") from error

    def save(self, folder: Path) -> None:
        """Write `store.toml`."""
        with atomic_file(folder / MANIFEST) as stream:
            stream.write(dump_toml(self).encode())

    @property
    def videos(self) -> int:
        """Number of videos in all shards."""
        return sum(shard.videos for shard in self.shards)

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size for shard in self.shards)

    @property
    def all_notes(self) -> tuple[str, ...]:
        """Notes for people about these features."""
        if self.edge is None:
            return self.notes
        return (*self.notes, f"features were rescaled to {self.length} cells when they were packed")

    def shard_paths(self, folder: Path) -> list[Path]:
        """Return the paths of the shards, in order."""
        return [shard_path(folder, number) for number in range(len(self.shards))]

    def require_fit(self, config: PipelineConfig, folder: Path) -> None:
        """Raise StoreError, which says how to pack, if the model needs other cells."""
        length = (config.tem or TemConfig()).length
        if self.edge is None:
            return
        if config.mode == "window":
            wanted, options = "works on windows of snippets", "without --length"
        elif length != self.length:
            wanted, options = f"works on {length} cells", f"with --length {length}"
        elif config.rescale.edge not in ("auto", self.edge):
            edge = config.rescale.edge
            wanted, options = f"fills outer cells by {edge!r}", f"with --edge {edge}"
        else:
            return
        raise StoreError(
            f"{folder}: videos were rescaled to {self.length} cells (edge {self.edge!r}) when they "
            f"were packed, but the model {wanted}: pack the dataset again {options}"
        )


def shard_path(folder: Path, number: int) -> Path:
    """Return the path of a shard."""
    return folder / f"{number:05d}.arrow"


def damaged(path: Path | str, what: str) -> StoreError:
    """Return the error about a shard that differs from what was written."""
    return StoreError(f"{path}: damaged: {what}; copy the store again, or pack the dataset again")


def verify_store(folder: Path | str, progress: Progress = no_progress) -> Manifest:
    """Compare sizes and SHA-256 of all shards with the recorded ones, and return the manifest.

    Raises
    ------
    StoreError
        It is not a store, or its manifest is damaged.
    DatasetError
        Shards are missing or damaged; the message names all of them.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise StoreError(
            f"{folder}{folder_kind(folder)}: not a store (no {MANIFEST}); make one: actspan pack"
        )
    manifest = Manifest.load(folder)
    shards = list(zip(manifest.shard_paths(folder), manifest.shards, strict=True))
    problems = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, damage in enumerate(map_ordered(pool, _damage, shards, ahead=8), start=1):
            if damage:
                path, record = shards[done - 1]
                remedy = f"it contains {counted(record.videos, 'video')}"
                problems.append(Problem("", str(path), damage, remedy))
            progress("verify", done, len(shards))
    if problems:
        raise DatasetError(problems, "Copy the store again, or pack the dataset again.")
    return manifest


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
