"""Process that proposes over the served videos, and trains models from their annotations.

    python -m actspan.server.work_process

Every step resumes where an earlier process was interrupted: features are extracted once per video,
a training from its last epoch, a run from its last shard.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from msgspec.structs import replace

from actspan.config.base import to_dict
from actspan.core.errors import ChangedInputsError, ChangedTrainingError
from actspan.core.problems import Problem, Skipped, skipped_line
from actspan.core.wording import counted, listed
from actspan.model import LABEL_FREE
from actspan.model.bundle import Bundle
from actspan.server.worker_process import Reply, Send, answer_tasks, end_with_service

_PAUSE = 0.2  # seconds between two reports of progress
_DECODED = "seconds of video"  # name of the step that decodes
_FRAMES = 4  # per snippet, as label-free proposals need them


@dataclass(frozen=True, slots=True)
class WorkTask:
    """Work on videos, given by path. Folders are those of the service's data.

    Training writes `model`; `annotations` is the file that it learns from. `run` is the run folder
    to write with the proposals of `model`. `preset` and `epochs` are as for the command train.
    """

    kind: Literal["propose", "train"]
    videos: list[str]
    features: str
    model: str
    run: str
    annotations: str = ""
    preset: str = "default"
    epochs: int | None = None
    seed: int = 0
    threads: int | None = None
    backend: str = "auto"
    backbone: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the task as plain values."""
        return asdict(self)


class WorkReport:
    """Sender of the progress of parts, each of which has a share of the whole."""

    def __init__(self, send: Send) -> None:
        self._send, self._sent = send, 0.0
        self._first, self._share = 0.0, 1.0
        self._steps: tuple[str, ...] = ()
        self._fraction = 0.0  # never falls

    def start(self, last: float, *steps: str) -> None:
        """Begin a part whose share of the progress goes from here to `last`.

        The steps that are named have equal shares of it; others, which are short, do not count.
        """
        self._first, self._share, self._steps = self._fraction, last - self._fraction, steps

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """Send `done` of `total` steps of `what`, several times per second."""
        if monotonic() - self._sent >= _PAUSE or done == total:
            self._sent = monotonic()
            fraction = self._first + self._share * self._part(what, done / total if total else 0.0)
            self._fraction = max(self._fraction, fraction)
            report = {"step": what, "done": done, "total": total, "note": note}
            self._send({"progress": self._fraction, **report})

    def _part(self, what: str, fraction: float) -> float:
        """Return the done share of the current part from that of one of its steps."""
        if what not in self._steps:
            return 0.0
        return (self._steps.index(what) + fraction) / len(self._steps)

    def say(self, message: str) -> None:
        """Send a message of one line."""
        self._send({"message": message})

    def warn(self, message: str) -> None:
        """Send a line that the page shows with the job."""
        self._send({"warning": message})

    def losses(self, net: str, epoch: int, training: float, validation: float | None) -> None:
        """Send the mean losses of an epoch, from 1, of a network."""
        values = {"epoch": epoch, "training": training, "validation": validation}
        self._send({"net": net, "losses": values})


def answer(values: dict[str, Any], send: Send) -> Reply:
    """Run a task; return what was skipped, by video."""
    task, report = WorkTask(**values), WorkReport(send)
    training = task.kind == "train"
    skipped = [*_extract(task, report)] if training or _shares_features(task) else []
    if training:
        _train(task, report)
    skipped += _propose(task, report)
    reasons = {problem.video: problem.problem for problem in skipped if problem.video}
    return {"skipped": reasons}


def _shares_features(task: WorkTask) -> bool:
    """Return whether a model takes the features that are kept for all models."""
    wanted, kept = Bundle.load(task.model).features, Bundle.load(LABEL_FREE).features
    return to_dict(wanted) == to_dict(kept)


