"""Evaluation of a deployed bundle: recall over a dataset, and the time of each step.

Times are counted like a vendor's benchmark, in one thread, over real videos.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from actspan.config.stages import Edge
from actspan.core.files import atomic_file
from actspan.core.parallel import chunked
from actspan.core.perf_lines import StepTimes, performance_lines
from actspan.core.progress import Progress, no_progress
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.evaluation.recall import evaluate_recall
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.model.bundle import Bundle
from actspan.model.weights import Net
from actspan.pipeline.core import open_nets
from actspan.pipeline.outcomes import Recordings, VideoInput
from actspan.pipeline.steps import Batch, Steps, feature_inputs, pieces_of


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy and speed of a bundle on a dataset."""

    run: Path  # run folder; `tem_bs16.txt` and the like in it hold the performance summaries
    backend: str
    videos: int
    recall: Mapping[str, float]  # `AR@1` ... `AR@100`, `AUC`, percent
    times: Mapping[tuple[Net, int], StepTimes]  # by network and batch
    untimed: tuple[int, ...] = ()  # batch sizes that are larger than the dataset
    notes: tuple[str, ...] = ()  # assumptions about the dataset


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
    progress: Progress = no_progress,
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
    summary = propose(request, progress)
    videos = Dataset.load(dataset).subset(subset, bundle.set_apart)
    recall = evaluate_recall(videos.videos, run, subset=None).summary()
    channels = None if bundle.config.tem is None else bundle.config.tem.channels
    checked = check_dataset(videos, channels=channels)
    inputs = list(feature_inputs(checked, checked.videos.ids, bundle.config))
    times: dict[tuple[Net, int], StepTimes] = {}
    for batch in batches:
        for net, found in _time_steps(bundle, inputs, backend, batch, checked.edge).items():
            times[net, batch] = found
            with atomic_file(run / f"{net}_bs{batch}.txt") as stream:
                stream.write("\n".join([*performance_lines(found), ""]).encode())
    untimed = tuple(batch for batch in batches if ("tem", batch) not in times)
    return Evaluation(run, backend, summary.videos, recall, times, untimed, summary.notes)


class _StepClock(Counter[str]):
    """Seconds of each step of a network."""

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Add the time of a block to a step."""
        begin = perf_counter()
        yield
        self[step] += perf_counter() - begin  # type: ignore[assignment]

    def times(self, samples: int, calls: int) -> StepTimes:
        """Return the times for the summary; the steps of one worker run one after another."""
        return StepTimes(
            samples=samples,
            total=sum(self.values()),
            read=self["read"],
            preprocess=self["preprocess"],
            inference=self["inference"],
            interface=self["inference"],
            postprocess=self["postprocess"],
            calls=calls,
        )


def _time_steps(
    bundle: Bundle, inputs: Iterable[VideoInput], backend: str, batch: int, edge: Edge
) -> dict[Net, StepTimes]:
    """Process videos to proposals in one thread, one batch at a time, and time every step.

    A sample is a video, or a window of a long recording. Candidates and their features count as
    TEM's last step, so PEM has nothing to read; Soft-NMS is PEM's last step. An incomplete batch at
    the end is left out; return {} if there is no other.
    """
    tem, pem = _StepClock(), _StepClock()
    config = bundle.config
    recordings = Recordings(config) if config.mode == "window" else None
    samples = calls = 0
    sessions = open_nets(bundle, ["tem", "pem"], backend, 1)
    with sessions["tem"], sessions["pem"]:
        steps = Steps(config, sessions["tem"], sessions["pem"], edge)
        assert config.tem is not None
        # The first call of a runtime is slower.
        steps.tem(np.zeros((batch, config.tem.channels, config.tem.length), np.float32))
        steps.pem(np.zeros((batch * config.pgm.keep, config.bsp.size), np.float32))
        for chunk in chunked(pieces_of(inputs, config), batch):
            if len(chunk) < batch:
                break
            with tem.time("read"):
                features = steps.load(chunk)
            with tem.time("preprocess"):
                video = steps.rescale(features)
            with tem.time("inference"):
                output = steps.tem(video)
            with tem.time("postprocess"):
                scored = steps.scored(output, features)
                candidates, rows = steps.candidates(chunk, scored)
            with pem.time("inference"):
                confidence = steps.pem(rows)
            done = Batch(chunk, features, video, output, scored, candidates, rows, confidence)
            with pem.time("postprocess"):
                for outcome in steps.outcomes(done, confidence):
                    if recordings is not None:
                        recordings.add(outcome)
            samples, calls = samples + len(chunk), calls + 1
    if not calls:
        return {}
    return {"tem": tem.times(samples, calls), "pem": pem.times(samples, calls)}
