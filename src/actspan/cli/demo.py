"""`actspan demo`: run the main steps on made-up data."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import click

from actspan.cli.common import PlainPath, progress_report, refuse_options, reports_errors
from actspan.core.wording import quoted

if TYPE_CHECKING:
    from actspan.cli.demo_show import DemoFiles


@click.command()
@click.option(
    "--out",
    type=PlainPath(file_okay=False),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for all files of the demo.",
)
@click.option(
    "--videos",
    type=click.IntRange(3),
    default=60,
    show_default=True,
    help="Number of made-up videos.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Seed of all random choices.",
)
@click.option(
    "--training-set",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Only write N training and N // 4 validation videos, as a dataset to train on.",
)
@click.pass_context
@reports_errors
def command(context: click.Context, out: Path, videos: int, seed: int, training_set: int) -> None:
    """Run the main steps on a small made-up dataset.

    \b
    Example:
      actspan demo
      actspan demo --training-set 400 --seed 0 --out made-up
    """
    from actspan.cli.demo_show import run_demo
    from actspan.data.made_up import check_demo_folder, write_made_up_dataset

    if training_set:
        refuse_options(context, ("videos",), "with --training-set")
        check_demo_folder(out, out)
        write_made_up_dataset(
            out, training=training_set, validation=max(training_set // 4, 1), seed=seed
        )
        click.echo(
            f"made-up training set in {out}; train on it: actspan train --dataset {quoted(out)}"
        )
        return
    with progress_report() as report:
        demo = run_demo(out, videos=videos, seed=seed, report=report)
    _print(demo)


def _print(demo: DemoFiles) -> None:
    from rich.console import Console

    from actspan.cli.tables import row_table

    summary, recall = demo.summary, demo.recall
    click.echo("Made-up data: these figures say nothing about real videos")
    Console(highlight=False).print(row_table(recall.summary(), digits=2))
    click.echo(f"{summary.videos} made-up videos, {recall.instances} actions")
    click.echo(f"dataset  {demo.dataset}")
    click.echo(f"run      {demo.run}")
    for picture in demo.pictures:
        click.echo(f"picture  {picture}")
    if demo.report is not None:
        click.echo(f"report   {demo.report}: open it in a browser")
    if demo.report is None or not demo.pictures:
        click.echo("not all could be drawn: pip install 'actspan[report]'")
    click.echo(f"viewer   {_program()} serve --results {demo.run}")


def _program() -> str:
    """Return the command for this program: its name if the shell finds it, else its path."""
    return "actspan" if which("actspan") else str(Path(sys.executable).with_name("actspan"))
