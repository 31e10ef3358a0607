"""The demo: a synthetic dataset, a run of the networks in the package, its recall and pictures."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from actspan.core.errors import MissingExtraError
from actspan.core.progress import Progress, no_progress
from actspan.data.dataset import Dataset
from actspan.data.synthetic_dataset import check_demo_folder, write_synthetic_dataset
from actspan.evaluation.recall import RecallResult, evaluate_recall
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest, Summary
from actspan.jobs.run import Run
from actspan.report.charts import plot_recall
from actspan.report.contents import GroundTruth
from actspan.report.page import write_report
from actspan.report.paper_pictures import plot_timeline

_TIMELINES = 3


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """Files and results of the demo."""

    dataset: Path
    run: Path
    pictures: tuple[Path, ...]  # empty if matplotlib is not installed
    report: Path | None  # the page; None if jinja2 is not installed
    summary: Summary
    recall: RecallResult


def run_demo(
    out: Path, *, videos: int = 60, seed: int = 1, progress: Progress = no_progress
) -> DemoFiles:
    """Make a dataset, propose with the networks that ship with the package, evaluate, draw.

    `out` gets everything, and an earlier demo in it is replaced; `videos` and `seed` are the size
    and the seed of the synthetic validation set. Raises DataError if the folder has other files.
    """
    dataset, run = out / "dataset", out / "run"
    check_demo_folder(out, dataset)
    write_synthetic_dataset(dataset, validation=videos, seed=seed)
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
    curve = out / "recall.png"
    plot_recall(recall, curve)
    proposals, places = run.proposals(), run.candidate_places()
    videos = [video for video in dataset if video.id in proposals]
    videos.sort(key=lambda video: -min(len(video.segments), 5))
    pictures = [curve]
    with run.scores() as scores:
        for video in videos[:_TIMELINES]:
            picture = out / f"timeline-{video.id}.png"
            curves, span = scores.read(video.id), places[video.id].span
            proposals_of_video, truth = proposals[video.id], video.segments
            plot_timeline(
                video.id, curves, span, truth, proposals_of_video, picture, labels=video.labels
            )
            pictures.append(picture)
    return tuple(pictures)
