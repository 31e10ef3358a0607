"""Fuzz readers in turn, each in its own process, and print a table; or repeat a finding."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import click

from benchmarks.harness import print_table
from fuzz.seeds import write_seeds
from fuzz.targets import REFUSALS, TARGETS, read_input

MEMORY = 1000  # MB per process, including torch and a runtime
TIMEOUT = 60  # seconds of wall time per input, so that a busy machine does not count as a hang
MOST_DEATHS = 20  # per target: enough to investigate
_FIGURES = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+).* rss: (\d+)Mb")


@dataclass(slots=True)
class Record:
    """Results of fuzzing one target."""

    target: str
    seed: int
    seconds: float = 0
    processor: float = 0  # seconds of processor time, less than wall time on a shared machine
    executions: int = 0
    first_coverage: int = 0
    coverage: int = 0
    peak: int = 0  # MB of memory
    deaths: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def fuzz(target: str, folder: Path, seconds: int, seed: int) -> Record:
    """Fuzz one target for the given time, with a new process whenever one dies."""
    write_seeds(target, folder / "seeds")
    for name in ("corpus", "deaths"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    record = Record(target, seed)
    while (left := round(seconds - record.seconds)) > 0 and len(record.deaths) < MOST_DEATHS:
        died = _run(record, folder, left, seed + len(record.deaths))
        if died is None:
            break
        record.deaths.append(died)
        _save(record, folder)
    _save(record, folder)
    return record


def _run(record: Record, folder: Path, seconds: int, seed: int) -> str | None:
    """Run one process; return how it died, if it did."""
    options = {
        "max_total_time": seconds,
        "seed": seed,
        "rss_limit_mb": MEMORY,
        "timeout": TIMEOUT,
        "max_len": 20_000,
        "artifact_prefix": f"{folder / 'deaths'}/",
        "print_final_stats": 1,
    }
    words = [f"-{key}={value}" for key, value in options.items()]
    command = [sys.executable, "-m", "fuzz.child", record.target, str(folder), *words]
    used = _processor_seconds()
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [*command, str(folder / "corpus"), str(folder / "seeds")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        tail = _follow(process.stderr, log, record)
    code = process.wait()
    record.processor += _processor_seconds() - used
    if code == 0:
        return None
    return next((line for line in tail if "ERROR:" in line), f"exit code {code}")


def _follow(lines: IO[bytes], log: IO[bytes], record: Record) -> list[str]:
    """Record libFuzzer's output until it ends; return its last lines. Start-up does not count."""
    begin, executions, tail = None, 0, deque[str](maxlen=30)
    for line in lines:
        log.write(line)
        log.flush()
        text = line.decode(errors="replace").rstrip()
        tail.append(text)
        if "INITED" in text:
            begin = time.monotonic()
        if found := _FIGURES.match(text):
            executions, record.coverage = int(found[1]), int(found[2])
            record.peak = max(record.peak, int(found[3]))
            record.first_coverage = record.first_coverage or record.coverage
    record.seconds += 0 if begin is None else time.monotonic() - begin
    record.executions += executions
    return list(tail)


def _processor_seconds() -> float:
    """Return the processor seconds of all child processes that have ended."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def _save(record: Record, folder: Path) -> None:
    found = sorted((folder / "findings").glob("*.txt"))
    record.findings = [f.read_text(encoding="utf-8").partition("\n")[0] for f in found]
    (folder / "record.json").write_text(json.dumps(asdict(record), indent=1))


def _row(record: Record) -> Iterator[str]:
    yield record.target
    yield f"{record.seconds:.0f}"
    yield f"{record.processor:.0f}"
    yield f"{record.executions:,}"
    yield f"{record.executions / max(record.processor, 1):.0f}"
    yield f"{record.first_coverage} to {record.coverage}"
    yield str(record.peak)
    yield str(len(record.findings) + len(record.deaths))
    yield str(record.seed)


def repeat(target: str, data: bytes) -> None:
    """Read one input, and print the result and how long it took."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "scores").mkdir()
        begin = time.process_time()
        try:
            click.echo(f"returned {read_input(target, data, Path(name))!r}")
        except REFUSALS as error:
            click.echo(f"refused: {type(error).__name__}: {error}")
        click.echo(f"{time.process_time() - begin:.3f} s of processor time")


@click.command(help=__doc__)
@click.option("--seconds", default=60, show_default=True, help="Time per reader.")
@click.option(
    "--reader",
    "readers",
    multiple=True,
    type=click.Choice(list(TARGETS)),
    help="Fuzz only this reader.",
)
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("build/fuzz"), show_default=True
)
@click.option(
    "--again",
    type=click.Path(path_type=Path, exists=True),
    help="Read one input with the given reader, and print the result.",
)
def main(seconds: int, readers: tuple[str, ...], seed: int, out: Path, again: Path | None) -> None:
    """Run the command line."""
    if again is not None:
        if len(readers) != 1:
            raise click.UsageError("--again needs one --reader")
        repeat(readers[0], again.read_bytes())
        return
    os.environ.setdefault("HDF5_PLUGIN_PATH", "")
    records = [fuzz(name, out.resolve() / name, seconds, seed) for name in readers or TARGETS]
    heads = [
        "reader",
        "seconds",
        "CPU seconds",
        "executions",
        "per CPU second",
        "coverage",
        "peak MB",
        "findings",
        "seed",
    ]
    print_table(heads, [list(_row(record)) for record in records])
    for record in records:
        for what in (*record.findings, *record.deaths):
            click.echo(f"{record.target}: {what}")
    if any(record.findings or record.deaths for record in records):
        click.echo(f"inputs and tracebacks: {out}/READER/findings and deaths")
        sys.exit(1)


if __name__ == "__main__":
    main()
