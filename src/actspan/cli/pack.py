"""`actspan pack`: pack a dataset folder into a store that is read without copies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    json_option,
    on_error_option,
    progress_report,
    refuse_options,
    reports_errors,
    say,
    say_findings,
)
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.data.store.manifest import DType
    from actspan.data.store.pack import PackSummary

_OF_PACKING = ("dtype", "length", "edge", "subset", "shard_size", "on_error", "force")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def _bytes(context: click.Context, option: click.Parameter, value: str) -> int:
    """Return the number of bytes of a size such as 256MB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([kmgt]?)b?", value.strip().lower())
    size = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size < 1:
        raise click.BadParameter(f"{value!r} is no size; 500kB, 256MB or 2GB is one")
    return size


@click.command()
@click.argument("dataset", type=ExistingPath())
@click.option("--out", type=PlainPath(), help="Store folder to write.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Keep numbers as they are, or round them to half the size.",
)
@click.option(
    "--length",
    type=click.IntRange(1),
    help="Rescale every video to this many cells, as a model of that length would. [default: "
    "keep the snippets as they are]",
)
@click.option(
    "--edge",
    type=click.Choice(["clamp", "zero"]),
    help="How --length fills the cells beyond the outer snippets. [default: as the dataset does]",
)
@click.option(
    "--subset", help="Pack only the videos of this subset: training, validation, ... [default: all]"
)
@click.option(
    "--shard-size",
    metavar="SIZE",
    callback=_bytes,
    default="256MB",
    show_default=True,
    help="Size of the features per file.",
)
@click.option("--verify", is_flag=True, help="Do not pack: check every byte of the store DATASET.")
@on_error_option("Stop at problems in the dataset, or skip what cannot be used.")
@click.option("--force", is_flag=True, help="Replace an existing store.")
@json_option
@click.pass_context
@reports_errors
def command(
    context: click.Context,
    dataset: Path,
    out: Path | None,
    dtype: DType,
    length: int | None,
    edge: Literal["clamp", "zero"] | None,
    subset: str | None,
    shard_size: int,
    verify: bool,
    on_error: Literal["fail", "skip"],
    force: bool,
    as_json: bool,
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
    if out is None:
        refuse_options(context, _OF_PACKING, "with --verify")
        _verify(dataset, as_json)
        return
    with progress_report() as report:
        from actspan.data.store.pack import PackRequest, pack_dataset

        request = PackRequest(
            dataset=dataset,
            out=out,
            dtype=dtype,
            length=length,
            edge=edge,
            subset=subset,
            shard_size=shard_size,
            on_error=on_error,
            overwrite=force,
        )
        summary = pack_dataset(request, report)
    if as_json:
        click.echo(json.dumps(_figures(summary)))
    else:
        _print(summary)


def _verify(store: Path, as_json: bool) -> None:
    with progress_report() as report:
        from actspan.data.store.manifest import verify_store

        found = verify_store(store, report)
    if as_json:
        figures = {"videos": found.videos, "shards": len(found.shards), "bytes": found.size}
        click.echo(json.dumps({"store": str(store), **figures}))
    else:
        say(
            f"{store}: {found.videos} videos in {counted(len(found.shards), 'shard')}, "
            f"{_megabytes(found.size)}: every checksum is right"
        )


def _figures(summary: PackSummary) -> dict[str, object]:
    manifest = summary.manifest
    return {
        "out": str(summary.out),
        "videos": summary.manifest.videos,
        "shards": len(manifest.shards),
        "bytes": summary.manifest.size,
        "dtype": manifest.dtype,
        "channels": manifest.channels,
        "length": manifest.length,
        "rescaled": summary.rescaled,
        "skipped": [[p.video, p.problem] for p in summary.problems if p.is_error],
        "notes": [[p.video, p.problem] for p in summary.problems if not p.is_error],
        "assumptions": summary.notes,
    }


def _print(summary: PackSummary) -> None:
    manifest = summary.manifest
    size, rows = _megabytes(manifest.size), "rows as they were"
    if manifest.length is not None:
        rows = f"{counted(manifest.length, 'row')} each, {summary.rescaled:,} rescaled"
    say(
        f"{counted(manifest.videos, 'video')}, {rows}, {manifest.dtype}: "
        f"{counted(len(manifest.shards), 'shard')}, {size} in {summary.out}"
    )
    say_findings(summary.problems, summary.notes)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size < 1e9 else f"{size / 1e9:.3g} GB"
