"""Time, anonymous memory and disk of every step of the staged path (Linux)."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from benchmarks import made_up
from benchmarks.measure import print_machine, print_table
from benchmarks.memory import DISTINCT, peak_memory

Row = tuple[str, ...]


def steps(bundle: Path, dataset: Path, stage: Path, lean: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the command of each step."""
    program = [str(Path(sys.executable).with_name("actspan")), "staged"]
    model, short = ["--model", str(bundle)], ["--lean"] if lean else []
    begin = [*model, "--dataset", str(dataset), "--out", str(stage), *short]
    yield "tem-inputs", [*program, "tem-inputs", *begin]
    yield "run --net tem", [*program, "run", str(stage), "--net", "tem", *model]
    yield "tem-outputs", [*program, "tem-outputs", str(stage)]
    yield "pem-inputs", [*program, "pem-inputs", str(stage), *short]
    yield "run --net pem", [*program, "run", str(stage), "--net", "pem", *model]
    yield "pem-outputs", [*program, "pem-outputs", str(stage), *short]


def disk(folder: Path) -> int:
    """Return the bytes that files occupy on the disk, in whole blocks."""
    return sum(512 * p.stat().st_blocks for p in folder.rglob("*") if p.is_file())


def measure(bundle: Path, dataset: Path, stage: Path, videos: int, lean: bool) -> list[Row]:
    """Run all steps; return one table row per step."""
    rows, before = [], 0
    for name, line in steps(bundle, dataset, stage, lean):
        peak, seconds = peak_memory(line)
        after = disk(stage)
        added = after - before
        rows.append(
            (
                name,
                f"{peak / 2**20:.0f} MB",
                f"{seconds:.1f} s",
                f"{1000 * seconds / videos:.2f} ms",
                f"{added / videos / 1000:.0f} kB",
                f"{added / videos * 19_228 / 1e9:.2f} GB",
            )
        )
        before = after
    return rows


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("videos", nargs=-1, type=click.IntRange(min=1))
@click.option("--lean", is_flag=True, help="Write only what later steps read.")
@click.option("--seed", default=0, help="Of the made-up data.")
def main(videos: Sequence[int], lean: bool, seed: int) -> None:
    """Measure the steps of `actspan staged` on 500 and 5000 videos of 100 x 400, or on VIDEOS.

    RssAnon is what a process itself allocated. The last column is what ActivityNet's 19,228 videos
    would add on disk.

    \b
    Example:
      python -m benchmarks.staged 500 5000
    """
    if not Path("/proc/self/status").is_file():
        raise click.ClickException("needs /proc, which only Linux has")
    print_machine()
    header = ("step", "peak RssAnon", "time", "a video", "disk a video", "disk of 19,228")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = made_up.make_bundle(folder / "bundle", seed).path
        warm = made_up.make_dataset(folder / "warm", 2, seed, 2)
        measure(bundle, warm, folder / "warm-stage", 2, lean)  # kernels are compiled once
        for count in videos or (500, 5000):
            dataset = made_up.make_dataset(folder / f"set-{count}", count, seed, DISTINCT)
            click.echo(f"\n{count:,} videos{', lean' if lean else ''}\n")
            with tempfile.TemporaryDirectory(dir=folder) as stage:
                print_table(header, measure(bundle, dataset, Path(stage) / "stage", count, lean))


if __name__ == "__main__":
    main()
