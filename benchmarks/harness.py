"""Shared parts of benchmarks: command, contenders in turn, memory of a command, tables.

A ratio is that of two minima, and is printed only if both contenders reached the machine's best
several times while the roof, in turn with them, had all cores: see `actspan.bench.roof`.
"""

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

from actspan.bench.roof import TOO_NOISY, AtBest, RoofProcess, Shape, at_best
from actspan.bench.timing import Run, interleave, peak_memory, timed
from actspan.core.machine import core_count, load_average, processor_name
from actspan.deploy.accuracy_report import library_versions

_LIBRARIES = ("actspan", "numpy", "numba", "onnxruntime", "pyarrow", "pandas", "scipy")

ROOF = "matrix products (sgemm)"
_WITNESSES = 4  # rounds of the roof before each run of a contender
_LIMIT = "ONEDNN_MAX_CPU_ISA"  # of OpenVINO and torch
AVX2 = {  # documented variables of each library; ONNX Runtime has none
    _LIMIT: "AVX2",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}

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
            limit_instructions(options.pop("instructions"))
            print_machine()
            given = [f"{options['rounds']} round(s)"] if rounds is not None else []
            given += [f"synthetic data, seed {options['seed']}"] if seed else []
            if given:
                click.echo("; ".join(given))
            with tempfile.TemporaryDirectory() as folder:
                function(folder=Path(folder), **options)

        if seed:
            click.option("--seed", default=0, help="Seed of the synthetic data.")(run)
        if rounds is not None:
            text = "Runs of each, in turn; a ratio needs at least three."
            click.option("--rounds", default=rounds, help=text)(run)
        text = "Limit all libraries to AVX2, by their own variables. [default: no limit]"
        click.option("--instructions", type=click.Choice(["avx2"]), help=text)(run)
        return click.command(context_settings=_SETTINGS)(run)

    return decorate


def group(text: str, example: str, *commands: click.Command) -> click.Group:
    """Return a command of several benchmarks."""
    text = f"{text}\n\n\b\nExample:\n  python -m benchmarks.{example}"
    return click.Group(commands=commands, help=text, context_settings=_SETTINGS)


def path_option(*names: str, exists: bool = False, **settings: Any) -> Callable[[Any], Any]:
    """Return an option of a path."""
    return click.option(*names, type=click.Path(path_type=Path, exists=exists), **settings)


def limit_instructions(limit: str | None) -> None:
    """Start this program again with the variables that limit its libraries, if they are not set."""
    if limit is not None and any(os.environ.get(k) != v for k, v in AVX2.items()):
        environment = {**os.environ, **AVX2}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def open_roof(shapes: Sequence[Shape]) -> RoofProcess:
    """Open the roof of matrix products; it has the limit that OpenVINO's networks have."""
    limited = os.environ.get(_LIMIT) == AVX2[_LIMIT]
    return RoofProcess(shapes, "avx2" if limited else "")


def times_in_turn(
    contenders: Mapping[str, Callable[[], object]], rounds: int, roof: RoofProcess
) -> dict[str, AtBest]:
    """Return the times of each contender, in turn with rounds of the roof, and those of the roof.

    Each has one run before that does not count. None has reached its best if others used the
    machine during the fastest rounds of the roof.
    """

    def alternate(work: Callable[[], object]) -> Run:
        for _ in range(_WITNESSES):
            roof.round()
        return timed(work)

    works = {name: partial(alternate, work) for name, work in contenders.items()}
    runs = interleave(works, rounds)
    for _ in range(_WITNESSES):
        roof.round()
    times = {name: at_best(own) for name, own in {ROOF: roof.rounds, **runs}.items()}
    calm = roof.is_reached
    return {n: t._replace(is_reached=t.is_reached and calm) for n, t in times.items()}


def ratio(a: AtBest, b: AtBest, of: str = "") -> str:
    """Format the ratio of two minima, followed by `of`, if both saw the machine at its best."""
    if not (a.is_reached and b.is_reached):
        return TOO_NOISY
    return f"{a.minimum / b.minimum:.3g}x{of}"


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
    """Peak of RssAnon + RssShmem of a command, bytes, its seconds and its processor time."""

    memory: int
    seconds: float
    cpu_seconds: float

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
        watch = partial(peak_memory, process.wait, process.pid)
        run = timed(lambda: peak.append(watch()), processes=True)
        if process.returncode:
            errors.seek(0)
            raise click.ClickException(f"{' '.join(line)} failed:\n{errors.read()}")
    return Peak(peak[0] or 0, run.seconds, run.cpu_seconds)


class Row(NamedTuple):
    """One line of a comparison: seconds per video (or run) of both, and the target."""

    what: str
    baseline: AtBest
    ours: AtBest
    target: str = ""

    def if_calm(self, calm: bool) -> Row:
        """Return the row for a machine that was `calm` or not: only a calm one is at its best."""
        theirs = self.baseline
        return self._replace(baseline=theirs._replace(is_reached=theirs.is_reached and calm))


def print_comparison(rows: Sequence[Row]) -> None:
    """Print a table of durations, and how many times faster than the baseline ActSpan is."""
    lines = [
        (r.what, both(r.baseline), both(r.ours), ratio(r.baseline, r.ours), r.target) for r in rows
    ]
    header = ("minimum (median)", "baseline", "actspan", "ratio of minima", "target")
    print_table(header, lines)


def both(time: AtBest) -> str:
    """Format minimum and median."""
    return f"{duration(time.minimum)} ({duration(time.median)})"


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
    if limits := ", ".join(f"{k}={os.environ[k]}" for k in AVX2 if k in os.environ):
        click.echo(f"limited by: {limits}")
    load = load_average() or 0.0
    if load > 0.5:
        click.echo(
            f"note: load average {load:.1f}: others use this machine, ratios come out too low"
        )
    click.echo()
