"""The `propose` command on a packed dataset, beside TEM's arithmetic and the published steps."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click

from actspan import Dataset, TemConfig
from actspan.bench.environment import core_count
from actspan.bench.roof import matrix_products, require_limits, tem_products
from actspan.data.check import check_dataset
from actspan.data.store.manifest import verify_store
from actspan.data.store.pack import PackRequest, pack_dataset
from benchmarks import made_up
from benchmarks.measure import duration, interleave, print_machine, print_table
from benchmarks.propose import baseline, propose

BATCH = 16  # videos a matrix product
PRODUCTS = 320  # videos whose products are timed


@dataclass(frozen=True)
class Times:
    """Seconds for all videos, and for work on the store itself."""

    published: float
    arithmetic: float
    folder: float
    packed: float
    steps: dict[str, float]


def arithmetic() -> Callable[[], None]:
    """Return a function that computes TEM's layers as float32 matrix products, one per core."""
    run, limits = matrix_products(tem_products(TemConfig(), BATCH)), require_limits()

    def products() -> None:
        with limits(limits=1, user_api="blas"), ThreadPoolExecutor(core_count()) as pool:
            list(pool.map(run, range(PRODUCTS // BATCH)))

    return products


def seconds_of(step: Callable[[], object]) -> float:
    """Return the seconds that a step takes."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def measure(folder: Path, videos: int, sample: int, rounds: int, seed: int) -> Times:
    """Time all contenders in turn.

    Raises
    ------
    click.ClickException
        The command failed, or folder and store do not give the same bytes.
    """
    bundle = made_up.make_bundle(folder / "bundle", seed)
    dataset = made_up.make_dataset(folder / "dataset", videos, seed, distinct=600)
    store, numbers = folder / "store", range(sample)
    made_up.write_csv_features(folder / "csv", numbers, seed)
    request = PackRequest(dataset, store, length=made_up.LENGTH)
    steps = {
        "pack": seconds_of(lambda: pack_dataset(request)),
        "verify": seconds_of(lambda: verify_store(store)),
        "open and check": seconds_of(lambda: check_dataset(Dataset.load(store))),
        "open and check the folder": seconds_of(lambda: check_dataset(Dataset.load(dataset))),
    }
    ours, theirs = folder / "store.json", folder / "folder.json"
    seconds = interleave(
        {
            "published": lambda: baseline(bundle, folder / "csv", folder / "plain", numbers, seed),
            "arithmetic": arithmetic(),
            "folder": lambda: propose(bundle.path, dataset, theirs),
            "packed": lambda: propose(bundle.path, store, ours),
        },
        rounds,
    )
    if ours.read_bytes() != theirs.read_bytes():
        raise click.ClickException("the store and the folder gave different results")
    return Times(
        published=seconds["published"] / sample * videos,
        arithmetic=seconds["arithmetic"] / PRODUCTS * videos,
        folder=seconds["folder"],
        packed=seconds["packed"],
        steps=steps,
    )


def print_times(times: Times, videos: int) -> None:
    """Print all contenders compared with the packed case, then the work on the store."""
    rows = (
        ("propose, packed", times.packed, ""),
        ("propose, a file a video", times.folder, ""),
        ("TEM's arithmetic (sgemm)", times.arithmetic, "packed <= 1.6x"),
        ("published steps", times.published, "packed >= 150x faster"),
    )
    lines = [
        (
            what,
            duration(seconds),
            duration(seconds / videos),
            f"{times.packed / seconds:.3g}x",
            f"{seconds / times.packed:.3g}x",
            target,
        )
        for what, seconds, target in rows
    ]
    print_table(("what", "time", "a video", "packed / it", "it / packed", "target"), lines)
    steps = ", ".join(f"{what} {duration(seconds)}" for what, seconds in times.steps.items())
    click.echo(f"\nthe same bytes from folder and store; once each: {steps}")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--videos", default=4728, help="Videos; the default is ActivityNet's validation set.")
@click.option("--sample", default=12, help="Videos on which the published steps are timed.")
@click.option("--rounds", default=3, help="Times that all run, in turn; the median counts.")
@click.option("--seed", default=0, help="Of the made-up data.")
def main(videos: int, sample: int, rounds: int, seed: int) -> None:
    """Compare `actspan propose` on a store with what its TEM must cost at least.

    The command is a new process each time, its start-up included. "TEM's arithmetic" is NumPy's
    matrix products of TEM's sizes over ready columns, one on every core. The published steps read
    CSV features; their seconds a video on a sample are multiplied by the number of videos.

    \b
    Example:
      python -m benchmarks.pack --videos 600
    """
    print_machine()
    click.echo(
        f"features ({made_up.LENGTH}, {made_up.CHANNELS}) in a store -> result file, {videos:,} "
        f"videos, start-up included; median of {rounds} rounds; made-up data, seed {seed}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        print_times(measure(Path(folder), videos, min(sample, videos), rounds, seed), videos)


if __name__ == "__main__":
    main()
