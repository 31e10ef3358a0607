"""Faults put into runs on purpose: what is left must be the same bytes, or one clear error.

fault_world.py     a small dataset and model, commands in processes of their own, checks
fault_kinds.py     the kinds of fault of a run, a function each
fault_service.py   those of the service
fault_commands.py  commands that are killed
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
from actspan.core.errors import ActSpanError
from actspan.core.wording import markdown_table
from benchmarks.fault_commands import import_commands, prepare
from benchmarks.fault_kinds import KINDS
from benchmarks.fault_world import BrokenError, Case, World


class Verdict(NamedTuple):
    """Outcome of one fault; `broken` says what was wrong."""

    kind: str
    seed: int
    ended: str
    kills: int = 0
    broken: str = ""


def inject(world: World, task: tuple[str, int]) -> Verdict:
    """Inject one fault; keep its folder if something went wrong."""
    name, seed = task
    kind = next(kind for kind in KINDS if kind.__name__ == name)
    folder = world.folder / f"{name}-{seed}"
    folder.mkdir()
    case = Case(world, folder, random.Random(f"{name}-{seed}"))
    try:
        ended = kind(case)
    except (BrokenError, ActSpanError) as error:
        return Verdict(name, seed, "BROKEN", case.kills, str(error))
    shutil.rmtree(folder)
    return Verdict(name, seed, ended, case.kills)


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

    import_commands()
    load_kernels(PipelineConfig())


def table(verdicts: list[Verdict]) -> list[str]:
    """Return a Markdown table with one row per kind: number of faults, seeds and outcomes."""
    rows = []
    for kind in KINDS:
        if own := [verdict for verdict in verdicts if verdict.kind == kind.__name__]:
            ends = Counter(verdict.ended for verdict in own)
            ended = ", ".join(f"{count} {end}" for end, count in ends.most_common())
            seeds = f"{min(v.seed for v in own)}-{max(v.seed for v in own)}"
            kills = str(sum(verdict.kills for verdict in own) or "")
            rows.append([str(kind.__doc__), str(len(own)), kills, seeds, ended])
    return markdown_table(["fault", "injected", "kills", "seeds", "ended"], rows)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--seed", default=0, help="Seed of the first fault of each kind.")
@click.option("--share", default=1.0, help="Share of the usual number of faults.")
@click.option("--count", type=int, help="Number of faults of each kind, instead of a share.")
@click.option("--only", multiple=True, help="Run only faults of this kind; can be repeated.")
@click.option("--jobs", default=2, help="Faults that run at the same time.")
def main(seed: int, share: float, count: int | None, only: tuple[str, ...], jobs: int) -> None:
    """Put faults into runs on purpose, and compare what is left with an undisturbed run.

    \b
    Example:
      python -m benchmarks.faults --share 0.1
      python -m benchmarks.faults --only full_disk --seed 7
      python -m benchmarks.faults --only kill_pack --only kill_train --count 100
    """
    begin = time.perf_counter()
    ready()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)
    world = World.make(folder)
    tasks = [
        (kind.__name__, seed + number)
        for kind, usual in KINDS.items()
        if not only or kind.__name__ in only
        for number in range(math.ceil(usual * share) if count is None else count)
    ]
    prepare(world, {name for name, _ in tasks})
    forked = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, mp_context=forked) as pool:
        verdicts = []
        for verdict in pool.map(partial(inject, world), tasks):
            click.echo(f"{verdict.kind} {verdict.seed}: {verdict.ended}", err=True)
            verdicts.append(verdict)
    click.echo("\n".join(table(verdicts)))
    broken = [verdict for verdict in verdicts if verdict.broken]
    for verdict in broken:
        click.echo(f"\n{verdict.kind}, seed {verdict.seed}: {verdict.broken}")
    seconds = time.perf_counter() - begin
    kills = sum(verdict.kills for verdict in verdicts)
    click.echo(f"\n{len(verdicts)} faults, {kills} kills, in {seconds:.0f} s, {len(broken)} broken")
    if broken:
        click.echo(f"what they left: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
