"""Everything after TEM, boundary scores in memory -> proposals, stage by stage and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np

from actspan import BoundaryScores, Bundle, Pipeline, Proposals
from actspan.bench import synthetic
from actspan.bench.costs import products_of
from actspan.bench.roof import AtBest, RoofProcess, at_best
from actspan.bench.timing import Run
from actspan.data.result_files import read_result
from actspan.pipeline.core import BATCH
from actspan.pipeline.outcomes import ScoredVideo, StageClock, VideoInput
from actspan.runtime.opening import choose_backend, open_net
from benchmarks.data import make_csv_dataset
from benchmarks.harness import (
    ROOF,
    Row,
    benchmark,
    duration,
    open_roof,
    print_comparison,
    ratio,
    times_in_turn,
)
from benchmarks.published_evaluation import compare
from benchmarks.published_steps import (
    Timings,
    make_folders,
    run_after_tem,
    run_tem,
    write_boundaries,
)

WORKERS, BATCHES, AFTER = "TEM by workers", "TEM by batches", "after TEM"
SHORT = 4  # rounds of ActSpan, which are short, per round of the published steps


class Tem:
    """TEM on all videos, features in memory, on as many threads as the pipeline has."""

    def __init__(self, bundle: Bundle, features: np.ndarray, backend: str, threads: int) -> None:
        self.threads = threads
        self.batches = np.split(features, range(BATCH, len(features), BATCH))  # (B, C, T) each
        self.narrow = open_net(bundle, "tem", backend=backend, threads=1, streams=threads)
        self.wide = open_net(bundle, "tem", backend=backend, threads=threads)

    def by_workers(self) -> list[np.ndarray]:
        """Compute boundary scores (B, 3, T) per batch, one thread each, as the pipeline does."""
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(lambda x: self.narrow.run({"video": x})["output"], self.batches))

    def by_batches(self) -> None:
        """Compute one batch after the other, each with all threads."""
        for batch in self.batches:
            self.wide.run({"video": batch})


class Baseline:
    """The published steps on a few of the videos, from the same boundary scores."""

    def __init__(self, bundle: Bundle, folder: Path, scores: np.ndarray, seed: int) -> None:
        self.bundle, self.folder = bundle, folder
        self.names = [synthetic.name_of(number) for number in range(len(scores))]
        self.seconds = {name: synthetic.seconds_of(i) for i, name in enumerate(self.names)}
        self.instances = {n: synthetic.make_instances(i, seed) for i, n in enumerate(self.names)}
        self.timings: dict[str, list[Timings]] = {"tem": [], "like": [], "published": []}
        self.features = make_csv_dataset(folder / "csv", len(scores), seed) / "features"
        make_folders(folder)
        for name, row in zip(self.names, scores, strict=True):
            write_boundaries(folder, name, row)

    def run(self, kind: str) -> None:
        """Time "tem" from CSV features, or the steps after it: "published".

        "like" leaves out the overlaps with ground truth.
        """
        if kind == "tem":
            model = self.bundle.file("tem.onnx")
            timings = run_tem(self.features, self.folder / "own", self.names, model)
        else:
            instances = self.instances if kind == "published" else None
            model = self.bundle.file("pem.onnx")
            timings = run_after_tem(self.folder, self.seconds, model, instances)
        self.timings[kind].append(timings)

    def stage(self, kind: str, *names: str) -> AtBest:
        """Return the seconds per video in these stages, or in all, without the first run."""
        timings = self.timings[kind][1:]
        seconds = (sum(t[name] for name in names or t) / len(self.names) for t in timings)
        return at_best([Run(each, each) for each in seconds])


class Pipelined:
    """ActSpan's stages after TEM, with the core-seconds of each stage per run."""

    def __init__(self, pipeline: Pipeline, scores: np.ndarray) -> None:
        self.pipeline = pipeline
        self.videos = [
            ScoredVideo(BoundaryScores.from_array(row), synthetic.seconds_of(number))
            for number, row in enumerate(scores)
        ]
        self.clocks: list[StageClock] = []

    def run(self) -> None:
        """Run all videos."""
        self.pipeline.clock = StageClock()
        run_pipeline(self.pipeline, self.videos)
        self.clocks.append(self.pipeline.clock)

    def stage(self, name: str) -> AtBest:
        """Return the core-seconds per video in a stage, without the first run."""
        spent = [{str(k): v for k, v in clock.seconds.items()}[name] for clock in self.clocks[1:]]
        return at_best([Run(s / len(self.videos), s / len(self.videos)) for s in spent])


def times_of_stages(tem: Tem, ours: Pipelined, rounds: int, roof: RoofProcess) -> dict[str, AtBest]:
    """Time TEM, all after it and TEM's matrix products in turn; return seconds per video."""
    works = {WORKERS: tem.by_workers, BATCHES: tem.by_batches, AFTER: ours.run}
    times = times_in_turn(works, SHORT * rounds, roof)
    counts = {ROOF: BATCH * roof.cores}
    return {n: time.times(1 / counts.get(n, len(ours.videos))) for n, time in times.items()}


