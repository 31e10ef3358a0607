"""Output of video inference: the best proposals of each video, as JSON or as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from actspan.core.errors import ConfigError, ResultError
from actspan.core.types import Proposals
from actspan.core.wording import suggestion
from actspan.data.result_writers import ANSWER_SUFFIXES, check_answer_target, result_writer


@dataclass(frozen=True, slots=True)
class Selection:
    """Choice of the proposals of each video to output.

    Attributes
    ----------
    top : int, optional
        Number of best proposals; all unless given.
    min_score : float
        Leave out proposals that score less than this.

    Raises
    ------
    ConfigError
        `top` is below 1.
    """

    top: int | None = None
    min_score: float = 0.0

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise ConfigError(f"top {self.top}: at least one proposal a video is needed")

    def of(self, proposals: Proposals) -> Proposals:
        """Return the chosen proposals of some that are sorted best first."""
        return proposals[proposals.score >= self.min_score][: self.top]


@dataclass(frozen=True, slots=True, eq=False)
class VideoMoments:
    """Segments that were found in one video.

    Attributes
    ----------
    id : str
    path : Path
        The video.
    seconds : float
        End of the last frame.
    proposals : Proposals
        Start and end in seconds of the video, best first.
    """

    id: str
    path: Path
    seconds: float
    proposals: Proposals


def check_answer_file(path: Path, inputs: Iterable[Path] = (), *, replace: bool = False) -> None:
    """Raise, before work starts, if a result cannot be written to a path.

    Raises
    ------
    ResultError
        The path does not end in .json, .csv or .parquet, or as for `check_answer_target`.
    """
    if path.suffix.lower() not in ANSWER_SUFFIXES:
        close = suggestion(path.suffix, ANSWER_SUFFIXES)
        raise ResultError(
            f"{path}: the result of videos is a file in {', '.join(ANSWER_SUFFIXES)}{close}; a run "
            "folder takes two steps: actspan extract, then actspan propose --dataset"
        )
    check_answer_target(path, inputs, replace=replace)


def write_answers(path: Path, moments: Iterable[VideoMoments]) -> None:
    """Write a result file (.json) or a table (.csv, .parquet): video, start, end, score; seconds.

    Raises
    ------
    ResultError
        The file cannot be written.
    """
    with result_writer(path) as writer:
        for video in moments:
            writer.add(video.id, video.proposals)
