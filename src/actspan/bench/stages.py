"""The stages of the pipeline one by one, each on input that the stage before it really gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from actspan.bench.result import Scope
from actspan.bundle import Net
from actspan.config import PipelineConfig
from actspan.data.rescale import Edge
from actspan.pipeline import (
    Outcome,
    Piece,
    Recordings,
    ScoredVideo,
    final_proposals,
    find_candidates,
    settled_edge,
    tem_input,
)
from actspan.pipeline.core import PEM_ROWS
from actspan.proposals import bsp_features
from actspan.runtime import Session
from actspan.types import BoundaryScores, Features, Float32, Proposals

__all__ = ["Batch", "Step", "Steps", "suppression_of_recordings", "table"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B videos, or windows of recordings, in every form that they take on their way.

    Attributes
    ----------
    pieces : sequence of Piece
    features : sequence of Features
    video : (B, C, T) float32
    output : (B, 3, T) float32
        Of TEM.
    scored : sequence of ScoredVideo
    candidates : sequence of Proposals
    rows : (sum N, 32) float32
        BSP features of all candidates.
    confidence : (sum N,) float32
        Of PEM.
    """

    pieces: Sequence[Piece]
    features: Sequence[Features]
    video: Float32
    output: Float32
    scored: Sequence[ScoredVideo]
    candidates: Sequence[Proposals]
    rows: Float32
    confidence: Float32

    def outcomes(self, confidence: Float32) -> Iterator[Outcome]:
        """What the pipeline knows of each before Soft-NMS; `confidence` as the attribute."""
        ends = np.cumsum([len(found) for found in self.candidates])
        parts = np.split(confidence, ends[:-1])
        of_each = zip(self.pieces, self.scored, self.candidates, parts, strict=True)
        for piece, video, candidates, part in of_each:
            seen = (video.seconds, video.scores, candidates, part)
            yield Outcome(piece.id, *seen, None, piece.window)


class Steps:
    """The stages as functions over a batch, as a worker of the pipeline takes them.

    Parameters
    ----------
    config : PipelineConfig
    sessions : mapping of net to Session
        Both networks.
    edge : "clamp" or "zero"
        As for `Pipeline`.
    """

    def __init__(self, config: PipelineConfig, sessions: Mapping[Net, Session], edge: Edge) -> None:
        self.config = config
        self._tem, self._pem = sessions["tem"], sessions["pem"]
        self._edge = settled_edge(config, edge)

    def walk(self, pieces: Sequence[Piece]) -> Batch:
        """All stages but Soft-NMS; keeps what each of them gave."""
        features = self.load(pieces)
        video = self.rescale(features)
        output = self.tem(video)
        scored, candidates, rows = self.candidates(pieces, features, output)
        confidence = self.pem(rows)
        return Batch(pieces, features, video, output, scored, candidates, rows, confidence)

    def load(self, pieces: Sequence[Piece]) -> list[Features]:
        """Read."""
        loaded = [piece.load() for piece in pieces]
        return [item for item in loaded if isinstance(item, Features)]

    def rescale(self, features: Sequence[Features]) -> Float32:
        """TEM's input, (B, C, T)."""
        rows = [tem_input(item, self.config, self._edge).T for item in features]
        return np.stack(rows, out=np.empty((len(rows), *rows[0].shape), np.float32))

    def tem(self, video: Float32) -> Float32:
        """Boundary scores, (B, 3, T)."""
        return self._tem.run({"video": video})["output"]

    def candidates(
        self, pieces: Sequence[Piece], features: Sequence[Features], output: Float32
    ) -> tuple[list[ScoredVideo], list[Proposals], Float32]:
        """Candidates, and the BSP features of all of them, (sum N, 32)."""
        scored, candidates, rows = [], [], []
        windows = self.config.mode == "window"  # there padded cells hold nothing
        for piece, item, row in zip(pieces, features, output, strict=True):
            scores = BoundaryScores.from_array(row[:, : len(item)] if windows else row)
            found = find_candidates(scores, piece.window, self.config.pgm)
            scored.append(ScoredVideo(scores, item.seconds))
            candidates.append(found)
            rows.append(bsp_features(scores, found, self.config.bsp))
        return scored, candidates, np.concatenate(rows)

    def pem(self, rows: Float32) -> Float32:
        """PEM's score of every candidate, (sum N,), in calls as large as the pipeline's."""
        parts = [
            self._pem.run({"video_feature": rows[i : i + PEM_ROWS]})["output"][:, 0]
            for i in range(0, len(rows), PEM_ROWS)
        ]
        return np.concatenate(parts)

    def suppress(self, outcomes: Iterable[Outcome]) -> list[Proposals]:
        """Soft-NMS of videos that were seen at once."""
        return [
            final_proposals(o.candidates, o.confidence, o.seconds, self.config.soft_nms)
            for o in outcomes
        ]


class Step(NamedTuple):
    """A stage at a batch size, ready to be timed.

    Attributes
    ----------
    name : str
    scope : Scope
    work : callable
        Takes the number of the repeat: each gets another batch.
    """

    name: str
    scope: Scope
    work: Callable[[int], object]


def table(steps: Steps, batches: Sequence[Batch]) -> Iterator[Step]:
    """Every stage that workers take a batch through, on one batch after the other."""

    def of(number: int) -> Batch:
        return batches[number % len(batches)]

    def candidates(number: int) -> object:
        batch = of(number)
        return steps.candidates(batch.pieces, batch.features, batch.output)

    def suppress(number: int) -> object:
        batch = of(number)
        return steps.suppress(batch.outcomes(batch.confidence))

    yield Step("read", "step", lambda n: steps.load(of(n).pieces))
    yield Step("rescale", "step", lambda n: steps.rescale(of(n).features))
    yield Step("tem", "interface", lambda n: steps.tem(of(n).video))
    yield Step("candidates", "step", candidates)
    yield Step("pem", "interface", lambda n: steps.pem(of(n).rows))
    if steps.config.mode == "rescale":
        yield Step("soft-nms", "step", suppress)


def suppression_of_recordings(
    config: PipelineConfig, batches: Sequence[Batch]
) -> Callable[[int], object]:
    """Soft-NMS in window mode: over all windows of each recording together, on one thread."""
    outcomes = [outcome for batch in batches for outcome in batch.outcomes(batch.confidence)]

    def work(number: int) -> object:
        recordings = Recordings(config)
        return [recordings.add(outcome) for outcome in outcomes]

    return work
