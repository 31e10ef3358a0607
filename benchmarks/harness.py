"""Shared parts of benchmarks: command, contenders in turn, memory of a command, tables."""

from __future__ import annotations

import functools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from actspan.bench.timing import Run, interleave, peak_memory, timed
from actspan.core.machine import core_count, load_average, processor_name
from actspan.deploy.accuracy_report import library_versions

_LIBRARIES = ("actspan", "numpy", "numba", "onnxruntime", "pyarrow", "pandas", "scipy")

_SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}


def benchmark(
    *, rounds: int | None = None, seed: bool = False
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command of a function, which gets a temporary `folder`; print the machine first.

    `rounds` is the default of an option `--rounds`, `seed` adds `--seed`; both are printed.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(**options: Any) -> None:
            print_machine()
            given = [f"median of {options['rounds']} round(s)"] if rounds is not None else []
            given += [f"synthetic data, seed {options['seed']}"] if seed else []
            if given:
                click.echo("; ".join(given))
            with tempfile.TemporaryDirectory() as folder:
                function(folder=Path(folder), **options)

        if seed:
            click.option("--seed", default=0, help="Seed of the synthetic data.")(run)
        if rounds is not None:
            text = "Runs of each, in turn; medians count."
            click.option("--rounds", default=rounds, help=text)(run)
        return click.command(context_settings=_SETTINGS)(run)

    return decorate


def group(text: str, example: str, *commands: click.Command) -> click.Group:
    """Return a command of several benchmarks."""
    text = f"{text}\n\n\b\nExample:\n  python -m benchmarks.{example}"
    return click.Group(commands=commands, help=text, context_settings=_SETTINGS)


def path_option(*names: str, exists: bool = False, **settings: Any) -> Callable[[Any], Any]:
    """Return an option of a path."""
    return click.option(*names, type=click.Path(path_type=Path, exists=exists), **settings)


def median_runs(
    contenders: Mapping[str, Callable[[], object]], rounds: int, *, warm: bool = True
) -> dict[str, Run]:
    """Return the median wall time and processor time of each contender; each runs once per round.

    With `warm` every contender has one run before that does not count (compilation, caches, first
    touch of files).
    """
    works = {name: partial(timed, work) for name, work in contenders.items()}
    runs = interleave(works, rounds, warmup=int(warm))
    return {name: median_run(own) for name, own in runs.items()}


def median_run(runs: Sequence[Run]) -> Run:
    """Return the medians of wall time and processor time."""
    seconds, cpu_seconds = zip(*((run.seconds, run.cpu_seconds) for run in runs), strict=True)
    return Run(statistics.median(seconds), statistics.median(cpu_seconds))


def median_seconds(
    contenders: Mapping[str, Callable[[], object]], rounds: int, *, warm: bool = True
) -> dict[str, float]:
    """Return the median seconds of each contender; see `median_runs`."""
    runs = median_runs(contenders, rounds, warm=warm)
    return {name: run.seconds for name, run in runs.items()}


def program(name: str, *arguments: object) -> list[str]:
    """Return the command line of a program of this Python's environment, such as `actspan`."""
    return [str(Path(sys.executable).with_name(name)), *map(str, arguments)]


def run_new(name: str, *arguments: object) -> str:
    """Run a program of this environment in a new process; return what it printed."""
    # what is installed has its bytecode
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        program(name, *arguments), capture_output=True, text=True, env=environment
    )
    if done.returncode:
        said = done.stdout + done.stderr
        raise click.ClickException(f"{name} {arguments[0]} failed:\n{said}")
    return done.stdout


class Peak(NamedTuple):
    """Peak of RssAnon + RssShmem of a command, bytes, and its seconds."""

    memory: int
    seconds: float

    @property
    def megabytes(self) -> str:
        """Return the memory for a table."""
        return f"{self.memory / 2**20:.0f} MB"


def peak_of_command(line: Sequence[str]) -> Peak:
    """Run a command and watch its memory."""
    if not Path("/proc/self/status").is_file():
        raise click.ClickException("needs /proc, which only Linux has")
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=errors)
        peak: list[int | None] = []
        run = timed(lambda: peak.append(peak_memory(process.wait, process.pid)))
        if process.returncode:
            errors.seek(0)
            raise click.ClickException(f"{' '.join(line)} failed:\n{errors.read()}")
    return Peak(peak[0] or 0, run.seconds)


class Row(NamedTuple):
    """One line of a comparison: seconds per video (or run) of both, and the target."""

    what: str
    baseline: float
    ours: float
    target: str = ""


def print_comparison(rows: Sequence[Row]) -> None:
    """Print a table of durations, and how many times faster than the baseline ActSpan is."""
    lines = [
        (r.what, duration(r.baseline), duration(r.ours), f"{r.baseline / r.ours:.3g}x", r.target)
        for r in rows
    ]
    print_table(("what", "baseline", "actspan", "ratio", "target"), lines)


def duration(seconds: float) -> str:
    """Format seconds in a suitable unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            break
    value = seconds / size
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def print_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print aligned columns, also valid Markdown: the first to the left, others to the right."""
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    for line in (header, rule, *lines):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        click.echo("| " + " | ".join(cells) + " |")


def print_machine() -> None:
    """Print processor, cores and versions, and a note if the machine is not idle."""
    versions = ", ".join(f"{k} {v}" for k, v in library_versions(_LIBRARIES).items())
    click.echo(f"machine: {processor_name()}, {core_count()} core(s), {platform.system()}")
    click.echo(f"versions: {versions}")
    load = load_average() or 0.0
    if load > 0.5:
        click.echo(
            f"note: load average {load:.1f}: others use this machine, ratios come out too low"
        )
    click.echo()
