"""Inputs and outcomes of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal, Protocol, Self

import numpy as np

from actspan.core.errors import ActSpanError
from actspan.core.types import BoundaryScores, Features, Float32, Proposals
from actspan.core.wording import counted
from actspan.data.recording import Window

Stage = Literal["read", "tem", "candidates", "pem", "soft-nms"]
FLAT = 0.05  # scores of a cell are in [0, 1]; trained models vary by 0.5 and more in a video
_SEES_THE_EDGE = 2  # number of outer cells whose scores depend on TEM's padding
STAGES: tuple[Stage, ...] = ("read", "tem", "candidates", "pem", "soft-nms")


@dataclass(frozen=True, slots=True, eq=False)
class ScoredVideo:
    """Boundary scores of a video, and the seconds that position 1.0 stands for."""

    scores: BoundaryScores
    seconds: float

    def __len__(self) -> int:
        return len(self.scores)

    def rows(self, first: int, last: int) -> ScoredVideo:
        """Return the cells first <= i < last."""
        if first == 0 and last == len(self):
            return self
        part = self.scores[first:last]
        return ScoredVideo(part, self.seconds * (len(part) / len(self.scores)))


class SnippetRows(Protocol):
    """Rows of a video: `Features`, a `Recording` on disk, or a `ScoredVideo`."""

    def __len__(self) -> int: ...

    def rows(self, first: int, last: int) -> Features | ScoredVideo:
        """Return the snippets first <= i < last."""
        ...


@dataclass(frozen=True, slots=True)
class VideoInput:
    """A video to process, and how to open its features or scores."""

    id: str
    open: Callable[[], SnippetRows]


@dataclass(frozen=True, slots=True)
class Piece:
    """Unit that the networks see at once: a whole video or a window of it. A worker loads it."""

    id: str
    load: Callable[[], Features | ScoredVideo]
    window: Window | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Results of one video, or of one window of a long recording.

    Candidates are those that PEM scored, before suppression: fractions of the span, ranked as in
    bsn.md section 4. Proposals are in seconds, best first. In window mode the last window has those
    of the whole recording; they are None before.
    """

    id: str  # of the video
    seconds: float  # that position 1.0 stands for
    scores: BoundaryScores
    candidates: Proposals
    confidence: Float32  # PEM's score of each candidate, (N,)
    proposals: Proposals | None
    window: Window | None = None  # part of the video; None for all of it

    @property
    def offset(self) -> float:
        """Seconds at which position 0.0 lies."""
        return 0.0 if self.window is None else self.window.offset(self.seconds)


@dataclass(frozen=True, slots=True)
class Failure:
    """A video that could not be read, and the reason."""

    id: str
    error: ActSpanError


@dataclass(slots=True)
class StageClock:
    """Seconds spent in each stage, and counts of videos with flat scores, over all workers."""

    seconds: dict[Stage, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    scored: int = 0  # videos, or windows, that TEM scored
    flat: int = 0  # those whose start and end scores hardly vary (`FLAT`)

    @contextmanager
    def time(self, stage: Stage) -> Iterator[None]:
        """Add the time of a block to a stage."""
        begin = perf_counter()
        yield
        self.seconds[stage] += perf_counter() - begin

    def add(self, other: StageClock) -> None:
        """Add another worker's times and counts."""
        for stage, seconds in other.seconds.items():
            self.seconds[stage] += seconds
        self.scored += other.scored
        self.flat += other.flat

    def count_flat(self, output: Float32) -> None:
        """Count the videos of TEM's output, (B, 3, T), and those with flat scores."""
        self.scored += len(output)
        inner = output[:, 1:, _SEES_THE_EDGE:-_SEES_THE_EDGE]
        if inner.shape[2]:
            self.flat += int((np.ptp(inner, axis=2) < FLAT).all(axis=1).sum())

    def warnings(self, mode: Literal["rescale", "window"]) -> tuple[str, ...]:
        """Return a line where most scores are flat, so that candidates are arbitrary."""
        if 2 * self.flat <= self.scored:
            return ()
        scored = counted(self.scored, "window" if mode == "window" else "video")
        return (
            f"scores are flat in {self.flat:,} of {scored} (start and end "
            f"vary by less than {FLAT}): the model learned nothing from such features, or these "
            "are not the features that it was trained on",
        )

    def numbers(self) -> list[float]:
        """Return all counters as plain numbers, to send between processes."""
        return [*self.seconds.values(), self.scored, self.flat]

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Self:
        """Create the clock from the output of `numbers`."""
        *seconds, scored, flat = numbers
        return cls(dict(zip(STAGES, seconds, strict=True)), int(scored), int(flat))

    def shares(self) -> dict[Stage, float]:
        """Return each stage's share of the total time, in [0, 1]."""
        total = sum(self.seconds.values()) or 1.0
        return {stage: seconds / total for stage, seconds in self.seconds.items()}
