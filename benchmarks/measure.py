"""Timing rounds in which every contender takes its turn, and how results are printed."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from actspan.bench.environment import core_count, load_average, processor_name
from actspan.deploy.verify.accuracy_report import library_versions

_LIBRARIES = ("actspan", "numpy", "numba", "onnxruntime", "pyarrow", "pandas", "scipy")


def interleave(
    contenders: Mapping[str, Callable[[], object]], rounds: int, *, warm: bool = True
) -> dict[str, float]:
    """Return the median seconds of each contender; each runs once in every round.

    With `warm` every contender has one run before the first round that does not count
    (compilation, caches, first touch of files).
    """
    if warm:
        for contender in contenders.values():
            contender()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            began = time.perf_counter()
            contender()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def run_new(program: str, *arguments: object) -> None:
    """Run a program of this Python's environment, such as `actspan`, in a new process.

    Raises
    ------
    click.ClickException
        The program failed; the message contains its output.
    """
    command = [str(Path(sys.executable).with_name(program)), *map(str, arguments)]
    # what is installed has its bytecode
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise click.ClickException(f"{program} {arguments[0]} failed:\n{done.stderr}")


@dataclass(frozen=True)
class Row:
    """One line of a comparison: seconds per video (or run) of both sides, and the target."""

    what: str
    baseline: float
    ours: float
    target: str = ""

    @property
    def ratio(self) -> float:
        """How many times faster than the baseline."""
        return self.baseline / self.ours


def duration(seconds: float) -> str:
    """Format seconds in a suitable unit."""
    if seconds >= 1:
        value, unit = seconds, "s"
    elif seconds >= 1e-3:
        value, unit = seconds * 1e3, "ms"
    else:
        value, unit = seconds * 1e6, "µs"
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def print_comparison(rows: Sequence[Row]) -> None:
    """Print a table of durations and ratios, also valid Markdown."""
    lines = [
        (row.what, duration(row.baseline), duration(row.ours), f"{row.ratio:.3g}x", row.target)
        for row in rows
    ]
    print_table(("what", "baseline", "actspan", "ratio", "target"), lines)


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
