"""The `propose` command on folders of features, from its start to its last byte."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import click

from actspan import Bundle
from benchmarks import made_up
from benchmarks.agreement import compare, read_result
from benchmarks.measure import Row, interleave, print_comparison, print_machine, run_new
from benchmarks.straightforward.pipeline import run_after_tem, run_tem


def command(bundle: Path, dataset: Path, out: Path) -> list[str]:
    """Return the command line that is timed."""
    program = Path(sys.executable).with_name("actspan")
    return [
        str(program),
        "propose",
        *("--model", str(bundle)),
        *("--dataset", str(dataset)),
        *("--out", str(out)),
    ]


def propose(bundle: Path, dataset: Path, out: Path) -> None:
    """Run the command in a new process.

    Raises
    ------
    click.ClickException
        The command failed; the message contains its output.
    """
    out.unlink(missing_ok=True)
    run_new("actspan", *command(bundle, dataset, out)[1:])


def baseline(bundle: Bundle, features: Path, work: Path, numbers: range, seed: int) -> None:
    """Run the published steps on some videos: CSV features to `result.json`, with matching."""
    seconds = {made_up.name_of(number): made_up.seconds_of(number) for number in numbers}
    instances = {
        made_up.name_of(number): made_up.make_instances(number, seed) for number in numbers
    }
    run_tem(features, work, list(seconds), bundle.file("tem.onnx"))
    run_after_tem(work, seconds, bundle.file("pem.onnx"), instances)


def time_all(folder: Path, videos: int, sample: int, seed: int, rounds: int) -> list[Row]:
    """Time the command on all videos, from either format, and the baseline on a sample of them."""
    bundle = made_up.make_bundle(folder / "bundle", seed)
    datasets = {
        ".npy": made_up.make_dataset(folder / "npy", videos, seed, distinct=600),
        "CSV": made_up.make_csv_dataset(folder / "csv", videos, seed),
    }
    numbers, features = range(sample), datasets["CSV"] / "features"
    ours = {
        name: partial(propose, bundle.path, dataset, folder / f"{name}.json")
        for name, dataset in datasets.items()
    }
    published = partial(baseline, bundle, features, folder / "plain", numbers, seed)
    seconds = interleave({"baseline": published, **ours}, rounds)
    expected = read_result(folder / "plain" / "result.json")
    for name in ours:
        # the runtime that `propose` chooses may be another than the baseline's: TEM agrees to 1e-5
        found = compare(read_result(folder / f"{name}.json"), expected, tolerance=1e-4)
        click.echo(f"{name}: {found}")
    click.echo()
    each = seconds["baseline"] / sample
    return [
        Row(f"propose from {name}, {videos:,} videos", each * videos, seconds[name], target)
        for name, target in ((".npy", ">= 100x"), ("CSV", ">= 60x"))
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--videos", default=4728, help="Videos; the default is ActivityNet's validation set.")
@click.option("--sample", default=12, help="Videos on which the baseline is timed.")
@click.option("--rounds", default=3, help="Times that both run, in turn; the median counts.")
@click.option("--seed", default=0, help="Of the made-up data.")
def main(videos: int, sample: int, rounds: int, seed: int) -> None:
    """Compare the whole `actspan propose` command with the published steps.

    The command is a new process each time, its start-up included; its kernels were compiled by a
    run before. The baseline reads CSV features and matches candidates with ground truth, as
    published; its seconds a video on a sample are multiplied by the number of videos, and its
    imports are not counted.

    \b
    Example:
      python -m benchmarks.propose --videos 600
    """
    sample = min(sample, videos)
    print_machine()
    click.echo(
        f"features ({made_up.LENGTH}, {made_up.CHANNELS}) on disk -> result file, start-up "
        f"included; median of {rounds} rounds; baseline on {sample} of {videos:,} videos; "
        f"made-up data, seed {seed}"
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = time_all(Path(folder), videos, sample, seed, rounds)
    print_comparison(rows)
    each = ", ".join(f"{1e3 * row.ours / videos:.3g}" for row in rows)
    click.echo(f"\n{each} ms a video against {1e3 * rows[0].baseline / videos:.3g} ms")


if __name__ == "__main__":
    main()