def _extract(task: WorkTask, report: WorkReport) -> Sequence[Problem]:
    """Extract the features of the videos that have none yet."""
    from actspan.streams.extract_request import ExtractRequest
    from actspan.streams.extraction import extract_videos

    grid = Bundle.load(LABEL_FREE).features
    request = ExtractRequest(
        videos=tuple(task.videos),
        out=Path(task.features),
        stride=f"{grid.stride_seconds}s",
        length=f"{grid.length_seconds}s",
        frames=_FRAMES,
        threads=task.threads,
        backend=task.backend,
        on_error="skip",
        kind="video",
    )
    report.start(0.4 if task.kind == "train" else 0.8, _DECODED)
    return [p for p in extract_videos(request, report.progress).problems if _is_of_video(p)]


def _is_of_video(problem: Problem) -> bool:
    return problem.skipped is Skipped.VIDEO


def _train(task: WorkTask, report: WorkReport) -> None:
    from actspan.config.training import preset
    from actspan.data.annotations.formats import read_annotations
    from actspan.data.dataset import Dataset
    from actspan.model.manifest import MANIFEST
    from actspan.training.parts import trainable
    from actspan.training.trainer import train

    out = Path(task.model)
    if (out / MANIFEST).is_file():
        return  # trained before an interruption
    config = preset(task.preset)
    if task.epochs is not None:
        config = config.of_epochs(task.epochs)
    members = ["", *(f" {number}" for number in range(2, config.ensemble + 1))]
    steps = tuple(
        f"training {name.upper()}{member}" for name in config.trainings for member in members
    )
    report.start(0.9, *steps)
    dataset = Dataset.load(Path(task.features))
    chosen = dataset.select(read_annotations(Path(task.annotations)))
    checked = trainable(chosen, on_error="skip", progress=report.progress)
    if line := skipped_line(checked.problems):
        report.warn(f"in training, {line}")
    fit = partial(train, checked, out, config, seed=task.seed, report=report)
    try:
        bundle = fit()
    except ChangedTrainingError:
        report.warn("the videos changed while the service was stopped: trained from scratch")
        bundle = fit(restart=True)
    if warning := warning_about(bundle):
        report.warn(warning)


def warning_about(bundle: Bundle) -> str:
    """Return a line if a trained model is no better than what needs no model, else ""."""
    from actspan.evaluation.baselines import not_beaten

    evaluation = (bundle.training or {}).get("evaluation")
    if evaluation is None or not (guesses := not_beaten(evaluation["figures"])):
        return ""
    auc = {name: f"{row['AUC']:.1f}" for name, row in evaluation["figures"].items()}
    rivals = listed(f"{name} {auc[name]}" for name in guesses)
    held_out = counted(evaluation["videos"], "held-out video")
    return (
        f"the model is no better on the {held_out} than what needs no model: its AUC is "
        f"{auc['model']}, {rivals}. Correct more videos, with all segments in them, and train again"
    )


def _propose(task: WorkTask, report: WorkReport) -> Sequence[Problem]:
    from actspan.jobs.driver import propose
    from actspan.jobs.propose_request import ProposeRequest

    request: dict[str, Any] = {"dataset": Path(task.features)}
    decodes = task.kind == "propose" and not _shares_features(task)
    if decodes:
        request = {"videos": tuple(task.videos), "backbone": task.backbone}
    report.start(1.0, _DECODED if decodes else "propose")
    resumed = ProposeRequest(
        model=Path(task.model),
        out=Path(task.run),
        threads=task.threads,
        backend=task.backend,
        on_error="skip",
        resume=True,
        **request,
    )
    try:
        summary = propose(resumed, report.progress)
    except ChangedInputsError:
        report.warn("the videos changed while the service was stopped: proposed from scratch")
        fresh = replace(resumed, resume=False, overwrite=True)
        summary = propose(fresh, report.progress)
    return [problem for problem in summary.problems if _is_of_video(problem)]


def main() -> None:
    """Answer tasks until standard input ends."""
    end_with_service()
    if hasattr(os, "nice"):  # not on Windows
        os.nice(5)  # so that requests are answered first
    answer_tasks(answer)


if __name__ == "__main__":
    main()
