"""Growth of cost: of a video with its cells T, of all with their number, of a million by machines.

cells     measure the stages at T = 100, 200 and 400, and 240 to 960 videos
machines  compute a large run on N machines by a small model, fed with figures measured here
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from actspan import Dataset, Features, Pipeline, generate_proposals
from actspan.bench import synthetic
from actspan.bench.timing import timed
from actspan.core.progress import no_progress
from actspan.core.storage import FolderStorage
from actspan.data.result_writers import result_writer
from actspan.jobs.checkpoint import Checkpoint, Plan
from actspan.jobs.driver import LocalEngine
from actspan.jobs.feature_source import FeatureSource
from actspan.jobs.propose_request import ProposeRequest
from actspan.pipeline.outcomes import Outcome, StageClock, VideoInput
from benchmarks.data import make_store
from benchmarks.harness import benchmark, duration, group, print_table

CHANNELS = 64  # few: the growth of cost with T does not depend on them
CELLS = (100, 200, 400)
SHOWN = {"tem": "TEM", "candidates": "candidates + BSP", "pem": "PEM", "soft-nms": "Soft-NMS"}


def make_jobs(videos: int, cells: int, seed: int) -> list[VideoInput]:
    """Make videos of T snippets, so that none is rescaled."""
    made = [
        Features(synthetic.make_features(n, seed, snippets=cells, channels=CHANNELS), 0.5, 0.5)
        for n in range(videos)
    ]
    return [VideoInput(str(i), lambda x=x: x) for i, x in enumerate(made)]  # type: ignore[misc]


def run_all(pipeline: Pipeline, jobs: Sequence[VideoInput]) -> list[Outcome]:
    """Return all outcomes; the clock is reset first."""
    pipeline.clock = StageClock()
    return list(pipeline.run(jobs))


def cost_of(
    folder: Path, cells: int, videos: int, rounds: int, seed: int
) -> tuple[float, dict[str, float]]:
    """Return the pairs of peaks of a video, and its least core-seconds per stage."""
    bundle = synthetic.make_bundle(
        folder / f"bundle-{cells}", seed, channels=CHANNELS, length=cells
    )
    jobs = make_jobs(videos, cells, seed)
    with Pipeline.load(bundle) as pipeline:
        outcomes = run_all(pipeline, jobs)
        taken = []
        for _ in range(rounds):
            run_all(pipeline, jobs)
            taken.append(dict(pipeline.clock.seconds))
    pairs = np.mean([len(generate_proposals(outcome.scores)) for outcome in outcomes])
    return float(pairs), {str(s): min(clock[s] for clock in taken) / videos for s in taken[0]}


@benchmark(seed=True)
@click.option("--videos", default=96, help="Videos per temporal scale T.")
@click.option("--rounds", default=5, help="Runs of each; the fastest counts.")
def cells(folder: Path, videos: int, rounds: int, seed: int) -> None:
    """Show what a video costs at T = 100, 200 and 400, and that cost is linear in videos.

    Stages are timed within the pipeline. PEM and Soft-NMS see the best 1,000 candidates however
    many pairs there are.

    \b
    Example:
      python -m benchmarks.scale cells
    """
    click.echo(
        f"features of {CHANNELS} channels in memory; {videos} videos of each T, core-seconds per "
        f"video, the least of {rounds} rounds\n"
    )
    costs = {T: cost_of(folder, T, videos, rounds, seed) for T in CELLS}
    lines = [
        (str(T), f"{pairs:,.0f}", *(duration(seconds[stage]) for stage in SHOWN))
        for T, (pairs, seconds) in costs.items()
    ]
    (first, small), (last, large) = costs[CELLS[0]], costs[CELLS[-1]]
    growth = [last / first, *(large[stage] / small[stage] for stage in SHOWN)]
    lines.append((f"{CELLS[0]} to {CELLS[-1]}", *(f"{g:.3g}x" for g in growth)))
    print_table(("T", "pairs", *SHOWN.values()), lines)

    counts = (5 * videos // 2, 5 * videos, 10 * videos)
    bundle = synthetic.make_bundle(folder / "bundle", seed, channels=CHANNELS)
    jobs = make_jobs(max(counts), synthetic.LENGTH, seed)
    with Pipeline.load(bundle) as pipeline:
        run_all(pipeline, jobs)
        least = {
            n: min(timed(lambda n=n: run_all(pipeline, jobs[:n])).seconds for _ in range(rounds))
            for n in counts
        }
    click.echo()
    rows = [(f"{n:,}", duration(seconds), duration(seconds / n)) for n, seconds in least.items()]
    print_table(("videos", "time", "per video"), rows)


VIDEO_BYTES = 2 * synthetic.LENGTH * synthetic.CHANNELS  # float16


@dataclass(frozen=True)
class Costs:
    """Measured costs: milliseconds of processor time per video."""

    stages: dict[str, float]  # of a worker of one thread, with committing
    opening: float  # of every worker, before its first shard: annotations and ids of all videos
    assembling: float  # of the driver: shards to the result file

    @property
    def computing(self) -> float:
        """Return the seconds of all stages."""
        return sum(self.stages.values())


@dataclass(frozen=True)
class Cluster:
    """Assumptions about machines and storage."""

    machines: int
    cores: int = 16  # each is a worker
    slow: float = 0.05  # share of machines that work at half speed, besides 10 % of spread
    failures: float = (
        0.01  # of a machine per hour; each costs the shards that its workers were computing
    )
    machine_rate: float = 1e9  # bytes per second that a machine can read
    store_rate: float = 20e9  # bytes per second that the store gives to all
    start: float = 10.0  # seconds until a worker has loaded the model
    shard: int = 256  # videos


def measure(folder: Path, videos: int, seed: int) -> Costs:
    """Run a worker's and the driver's parts here, one after the other, on one thread.

    Processor time is used because it does not depend on other processes.
    """
    bundle = synthetic.make_bundle(folder / "bundle", seed)
    path = make_store(folder / "store", videos, seed)
    opening = timed(lambda: Dataset.load(path)).cpu_seconds
    dataset = Dataset.load(path)
    ids = tuple(video.id for video in dataset)
    plan = Plan(inputs={}, keeps="result", videos=ids, shard_size=64, spec=dataset.spec)
    (folder / "shards").mkdir()
    checkpoint = Checkpoint.start(FolderStorage(folder / "shards"), plan)
    request = ProposeRequest(bundle.path, path, folder / "result.json", threads=1)
    source = FeatureSource(request, bundle)
    source.restore(plan, (), no_progress)

    def compute(first: int, last: int) -> None:
        for number, results in engine.run(checkpoint, range(first, last), no_progress):
            checkpoint.commit(number, results)

    def assemble() -> None:
        with result_writer(folder / "result.json") as writer:
            for number in range(len(plan.shards)):
                for result in checkpoint.read(number):
                    if isinstance(result, Outcome) and result.proposals is not None:
                        writer.add(result.id, result.proposals)

    with LocalEngine(request, bundle, source) as engine:
        compute(0, 1)  # kernels are loaded
        engine.clock.drain()
        computing = timed(lambda: compute(1, len(plan.shards))).cpu_seconds
        each = 1e3 * computing / (videos - plan.shard_size)
        shares = engine.clock.shares()
        stages = {str(stage): each * share for stage, share in shares.items()}
    assembling = timed(assemble).cpu_seconds
    return Costs(stages, 1e3 * opening / videos, 1e3 * assembling / videos)


def simulate(costs: Costs, cluster: Cluster, videos: int, seed: int) -> float:
    """Return the seconds until the last shard is committed; free workers take the next shard."""
    rng = np.random.default_rng(seed)
    speed = rng.normal(1.0, 0.1, cluster.machines).clip(0.5)
    speed[: round(cluster.slow * cluster.machines)] *= 0.5
    reading = VIDEO_BYTES / min(
        cluster.machine_rate / cluster.cores,
        cluster.store_rate / (cluster.machines * cluster.cores),
    )
    opened = cluster.start + costs.opening / 1e3 * videos
    free = [(opened / speed[m], m) for m in range(cluster.machines) for _ in range(cluster.cores)]
    heapq.heapify(free)
    left, last = -(-videos // cluster.shard), 0.0
    while left:
        now, machine = heapq.heappop(free)
        # the next videos are read while the last ones are worked on: the slower of the two counts
        seconds = cluster.shard * max(costs.computing / 1e3 / speed[machine], reading)
        failed = rng.random() < cluster.failures / 3600 * seconds
        left -= not failed
        now += seconds + (opened if failed else 0.0)
        last = max(last, now)
        heapq.heappush(free, (now, machine))
    return last


def model_row(costs: Costs, machines: int, videos: int, seed: int) -> tuple[str, ...]:
    """Return ideal time, time with each delay alone, and the whole, for N machines."""
    cluster = Cluster(machines)
    calm = replace(cluster, slow=0.0, failures=0.0, store_rate=1e15, machine_rate=1e15)
    workers = simulate(costs, cluster, videos, seed)
    driver = videos * costs.assembling / 1e3
    whole = max(workers, driver)  # the driver assembles while workers work
    figures = (
        videos * costs.computing / 1e3 / (machines * cluster.cores),
        simulate(replace(costs, opening=0.0), calm, videos, seed),
        simulate(costs, calm, videos, seed),
        simulate(costs, replace(calm, slow=cluster.slow), videos, seed),
        simulate(costs, replace(calm, failures=cluster.failures), videos, seed),
        workers,
        driver,
        whole,
    )
    bound = "driver" if driver > workers else "workers"
    return str(machines), *map(duration, figures), f"{machines * whole / 3600:.1f}", bound


@benchmark(seed=True)
@click.argument("machines", nargs=-1, type=click.IntRange(1))
@click.option("--videos", default=1_000_000, help="Number of videos to estimate the cost of.")
@click.option("--sample", default=2000, help="Videos to measure on.")
def machines(folder: Path, machines: tuple[int, ...], videos: int, sample: int, seed: int) -> None:
    """Measure what a video costs here, and compute a large run on MACHINES of 16 cores each.

    Assumed, not measured: workers start in 10 s, speeds spread by 10 %, one machine in 20 is half
    as fast, each fails once in 100 hours, a machine reads 1 GB/s and the store gives 20 GB/s.

    \b
    Example:
      python -m benchmarks.scale machines 1 4 16 64
    """
    costs = measure(folder, sample, seed)
    click.echo(f"ms of CPU time per video, one thread, {sample:,} videos:\n")
    named = {**costs.stages, "all": costs.computing}
    named |= {"opening, every worker": costs.opening, "assembling, driver": costs.assembling}
    print_table(("", *named), [("ms", *(f"{value:.3f}" for value in named.values()))])
    click.echo(f"\n{videos:,} videos, {videos * VIDEO_BYTES / 1e9:.0f} GB of features:\n")
    header = ("machines", "ideal", "+ start", "+ opening", "+ slow ones", "+ failures")
    header += ("all of it", "driver alone", "whole", "machine-hours", "bound by")
    print_table(header, [model_row(costs, n, videos, seed) for n in machines or (1, 4, 16, 64)])


main = group("Show how cost grows.", "scale machines 1 4 16 64", cells, machines)

if __name__ == "__main__":
    main()
