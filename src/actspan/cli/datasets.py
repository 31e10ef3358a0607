"""`actspan extract` and `actspan pack`: features from videos, and a store that is read fast."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click

from actspan.cli.console import findings, print_findings, print_json, progress_report, say
from actspan.cli.help import Text
from actspan.cli.options import command, ray_config, refuse_options
from actspan.cli.tables import count_and_names
from actspan.config.base import doc
from actspan.core.wording import counted, quoted
from actspan.data.data_requests import PackRequest
from actspan.jobs.propose_request import ClusterConfig
from actspan.streams.extract_request import ExtractRequest

if TYPE_CHECKING:
    from actspan.streams.extraction import ExtractionSummary


@command(
    arguments=["videos"],
    names={"streams": "stream", "columns": "column", "statistics": "statistic"},
)
def extract(
    request: ExtractRequest,
    *,
    json_: bool = False,
    engine: Literal["local", "ray"] = "local",
    cluster: ClusterConfig,
) -> None:
    """Extract snippet features from VIDEOS into a dataset, for training and proposing.

    VIDEOS are files, folders, patterns ('day1/*.mp4'), addresses of videos or sound (https://...),
    @list.txt with one of these per line, or a dataset folder that has videos/ instead of features/;
    its annotations are copied. Instead of videos they may be tables of sensors (CSV, Parquet),
    sound, or poses of DeepLabCut and SLEAP (docs/how-to/streams.md).

    The same command, given again, processes only videos that are missing or have changed. With
    other settings it stops if features already exist, unless --force lets it remove them.

    --engine ray gives each video to a worker; videos and --out must be on storage that all machines
    share.

    \b
    Example:
      actspan extract my-videos/ --out my-features/
      actspan extract /shared/videos/ --out /shared/set/ --engine ray \\
          --address auto --workers 8
      actspan extract walks/ --out my-walks/ --stride 0.5s --column ax \\
          --column ay --column az
      actspan extract 'day1/*.mp4' @more.txt --out day1/ --stride 8f \\
          --stream appearance
    """
    ray = ray_config(engine, cluster)
    _ = request.grid  # raises an error, before any video is opened, if it makes no sense
    with progress_report() as report:
        from actspan.streams.extraction import extract_videos

        extraction = None
        if ray is not None:
            from actspan.jobs.ray_engine import ray_extraction

            extraction = ray_extraction(ray)
        done = extract_videos(request, report, engine=extraction)
    if json_:
        from actspan.config.base import to_dict

        names = ("out", "videos", "kept", "snippets", "video_seconds", "seconds", "removed")
        figures = {name: getattr(done, name) for name in names}
        print_json({**figures, "features": to_dict(done.spec), **findings(done.problems)})
    else:
        _print_extracted(done)


def _print_extracted(done: ExtractionSummary) -> None:
    kind = done.spec.extraction.kind if done.spec.extraction else "video"
    noun = "video" if kind == "video" else "recording"
    if done.removed:
        say(f"removed features of other settings: {count_and_names(done.removed)}")
    if done.kept:
        say(f"{counted(done.kept, noun)} {'was' if done.kept == 1 else 'were'} done already")
    if done.videos:
        pace = done.video_seconds / done.seconds
        say(
            f"{counted(done.videos, noun)}, {done.video_seconds / 60:.1f} min, "
            f"in {done.seconds:.0f} s ({pace:.1f}x real time): "
            f"{counted(done.snippets, 'snippet')} of {counted(done.spec.channels or 0, 'channel')}"
        )
    say(f"features of {done.spec.backbone or kind} in {done.out}")
    out = quoted(done.out)
    if done.labelled:
        say(f"next: actspan train --dataset {out} --out model/")
    else:
        say(
            f"next: annotate the actions in {done.out / 'annotations.json'}, then actspan train; "
            f"or with a model of such features: actspan propose --model MODEL --dataset {out} "
            "--out run/"
        )
    print_findings(done.problems)


def _bytes(text: str) -> int:
    """Return the number of bytes of a size such as 256MB."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([kmgt]?)b?", text.strip().lower())
    size = int(float(match[1]) * 1000 ** " kmgt".index(match[2] or " ")) if match else 0
    if size < 1:
        raise ValueError(f"{text!r} is not a size such as 500kB, 256MB or 2GB")
    return size


@command(
    arguments=["dataset"],
    verify=doc("Do not pack: check every byte of the store DATASET.", group="Output"),
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

        manifest = verify_store(store, report)
    shards = len(manifest.shards)
    figures = {"videos": manifest.videos, "shards": shards, "bytes": manifest.size}
    if as_json:
        print_json({"store": store, **figures})
    else:
        size = f"{counted(shards, 'shard')}, {_megabytes(manifest.size)}"
        say(f"{store}: {manifest.videos} videos in {size}: every checksum is right")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size < 1e9 else f"{size / 1e9:.3g} GB"
