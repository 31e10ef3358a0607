"""Jobs of a plan's videos, and handling of videos that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self

from actspan.core.errors import DataError
from actspan.core.problems import Problem
from actspan.data.dataset import Dataset
from actspan.data.scores import ScoreFiles
from actspan.data.store.places import Packed
from actspan.jobs.proposing.request import Request
from actspan.jobs.shards.plan import Plan, Stamp
from actspan.model.bundle import Bundle
from actspan.pipeline.outcomes import Job, Lost, ScoredVideo


@dataclass(frozen=True, slots=True)
class DatasetWork:
    """Opener of the videos of a dataset.

    Attributes
    ----------
    dataset : Dataset
        Has the spec from the check; may still contain videos that the check left out.
    mapped : bool
        Read features in parts if the format allows it, for long recordings.
    on_error : "fail" or "skip"
        What to do about a video that cannot be read although it passed the check.
    scores : ScoreFiles, optional
        Boundary scores to use instead of features ...
    seconds : mapping of video id to float
        ... and the seconds at position 1.0.
    """

    dataset: Dataset
    mapped: bool
    on_error: Literal["fail", "skip"]
    scores: ScoreFiles | None
    seconds: Mapping[str, float]

    @classmethod
    def of(cls, request: Request, plan: Plan, bundle: Bundle, scores: ScoreFiles | None) -> Self:
        """Open the dataset of a plan, to resume a run or in a worker.

        Raises
        ------
        DataError
            The dataset cannot be opened.
        """
        dataset = Dataset.load(request.dataset).subset(request.subset, bundle.set_apart)
        dataset = replace(dataset, spec=plan.spec, problems=plan.problems, notes=plan.notes)
        seconds = dict(zip(plan.videos, plan.seconds, strict=False))
        mapped = bundle.config.mode == "window"
        return cls(dataset, mapped, request.on_error, scores, seconds)

    def job(self, video: str) -> Job:
        """Return the job of one video of the plan."""
        if self.scores is None:
            return Job(video, partial(self.dataset.open, video, mapped=self.mapped))
        return Job(video, partial(self._load_scores, self.scores, video))

    def _load_scores(self, scores: ScoreFiles, video: str) -> ScoredVideo:
        return ScoredVideo(scores.read(video), self.seconds[video])

    def lose(self, lost: Lost) -> Problem:
        """Return the problem of a video that could not be read, or raise it.

        Raises
        ------
        DataError
            `on_error` is "fail", or the whole dataset is gone.
        """
        if not self.dataset.path.is_dir():
            raise DataError(
                f"{self.dataset.path}: the dataset is gone; is its disk still there?"
            ) from lost.error
        place = self.scores.path if self.scores else self.dataset.entries.get(lost.id)
        file = str(place or self.dataset.path)
        what = str(lost.error).removeprefix(f"{file}: ")
        if self.on_error == "fail":
            raise DataError(
                f"{file}: {what}; fix it, or leave this video out: --on-error skip"
            ) from lost.error
        return Problem(lost.id, file, what, "compute it again, or leave it out")


def stamps(dataset: Dataset, videos: tuple[str, ...]) -> tuple[Stamp, ...]:
    """Return size and time of each video's features, to detect changes; None for packed ones."""
    if dataset.packing is not None:
        return (None,) * len(videos)  # the manifest of a store has checksums
    seen: dict[str, Stamp] = {}

    def stamp(video: str) -> Stamp:
        entry = dataset.entries.get(video)
        if entry is None or isinstance(entry, Packed):
            return None
        name = str(entry.path)
        if name not in seen:
            try:
                status = entry.path.stat()
            except OSError:
                return None
            seen[name] = (status.st_size, status.st_mtime_ns)
        return seen[name]

    return tuple(map(stamp, videos))


def open_scores(request: Request) -> AbstractContextManager[ScoreFiles | None]:
    """Open the boundary scores to start from, if any."""
    return nullcontext() if request.scores is None else ScoreFiles(request.scores)
