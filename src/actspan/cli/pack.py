"""`actspan pack`: pack a dataset folder into a store that is read without copies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import click

from actspan.cli.console import findings, print_findings, print_json, progress_report, say
from actspan.cli.options import Text, command, refuse_options
from actspan.core.wording import counted
from actspan.data.data_requests import PackRequest


def _bytes(text: str) -> int:
    """Return the number of bytes of a size such as 256MB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([kmgt]?)b?", text.strip().lower())
    size = int(float(found[1]) * 1000 ** " kmgt".index(found[2] or " ")) if found else 0
    if size < 1:
        raise ValueError(f"{text!r} is not a size such as 500kB, 256MB or 2GB")
    return size


@command(
    arguments=["dataset"],
    verify="Do not pack: check every byte of the store DATASET.",
)
def pack(
    request: PackRequest,
    *,
    out: Path | None = None,
    shard_size: Annotated[int, Text("SIZE", _bytes)] = "256MB",  # type: ignore[assignment]
    verify: bool = False,
    json_: bool = False,
) -> None:
    """Pack the features of DATASET into a few files that are mapped into memory.

    A store is a dataset: propose, train, verify and evaluate accept it, and propose gives the same
    bytes from it. Features are checked here and not again when they are used. --verify checks
    whether the files have changed since.

    \b
    Example:
      actspan pack my-videos/ --out store/
      actspan pack activitynet/ --out store/ --length 100 --subset validation
      actspan pack store/ --verify
    """
    if verify == (out is not None):
        raise click.UsageError("give --out STORE to pack, or --verify to check a store")
    if verify:
        of_packing = ("dtype", "length", "edge", "subset", "shard_size", "on_error", "force")
        refuse_options(of_packing, "with --verify")
        _verify(request.dataset, json_)
        return
    with progress_report() as report:
        from actspan.data.pack import pack_dataset

        done = pack_dataset(request, report)
    manifest = done.manifest
    shards = len(manifest.shards)
    if json_:
        figures = {name: getattr(done, name) for name in ("out", "rescaled")}
        names = ("videos", "dtype", "channels", "length")
        figures |= {name: getattr(manifest, name) for name in names}
        figures |= {"shards": shards, "bytes": manifest.size}
        print_json({**figures, **findings(done.problems, done.notes)})
        return
    rows = "rows as they were"
    if manifest.length is not None:
        rows = f"{counted(manifest.length, 'row')} each, {done.rescaled:,} rescaled"
    size = f"{counted(shards, 'shard')}, {_megabytes(manifest.size)}"
    say(f"{counted(manifest.videos, 'video')}, {rows}, {manifest.dtype}: {size} in {done.out}")
    print_findings(done.problems, done.notes)


def _verify(store: Path, as_json: bool) -> None:
    with progress_report() as report:
        from actspan.data.store_manifest import verify_store

        found = verify_store(store, report)
    shards = len(found.shards)
    figures = {"videos": found.videos, "shards": shards, "bytes": found.size}
    if as_json:
        print_json({"store": store, **figures})
    else:
        size = f"{counted(shards, 'shard')}, {_megabytes(found.size)}"
        say(f"{store}: {found.videos} videos in {size}: every checksum is right")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size < 1e9 else f"{size / 1e9:.3g} GB"
