"""The contract of sources: they list the videos of a job, check and open them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from actspan.config.stages import Edge, FeatureSpec
from actspan.core.problems import Problem
from actspan.core.progress import Progress
from actspan.jobs.checkpoint import Plan, Stamp
from actspan.jobs.propose_request import ProposeRequest
from actspan.model.bundle import Bundle
from actspan.pipeline.outcomes import Piece


class Source(ABC):
    """Videos to process: a dataset of features, boundary scores, video files, or a live video.

    Either `check` is called, to start a job, or `restore`, to resume one and in workers; the
    attributes then describe the videos that remain.
    """

    folder: Path | None = None  # the dataset, if the source is one
    edge: Edge = "clamp"  # how rescaling fills outer cells, if the bundle does not say
    is_decoded = False  # pieces come from a decoder, one by one, which itself reports progress

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        self.request, self.bundle, self.config = request, bundle, bundle.config
        self.shard_size = 1  # default number of videos per shard
        self.ids: tuple[str, ...] = ()  # of the videos, in the order of the answer
        self.problems: tuple[Problem, ...] = ()  # of videos that were left out, and notes
        self.notes: tuple[str, ...] = ()
        self.spec = FeatureSpec()
        self.seconds: tuple[float, ...] = ()  # of each video, if known without features
        self.paths: Mapping[str, Path] = {}  # video files by id; empty for features

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
