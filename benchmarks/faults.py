"""Faults put into runs on purpose: what is left must be the same bytes, or one clear error.

fault_world.py  a small dataset and model, commands in processes of their own, checks
fault_kinds.py  the kinds of fault of a run, a function each
fault_service.py  those of the service
"""

from __future__ import annotations

import math
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

import benchmarks.fault_service  # noqa: F401  adds its kinds
from actspan.config.stages import PipelineConfig
from actspan.core.wording import markdown_table
from benchmarks.fault_kinds import KINDS, Kind
from benchmarks.fault_world import BrokenError, Case, World


class Verdict(NamedTuple):
    """Outcome of one fault; `broken` says what was wrong."""

    kind: str
    seed: int
    ended: str
    broken: str = ""


def inject(world: World, task: tuple[Kind, int]) -> Verdict:
    """Inject one fault; keep its folder if something went wrong."""
    kind, seed = task
    name = kind.__name__
    folder = world.folder / f"{name}-{seed}"
    folder.mkdir()
    try:
        ended = kind(Case(world, folder, random.Random(f"{name}-{seed}")))
    except BrokenError as error:
        return Verdict(name, seed, "BROKEN", str(error))
    shutil.rmtree(folder)
    return Verdict(name, seed, ended)


def ready() -> None:
    """Import what commands need, and load the kernels, without starting a thread."""
    import onnxruntime  # noqa: F401
    import pyarrow.ipc  # noqa: F401
    import rich.progress
    import rich.traceback  # noqa: F401

    import actspan.cli.datasets
    import actspan.cli.propose
    import actspan.cli.tables
    import actspan.jobs.driver  # noqa: F401
    from actspan.pipeline.kinds import load_kernels

    load_kernels(PipelineConfig())


def table(verdicts: list[Verdict]) -> list[str]:
    """Return a Markdown table with one row per kind: number of faults, seeds and outcomes."""
    rows = []
    for kind in KINDS:
        if own := [verdict for verdict in verdicts if verdict.kind == kind.__name__]:
            ends = Counter(verdict.ended for verdict in own)
            ended = ", ".join(f"{count} {end}" for end, count in ends.most_common())
            seeds = f"{min(v.seed for v in own)}-{max(v.seed for v in own)}"
            rows.append([str(kind.__doc__), str(len(own)), seeds, ended])
    return markdown_table(["fault", "injected", "seeds", "ended"], rows)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--seed", default=0, help="Seed of the first fault of each kind.")
@click.option("--share", default=1.0, help="Share of the usual number of faults.")
@click.option("--only", help="Run only faults of this kind.")
@click.option("--jobs", default=2, help="Faults that run at the same time.")
def main(seed: int, share: float, only: str | None, jobs: int) -> None:
    """Put faults into runs on purpose, and compare what is left with an undisturbed run.

    \b
    Example:
      python -m benchmarks.faults --share 0.1
      python -m benchmarks.faults --only full_disk --seed 7
    """
    begin = time.perf_counter()
    ready()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)
    world = World.make(folder)
    tasks = [
        (kind, seed + number)
        for kind, usual in KINDS.items()
        if only in (None, kind.__name__)
        for number in range(math.ceil(usual * share))
    ]
    forked = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, mp_context=forked) as pool:
        verdicts = list(pool.map(partial(inject, world), tasks))
    click.echo("\n".join(table(verdicts)))
    broken = [verdict for verdict in verdicts if verdict.broken]
    for verdict in broken:
        click.echo(f"\n{verdict.kind}, seed {verdict.seed}: {verdict.broken}")
    seconds = time.perf_counter() - begin
    click.echo(f"\n{len(verdicts)} faults in {seconds:.0f} s, {len(broken)} broken")
    if broken:
        click.echo(f"what they left: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
