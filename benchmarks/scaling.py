"""How the cost of a video grows with its cells T, and the cost of all with their number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from actspan import Features, Pipeline, generate_proposals
from actspan.bench import synthetic
from actspan.bench.timing import timed
from actspan.pipeline.outcomes import STAGES, Outcome, StageClock, VideoInput
from benchmarks.harness import benchmark, duration, print_table

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


def run(pipeline: Pipeline, jobs: Sequence[VideoInput]) -> list[Outcome]:
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
        outcomes = run(pipeline, jobs)
        taken = []
        for _ in range(rounds):
            run(pipeline, jobs)
            taken.append(dict(pipeline.clock.seconds))
    pairs = np.mean([len(generate_proposals(outcome.scores)) for outcome in outcomes])
    return float(pairs), {str(s): min(clock[s] for clock in taken) / videos for s in STAGES}


@benchmark(seed=True)
@click.option("--videos", default=96, help="Videos per temporal scale T.")
@click.option("--rounds", default=5, help="Runs of each; the fastest counts.")
def main(folder: Path, videos: int, rounds: int, seed: int) -> None:
    """Show what a video costs at T = 100, 200 and 400, and that cost is linear in videos.

    Stages are timed within the pipeline. PEM and Soft-NMS see the best 1,000 candidates however
    many pairs there are.

    \b
    Example:
      python -m benchmarks.scaling
    """
    click.echo(
        f"features of {CHANNELS} channels in memory; {videos} videos of each T, core-seconds a "
        f"video, the least of {rounds} rounds; synthetic data, seed {seed}\n"
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
        run(pipeline, jobs)
        least = {
            n: min(timed(lambda n=n: run(pipeline, jobs[:n])).seconds for _ in range(rounds))
            for n in counts
        }
    click.echo()
    rows = [(f"{n:,}", duration(seconds), duration(seconds / n)) for n, seconds in least.items()]
    print_table(("videos", "time", "a video"), rows)


if __name__ == "__main__":
    main()
