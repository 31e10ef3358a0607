"""Growth of speed with threads: measured on the cores there are, simulated on more."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from actspan import Bundle, Features, Pipeline
from actspan.bench import synthetic
from actspan.bench.records import CHANNELS
from actspan.bench.roof import at_best
from actspan.bench.timing import Run, interleave, timed
from actspan.config.stages import BATCH, FeatureSpec, PemConfig, PipelineConfig, TemConfig
from actspan.core.machine import core_count
from actspan.model.manifest import Source
from actspan.model.weights import weight_shapes
from actspan.pipeline.outcomes import VideoInput
from actspan.runtime.export import export_bundle
from benchmarks.harness import benchmark, duration, print_table
from benchmarks.video_costs import measure as measure_parts

THREADS = (1, 2, 4, 8, 16)
TINY = 4  # cells of the run that has no work for its kernels
_PIECES = 20  # parts of a chunk: between them a worker needs the interpreter for a moment
_CHUNKS = 2000  # in a simulation
_SAMPLE = 512  # videos whose cost in the driver is measured


@dataclass(frozen=True)
class Chunk:
    """Processor seconds of a chunk of 16 videos."""

    kernels: float  # in networks and kernels, which need no lock
    python: float  # in the interpreter, which one thread has at a time
    driver: float = 0.0  # in the interpreter, by the thread that takes the results


def simulate(chunk: Chunk, threads: int, seed: int) -> float:
    """Return the chunks per second on as many cores as threads, and one for the driver.

    A worker alternates between its kernels, whose duration varies exponentially, and the
    interpreter, for which it waits while another has it; who asked first is first. The driver takes
    a chunk when all of its parts are done. Memory, caches and the clock are those of one thread.
    """
    rng = np.random.default_rng(seed)
    shares = chunk.kernels / _PIECES * rng.exponential(size=_CHUNKS * _PIECES)
    asking = [(shares[n], n) for n in range(threads)]  # when each needs the interpreter
    heapq.heapify(asking)
    held, free = chunk.python / _PIECES, 0.0
    for done, share in enumerate(shares, start=1):
        when, worker = heapq.heappop(asking)
        free = max(free, when) + held
        if done % _PIECES == 0:
            free += chunk.driver
        heapq.heappush(asking, (free + share, worker))
    return _CHUNKS / free


def make_tiny_bundle(path: Path) -> Bundle:
    """Make networks of a few numbers each: what a video then costs is the interpreter's part."""
    tem = TemConfig(channels=1, length=TINY, hidden=2)
    config = PipelineConfig(tem=tem, pem=PemConfig(hidden=2))
    features = FeatureSpec(channels=1)
    rng = np.random.default_rng(0)
    weights = {
        net: {
            name: rng.standard_normal(shape).astype(np.float32)
            for name, shape in weight_shapes(of).items()
        }
        for net, of in (("tem", tem), ("pem", config.pem))
        if of is not None
    }
    bundle = Bundle.create(
        path, config=config, features=features, source=Source(note="tiny"), weights=weights
    )
    return export_bundle(bundle, check_torch=False)[0]


def make_jobs(videos: int, cells: int, channels: int, seed: int) -> list[VideoInput]:
    """Make videos in memory that are not rescaled."""
    made = [
        Features(synthetic.make_features(n, seed, snippets=cells, channels=channels), 0.5, 0.5)
        for n in range(videos)
    ]
    return [VideoInput(str(i), lambda x=x: x) for i, x in enumerate(made)]  # type: ignore[misc]


def measure(
    bundle: Bundle, jobs: Sequence[VideoInput], threads: Sequence[int], rounds: int
) -> dict[int, list[Run]]:
    """Time runs over all videos with each number of threads, in turn."""
    pipelines = {n: Pipeline.load(bundle, threads=n) for n in threads}
    try:
        works = {
            str(n): lambda p=pipeline: timed(lambda: list(p.run(jobs)))  # type: ignore[misc]
            for n, pipeline in pipelines.items()
        }
        taken = interleave(works, rounds)
    finally:
        for pipeline in pipelines.values():
            pipeline.close()
    return {int(name): runs for name, runs in taken.items()}


@benchmark(rounds=5, seed=True)
@click.option("--videos", default=320, help="Videos in memory.")
def threads(folder: Path, videos: int, rounds: int, seed: int) -> None:
    """Measure the pipeline on 1 to 16 threads, and simulate it and `propose` on as many cores.

    Processor time per video shows locks and waiting: it stays the same if threads do not disturb
    each other, also where they share cores. The part of the interpreter, which one thread has at a
    time, is that of a run with networks and features of a few numbers. The simulation lets every
    worker alternate between kernels and interpreter; in `propose`, one thread also writes the
    results. It assumes a core per thread of the speed of one that works alone; memory, caches and
    clock are not part of it, so it is an upper limit.

    \b
    Example:
      python -m benchmarks.scale threads
    """
    cores = core_count()
    full = synthetic.make_bundle(folder / "full", seed)
    jobs = make_jobs(videos, synthetic.LENGTH, CHANNELS, seed)
    runs = measure(full, jobs, THREADS, rounds)
    tiny = measure(
        make_tiny_bundle(folder / "tiny"), make_jobs(videos, TINY, 1, seed), (1,), rounds
    )
    python = min(run.cpu_seconds for run in tiny[1]) * BATCH / videos
    alone = min(run.cpu_seconds for run in runs[1]) * BATCH / videos
    driver = measure_parts(folder, _SAMPLE, seed).assembling / 1e3 * BATCH
    chunk = Chunk(kernels=alone - python, python=python)
    click.echo(
        f"\nper video: {duration(alone / BATCH)}, of it in the interpreter "
        f"{duration(python / BATCH)}; the driver of `propose` {duration(driver / BATCH)}: at most "
        f"{BATCH / python:,.0f} videos/s per process in memory, {BATCH / (python + driver):,.0f} "
        "written\n"
    )
    lines = []
    for number, own in runs.items():
        best = videos / at_best(own).minimum
        cells = [f"{best:,.0f}" if number <= cores else f"({cores} cores)"]
        cells.append(duration(min(run.cpu_seconds for run in own) / videos))
        for part in (chunk, replace(chunk, driver=driver)):
            rate = simulate(part, number, seed)
            gained = rate / simulate(part, 1, seed)
            cells.append(f"{BATCH * rate:,.0f} ({gained:.2f}x)")
        lines.append((str(number), *cells))
    header = ("threads", "measured, videos/s", "CPU time per video", "simulated, in memory")
    print_table((*header, "simulated, propose"), lines)