def run_pipeline(pipeline: Pipeline, videos: Sequence[ScoredVideo]) -> list[Proposals]:
    """Run ActSpan's stages after TEM."""
    jobs = [VideoInput(str(i), lambda video=video: video) for i, video in enumerate(videos)]  # type: ignore[misc]
    return [outcome.proposals for outcome in pipeline.run(jobs)]


@benchmark(rounds=5, seed=True)
@click.option("--videos", default=480, help="Videos for ActSpan.")
@click.option("--sample", default=12, help="Videos on which the baseline is timed.")
@click.option("--threads", default=2, help="Workers of ActSpan.")
@click.option("--backend", default="auto", help="Backend of ActSpan.")
def main(
    folder: Path, videos: int, sample: int, threads: int, backend: str, rounds: int, seed: int
) -> None:
    """Compare the stages after TEM with the published steps, and with TEM itself.

    ActSpan goes from boundary scores in memory to proposals in memory. The baseline goes, on one
    core, from boundary scores on disk to result.json through a file per stage and video, as
    published; its imports and the opening of models are not counted, on either side.

    \b
    Example:
      python -m benchmarks.stages
    """
    sample = min(sample, videos)
    bundle = synthetic.make_bundle(folder / "bundle", seed)
    backend = choose_backend(bundle, backend).name
    click.echo(f"ActSpan on {videos} videos, baseline on {sample} of them; backend {backend}")
    features = np.stack([synthetic.make_features(i, seed).T for i in range(videos)])  # (N, C, T)
    tem = Tem(bundle, features, backend, threads)
    scores = np.concatenate(tem.by_workers())  # (N, 3, T)
    baseline = Baseline(bundle, folder / "plain", scores[:sample], seed)
    assert bundle.config.tem is not None
    with (
        Pipeline.load(bundle, threads=threads, backend=backend) as pipeline,
        open_roof(products_of(bundle.config.tem, BATCH)) as roof,
    ):
        ours = Pipelined(pipeline, scores)
        check_agreement(baseline, run_pipeline(pipeline, ours.videos[:sample]))
        each = times_of_stages(tem, ours, rounds, roof)
        published = {kind: partial(baseline.run, kind) for kind in baseline.timings}
        times_in_turn(published, rounds, roof)
        calm = roof.is_reached
    click.echo(f"roof: {roof.kernel}, {roof.gflops:.0f} GFLOP/s")
    click.echo("seconds per video, one core")
    made = baseline.stage("like", "candidates", "BSP features")
    rows = [
        Row("candidates and BSP features", made, ours.stage("candidates")),
        Row("PEM", baseline.stage("like", "PEM"), ours.stage("pem")),
        Row("Soft-NMS", baseline.stage("like", "Soft-NMS"), ours.stage("soft-nms")),
    ]
    print_comparison([row.if_calm(calm) for row in rows])
    print_whole(baseline, each, threads, calm)


def check_agreement(baseline: Baseline, proposals: list[Proposals]) -> None:
    """Run the baseline and compare."""
    baseline.run("like")
    ours = dict(zip(baseline.names, proposals, strict=True))
    theirs = read_result(baseline.folder / "result.json")
    found = compare(ours, theirs, tolerance=1e-5)  # PEM on another runtime: 1e-7 of it
    click.echo(f"{found}\n")
    if found.same < found.videos:
        raise click.ClickException("different answers: their speed cannot be compared")


def fastest_tem(each: dict[str, AtBest]) -> AtBest:
    """Return TEM's time in the faster of its two ways."""
    return min(each[WORKERS], each[BATCHES], key=lambda time: time.minimum)


def print_whole(baseline: Baseline, each: dict[str, AtBest], threads: int, calm: bool) -> None:
    """Print the whole after TEM, TEM, and the roof, in seconds per video."""
    click.echo(f"\nseconds per video, everything after TEM; ActSpan on {threads} threads")
    names = {"like": "the same outputs", "published": "as published, with match_iou / ioa"}
    rows = [Row(name, baseline.stage(kind), each[AFTER]) for kind, name in names.items()]
    print_comparison([row.if_calm(calm) for row in rows])
    tem = fastest_tem(each)
    reading, scoring = baseline.stage("tem", "read CSV"), baseline.stage("tem", "TEM")
    lines = [
        f"TEM itself on {threads} threads: {duration(tem.minimum)} per video (one thread per batch "
        f"{duration(each[WORKERS].minimum)}, all threads on a batch "
        f"{duration(each[BATCHES].minimum)})",
        f"TEM / {ROOF}: {ratio(tem, each[ROOF])}",
        f"after TEM / TEM: {ratio(each[AFTER], tem)} (target <= 0.2x)",
        f"baseline before that: CSV reading {duration(reading.minimum)}, TEM "
        f"{duration(scoring.minimum)}",
    ]
    click.echo("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
