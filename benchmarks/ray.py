"""`propose` on Ray workers, compared with the local engine: overhead, scaling, memory (Linux)."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

import click

from actspan.bench import synthetic
from actspan.bench.timing import anonymous_memory
from actspan.jobs.driver import EngineMaker, LocalEngine, propose
from actspan.jobs.propose_request import ClusterConfig, ProposeRequest
from actspan.jobs.ray_engine import ray_engine
from benchmarks import data
from benchmarks.harness import benchmark, duration, print_table

DISTINCT = 300  # videos; the others repeat them
ENGINES = {0: "local engine, 1 thread", 1: "1 Ray worker", 2: "2 Ray workers"}
TARGETS = {0: "", 1: "whole <= 1.15x local", 2: "steady >= 1.7x one worker"}
STAGE_NAMES = ("read", "tem", "candidates", "pem", "soft-nms")
_EVERY = 0.25  # seconds between two samples of the memory


@dataclass
class Measured:
    """Measurements of one run."""

    total: float = 0.0  # seconds from request to result file, with the cluster's start
    done: list[tuple[float, int]] = field(default_factory=list)  # (when, videos)
    memory: list[tuple[float, int]] = field(default_factory=list)  # (when, largest worker, bytes)
    stages: dict[str, float] = field(default_factory=dict)  # shares of the workers' time

    @property
    def steady(self) -> list[tuple[float, int]]:
        """Return the entries of `done` while all workers are busy: 10 % to 90 % of the videos."""
        videos = self.done[-1][1]
        return [(at, count) for at, count in self.done if 0.1 <= count / videos <= 0.9]

    @property
    def rate(self) -> float:
        """Return the videos per second in the steady time."""
        (begin, first), *_, (end, last) = self.steady
        return (last - first) / (end - begin)

    @property
    def besides(self) -> float:
        """Return the seconds that the whole took longer than all videos at that rate."""
        return max(self.total - self.done[-1][1] / self.rate, 0.0)

    def memory_in(self, quarter: int) -> float:
        """Return the peak memory in a quarter of the steady time, MB."""
        first, last = self.steady[0][0], self.steady[-1][0]
        begin, end = (first + share / 4 * (last - first) for share in (quarter, quarter + 1))
        return max((size for at, size in self.memory if begin <= at <= end), default=0) / 1e6


def worker_memory() -> int:
    """Return the anonymous memory of our largest Ray worker on this machine, bytes."""
    largest = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"MapWorker" in (process / "cmdline").read_bytes():
                largest = max(largest, anonymous_memory(int(process.name)))
        except OSError:
            continue  # it has ended
    return largest


def run(request: ProposeRequest, workers: int) -> Measured:
    """Run once on Ray workers, or on threads of this process if there are none."""
    measured, over = Measured(), Event()
    maker: EngineMaker = ray_engine(ClusterConfig(workers=workers)) if workers else LocalEngine

    def watch() -> None:
        while not over.wait(_EVERY):
            measured.memory.append((perf_counter(), worker_memory()))

    def count(what: str, videos: int, total: int) -> None:
        if what == "propose":  # in shards, as they are committed
            measured.done.append((perf_counter(), videos))

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    began = perf_counter()
    summary = propose(request, count, engine=maker)
    measured.total = perf_counter() - began
    over.set()
    watcher.join()
    measured.stages = dict(summary.stages)
    return measured


def measure(
    folder: Path, videos: int, shard: int, rounds: int, seed: int
) -> dict[int, list[Measured]]:
    """Return the runs by number of workers (0: the local engine), measured in turn."""
    bundle = synthetic.make_bundle(folder / "bundle", seed)
    store = data.make_store(folder / "store", videos, seed, DISTINCT)
    runs: dict[int, list[Measured]] = {workers: [] for workers in ENGINES}
    results = set()
    for number in range(rounds):
        for workers in list(ENGINES)[:: -1 if number % 2 else 1]:
            out = folder / "result.json"
            request = ProposeRequest(bundle.path, store, out, threads=1, shard_size=shard)
            runs[workers].append(run(request, workers))
            results.add(hash(out.read_bytes()))
            out.unlink()
    if len(results) != 1:
        raise click.ClickException("engines gave different results")
    return runs


@benchmark(rounds=1, seed=True)
@click.option("--videos", default=20_000, help="Videos, of 80 kB in the store each.")
@click.option("--shard", default=256, help="Videos per shard of the run.")
def main(folder: Path, videos: int, shard: int, rounds: int, seed: int) -> None:
    """Compare `propose` by Ray workers of one thread with the local engine of one thread.

    "whole" is all of `propose`: for Ray that includes starting a cluster on this machine
    and stopping it. "steady" is while the videos from a tenth to nine tenths are committed;
    "besides" is what the whole takes longer than all videos at that rate.

    \b
    Example:
      python -m benchmarks.ray --videos 4000 --shard 64
    """
    click.echo(
        f"features ({synthetic.LENGTH}, {synthetic.CHANNELS}) float16 in a store -> result file, "
        f"{videos:,} videos in shards of {shard}\n"
    )
    runs = measure(folder, videos, shard, rounds, seed)

    def middle(workers: int, of: Callable[[Measured], float]) -> float:
        return statistics.median(map(of, runs[workers]))

    total = {w: middle(w, lambda m: m.total) for w in ENGINES}
    rate = {w: middle(w, lambda m: m.rate) for w in ENGINES}
    lines = [
        (
            name,
            duration(total[w]),
            f"{total[w] / total[0]:.2f}x",
            duration(middle(w, lambda m: m.besides)),
            f"{rate[w]:.1f}",
            f"{rate[w] / rate[1]:.2f}x",
            TARGETS[w],
        )
        for w, name in ENGINES.items()
    ]
    header = ("engine", "whole", "of local", "besides", "steady, videos/s", "of one worker")
    print_table((*header, "target"), lines)
    click.echo("\nthe same bytes from all; memory of the largest worker, MB:\n")
    quarters = [
        (ENGINES[w], *(f"{middle(w, lambda m, q=q: m.memory_in(q)):.0f}" for q in range(4)))
        for w in (1, 2)
    ]
    print_table(("engine", "1st quarter", "2nd", "3rd", "4th"), quarters)
    steady = 1000 / rate[1]
    click.echo(f"\none worker, ms per video by stage (of {steady:.2f}):\n")
    shares = [middle(1, lambda m, n=n: m.stages[n]) for n in STAGE_NAMES]
    print_table(("", *STAGE_NAMES), [("ms", *(f"{share * steady:.2f}" for share in shares))])


if __name__ == "__main__":
    main()
