"""Contracts of the parts of a job: a source lists and opens videos, an engine computes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from actspan.config.stages import FeatureSpec
from actspan.core.problems import Problem
from actspan.core.progress import Progress
from actspan.data.rescale import Edge
from actspan.jobs.checkpoint import Checkpoint, Plan, Stamp
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.shard_format import Result
from actspan.model.bundle import Bundle
from actspan.pipeline.outcomes import Piece, StageClock


class Source(ABC):
    """Videos to process: a dataset of features, boundary scores, video files, or a live video.

    Either `check` is called, to start a job, or `restore`, to resume
    one and in workers; the attributes then describe the videos that remain.

    Attributes
    ----------
    ids : tuple of str
        Ids of the videos, in the order of the answer.
    problems : tuple of Problem
        Problems of the videos that were left out, and notes.
    notes : tuple of str
    spec : FeatureSpec
    seconds : tuple of float
        Seconds of each video, if they are known without features.
    paths : mapping of video id to Path
        Video files; empty for features.
    folder : Path, optional
        The dataset, if the source is one.
    edge : "clamp" or "zero"
        How rescaling fills outer cells, if the bundle does not say.
    shard_size : int
        Default number of videos per shard.
    is_decoded : bool
        Pieces come from a decoder, one after another, which itself reports the progress.
    """

    folder: Path | None = None
    edge: Edge = "clamp"
    is_decoded = False

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        self.request, self.bundle, self.config = request, bundle, bundle.config
        self.shard_size = 1
        self.ids: tuple[str, ...] = ()
        self.problems: tuple[Problem, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.spec = FeatureSpec()
        self.seconds: tuple[float, ...] = ()
        self.paths: Mapping[str, Path] = {}

    def close(self) -> None:
        """Close what was opened."""
        return

    def checksums(self) -> dict[str, str]:
        """Return checksums of the inputs that must be unchanged when a job is resumed."""
        return {}

    def record(self) -> dict[str, Any]:
        """Return the table `dataset` of `run.toml`."""
        return {}

    def protected(self) -> tuple[Path, ...]:
        """Return the files and folders that results must not replace."""
        return ()

    @abstractmethod
    def check(self, progress: Progress) -> None:
        """Check all videos before work starts, and keep those without problems.

        Raises DatasetError if there are problems and `on_error` is "fail", or no video is left.
        """

    @abstractmethod
    def restore(self, plan: Plan, missing: Iterable[str], progress: Progress) -> None:
        """Take the videos from a plan, and check those that are still missing as `check` does."""

    @abstractmethod
    def pieces(self, videos: Iterable[str], progress: Progress) -> Iterator[Piece]:
        """Yield the pieces of videos: whole videos, or their windows in order."""

    def file(self, video: str) -> str:
        """Return the file or location of a video, for messages."""
        return str(self.paths[video])

    def stamps(self, videos: Sequence[str]) -> tuple[Stamp, ...]:
        """Return size and time of each video's file, to detect changes; None if there is none."""
        return stamps_of(self.paths.get(video) for video in videos)

    def ending_note(self, video: str) -> Problem | None:
        """Return a note about a video that was just read, such as damaged packets."""
        return None

    def end(self, video: str) -> float:
        """Return the second at which a video ends, if the source is videos."""
        return 0.0


def stamps_of(files: Iterable[Path | None]) -> tuple[Stamp, ...]:
    """Return size and time of files; None for one that does not exist."""
    known: dict[Path | None, Stamp] = {None: None}
    found = []
    for file in files:
        if file is not None and file not in known:
            try:
                status = file.stat()
                known[file] = status.st_size, status.st_mtime_ns
            except OSError:
                known[file] = None
        found.append(known[file])
    return tuple(found)


class Engine(Protocol):
    """Computation of shards, whose bytes do not depend on the engine."""

    @property
    def clock(self) -> StageClock:
        """Time of the stages, and number of videos with flat scores."""
        ...

    def run(
        self, checkpoint: Checkpoint, missing: Sequence[int], progress: Progress
    ) -> Iterator[tuple[int, Iterable[Result] | None]]:
        """Compute missing shards; yield the number and results of each, in any order.

        Results are computed while they are consumed, which must end before the next shard. They
        are None if a worker has committed the shard already. Raises DataError if a video cannot be
        read and none may be skipped.
        """
        ...


# An engine is made before the source is checked, so that both can happen in parallel.
EngineMaker = Callable[[ProposeRequest, Bundle, Source], AbstractContextManager[Engine]]
