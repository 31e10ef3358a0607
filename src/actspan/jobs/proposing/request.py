"""Settings and summary of `propose_dataset`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from actspan.core.problems import Problem
from actspan.data.annotations.formats import find_annotations
from actspan.data.names import VIDEOS
from actspan.data.result_writers import ANSWER_SUFFIXES
from actspan.pipeline.core import BATCH
from actspan.pipeline.labels import LabelChoice
from actspan.pipeline.outcomes import Stage

Report = Callable[[str, int, int], None]  # (what, videos done, videos in all)


@dataclass(frozen=True, slots=True)
class Request:
    """Settings of `propose_dataset`.

    Attributes
    ----------
    model, dataset : Path
        A bundle, and a dataset folder.
    out : Path
        A new run folder, or a file for the result alone: .json, or a table in .csv or .parquet.
    subset : str, optional
        Subset of the dataset. Default: all videos.
    scores : Path, optional
        Start from these boundary scores instead of features.
    labels : LabelChoice
        Labels for the proposals; a result file then holds only detections.
    on_error : "fail" or "skip"
        What to do about problems in the dataset, before or during the work.
    overwrite : bool
        Replace an existing or unfinished run.
    resume : bool
        Resume an unfinished run, or start one if there is none.
    shard_size : int, optional
        Videos per shard. The default depends on the model's mode.
    shards : str, optional
        Place of the shards until the run is complete: a folder, or the URL of an object store.
        Default: a folder beside `out`.
    """

    model: Path
    dataset: Path
    out: Path
    subset: str | None = None
    scores: Path | None = None
    labels: LabelChoice = field(default_factory=LabelChoice)
    backend: str = "auto"
    threads: int | None = None
    batch: int = BATCH
    on_error: Literal["fail", "skip"] = "fail"
    overwrite: bool = False
    resume: bool = False
    shard_size: int | None = None
    shards: str | None = None

    @property
    def writes_run(self) -> bool:
        """True if `out` is a run folder, not a result file."""
        return self.out.suffix.lower() not in ANSWER_SUFFIXES

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files and folders that the answer is made from."""
        dataset = (self.dataset / "features", self.dataset / VIDEOS, find_annotations(self.dataset))
        given = (self.model, self.scores, self.labels.file, *dataset)
        return tuple(path for path in given if path is not None)

    @property
    def keeps(self) -> Literal["run", "result"]:
        """Content of shards: everything about a video ("run"), or its proposals ("result")."""
        return "run" if self.writes_run else "result"

    @property
    def partial(self) -> Path:
        """Folder beside `out` for the unfinished run."""
        target = self.out.resolve() if self.writes_run else self.out  # a link to a run is kept
        return target.with_name(f"{target.name}.partial")


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of a finished job.

    Attributes
    ----------
    videos, proposals, detections : int
    seconds : float
        Wall time from the first video's start to the last one's result, without start-up.
    stages : mapping of stage to share
        Shares of the workers' time, in [0, 1].
    problems : tuple of Problem
        Problems of skipped videos, and notes.
    notes : tuple of str
    kept : int
        Videos whose results were saved before an interruption.
    """

    out: Path
    videos: int
    proposals: int
    detections: int
    seconds: float
    stages: dict[Stage, float]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    kept: int = 0

    @property
    def rate(self) -> float:
        """Videos per second, counting only those that were computed."""
        return (self.videos - self.kept) / self.seconds if self.seconds else 0.0
