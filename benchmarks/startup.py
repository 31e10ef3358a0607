"""How long a user waits before anything happens: help, and the first proposals of a warm start."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from benchmarks import made_up
from benchmarks.measure import duration, interleave, print_machine, print_table, run_new


def time_starts(folder: Path, rounds: int, seed: int) -> dict[str, float]:
    """Return median seconds of Python alone, of the help, and of the proposals of one video."""
    bundle = made_up.make_bundle(folder / "bundle", seed)
    dataset = made_up.make_dataset(folder / "dataset", 1, seed)
    places = ("--model", bundle.path, "--dataset", dataset, "--out", folder / "x.json")
    return interleave(
        {
            "python": lambda: run_new("python", "-c", "pass"),
            "help": lambda: run_new("actspan", "--help"),
            "propose": lambda: run_new("actspan", "propose", *places),
        },
        rounds,
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--rounds", default=9, help="Times that each runs, in turn; the median counts.")
@click.option("--seed", default=0, help="Of the made-up data.")
def main(rounds: int, seed: int) -> None:
    """Time `actspan --help`, and `actspan propose` on one video, beside `python -c pass`.

    Each is a new process; kernels were compiled and files read by a run before.

    \b
    Example:
      python -m benchmarks.startup
    """
    print_machine()
    click.echo(f"start-up, median of {rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        seconds = time_starts(Path(folder), rounds, seed)
    lines = [
        (what, duration(seconds[name]), f"{seconds[name] / seconds['python']:.3g}x", target)
        for name, what, target in (
            ("python", "python -c pass", ""),
            ("help", "actspan --help", "<= 10x"),
            ("propose", "actspan propose, one video", "<= 1.5 s"),
        )
    ]
    print_table(("what", "time", "of python -c pass", "target"), lines)


if __name__ == "__main__":
    main()
