"""`actspan demo`: run the main steps on synthetic data, and draw the results."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which
from typing import Annotated

import click

from actspan.cli.console import progress_report
from actspan.cli.options import command, refuse_options
from actspan.cli.tables import print_figures
from actspan.config.base import Bounds, OutputFolder
from actspan.core.wording import quoted

_Count = Annotated[int, Bounds(0)]


@command(
    out="Folder for all files of the demo.",
    videos="Number of synthetic videos.",
    training_set="Only write N training and N // 4 validation videos, as a dataset to train on.",
)
def demo(
    *,
    out: OutputFolder = Path("demo-output"),
    videos: Annotated[int, Bounds(3)] = 60,
    seed: _Count = 1,
    training_set: _Count = 0,
) -> None:
    """Run the main steps on a small synthetic dataset.

    \b
    Example:
      actspan demo
      actspan demo --training-set 400 --seed 0 --out synthetic
    """
    from actspan.data.synthetic_dataset import check_demo_folder, write_synthetic_dataset

    if training_set:
        refuse_options(["videos"], "with --training-set")
        check_demo_folder(out, out)
        write_synthetic_dataset(
            out, training=training_set, validation=max(training_set // 4, 1), seed=seed
        )
        click.echo(
            f"synthetic training set in {out}; train on it: actspan train --dataset {quoted(out)}"
        )
        return
    with progress_report() as report:
        from actspan.report.demo_run import run_demo

        made = run_demo(out, videos=videos, seed=seed, progress=report)
    click.echo("Synthetic data: these figures say nothing about real videos")
    print_figures(made.recall.summary(), digits=2)
    click.echo(f"{made.summary.videos} synthetic videos, {made.recall.instances} actions")
    click.echo(f"dataset  {made.dataset}")
    click.echo(f"run      {made.run}")
    for picture in made.pictures:
        click.echo(f"picture  {picture}")
    if made.report is not None:
        click.echo(f"report   {made.report}: open it in a browser")
    if made.report is None or not made.pictures:
        click.echo("some pictures could not be drawn: pip install 'actspan[report]'")
    program = "actspan" if which("actspan") else Path(sys.executable).with_name("actspan")
    click.echo(f"viewer   {program} serve --results {made.run}")
