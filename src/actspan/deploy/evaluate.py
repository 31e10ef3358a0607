"""Evaluation of a deployed bundle: recall over a dataset, and the time of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from actspan.core.files import atomic_file
from actspan.core.perf_lines import StepTimes, performance_lines
from actspan.core.progress import Progress, no_progress
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.deploy.measure import measure
from actspan.evaluation.recall import evaluate_recall
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.model.bundle import Bundle
from actspan.model.weights import Net
from actspan.pipeline.outcomes import Job

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy and speed of a bundle on a dataset.

    Attributes
    ----------
    run : Path
        The run folder; `tem_bs16.txt` and the like in it hold the performance summaries.
    backend : str
    videos : int
    recall : mapping of str to float
        `AR@1` ... `AR@100`, `AUC`, percent.
    times : mapping of (net, batch) to StepTimes
    untimed : tuple of int
        Batch sizes that are larger than the dataset.
    notes : tuple of str
        Assumptions about the dataset.
    """

    run: Path
    backend: str
    videos: int
    recall: Mapping[str, float]
    times: Mapping[tuple[Net, int], StepTimes]
    untimed: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def evaluate(
    bundle: Bundle,
    dataset: Path,
    run: Path,
    *,
    backend: str,
    batches: tuple[int, ...],
    subset: str | None = "validation",
    threads: int | None = None,
    overwrite: bool = False,
    report: Progress = no_progress,
) -> Evaluation:
    """Propose with a bundle on a backend, evaluate the proposals, and time the steps.

    Parameters
    ----------
    dataset : Path
        A dataset folder with annotations.
    run : Path
        The run folder to create.
    batches : tuple of int
        Samples per call, for the times.
    subset : str, optional
        Subset of the dataset; all videos if None.

    Raises
    ------
    DataError, BundleError, BackendError
        A part is missing, damaged, or does not fit.
    """
    request = ProposeRequest(
        model=bundle.path,
        dataset=dataset,
        out=run,
        subset=subset,
        backend=backend,
        threads=threads,
        overwrite=overwrite,
    )
    summary = propose(request, report)
    videos = Dataset.load(dataset).subset(subset, bundle.set_apart)
    recall = evaluate_recall(videos.videos, run, subset=None).summary()
    channels = None if bundle.config.tem is None else bundle.config.tem.channels
    checked = check_dataset(videos, channels=channels)
    mapped = bundle.config.mode == "window"
    jobs = [Job(v.id, partial(checked.open, v.id, mapped=mapped)) for v in checked.videos]
    times = {
        (net, batch): found
        for batch in batches
        for net, found in measure(
            bundle, jobs, backend=backend, batch=batch, edge=checked.edge
        ).items()
    }
    for (net, batch), found in times.items():
        with atomic_file(run / f"{net}_bs{batch}.txt") as stream:
            stream.write("\n".join([*performance_lines(found), ""]).encode())
    untimed = tuple(batch for batch in batches if ("tem", batch) not in times)
    return Evaluation(run, backend, summary.videos, recall, times, untimed, summary.notes)
