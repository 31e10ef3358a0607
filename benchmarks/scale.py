"""Growth of cost: of a video with its cells T, of all with their number, threads and machines.

cells     measure the stages at T = 100, 200 and 400, and 240 to 960 videos
threads   measure 1 to 16 threads, and simulate as many cores
million   measure the steps of a run on stores of more and more videos
machines  compute a large run on N machines by a small model, fed with figures measured here
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from actspan import Features, Pipeline, generate_proposals
from actspan.bench import synthetic
from actspan.bench.timing import timed
from actspan.pipeline.outcomes import Outcome, StageClock, VideoInput
from benchmarks.harness import benchmark, duration, group, print_table
from benchmarks.million import million
from benchmarks.threads import threads
from benchmarks.video_costs import VIDEO_BYTES, Costs, measure

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


main = group("Show how cost grows.", "scale machines 1 4 16 64", cells, threads, million, machines)

if __name__ == "__main__":
    main()
