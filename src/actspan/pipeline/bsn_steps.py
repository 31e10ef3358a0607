"""The stages of BSN: TEM, candidates and their features, PEM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from actspan.config.stages import PipelineConfig
from actspan.core.errors import ShapeError
from actspan.core.ragged import RaggedProposals
from actspan.core.types import Features, Float32
from actspan.data.cells import Window
from actspan.pipeline.label_free_steps import with_label_free
from actspan.pipeline.outcomes import Piece, ScoredVideo, StageClock
from actspan.pipeline.steps import Batch, Loaded, Step, Steps
from actspan.proposals.bsp import bsp_features_batch
from actspan.proposals.candidates import generate_proposals_batch
from actspan.proposals.curves import curve_features_batch

PEM_ROWS = 4096  # rows per call
NEEDS_CURVES = (
    "this model needs the learnt curves of its TEM, and boundary scores come without: give features"
)


def find_candidates(
    videos: Sequence[ScoredVideo],
    windows: Sequence[Window | None],
    config: PipelineConfig,
    allocate: Callable[[tuple[int, int]], Float32] | None = None,
) -> tuple[RaggedProposals, Float32]:
    """Find the candidates of each video or window, at most `pgm.keep`, and what PEM sees of them.

    Features are (sum N, `config.pem_inputs`), in memory that `allocate` returns if it is given.
    Raises ShapeError if the model needs positions and curves, and a video has scores alone.
    """
    edges = [(False, False) if w is None else w.inner_edges() for w in windows]
    scores, pgm = [video.scores for video in videos], config.pgm
    learnt = [_learnt(video) for video in videos] if config.curves else None
    positions = None if learnt is None else [part[:2] for part in learnt]
    found = generate_proposals_batch(scores, pgm, edges, pgm.keep, positions=positions)
    shape = len(found.together), config.pem_inputs
    features = np.empty(shape, dtype=np.float32) if allocate is None else allocate(shape)
    if learnt is None:
        bsp_features_batch(features, scores, found, config.bsp)
    else:
        curve_features_batch(features, [part[2:] for part in learnt], found, config.bsp)
    return found, features


def _learnt(video: ScoredVideo) -> Float32:
    if video.learnt is None:
        raise ShapeError(NEEDS_CURVES)
    return video.learnt


class BsnSteps(Steps):
    """The stages of BSN.

    Without a TEM only boundary scores are accepted; without a PEM candidates are ranked by
    start score x end score.
    """

    def walk(self, pieces: Sequence[Piece], loaded: Loaded, clock: StageClock) -> Batch:
        """Run all stages except Soft-NMS; see `Steps.walk`."""
        features = [item for item in loaded if isinstance(item, Features)]
        computed: list[ScoredVideo] = []
        if features:
            with clock.time("read"):
                video = self.rescale(features)
            with clock.time("tem"):
                output = self.tem(video)
                clock.count_flat(output[:, 1:3])
                computed = self.scored(output, features)
        waiting = iter(computed)
        scored = [item if isinstance(item, ScoredVideo) else next(waiting) for item in loaded]
        with clock.time("candidates"):
            candidates, rows = self.candidates(pieces, scored)
        with clock.time("pem"):
            confidence = self.pem(rows)
        with clock.time("candidates"):
            candidates, confidence = with_label_free(
                pieces, loaded, candidates, confidence, self.config.fusion
            )
        return Batch(pieces, features, scored, candidates, confidence)

    def single_steps(self, pieces: Sequence[Piece], features: Sequence[Features]) -> list[Step]:
        """Return a call of each stage; see `Steps.single_steps`."""
        video = self.rescale(features)
        output = self.tem(video)
        _, rows = self.candidates(pieces, self.scored(output, features))
        return [
            Step("rescale", partial(self.rescale, features)),
            Step("tem", partial(self.tem, video), is_network=True),
            Step("candidates", lambda: self.candidates(pieces, self.scored(output, features))),
            Step("pem", partial(self.pem, rows), is_network=True),
        ]

    def tem(self, video: Float32) -> Float32:
        """Compute boundary scores, (B, 3, T), and what the TEM gives besides them."""
        return self.sessions["tem"].run({"video": video})["output"]

    def scored(self, output: Float32, features: Sequence[Features]) -> list[ScoredVideo]:
        """Return the scores of each video from TEM's output, without padded cells."""
        windows = self.config.mode == "window"
        return [
            ScoredVideo.of_output(row[:, : len(item)] if windows else row, item.seconds)
            for row, item in zip(output, features, strict=True)
        ]

    def candidates(
        self, pieces: Sequence[Piece], videos: Sequence[ScoredVideo]
    ) -> tuple[RaggedProposals, Float32]:
        """Find candidates, and compute what PEM sees of all of them, (sum N, 32) as published."""
        windows = [piece.window for piece in pieces]
        return find_candidates(videos, windows, self.config, partial(self._array, "bsp"))

    def pem(self, rows: Float32) -> Float32:
        """Compute PEM's score of every candidate, (sum N,); videos share calls without padding."""
        session = self.sessions.get("pem")
        if session is None:
            return np.ones(len(rows), dtype=np.float32)
        scored = np.empty(len(rows), dtype=np.float32)
        for first in range(0, len(rows), PEM_ROWS):
            part = slice(first, first + PEM_ROWS)
            scored[part] = session.run({"video_feature": rows[part]})["output"][:, 0]
        return scored
