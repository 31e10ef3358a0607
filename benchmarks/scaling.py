"""How the cost of a video grows with its cells T, and the cost of all with their number."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from actspan import Features, Pipeline, generate_proposals
from actspan.pipeline.outcomes import STAGES, Job, Outcome, StageClock
from benchmarks import made_up
from benchmarks.measure import duration, print_machine, print_table

CHANNELS = 64  # few: the growth of cost with T does not depend on them


@dataclass(frozen=True)
class Cost:
    """Cost of a video at one T."""

    cells: int
    pairs: float  # of a start with an end, before the best are kept
    seconds: dict[str, float]  # core-seconds, by stage


def make_jobs(videos: int, cells: int, seed: int) -> list[Job]:
    """Make videos of T snippets, so that none is rescaled."""

    def features(number: int) -> Features:
        values = made_up.make_features(number, seed, snippets=cells, channels=CHANNELS)
        return Features(values, stride=0.5, length=0.5)

    made = [features(number) for number in range(videos)]
    return [Job(str(i), lambda x=x: x) for i, x in enumerate(made)]  # type: ignore[misc]


def run(pipeline: Pipeline, jobs: Sequence[Job]) -> list[Outcome]:
    """Return all outcomes; the clock is reset first."""
    pipeline.clock = StageClock()
    return list(pipeline.run(jobs))


def cost_of(folder: Path, cells: int, videos: int, rounds: int, seed: int) -> Cost:
    """Measure the cost of a video at one T: the least seconds per stage over some rounds."""
    bundle = made_up.make_bundle(folder / f"bundle-{cells}", seed, channels=CHANNELS, length=cells)
    jobs = make_jobs(videos, cells, seed)
    with Pipeline.load(bundle) as pipeline:
        outcomes = run(pipeline, jobs)
        taken = []
        for _ in range(rounds):
            run(pipeline, jobs)
            taken.append(dict(pipeline.clock.seconds))
    pairs = np.mean([len(generate_proposals(outcome.scores)) for outcome in outcomes])
    least = {str(s): min(clock[s] for clock in taken) / videos for s in STAGES}
    return Cost(cells, float(pairs), least)


def print_cells(costs: Sequence[Cost]) -> None:
    """Print one row per T, then the growth of each stage and of the number of pairs."""
    stages = ("tem", "candidates", "pem", "soft-nms")
    lines = [
        (str(c.cells), f"{c.pairs:,.0f}", *(duration(c.seconds[stage]) for stage in stages))
        for c in costs
    ]
    first, last = costs[0], costs[-1]
    growth = [f"{last.seconds[stage] / first.seconds[stage]:.3g}x" for stage in stages]
    lines.append((f"{first.cells} to {last.cells}", f"{last.pairs / first.pairs:.3g}x", *growth))
    print_table(("T", "pairs", "TEM", "candidates + BSP", "PEM", "Soft-NMS"), lines)


def print_videos(folder: Path, counts: Sequence[int], rounds: int, seed: int) -> None:
    """Print one row per number of videos, at the published T."""
    bundle = made_up.make_bundle(folder / "bundle", seed, channels=CHANNELS)
    jobs = make_jobs(max(counts), made_up.LENGTH, seed)
    with Pipeline.load(bundle) as pipeline:
        run(pipeline, jobs)
        timed = [[_timed(pipeline, jobs[:count]) for count in counts] for _ in range(rounds)]
    least = map(min, zip(*timed, strict=True))
    lines = [
        (f"{count:,}", duration(seconds), duration(seconds / count))
        for count, seconds in zip(counts, least, strict=True)
    ]
    print_table(("videos", "time", "a video"), lines)


def _timed(pipeline: Pipeline, jobs: Sequence[Job]) -> float:
    began = time.perf_counter()
    run(pipeline, jobs)
    return time.perf_counter() - began


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--videos", default=96, help="Videos of each T.")
@click.option("--rounds", default=5, help="Times that each runs; the least counts.")
@click.option("--seed", default=0, help="Of the made-up data.")
def main(videos: int, rounds: int, seed: int) -> None:
    """Show what a video costs at T = 100, 200 and 400, and that cost is linear in videos.

    Stages are timed within the pipeline. PEM and Soft-NMS see the best 1,000 candidates however
    many pairs there are.

    \b
    Example:
      python -m benchmarks.scaling
    """
    print_machine()
    click.echo(
        f"features of {CHANNELS} channels in memory; {videos} videos of each T, core-seconds a "
        f"video, the least of {rounds} rounds; made-up data, seed {seed}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        costs = [cost_of(Path(folder), T, videos, rounds, seed) for T in (100, 200, 400)]
        print_cells(costs)
        click.echo()
        print_videos(Path(folder), (5 * videos // 2, 5 * videos, 10 * videos), rounds, seed)


if __name__ == "__main__":
    main()
