"""Time of commands from their start to their last byte, and of the published code.

propose   from features on disk to a result file
evaluate  from a result file to AR@AN
startup   help, and the first proposals
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np

import actspan
from actspan import Bundle, Dataset, TemConfig
from actspan.bench import synthetic
from actspan.bench.costs import tem_products
from actspan.bench.machine import matrix_products, require_limits
from actspan.bench.timing import timed
from actspan.core.machine import core_count
from actspan.data.check import check_dataset
from actspan.data.data_requests import PackRequest
from actspan.data.pack import pack_dataset
from actspan.data.result_files import read_result
from actspan.data.store_manifest import verify_store
from benchmarks import data
from benchmarks import published_evaluation as published
from benchmarks.harness import (
    Row,
    benchmark,
    duration,
    group,
    median_seconds,
    print_comparison,
    print_table,
    run_new,
)
from benchmarks.published_steps import run_after_tem, run_tem

BATCH = 16  # videos per matrix product
PRODUCTS = 320  # videos whose products are timed
TARGETS = {"packed": ">= 150x", ".npy": ">= 100x", "CSV": ">= 60x"}  # faster than published


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


def arithmetic() -> Callable[[], None]:
    """Return a function that computes TEM's layers as float32 matrix products, one per core."""
    run, limits = matrix_products(tem_products(TemConfig(), BATCH)), require_limits()

    def products() -> None:
        with limits(limits=1, user_api="blas"), ThreadPoolExecutor(core_count()) as pool:
            list(pool.map(run, range(PRODUCTS // BATCH)))

    return products


def measure_propose(
    folder: Path, videos: int, sample: int, rounds: int, seed: int
) -> dict[str, float]:
    """Time all contenders in turn; return the seconds of each for all videos."""
    bundle = synthetic.make_bundle(folder / "bundle", seed)
    datasets = {
        "packed": folder / "store",
        ".npy": synthetic.make_dataset(folder / "npy", videos, seed, distinct=600),
        "CSV": data.make_csv_dataset(folder / "csv", videos, seed),
    }
    steps = {
        "pack": partial(
            pack_dataset, PackRequest(datasets[".npy"], datasets["packed"], length=synthetic.LENGTH)
        ),
        "verify": partial(verify_store, datasets["packed"]),
        "open and check": lambda: check_dataset(Dataset.load(datasets["packed"])),
        "open and check the folder": lambda: check_dataset(Dataset.load(datasets[".npy"])),
    }
    once = ", ".join(f"{what} {duration(timed(step).seconds)}" for what, step in steps.items())
    click.echo(f"once each: {once}")
    results = {name: folder / f"{name}.json" for name in datasets}

    def run(name: str) -> None:
        results[name].unlink(missing_ok=True)
        run_new("actspan", "propose", *propose_options(bundle.path, datasets[name], results[name]))

    numbers, features = range(sample), datasets["CSV"] / "features"
    seconds = median_seconds(
        {
            "published": partial(
                published_propose, bundle, features, folder / "plain", numbers, seed
            ),
            "arithmetic": arithmetic(),
            **{name: partial(run, name) for name in datasets},
        },
        rounds,
    )
    expected = read_result(folder / "plain" / "result.json")
    for name, result in results.items():
        # the runtime that `propose` chooses may be another than the baseline's: TEM agrees to 1e-5
        click.echo(f"{name}: {published.compare(read_result(result), expected, tolerance=1e-4)}")
    if results["packed"].read_bytes() != results[".npy"].read_bytes():
        raise click.ClickException("the store and the folder gave different results")
    seconds["published"] *= videos / sample
    seconds["arithmetic"] *= videos / PRODUCTS
    return seconds


@benchmark(rounds=3, seed=True)
@click.option("--videos", default=4728, help="Videos; the default is ActivityNet's validation set.")
@click.option("--sample", default=12, help="Videos on which the published steps are timed.")
def propose(folder: Path, videos: int, sample: int, rounds: int, seed: int) -> None:
    """Compare `actspan propose` with the published steps, and with what its TEM costs at least.

    The command is a new process each time, its start-up included; its kernels were compiled by a
    run before. The published steps read CSV features and match candidates with ground truth, as
    published; their seconds per video on a sample are multiplied by the number of videos, and their
    imports are not counted. "TEM's arithmetic" is NumPy's matrix products of TEM's sizes over ready
    columns, one on every core.

    \b
    Example:
      python -m benchmarks.commands propose --videos 600
    """
    click.echo(
        f"features ({synthetic.LENGTH}, {synthetic.CHANNELS}) on disk -> result file, "
        f"{videos:,} videos, start-up included"
    )
    seconds = measure_propose(folder, videos, min(sample, videos), rounds, seed)
    names = {name: f"propose, {name}" for name in TARGETS}
    names |= {"arithmetic": "TEM's arithmetic (sgemm)", "published": "published steps"}
    lines = [
        (
            what,
            duration(seconds[name]),
            duration(seconds[name] / videos),
            f"{seconds[name] / seconds['arithmetic']:.3g}x",
            f"{seconds['published'] / seconds[name]:.3g}x",
            TARGETS.get(name, ""),
        )
        for name, what in names.items()
    ]
    click.echo("\ntarget of packed: <= 1.6x of the arithmetic")
    header = ("what", "time", "per video", "of arithmetic", "published / it", "target")
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
    seconds = median_seconds(
        {
            "baseline": lambda: published.evaluate(truth, result),
            "function": lambda: actspan.evaluate_recall(truth, result),
            "command": lambda: run_new("actspan", "evaluate", result, "--ground-truth", truth),
        },
        rounds,
        warm=False,  # both ran just now
    )
    what = f"{videos:,} videos x {proposals} proposals, JSON in, AR and AUC out"
    command = "the same by the command, start-up included"
    print_comparison(
        [
            Row(what, seconds["baseline"], seconds["function"], ">= 40x"),
            Row(command, seconds["baseline"], seconds["command"]),
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
