"""Inputs and outcomes of the pipeline, and the windows of a recording combined to its outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Literal, Self

import numpy as np

from actspan.config.stages import PipelineConfig
from actspan.core.errors import ActSpanError
from actspan.core.segments import Proposals, require_unit
from actspan.core.types import BoundaryScores, Features, Float32
from actspan.core.wording import counted
from actspan.data.cells import Window
from actspan.data.dataset import Recording
from actspan.data.detections import Detections, ProposalLabels
from actspan.proposals.candidates import rank
from actspan.proposals.suppression import soft_nms

Stage = Literal["read", "tem", "bmn", "candidates", "pem", "soft-nms"]
FLAT = 0.05  # scores of a cell are in [0, 1]; trained models vary by 0.5 and more in a video
POOL = 200_000  # minimum number of candidates kept per recording; the best ones
_SEES_THE_EDGE = 2  # number of outer cells whose scores depend on the padding


@dataclass(frozen=True, slots=True, eq=False)
class ScoredVideo:
    """Boundary scores of a video, and the seconds that position 1.0 corresponds to."""

    scores: BoundaryScores
    seconds: float
    # (2 + S, n), of a TEM with learnt curves: positions of starts and ends within cells, and curves
    learnt: Float32 | None = None

    @classmethod
    def of_output(cls, output: Float32, seconds: float) -> Self:
        """Return the scores in TEM's output of n cells, (outputs, n)."""
        learnt = output[3:] if len(output) > 3 else None
        return cls(BoundaryScores.from_array(output[:3]), seconds, learnt)

    def __len__(self) -> int:
        return len(self.scores)

    def rows(self, first: int, last: int) -> ScoredVideo:
        """Return the cells first <= i < last."""
        if first == 0 and last == len(self):
            return self
        part = self.scores[first:last]
        learnt = None if self.learnt is None else self.learnt[:, first:last]
        return ScoredVideo(part, self.seconds * (len(part) / len(self.scores)), learnt)


@dataclass(frozen=True, slots=True)
class VideoInput:
    """A video to process, and how to open its features or scores."""

    id: str
    open: Callable[[], Features | Recording | ScoredVideo]


@dataclass(frozen=True, slots=True)
class Piece:
    """Unit that the networks see at once: a whole video or a window of it. A worker loads it."""

    id: str
    load: Callable[[], Features | ScoredVideo]
    window: Window | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Results of one video, or of one window of a long recording.

    Candidates are those that a network scored, before suppression: fractions of the span, in the
    order of bsn.md section 4 or bmn.md section 6. Proposals are in seconds, best first. In window
    mode the last window has those of the whole recording; they are None before.
    """

    id: str  # of the video
    seconds: float  # that position 1.0 corresponds to
    scores: BoundaryScores
    candidates: Proposals
    confidence: Float32  # the network's score of each candidate, (N,)
    proposals: Proposals | None
    window: Window | None = None  # part of the video; None for all of it
    labels: ProposalLabels | None = None  # of the proposals, if the features are not kept
    detections: Detections | None = None  # the labelled proposals, if labels were asked for
    # True if candidates have scores of their own (BMN's), else they are start score x end score.
    own_scores: bool = False

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

    seconds: dict[Stage, float] = field(default_factory=dict)
    scored: int = 0  # videos, or windows, that a network scored
    flat: int = 0  # those whose start and end scores hardly vary (`FLAT`)

    @contextmanager
    def time(self, stage: Stage) -> Iterator[None]:
        """Add the time of a block to a stage."""
        started = perf_counter()
        yield
        self._add(stage, perf_counter() - started)

    def add(self, other: StageClock) -> None:
        """Add another worker's times and counts."""
        for stage, seconds in other.seconds.items():
            self._add(stage, seconds)
        self.scored += other.scored
        self.flat += other.flat

    def drain(self) -> StageClock:
        """Return everything so far, and start again from zero."""
        copy = replace(self)
        self.seconds, self.scored, self.flat = {}, 0, 0
        return copy

    def _add(self, stage: Stage, seconds: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def count_flat(self, boundaries: Float32) -> None:
        """Count the videos of start and end scores, (B, 2, T), and those with flat scores."""
        self.scored += len(boundaries)
        inner = boundaries[:, :, _SEES_THE_EDGE:-_SEES_THE_EDGE]
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

    def shares(self) -> dict[Stage, float]:
        """Return each stage's share of the total time, in [0, 1]."""
        total = sum(self.seconds.values()) or 1.0
        return {stage: seconds / total for stage, seconds in self.seconds.items()}


class Recordings:
    """Collector of windows in order; the last window of a recording gets the proposals.

    A pool keeps only the best candidates, so memory does not depend on the recording's length.
    The result is exact if the last pick scores more than the best candidate that was dropped:
    scores only decrease, so no dropped candidate would have been picked.
    """

    def __init__(self, config: PipelineConfig, *, pool: int = POOL) -> None:
        self._config, self._pool = config, pool
        self._parts: list[Proposals] = []
        self._held = 0  # candidates in the parts
        self._failed: str | None = None  # the last recording that could not be read

    def complete(self, windows: Iterable[Outcome | Failure]) -> Iterator[Outcome | Failure]:
        """Yield windows in order, the last of each recording with the recording's proposals.

        After a failure, the rest of that recording yields nothing.
        """
        for window in windows:
            if window.id == self._failed:
                continue
            if isinstance(window, Failure):
                self._parts, self._held, self._failed = [], 0, window.id
                yield window
            else:
                yield self.add(window)

    def add(self, outcome: Outcome) -> Outcome:
        """Add a window; return it, with proposals if it is the recording's last one."""
        assert outcome.window is not None
        score = rank(outcome.candidates, outcome.confidence, self._config)
        fused = outcome.candidates.with_score(score)
        return replace(
            outcome, proposals=self.add_candidates(outcome.window, outcome.seconds, fused)
        )

    def add_candidates(self, window: Window, seconds: float, fused: Proposals) -> Proposals | None:
        """Add the candidates of a window of some `seconds`; return the proposals after the last.

        Positions in `fused` are fractions of the window, scores are the final ones before
        suppression. Proposals are in seconds, best first.
        """
        self._parts.append(to_recording_seconds(fused, window.offset(seconds), seconds))
        self._held += len(fused)
        if self._held > 2 * self._pool:
            everything = Proposals.concat(self._parts)
            best = np.argpartition(-everything.score, self._pool)[: self._pool]
            best.sort()  # Sorted positions keep the order of arrival among ties.
            self._parts, self._held = [everything[best]], self._pool
        if not window.is_final:
            return None
        everything = Proposals.concat(self._parts)
        self._parts, self._held = [], 0
        return suppress(everything, seconds / len(window), len(window), self._config)


def to_recording_seconds(fused: Proposals, offset: float, seconds: float) -> Proposals:
    """Convert a window's candidates to the recording's seconds: offset + position * seconds."""
    require_unit(fused, "fraction", "to_recording_seconds")
    start, end = offset + fused.start * seconds, offset + fused.end * seconds
    return Proposals(start, end, fused.score, unit="seconds")


def suppress(
    everything: Proposals, snippet: float, cells: int, config: PipelineConfig
) -> Proposals:
    """Run one Soft-NMS over all candidates of a recording, in the order of its windows.

    `everything` is the output of `to_recording_seconds` for each window.

    A snippet lasts `snippet` seconds; `cells` snippets are a window, fewer than T in a shorter
    recording.
    """
    length = config.video_network.length if config.video_network else cells
    return soft_nms(everything, config.soft_nms, span=length * snippet)
