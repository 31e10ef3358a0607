"""Time of commands from their start to their last byte, and of the published code.

propose   from features on disk to a result file
evaluate  from a result file to AR@AN
startup   help, and the first proposals
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np

import actspan
from actspan import Bundle, TemConfig
from actspan.bench import synthetic
from actspan.bench.costs import tem_products
from actspan.bench.machine import FIXED
from actspan.bench.records import CHANNELS
from actspan.bench.roof import AtBest
from actspan.data.data_requests import PackRequest
from actspan.data.pack import pack_dataset
from actspan.data.result_files import read_result
from benchmarks import data
from benchmarks import published_evaluation as published
from benchmarks.harness import (
    ROOF,
    Row,
    benchmark,
    both,
    duration,
    group,
    median_seconds,
    open_roof,
    print_comparison,
    print_table,
    ratio,
    run_new,
    times_in_turn,
)
from benchmarks.published_steps import run_after_tem, run_tem

BATCH = 16  # videos per matrix product
PUBLISHED = "published steps"
TARGETS = {"packed": ">= 230x", ".npy": ">= 100x", "CSV": ">= 60x"}  # faster than published


def propose_options(bundle: Path, dataset: Path, out: Path) -> list[object]:
    """Return the options of `actspan propose`."""
    return ["--model", bundle, "--dataset", dataset, "--out", out]


def published_propose(
    bundle: Bundle, features: Path, work: Path, numbers: range, seed: int
) -> None:
    """Run the published steps on some videos: CSV features to `result.json`, with matching."""
    seconds = {synthetic.name_of(number): synthetic.seconds_of(number) for number in numbers}
    instances = {synthetic.name_of(n): synthetic.make_instances(n, seed) for n in numbers}
    run_tem(features, work, list(seconds), bundle.file("tem.onnx"))
    run_after_tem(work, seconds, bundle.file("pem.onnx"), instances)


class Propose:
    """`actspan propose` on datasets of several kinds, and the published steps on a sample."""

    def __init__(self, folder: Path, kinds: Sequence[str], videos: int, seed: int) -> None:
        self.folder, self.videos, self.seed = folder, videos, seed
        self.bundle = synthetic.make_bundle(folder / "bundle", seed)
        folders = {".npy": synthetic.make_dataset(folder / "npy", videos, seed, distinct=600)}
        if "CSV" in kinds:
            folders["CSV"] = data.make_csv_dataset(folder / "csv", videos, seed)
        if "packed" in kinds:
            folders["packed"] = folder / "store"
            pack_dataset(PackRequest(folders[".npy"], folder / "store", length=synthetic.LENGTH))
        self.datasets = {kind: folders[kind] for kind in kinds}
        self.results = {kind: folder / f"{kind}.json" for kind in kinds}

    def run(self, kind: str) -> None:
        """Run the command on one of the datasets."""
        result = self.results[kind]
        result.unlink(missing_ok=True)
        options = propose_options(self.bundle.path, self.datasets[kind], result)
        run_new("actspan", "propose", *options)

    def make_sample(self, count: int) -> Callable[[], None]:
        """Return a function that runs the published steps on the first videos, from CSV."""
        features = data.make_csv_dataset(self.folder / "sample", count, self.seed) / "features"
        work = self.folder / "plain"
        return partial(published_propose, self.bundle, features, work, range(count), self.seed)

    def check(self) -> None:
        """Compare the results with those of the published steps, and with each other."""
        expected = read_result(self.folder / "plain" / "result.json")
        for kind, result in self.results.items():
            # The runtime that `propose` chooses may be another: TEM agrees to 1e-5.
            agreement = published.compare(read_result(result), expected, tolerance=1e-4)
            click.echo(f"{kind}: {agreement}", err=True)
        if len({result.read_bytes() for kind, result in self.results.items() if kind != "CSV"}) > 1:
            raise click.ClickException("the store and the folder gave different results")


def measure_propose(
    folder: Path, kinds: Sequence[str], videos: int, sample: int, rounds: int, seed: int
) -> dict[str, AtBest]:
    """Time the command, the published steps and TEM's products in turn; seconds per video."""
    work = Propose(folder, kinds, videos, seed)
    contenders = {PUBLISHED: work.make_sample(sample)}
    contenders |= {kind: partial(work.run, kind) for kind in kinds}
    with open_roof(tem_products(TemConfig(), BATCH)) as roof:
        times = times_in_turn(contenders, rounds, roof)
        click.echo(f"roof: {roof.kernel}, {roof.gflops:.0f} GFLOP/s", err=True)
        counts = {ROOF: BATCH * roof.cores, PUBLISHED: sample}
    work.check()
    return {name: time.times(1 / counts.get(name, videos)) for name, time in times.items()}


