"""Settings and summary of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from actspan.core.errors import ConfigError, ResultError
from actspan.core.files import folder_name_error
from actspan.core.problems import Problem
from actspan.core.types import Proposals
from actspan.core.wording import suggestion
from actspan.data.result_writers import ANSWER_SUFFIXES, check_answer_target
from actspan.jobs.run import RUN_FILE
from actspan.pipeline.core import BATCH
from actspan.pipeline.labels import LabelChoice
from actspan.pipeline.outcomes import Outcome, Stage

if TYPE_CHECKING:
    from actspan.jobs.live import GrowingVideo


@dataclass(frozen=True, slots=True)
class Selection:
    """Choice of the proposals of each video to output: the best `top` of those that score enough.

    All by default.
    """

    top: int | None = None
    min_score: float = 0.0

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise ConfigError(f"top {self.top}: at least one proposal per video is needed")

    def of(self, proposals: Proposals) -> Proposals:
        """Return the chosen proposals of some that are sorted best first."""
        return proposals[proposals.score >= self.min_score][: self.top]

    def apply(self, outcome: Outcome) -> Outcome:
        """Return an outcome with the chosen proposals."""
        if outcome.proposals is None or self == Selection():
            return outcome
        return replace(outcome, proposals=self.of(outcome.proposals))


@dataclass(frozen=True, slots=True)
class ProposeRequest:
    """Settings of `propose`.

    Exactly one of `dataset`, `videos` and `live` is the source.

    Attributes
    ----------
    model : Path
        A bundle.
    dataset : Path, optional
        A dataset folder of features.
    out : Path, optional
        A new run folder, or a file for the result alone: .json, or a table in .csv or .parquet.
        Without it nothing is written or saved; results only go to the sinks.
    videos : tuple of str
        Video files, as for `find_videos`. The model must be trained on features of
        `actspan extract`.
    live : GrowingVideo, optional
        A video that is still being recorded.
    subset : str, optional
        Subset of the dataset, or of a dataset folder of videos. Default: all videos.
    scores : Path, optional
        Start from these boundary scores instead of the dataset's features.
    selection : Selection
        Choice of the proposals to output.
    labels : LabelChoice
        Labels for the proposals; a result file then holds only detections.
    backbone : str, optional
        The videos' encoder, `onnx:FILE`, if the bundle was trained on features of one.
    on_error : "fail" or "skip"
        What to do about videos that cannot be used, before or during the work.
    overwrite : bool
        Replace an existing or unfinished run.
    resume : bool
        Resume an unfinished run, or start one if there is none.
    shard_size : int, optional
        Videos per shard. The default depends on the source and the model's mode.
    shards : str, optional
        Location of the shards until the run is complete: a folder, or the URL of an object store.
        Default: a folder beside `out`.

    Raises
    ------
    ConfigError
        Settings contradict each other.
    """

    model: Path
    dataset: Path | None = None
    out: Path | None = None
    videos: tuple[str, ...] = ()
    live: GrowingVideo | None = None
    subset: str | None = None
    scores: Path | None = None
    selection: Selection = field(default_factory=Selection)
    labels: LabelChoice = field(default_factory=LabelChoice)
    backbone: str | None = None
    backend: str = "auto"
    threads: int | None = None
    batch: int = BATCH
    on_error: Literal["fail", "skip"] = "fail"
    overwrite: bool = False
    resume: bool = False
    shard_size: int | None = None
    shards: str | None = None

    def __post_init__(self) -> None:
        sources = (self.dataset, self.videos or None, self.live)
        if sum(source is not None for source in sources) != 1:
            raise ConfigError("propose needs one source: a dataset, videos, or a live video")
        if self.out is None and (self.resume or self.shards is not None):
            raise ConfigError("without out nothing is saved, so nothing can be resumed")
        if self.resume and self.live is not None:
            raise ConfigError("a live video cannot be resumed: what was not read is gone")
        if self.scores is not None and self.dataset is None:
            raise ConfigError("boundary scores belong to a dataset: name it beside scores")

    @property
    def writes_run(self) -> bool:
        """True if `out` is a run folder, not a result file."""
        return self.out is not None and self.out.suffix.lower() not in ANSWER_SUFFIXES

    @property
    def partial(self) -> Path:
        """Folder beside `out` for the unfinished run."""
        assert self.out is not None
        target = self.out.resolve() if self.writes_run else self.out  # a link to a run is kept
        return target.with_name(f"{target.name}.partial")

    def check_target(self, protected: Callable[[], Iterable[Path]]) -> None:
        """Raise ResultError, before work starts, if results cannot be written to `out`.

        `protected` returns the files and folders that results must not replace.
        """
        out = self.out
        if out is None:
            return
        if not self.writes_run:
            given = (self.model, self.scores, self.labels.file)
            files = [*protected(), *(path for path in given if path is not None)]
            check_answer_target(out, files, replace=self.overwrite)
            return
        if out.suffix:
            meant = suggestion(out.suffix, ANSWER_SUFFIXES)
            fault = folder_name_error(out, "a run") or (
                f"{out}: a run is a folder" if meant else ""
            )
            if fault:
                suffixes = ", ".join(ANSWER_SUFFIXES)
                raise ResultError(f"{fault}; the result alone is a file in {suffixes}{meant}")
        check_run_target(out, replace=self.overwrite)


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of a finished job."""

    out: Path | None
    videos: int
    proposals: int
    detections: int
    seconds: float  # wall time from the first video's start to the last result, without start-up
    stages: dict[Stage, float]  # shares of the workers' time, in [0, 1]
    problems: tuple[Problem, ...]  # of skipped videos, and notes about videos
    notes: tuple[str, ...]
    kept: int = 0  # videos whose results were saved before an interruption
    video_seconds: float = 0.0  # seconds of the videos, if the source is videos

    @property
    def rate(self) -> float:
        """Videos per second, counting only those that were computed."""
        return (self.videos - self.kept) / self.seconds if self.seconds else 0.0


def check_run_target(path: Path, *, replace: bool = False) -> None:
    """Raise ResultError, before work starts, if a run cannot be written to `path`.

    It must not exist, or be an empty folder, or a run that may be replaced.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / RUN_FILE).is_file():
        raise ResultError(f"{path}: exists and is not a run, so it is left alone: choose another")
    if not replace:
        raise ResultError(f"{path}: there is a run already: choose another folder, or use --force")
