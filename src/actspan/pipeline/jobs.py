"""What goes through the pipeline, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal, Protocol, Self

import numpy as np

from actspan.data.windows import Window
from actspan.errors import ActSpanError
from actspan.types import BoundaryScores, Features, Float32, Proposals
from actspan.wording import counted

Stage = Literal["read", "tem", "candidates", "pem", "soft-nms"]
FLAT = 0.05  # scores of a cell are in [0, 1]; trained models vary by 0.5 and more in a video
_SEES_THE_EDGE = 2  # outer cells that TEM scores by its padding, whatever the features
STAGES: tuple[Stage, ...] = ("read", "tem", "candidates", "pem", "soft-nms")


@dataclass(frozen=True, slots=True, eq=False)
class ScoredVideo:
    """Boundary scores of a video, and the seconds that position 1.0 stands for."""

    scores: BoundaryScores
    seconds: float

    def __len__(self) -> int:
        return len(self.scores)

    def rows(self, first: int, last: int) -> ScoredVideo:
        """The cells first <= i < last."""
        if first == 0 and last == len(self):
            return self
        part = self.scores[first:last]
        return ScoredVideo(part, self.seconds * (len(part) / len(self.scores)))


class Source(Protocol):
    """What a job opens: `Features`, a `Recording` on disk, or a `ScoredVideo`."""

    def __len__(self) -> int: ...

    def rows(self, first: int, last: int) -> Features | ScoredVideo:
        """The snippets first <= i < last."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """One video to be done, and how to open what is known of it."""

    id: str
    open: Callable[[], Source]


@dataclass(frozen=True, slots=True)
class Piece:
    """What the nets see at once: a whole video, or a window of it; a worker loads it."""

    id: str
    load: Callable[[], Features | ScoredVideo]
    window: Window | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """All that was computed of one video, or of one window of a long recording.

    Attributes
    ----------
    id : str
        Of the video.
    seconds : float
        What position 1.0 stands for.
    scores : BoundaryScores
    candidates : Proposals
        What PEM scored, fractions of the span, ranked as section 4; before suppression.
    confidence : (N,) float32
        PEM's score of each candidate.
    proposals : Proposals, optional
        The answer: seconds, best first. In window mode it comes with the last window and is the
        whole recording's; None before.
    window : Window, optional
        Which part of the video this is; None for all of it.
    """

    id: str
    seconds: float
    scores: BoundaryScores
    candidates: Proposals
    confidence: Float32
    proposals: Proposals | None
    window: Window | None = None

    @property
    def offset(self) -> float:
        """Seconds at which position 0.0 lies."""
        return 0.0 if self.window is None else self.window.offset(self.seconds)


@dataclass(frozen=True, slots=True)
class Lost:
    """A video of which nothing came, because it could not be read."""

    id: str
    error: ActSpanError


@dataclass(slots=True)
class StageClock:
    """Seconds that workers spent in each stage, and videos with flat scores, over all workers.

    Attributes
    ----------
    seconds : dict of stage to float
    scored : int
        Videos, or windows, that TEM scored.
    flat : int
        Those whose start and end scores hardly vary (`FLAT`).
    """

    seconds: dict[Stage, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    scored: int = 0
    flat: int = 0

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

    def look_at(self, output: Float32) -> None:
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
        """Return all of it as numbers, to travel."""
        return [*self.seconds.values(), self.scored, self.flat]

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Self:
        """Return the clock that `numbers` came from."""
        *seconds, scored, flat = numbers
        return cls(dict(zip(STAGES, seconds, strict=True)), int(scored), int(flat))

    def shares(self) -> dict[Stage, float]:
        """Each stage's share of the sum, in [0, 1]."""
        total = sum(self.seconds.values()) or 1.0
        return {stage: seconds / total for stage, seconds in self.seconds.items()}