@benchmark(rounds=3, seed=True)
@click.option("--videos", default=4728, help="Videos; the default is ActivityNet's validation set.")
@click.option("--sample", default=12, help="Videos on which the published steps are timed.")
@click.option("--kinds", default=",".join(TARGETS), help="Kinds of features, comma-separated.")
def propose(folder: Path, videos: int, sample: int, kinds: str, rounds: int, seed: int) -> None:
    """Compare `actspan propose` with the published steps, and with what its TEM costs at least.

    The command is a new process each time, its start-up included; its kernels were compiled by a
    run before. The published steps read CSV features and match candidates with ground truth, as
    published; their imports are not counted. Matrix products are NumPy's of TEM's sizes over ready
    columns, one on every core.

    \b
    Example:
      python -m benchmarks.commands propose --videos 600 --kinds packed
    """
    click.echo(
        f"features ({synthetic.LENGTH}, {CHANNELS}) on disk -> result file, "
        f"{videos:,} videos, start-up included"
    )
    times = measure_propose(folder, kinds.split(","), videos, min(sample, videos), rounds, seed)
    lines = [
        (
            name if name not in TARGETS else f"propose, {name}",
            both(time),
            ratio(time, times[ROOF]),
            ratio(times[PUBLISHED], time),
            TARGETS.get(name, ""),
        )
        for name, time in times.items()
    ]
    click.echo("\ntarget of packed: <= 1.35x of the products")
    header = ("per video", "minimum (median)", "of the products", "published / it", "target")
    print_table(header, lines)


def check_equal(ours: actspan.RecallResult, theirs: published.PlainRecall) -> None:
    """Require equal recall arrays; the sums may differ in their last digits."""
    same = np.array_equal(ours.recall, theirs.recall)
    for name in ("average_recall", "proposals_per_video", "auc"):
        same &= np.allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12, atol=0)
    if not same:
        raise click.ClickException("the two evaluators disagree: their speed cannot be compared")


@benchmark(rounds=3, seed=True)
@click.option("--videos", default=4728, help="Videos with instances.")
@click.option("--proposals", default=100, help="Proposals per video.")
def evaluate(folder: Path, videos: int, proposals: int, rounds: int, seed: int) -> None:
    """Compare `evaluate_recall` with a plain pandas evaluator of the published steps.

    The command is a new process each time; the baseline's imports are not counted.

    \b
    Example:
      python -m benchmarks.commands evaluate
    """
    truth, result = folder / "annotations.json", folder / "result.json"
    data.write_annotations(truth, range(videos), seed)
    data.write_result(result, range(videos), proposals, seed)
    theirs = published.evaluate(truth, result)
    check_equal(actspan.evaluate_recall(truth, result), theirs)
    click.echo(f"both: AR@100 {100 * theirs.average_recall[-1]:.4f}, AUC {100 * theirs.auc:.4f}\n")
    contenders = {
        "baseline": lambda: published.evaluate(truth, result),
        "function": lambda: actspan.evaluate_recall(truth, result),
        "command": lambda: run_new("actspan", "evaluate", result, "--ground-truth", truth),
    }
    with open_roof(FIXED) as roof:
        times = times_in_turn(contenders, rounds, roof)
    what = f"{videos:,} videos x {proposals} proposals, JSON in, AR and AUC out"
    command = "the same by the command, start-up included"
    print_comparison(
        [
            Row(what, times["baseline"], times["function"], ">= 40x"),
            Row(command, times["baseline"], times["command"]),
        ]
    )


@benchmark(rounds=9, seed=True)
def startup(folder: Path, rounds: int, seed: int) -> None:
    """Time `actspan --help`, and `actspan propose` on one video, and `python -c pass`.

    Each is a new process; kernels were compiled and files read by a run before.

    \b
    Example:
      python -m benchmarks.commands startup
    """
    bundle = synthetic.make_bundle(folder / "bundle", seed)
    dataset = synthetic.make_dataset(folder / "dataset", 1, seed)
    places = propose_options(bundle.path, dataset, folder / "x.json")
    contenders = {
        "python -c pass": lambda: run_new("python", "-c", "pass"),
        "actspan --help": lambda: run_new("actspan", "--help"),
        "actspan propose, one video": lambda: run_new("actspan", "propose", *places),
    }
    seconds = median_seconds(contenders, rounds)
    lines = [
        (what, duration(value), f"{value / seconds['python -c pass']:.3g}x", target)
        for (what, value), target in zip(seconds.items(), ("", "<= 10x", "<= 1.5 s"), strict=True)
    ]
    print_table(("what", "time", "of python -c pass", "target"), lines)


main = group("Time commands.", "commands propose --videos 600", propose, evaluate, startup)

if __name__ == "__main__":
    main()
