"""Run the main job on the made-up set and draw the results."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from actspan.core.errors import MissingExtraError
from actspan.core.progress import no_progress
from actspan.core.types import Proposals
from actspan.data.dataset import Dataset
from actspan.data.made_up import check_demo_folder, write_made_up_dataset
from actspan.evaluation.recall import RecallResult, evaluate_recall
from actspan.jobs.proposing.job import propose_dataset
from actspan.jobs.proposing.request import Report, Request, Summary
from actspan.jobs.run import Run
from actspan.report.contents import GroundTruth
from actspan.report.page import write_report

_TIMELINES = 3


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
    summary : Summary
        Summary of the run.
    recall : RecallResult
        Recall of the proposals.
    """

    dataset: Path
    run: Path
    pictures: tuple[Path, ...]
    report: Path | None
    summary: Summary
    recall: RecallResult


def run_demo(
    out: Path, *, videos: int = 60, seed: int = 1, report: Report | None = None
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
        The folder holds other files.
    """
    dataset, run = out / "dataset", out / "run"
    check_demo_folder(out, dataset)
    write_made_up_dataset(dataset, validation=videos, seed=seed)
    with as_file(files("actspan.model") / "demo") as bundle:
        request = Request(
            model=bundle, dataset=dataset, out=run, subset="validation", overwrite=True
        )
        summary = propose_dataset(request, report)
    recall = evaluate_recall(dataset, run)
    pictures: tuple[Path, ...] = ()
    page = None
    with suppress(MissingExtraError):
        pictures = _draw(out, Dataset.load(dataset), Run.load(run), recall)
    with suppress(MissingExtraError):
        page = write_report(
            [run],
            out / "report.html",
            truth=GroundTruth(dataset),
            progress=report or no_progress,
        ).path
    return DemoFiles(dataset, run, pictures, page, summary, recall)


def _draw(out: Path, dataset: Dataset, run: Run, recall: RecallResult) -> tuple[Path, ...]:
    from actspan.report.curves import plot_recall
    from actspan.report.timeline import plot_timeline

    curve = out / "recall.png"
    plot_recall(recall, curve)
    proposals, spans = run.proposals(), {row.video: row.seconds for row in run.candidates()}
    pictures = [curve]
    with run.scores() as scores:
        for name in _telling(dataset, proposals):
            picture = out / f"timeline-{name}.png"
            video, span, found = dataset[name], spans[name], proposals[name]
            curves = scores.read(name)
            plot_timeline(name, curves, span, video.segments, found, picture, labels=video.labels)
            pictures.append(picture)
    return tuple(pictures)


def _telling(dataset: Dataset, proposals: dict[str, Proposals]) -> list[str]:
    """Return the names of a few videos with several actions, whose pictures show more."""
    counts = np.array([len(video.segments) for video in dataset if video.id in proposals])
    names = [video.id for video in dataset if video.id in proposals]
    order = np.argsort(-np.minimum(counts, 5), kind="stable")[:_TIMELINES]
    return [names[i] for i in order]
