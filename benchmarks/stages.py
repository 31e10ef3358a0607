"""Everything after TEM, boundary scores in memory -> proposals, stage by stage and as a whole."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np

from actspan import BoundaryScores, Bundle, Pipeline, Proposals
from actspan.bench import synthetic
from actspan.data.result_files import read_result
from actspan.pipeline.core import BATCH
from actspan.pipeline.outcomes import ScoredVideo, StageClock, VideoInput
from actspan.runtime.opening import choose_backend, open_net
from benchmarks.data import make_csv_dataset
from benchmarks.harness import Row, benchmark, duration, median_seconds, print_comparison
from benchmarks.published_evaluation import compare
from benchmarks.published_steps import (
    Timings,
    make_folders,
    run_after_tem,
    run_tem,
    write_boundaries,
)


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

    def stage(self, kind: str, *names: str) -> float:
        """Return the median seconds per video in these stages, or in all."""
        rounds = [sum(t[name] for name in names or t) for t in self.timings[kind]]
        return statistics.median(rounds) / len(self.names)


def run_pipeline(pipeline: Pipeline, videos: list[ScoredVideo]) -> list[Proposals]:
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
    scored = [
        ScoredVideo(BoundaryScores.from_array(row), synthetic.seconds_of(number))
        for number, row in enumerate(scores)
    ]
    baseline = Baseline(bundle, folder / "plain", scores[:sample], seed)
    with Pipeline.load(bundle, threads=threads, backend=backend) as pipeline:
        check_agreement(baseline, run_pipeline(pipeline, scored[:sample]))
        pipeline.clock = StageClock()
        contenders = {
            "ours": lambda: run_pipeline(pipeline, scored),
            "TEM by workers": tem.by_workers,
            "TEM by batches": tem.by_batches,
            **{kind: partial(baseline.run, kind) for kind in baseline.timings},
        }
        seconds = median_seconds(contenders, rounds)
        clock = {str(k): v / videos / (rounds + 1) for k, v in pipeline.clock.seconds.items()}
    click.echo("seconds per video, one core")
    made = baseline.stage("like", "candidates", "BSP features")
    print_comparison(
        [
            Row("candidates and BSP features", made, clock["candidates"]),
            Row("PEM", baseline.stage("like", "PEM"), clock["pem"]),
            Row("Soft-NMS", baseline.stage("like", "Soft-NMS"), clock["soft-nms"]),
        ]
    )
    print_whole(baseline, {name: value / videos for name, value in seconds.items()}, threads)


def check_agreement(baseline: Baseline, proposals: list[Proposals]) -> None:
    """Run the baseline and compare."""
    baseline.run("like")
    ours = dict(zip(baseline.names, proposals, strict=True))
    theirs = read_result(baseline.folder / "result.json")
    found = compare(ours, theirs, tolerance=1e-5)  # PEM on another runtime: 1e-7 of it
    click.echo(f"{found}\n")
    if found.same < found.videos:
        raise click.ClickException("different answers: their speed cannot be compared")


def print_whole(baseline: Baseline, ours: dict[str, float], threads: int) -> None:
    """Print the whole after TEM, and TEM, in seconds per video."""
    click.echo(f"\nseconds per video, everything after TEM; ActSpan on {threads} threads")
    after = ours["ours"]
    names = {"like": "the same outputs", "published": "as published, with match_iou / ioa"}
    rows = [Row(name, baseline.stage(kind), after, ">= 250x") for kind, name in names.items()]
    print_comparison(rows)
    workers, batches = ours["TEM by workers"], ours["TEM by batches"]
    tem = min(workers, batches)
    reading, scoring = baseline.stage("tem", "read CSV"), baseline.stage("tem", "TEM")
    click.echo(
        f"\nTEM itself on {threads} threads: {duration(tem)} per video (one thread per batch "
        f"{duration(workers)}, all threads on a batch {duration(batches)})\n"
        f"after TEM / TEM: {after / tem:.2f}x (target <= 0.25x)\n"
        f"baseline before that: CSV reading {duration(reading)}, TEM {duration(scoring)}"
    )


if __name__ == "__main__":
    main()
