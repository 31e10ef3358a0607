"""The stages of BMN: one network, and the candidates of its confidence map."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from actspan.config.stages import PipelineConfig
from actspan.core.ragged import RaggedProposals
from actspan.core.types import Features, Float32
from actspan.data.cells import Window
from actspan.pipeline.label_free_steps import with_label_free
from actspan.pipeline.outcomes import Piece, ScoredVideo, StageClock
from actspan.pipeline.steps import Batch, Loaded, Step, Steps
from actspan.proposals.confidence_map import boundary_scores
from actspan.proposals.matching import match_boundaries_batch


class BmnOutput(NamedTuple):
    """Output of BMN for B videos or windows."""

    confidence_map: Float32  # (B, 2, R, C): regression and classification
    start: Float32  # (B, T)
    end: Float32  # (B, T)


def find_candidates(
    output: BmnOutput,
    cells: Sequence[int],
    windows: Sequence[Window | None],
    config: PipelineConfig,
) -> tuple[RaggedProposals, Float32]:
    """Find the candidates of each video or window, and their confidence, (sum N,).

    `cells` is the number of cells of each that are not padding.
    """
    assert config.bmn is not None
    edges = [(False, False) if w is None else w.inner_edges() for w in windows]
    return match_boundaries_batch(*output, config.bmn.axes, config.matching, cells, edges)


class BmnSteps(Steps):
    """The stages of BMN."""

    def walk(self, pieces: Sequence[Piece], loaded: Loaded, clock: StageClock) -> Batch:
        """Run all stages except Soft-NMS; see `Steps.walk`.

        Raises ShapeError for a piece that is not features.
        """
        features = self.only_features(loaded)
        with clock.time("read"):
            video = self.rescale(features)
        with clock.time("bmn"):
            output = self.bmn(video)
            clock.count_flat(np.stack([output.start, output.end], axis=1))
        with clock.time("candidates"):
            scored = self.scored(output, features)
            candidates, confidence = self.candidates(pieces, output, scored)
            candidates, confidence = with_label_free(
                pieces, loaded, candidates, confidence, self.config.fusion
            )
        return Batch(pieces, features, scored, candidates, confidence)

    def single_steps(self, pieces: Sequence[Piece], features: Sequence[Features]) -> list[Step]:
        """Return a call of each stage; see `Steps.single_steps`."""
        video = self.rescale(features)
        output = self.bmn(video)
        scored = self.scored(output, features)
        return [
            Step("rescale", partial(self.rescale, features)),
            Step("bmn", partial(self.bmn, video), is_network=True),
            Step("candidates", partial(self.candidates, pieces, output, scored)),
        ]

    def bmn(self, video: Float32) -> BmnOutput:
        """Compute confidence maps and boundary scores of (B, C, T)."""
        output = self.sessions["bmn"].run({"video": video})
        return BmnOutput(output["confidence_map"], output["start"], output["end"])

    def scored(self, output: BmnOutput, features: Sequence[Features]) -> list[ScoredVideo]:
        """Return the scores of each video for displays, without padded cells."""
        assert self.config.bmn is not None
        axes, videos = self.config.bmn.axes, []
        for item, grid, start, end in zip(features, *output, strict=True):
            n = min(len(item), len(start)) if self.config.mode == "window" else len(start)
            scores = boundary_scores(grid[:, :n, :n], start[:n], end[:n], axes)
            videos.append(ScoredVideo(scores, item.seconds))
        return videos

    def candidates(
        self, pieces: Sequence[Piece], output: BmnOutput, videos: Sequence[ScoredVideo]
    ) -> tuple[RaggedProposals, Float32]:
        """Find the candidates of all pieces, and their confidence, (sum N,)."""
        windows, cells = [piece.window for piece in pieces], [len(video) for video in videos]
        return find_candidates(output, cells, windows, self.config)
