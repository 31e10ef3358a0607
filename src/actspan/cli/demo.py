"""`actspan demo`: run the main steps on made-up data, and draw the results."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Annotated

import click

from actspan.cli.console import progress_report
from actspan.cli.options import command, refuse_options
from actspan.cli.tables import print_figures
from actspan.config.base import OutputFolder
from actspan.core.errors import MissingExtraError
from actspan.core.progress import Progress, no_progress
from actspan.core.wording import quoted

if TYPE_CHECKING:
    from actspan.data.dataset import Dataset
    from actspan.evaluation.recall import RecallResult
    from actspan.jobs.propose_request import Summary
    from actspan.jobs.run import Run

_TIMELINES = 3
_Count = Annotated[int, click.IntRange(0)]


@command(
    out="Folder for all files of the demo.",
    videos="Number of made-up videos.",
    training_set="Only write N training and N // 4 validation videos, as a dataset to train on.",
)
def demo(
    *,
    out: OutputFolder = Path("demo-output"),
    videos: Annotated[int, click.IntRange(3)] = 60,
    seed: _Count = 1,
    training_set: _Count = 0,
) -> None:
    """Run the main steps on a small made-up dataset.

    \b
    Example:
      actspan demo
      actspan demo --training-set 400 --seed 0 --out made-up
    """
    from actspan.data.made_up import check_demo_folder, write_made_up_dataset

    if training_set:
        refuse_options(["videos"], "with --training-set")
        check_demo_folder(out, out)
        write_made_up_dataset(
            out, training=training_set, validation=max(training_set // 4, 1), seed=seed
        )
        click.echo(
            f"made-up training set in {out}; train on it: actspan train --dataset {quoted(out)}"
        )
        return
    with progress_report() as report:
        made = run_demo(out, videos=videos, seed=seed, progress=report)
    click.echo("Made-up data: these figures say nothing about real videos")
    print_figures(made.recall.summary(), digits=2)
    click.echo(f"{made.summary.videos} made-up videos, {made.recall.instances} actions")
    click.echo(f"dataset  {made.dataset}")
    click.echo(f"run      {made.run}")
    for picture in made.pictures:
        click.echo(f"picture  {picture}")
    if made.report is not None:
        click.echo(f"report   {made.report}: open it in a browser")
    if made.report is None or not made.pictures:
        click.echo("not all could be drawn: pip install 'actspan[report]'")
    program = "actspan" if which("actspan") else Path(sys.executable).with_name("actspan")
    click.echo(f"viewer   {program} serve --results {made.run}")


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """Files and results of the demo.

    Attributes
    ----------
    dataset, run : Path
        Folders.
    pictures : tuple of Path
        Empty if matplotlib is not installed.
    report : Path, optional
        The page; None if jinja2 is not installed.
    """

    dataset: Path
    run: Path
    pictures: tuple[Path, ...]
    report: Path | None
    summary: Summary
    recall: RecallResult


def run_demo(
    out: Path, *, videos: int = 60, seed: int = 1, progress: Progress = no_progress
) -> DemoFiles:
    """Make a dataset, propose with the networks that ship with the package, evaluate, draw.

    Parameters
    ----------
    out : Path
        A folder for everything; an earlier demo in it is replaced.
    videos, seed : int
        Size and seed of the made-up validation set.

    Raises
    ------
    DataError
        The folder has other files.
    """
    from actspan.data.dataset import Dataset
    from actspan.data.made_up import check_demo_folder, write_made_up_dataset
    from actspan.evaluation.recall import evaluate_recall
    from actspan.jobs.driver import propose
    from actspan.jobs.propose_request import ProposeRequest
    from actspan.jobs.run import Run
    from actspan.report.contents import GroundTruth
    from actspan.report.page import write_report

    dataset, run = out / "dataset", out / "run"
    check_demo_folder(out, dataset)
    write_made_up_dataset(dataset, validation=videos, seed=seed)
    with as_file(files("actspan.model") / "demo") as bundle:
        request = ProposeRequest(
            model=bundle, dataset=dataset, out=run, subset="validation", overwrite=True
        )
        summary = propose(request, progress)
    recall = evaluate_recall(dataset, run)
    pictures: tuple[Path, ...] = ()
    page = None
    with suppress(MissingExtraError):
        pictures = _draw(out, Dataset.load(dataset), Run.load(run), recall)
    with suppress(MissingExtraError):
        truth = GroundTruth(dataset)
        page = write_report([run], out / "report.html", truth=truth, progress=progress).path
    return DemoFiles(dataset, run, pictures, page, summary, recall)


def _draw(out: Path, dataset: Dataset, run: Run, recall: RecallResult) -> tuple[Path, ...]:
    """Draw the recall curve, and timelines of videos with several actions, which show more."""
    from actspan.report.charts import plot_recall
    from actspan.report.paper_pictures import plot_timeline

    curve = out / "recall.png"
    plot_recall(recall, curve)
    proposals, spans = run.proposals(), {row.video: row.seconds for row in run.candidates()}
    videos = [video for video in dataset if video.id in proposals]
    videos.sort(key=lambda video: -min(len(video.segments), 5))
    pictures = [curve]
    with run.scores() as scores:
        for video in videos[:_TIMELINES]:
            picture = out / f"timeline-{video.id}.png"
            plot_timeline(
                video.id,
                scores.read(video.id),
                spans[video.id],
                video.segments,
                proposals[video.id],
                picture,
                labels=video.labels,
            )
            pictures.append(picture)
    return tuple(pictures)
