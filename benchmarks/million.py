"""A store of very many videos: what opening, proposing, resuming and evaluating cost per video."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from actspan.bench import synthetic
from benchmarks.commands import propose_options
from benchmarks.data import make_store
from benchmarks.harness import Peak, benchmark, duration, peak_of_command, print_table, program

MILLION = 1_000_000
CELLS, CHANNELS = 20, 4  # of small features: the cost of features themselves is measured elsewhere
TOP = 10  # proposals per video in the result
_POLL = 0.02  # seconds


def open_command(store: Path) -> list[str]:
    """Return a command that opens a store and lists its ids."""
    line = f"from actspan import Dataset; print(sum(1 for _ in Dataset.load({str(store)!r})))"
    return [sys.executable, "-c", line]


def kill_halfway(line: Sequence[str], run: Path, shards: int) -> int:
    """Start `propose`, and kill it when half of its shards are saved; return how many are."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(saved_shards(run)) < shards // 2:
        time.sleep(_POLL)
    if process.poll() is not None:
        raise click.ClickException("propose ended before half of its shards were saved")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return len(saved_shards(run))


def saved_shards(run: Path) -> list[Path]:
    """Return the files of saved shards next to a run, or in it."""
    return [p for p in run.parent.glob(f"*{run.name}*/**/*") if "shard" in p.name and p.is_file()]


def measure(folder: Path, bundle: Path, videos: int, seed: int) -> dict[str, Peak]:
    """Measure each step on a store of so many videos, in a process of its own."""
    store, run = folder / f"store-{videos}", folder / f"run-{videos}"
    make_store(store, videos, seed, cells=CELLS, channels=CHANNELS)
    options = [*propose_options(bundle, store, run), "--top", TOP]
    propose = program("actspan", "propose", *options)
    taken = {"opening": peak_of_command(open_command(store)), "propose": peak_of_command(propose)}
    result = folder / "result"
    run.rename(result)
    kill_halfway(propose, run, -(-videos // 256))
    taken["resume of half"] = peak_of_command([*propose, "--resume"])
    if (run / "result.json").read_bytes() != (result / "result.json").read_bytes():
        raise click.ClickException("the resumed run has other results")
    truth = ("--ground-truth", store)
    taken["evaluate"] = peak_of_command(program("actspan", "evaluate", run, *truth))
    page = folder / "report.html"
    taken["report"] = peak_of_command(program("actspan", "report", run, *truth, "--out", page))
    for path in (store, run, result):
        shutil.rmtree(path)
    return taken


def rows_of(taken: Mapping[int, Mapping[str, Peak]]) -> list[tuple[str, ...]]:
    """Return a line per step: its costs at each size, and those of a million by their growth."""
    small, large = min(taken), max(taken)
    lines = []
    for step in taken[large]:
        peaks = {n: steps[step] for n, steps in taken.items()}
        first, last = peaks[small], peaks[large]
        growth = max((last.cpu_seconds - first.cpu_seconds) / (large - small), 0.0)
        memory = max((last.memory - first.memory) / (large - small), 0.0)
        seconds = last.cpu_seconds + growth * (MILLION - large)
        whole = f"{duration(seconds)}, {(last.memory + memory * (MILLION - large)) / 2**20:,.0f} MB"
        each = [f"{duration(p.cpu_seconds)}, {p.megabytes}" for p in peaks.values()]
        rates = f"{duration(growth)}, {memory / 1024:.2f} kB"
        lines.append((step, *each, rates, whole if large < MILLION else "-"))
    return lines


@benchmark(seed=True)
@click.argument("videos", nargs=-1, type=click.IntRange(min=1024))
def million(folder: Path, videos: tuple[int, ...], seed: int) -> None:
    """Measure the steps of a large run on stores of 5,000, 10,000 and 20,000 videos, or of VIDEOS.

    Each step is a new process: processor time and peak memory (RssAnon + RssShmem). "Resume of
    half" is a run killed with half of its shards saved, and its result is compared with that of
    the whole run. Features and networks are small (20 cells of 4 channels), so that bookkeeping
    shows. Where no store has a million videos, the last column continues the growth to a million.

    \b
    Example:
      python -m benchmarks.scale million 10000 100000 1000000
    """
    counts = sorted(set(videos)) or [5000, 10_000, 20_000]
    if len(counts) < 2:
        raise click.UsageError("give at least two sizes: growth is a difference")
    bundle = synthetic.make_bundle(folder / "bundle", seed, channels=CHANNELS, length=CELLS)
    warm = make_store(folder / "warm", 300, seed, cells=CELLS, channels=CHANNELS)
    peak_of_command(
        program("actspan", "propose", *propose_options(bundle.path, warm, folder / "warm.json"))
    )
    taken = {count: measure(folder, bundle.path, count, seed) for count in counts}
    header = ("step", *(f"{count:,} videos" for count in counts))
    print_table((*header, "growth per video", "a million, by growth"), rows_of(taken))
