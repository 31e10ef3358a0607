"""`propose` on Ray workers, beside the local engine: overhead, scaling, memory (Linux)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from threading import Event, Thread
from types import TracebackType
from typing import Any

import click

from actspan.bench.timing import anonymous_memory
from actspan.jobs.checkpoint import Checkpoint
from actspan.jobs.contracts import EngineMaker
from actspan.jobs.driver import propose
from actspan.jobs.local_engine import LocalEngine
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.ray_engine import ray_engine
from actspan.jobs.ray_pool import ClusterConfig
from benchmarks import made_up
from benchmarks.measure import duration, print_machine, print_table

DISTINCT = 300  # videos; the others repeat them
_EVERY = 0.25  # seconds between two looks at a run
STAGE_NAMES = ("read", "tem", "candidates", "pem", "soft-nms")


@dataclass
class Watched:
    """Measurements of one run.

    Attributes
    ----------
    total : float
        Seconds from the request to the result file, the cluster's start included.
    done : list of (float, int)
        When, and how many shards lay there.
    memory : list of (float, int)
        When, and the RssAnon of the largest worker, bytes.
    stages : dict of stage to float
        Shares of the workers' time.
    """

    total: float = 0.0
    done: list[tuple[float, int]] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def steady(self) -> list[tuple[float, int]]:
        """The entries of `done` while all workers are busy: from 10 % to 90 % of the shards."""
        shards = self.done[-1][1]
        return [(at, count) for at, count in self.done if 0.1 <= count / shards <= 0.9]

    @property
    def rate(self) -> float:
        """Shards per second in the steady time."""
        (begin, first), *_, (end, last) = self.steady
        return (last - first) / (end - begin)

    @property
    def not_working(self) -> float:
        """Seconds that the whole took longer than all shards at that rate."""
        return self.total - self.done[-1][1] / self.rate

    def memory_between(self, begin: float, end: float) -> float:
        """Return the peak memory in a part of the steady time, MB; bounds are fractions of it."""
        first, last = self.steady[0][0], self.steady[-1][0]
        times = first + begin * (last - first), first + end * (last - first)
        return (
            max((size for at, size in self.memory if times[0] <= at <= times[1]), default=0) / 1e6
        )


class _Watching:
    """An engine whose shards are counted while it works."""

    def __init__(self, inner: Any, seen: Watched) -> None:
        self._inner, self._seen = inner, seen

    def __enter__(self) -> _Watching:
        self._engine = self._inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inner.__exit__(kind, error, trace)

    def run(self, checkpoint: Checkpoint, *arguments: Any) -> Iterator[Any]:
        over = Event()
        counting = Thread(target=self._count, args=(checkpoint, over), daemon=True)
        counting.start()
        try:
            yield from self._engine.run(checkpoint, *arguments)
        finally:
            over.set()
            counting.join()

    def _count(self, checkpoint: Checkpoint, over: Event) -> None:
        while not over.wait(_EVERY):
            self._seen.done.append((time.perf_counter(), len(checkpoint.committed())))

    @property
    def clock(self) -> Any:
        return self._engine.clock


def worker_memory() -> int:
    """Return the RssAnon of our largest Ray worker on this machine, bytes."""
    largest = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"MapWorker" in (process / "cmdline").read_bytes():
                largest = max(largest, anonymous_memory(int(process.name)))
        except OSError:
            continue  # it has ended
    return largest


def run(request: ProposeRequest, workers: int) -> Watched:
    """Run once on Ray workers, or on threads of this process if there are none."""
    seen, done = Watched(), Event()
    maker: EngineMaker = ray_engine(ClusterConfig(workers=workers)) if workers else LocalEngine

    def watch() -> None:
        while not done.wait(_EVERY):
            seen.memory.append((time.perf_counter(), worker_memory()))

    watcher = Thread(target=watch, daemon=True)
    if workers:
        watcher.start()
    began = time.perf_counter()
    summary = propose(request, engine=lambda *made: _Watching(maker(*made), seen))
    seen.total = time.perf_counter() - began
    done.set()
    seen.stages = dict(summary.stages)
    return seen


def measure(
    folder: Path, videos: int, shard: int, rounds: int, seed: int
) -> dict[int, list[Watched]]:
    """Return the runs by number of workers (0: the local engine), measured in turn.

    Raises
    ------
    click.ClickException
        The runs gave different bytes.
    """
    bundle = made_up.make_bundle(folder / "bundle", seed)
    store = made_up.make_store(folder / "store", videos, seed, DISTINCT)
    runs: dict[int, list[Watched]] = {0: [], 1: [], 2: []}
    results = set()
    order = [0, 1, 2]
    for number in range(rounds):
        for workers in order if number % 2 == 0 else order[::-1]:
            out = folder / "result.json"
            request = ProposeRequest(bundle.path, store, out, threads=1, shard_size=shard)
            runs[workers].append(run(request, workers))
            results.add(out.read_bytes() if videos < 2000 else hash(out.read_bytes()))
            out.unlink()
    if len(results) != 1:
        raise click.ClickException("engines gave different results")
    return runs


def print_runs(runs: dict[int, list[Watched]], videos: int, shard: int) -> None:
    """Print overhead and scaling, then memory, then the workers' time by stage."""

    def mid(workers: int, of: Any) -> float:
        return median(of(seen) for seen in runs[workers])

    names = {0: "local engine, 1 thread", 1: "1 Ray worker", 2: "2 Ray workers"}
    here = mid(0, lambda s: s.total)
    one = shard * mid(1, lambda s: s.rate)
    aims = {0: "", 1: "whole <= 1.15x local", 2: "steady >= 1.7x one worker"}
    lines = []
    for workers, name in names.items():
        total = mid(workers, lambda s: s.total)
        rate = shard * mid(workers, lambda s: s.rate)
        start = max(mid(workers, lambda s: s.not_working), 0.0)
        ratio, scaling = f"{total / here:.2f}x", f"{rate / one:.2f}x"
        figures = (duration(total), ratio, duration(start), f"{rate:.1f}", scaling, aims[workers])
        lines.append((name, *figures))
    print_table(
        ("engine", "whole", "of local", "besides", "steady, videos/s", "of 1 worker", "aim"),
        lines,
    )
    click.echo("\nthe same bytes from all; RssAnon of the largest worker, MB:\n")
    quarters = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))
    lines = [
        (names[w], *(f"{mid(w, lambda s, q=q: s.memory_between(*q)):.0f}" for q in quarters))
        for w in (1, 2)
    ]
    print_table(("engine", "1st quarter", "2nd", "3rd", "4th"), lines)
    steady = mid(1, lambda s: 1000 / s.rate / shard)
    click.echo(f"\none worker, ms a video by stage (of {steady:.2f}):\n")
    shares = [mid(1, lambda s, n=n: s.stages[n]) for n in STAGE_NAMES]
    print_table(("", *STAGE_NAMES), [("ms", *(f"{share * steady:.2f}" for share in shares))])


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--videos", default=20_000, help="Videos, of 80 kB in the store each.")
@click.option("--shard", default=256, help="Videos a shard of the run.")
@click.option("--rounds", default=1, help="Times that all run, in turn; the median counts.")
@click.option("--seed", default=0, help="Of the made-up data.")
def main(videos: int, shard: int, rounds: int, seed: int) -> None:
    """Compare `propose` by Ray workers of one thread with the local engine of one thread.

    "whole" is all of `propose`: for Ray that includes starting a cluster on this machine
    and stopping it. "steady" is while the shards from a tenth to nine tenths are committed;
    "besides" is what the whole takes longer than all shards at that rate.

    \b
    Example:
      python -m benchmarks.ray --videos 4000 --shard 64
    """
    print_machine()
    click.echo(
        f"features ({made_up.LENGTH}, {made_up.CHANNELS}) float16 in a store -> result file, "
        f"{videos:,} videos in shards of {shard}; median of {rounds} round(s); made-up data, seed "
        f"{seed}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        print_runs(measure(Path(folder), videos, shard, rounds, seed), videos, shard)


if __name__ == "__main__":
    main()
