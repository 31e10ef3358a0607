"""How long a user waits before anything happens: help, and the first proposals of a warm start."""

from __future__ import annotations

from pathlib import Path

import click

from actspan.bench import synthetic
from benchmarks.harness import (
    benchmark,
    duration,
    median_seconds,
    print_table,
    run_new,
)


@benchmark(rounds=9, seed=True)
def main(folder: Path, rounds: int, seed: int) -> None:
    """Time `actspan --help`, and `actspan propose` on one video, beside `python -c pass`.

    Each is a new process; kernels were compiled and files read by a run before.

    \b
    Example:
      python -m benchmarks.startup
    """
    click.echo(f"start-up, median of {rounds} rounds")
    bundle = synthetic.make_bundle(folder / "bundle", seed)
    dataset = synthetic.make_dataset(folder / "dataset", 1, seed)
    places = ("--model", bundle.path, "--dataset", dataset, "--out", folder / "x.json")
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


if __name__ == "__main__":
    main()
