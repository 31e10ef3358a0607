"""Stages of the pipeline one by one, each on the real output of the stage before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from actspan.config.stages import Edge, PipelineConfig
from actspan.core.types import Features, Float32, Proposals, RaggedProposals
from actspan.model.weights import Net
from actspan.pipeline.outcomes import Outcome, Piece, ScoredVideo
from actspan.pipeline.recordings import Recordings
from actspan.pipeline.steps import (
    final_proposals,
    find_candidates,
    make_outcomes,
    rate_candidates,
    scored_videos,
    settled_edge,
    tem_input,
)
from actspan.proposals.bsp import bsp_features_batch
from actspan.runtime.session import Session

Scope = Literal["interface", "end-to-end", "step"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Input and output of every stage for B videos or windows of recordings."""

    pieces: Sequence[Piece]
    features: Sequence[Features]
    video: Float32  # (B, C, T)
    output: Float32  # (B, 3, T), of TEM
    scored: Sequence[ScoredVideo]
    candidates: RaggedProposals
    rows: Float32  # (sum N, 32), BSP features of all candidates
    confidence: Float32  # (sum N,), scores of PEM

    def outcomes(
        self, confidence: Float32, answers: Iterable[Proposals] | None = None
    ) -> list[Outcome]:
        """Return the outcome of each video or window; `confidence` is like the attribute."""
        known = [None] * len(self.pieces) if answers is None else answers
        return make_outcomes(self.pieces, self.scored, self.candidates, confidence, known)


class Steps:
    """Stages as functions of a batch, as the workers of the pipeline call them.

    `sessions` has both networks; `edge` is the same as for `Pipeline`.
    """

    def __init__(self, config: PipelineConfig, sessions: Mapping[Net, Session], edge: Edge) -> None:
        self.config = config
        self._tem, self._pem = sessions["tem"], sessions["pem"]
        self._edge = settled_edge(config, edge)

    def walk(self, pieces: Sequence[Piece]) -> Batch:
        """Run all stages except Soft-NMS and keep the output of each."""
        features = self.load(pieces)
        video = self.rescale(features)
        output = self.tem(video)
        scored, candidates, rows = self.candidates(pieces, features, output)
        confidence = self.pem(rows)
        return Batch(pieces, features, video, output, scored, candidates, rows, confidence)

    def load(self, pieces: Sequence[Piece]) -> list[Features]:
        """Load the features of the pieces."""
        loaded = [piece.load() for piece in pieces]
        return [item for item in loaded if isinstance(item, Features)]

    def rescale(self, features: Sequence[Features]) -> Float32:
        """Make TEM's input, (B, C, T)."""
        rows = [tem_input(item, self.config, self._edge).T for item in features]
        return np.stack(rows, out=np.empty((len(rows), *rows[0].shape), np.float32))

    def tem(self, video: Float32) -> Float32:
        """Compute boundary scores, (B, 3, T)."""
        return self._tem.run({"video": video})["output"]

    def candidates(
        self, pieces: Sequence[Piece], features: Sequence[Features], output: Float32
    ) -> tuple[list[ScoredVideo], RaggedProposals, Float32]:
        """Find candidates and compute the BSP features of all of them, (sum N, 32)."""
        videos = scored_videos(output, features, self.config)
        scores, windows = [v.scores for v in videos], [piece.window for piece in pieces]
        found = find_candidates(scores, windows, self.config.pgm)
        rows = np.empty((len(found.together), self.config.bsp.size), dtype=np.float32)
        bsp_features_batch(rows, scores, found, self.config.bsp)
        return videos, found, rows

    def pem(self, rows: Float32) -> Float32:
        """Compute PEM's score of every candidate, (sum N,)."""
        return rate_candidates(self._pem, rows)

    def suppress(self, batch: Batch, confidence: Float32) -> RaggedProposals:
        """Apply Soft-NMS to the candidates of whole videos."""
        seconds = [video.seconds for video in batch.scored]
        return final_proposals(batch.candidates, confidence, seconds, self.config.soft_nms)


class Step(NamedTuple):
    """A stage at a batch size, ready to be timed."""

    name: str
    scope: Scope
    work: Callable[[int], object]  # called with the number of the repeat, which selects the batch


def table(steps: Steps, batches: Sequence[Batch]) -> Iterator[Step]:
    """Yield every stage that workers run on a batch; repeats take the batches in turn."""

    def of(number: int) -> Batch:
        return batches[number % len(batches)]

    def candidates(number: int) -> object:
        batch = of(number)
        return steps.candidates(batch.pieces, batch.features, batch.output)

    def suppress(number: int) -> object:
        batch = of(number)
        return steps.suppress(batch, batch.confidence)

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
    """Return Soft-NMS of window mode: over all windows of each recording, on one thread."""
    outcomes = [outcome for batch in batches for outcome in batch.outcomes(batch.confidence)]

    def work(number: int) -> object:
        recordings = Recordings(config)
        return [recordings.add(outcome) for outcome in outcomes]

    return work
