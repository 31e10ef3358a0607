"""What is given out: the best proposals of each video, as a table, JSON or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from actspan.data.results import ResultWriter
from actspan.errors import ConfigError, ResultError
from actspan.files import atomic_file
from actspan.types import Proposals

SUFFIXES = (".json", ".csv")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which proposals of a video are given out.

    Attributes
    ----------
    top : int, optional
        The best so many; all unless given.
    min_score : float
        Those that score at least so much.

    Raises
    ------
    ConfigError
        Neither can hold.
    """

    top: int | None = None
    min_score: float = 0.0

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise ConfigError(f"top {self.top}: at least one proposal a video is needed")

    def of(self, proposals: Proposals) -> Proposals:
        """The chosen ones of proposals that come best first."""
        return proposals[proposals.score >= self.min_score][: self.top]


@dataclass(frozen=True, slots=True, eq=False)
class VideoMoments:
    """What was found in a video.

    Attributes
    ----------
    id : str
    path : Path
        The video.
    seconds : float
        To the end of its last frame.
    proposals : Proposals
        Seconds of the video, best first.
    """

    id: str
    path: Path
    seconds: float
    proposals: Proposals


def check_answer_file(path: Path) -> None:
    """Refuse, before any work is done, what an answer cannot be written to.

    Raises
    ------
    ResultError
        It ends neither in .json nor in .csv, or its folder does not exist.
    """
    if path.suffix not in SUFFIXES:
        raise ResultError(
            f"{path}: of videos a result is written, to a file in .json or .csv; for a run folder "
            "take two steps: actspan extract, then actspan propose --dataset"
        )
    if not path.parent.is_dir():
        raise ResultError(f"{path}: the folder {path.parent} does not exist")


def write_answers(path: Path, moments: Iterable[VideoMoments]) -> None:
    """Write a result file (.json), or a table (.csv) of video, start, end and score, seconds.

    Raises
    ------
    ResultError
        The file cannot be written.
    """
    if path.suffix == ".json":
        with ResultWriter(path) as writer:
            for video in moments:
                writer.add_entries(video.id, video.proposals)
        return
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["video", "start", "end", "score"])
    for video in moments:
        p = video.proposals
        for row in zip(p.start.tolist(), p.end.tolist(), p.score.tolist(), strict=True):
            table.writerow([video.id, *row])
    with atomic_file(path) as stream:
        stream.write(text.getvalue().encode())
