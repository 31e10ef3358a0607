"""Label-free proposals of a batch: instead of a model's candidates, or beside them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from actspan.config.stages import FusionConfig, LabelFreeConfig
from actspan.core.errors import ShapeError
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals
from actspan.core.types import BoundaryScores, Features, Float32
from actspan.data.cells import Window
from actspan.pipeline.outcomes import Piece, ScoredVideo, StageClock
from actspan.pipeline.steps import Batch, Loaded, Step, Steps
from actspan.proposals.agreement import combine
from actspan.proposals.label_free import propose_label_free


class LabelFreeSteps(Steps):
    """The stages without networks."""

    def walk(self, pieces: Sequence[Piece], loaded: Loaded, clock: StageClock) -> Batch:
        """Find and score candidates; see `Steps.walk`."""
        assert self.config.label_free is not None
        with clock.time("candidates"):
            scored, candidates = find_label_free(loaded, self.config.label_free)
        features = [item for item in loaded if isinstance(item, Features)]
        return Batch(
            pieces, features, scored, candidates, candidates.together.score.astype(np.float32)
        )

    def single_steps(self, pieces: Sequence[Piece], features: Sequence[Features]) -> list[Step]:
        """Return a call of the only stage; see `Steps.single_steps`."""
        config = self.config.label_free
        assert config is not None
        return [Step("candidates", partial(find_label_free, features, config))]


def find_label_free(
    loaded: Loaded, config: LabelFreeConfig
) -> tuple[list[ScoredVideo], RaggedProposals]:
    """Find and score the candidates of B videos or windows without networks.

    Raises ShapeError for one that is not features.
    """
    scored, parts = [], []
    for item in loaded:
        scores, found = _label_free(item, config)
        scored.append(ScoredVideo(scores, item.seconds))
        parts.append(found)
    return scored, RaggedProposals.of(parts)


def with_label_free(
    pieces: Sequence[Piece],
    loaded: Loaded,
    candidates: RaggedProposals,
    confidence: Float32,
    config: FusionConfig,
) -> tuple[RaggedProposals, Float32]:
    """Combine the candidates and confidence of B videos or windows with label-free proposals.

    Without a weight, `config.label_free`, they are returned as they are. Raises ShapeError for a
    video that is not features.
    """
    if not config.label_free:
        return candidates, confidence
    parts = []
    inputs = zip(pieces, loaded, candidates, candidates.rows(), strict=True)
    for piece, item, found, rows in inputs:
        others = find_beside(item, piece.window)
        parts.append(combine(found, confidence[rows], others, config))
    together = RaggedProposals.of([found for found, _ in parts])
    return together, np.concatenate([scores for _, scores in parts])


def find_beside(item: Features | ScoredVideo, window: Window | None) -> Proposals:
    """Return label-free proposals of a video, or of a window without those that its edges cut."""
    _, found = _label_free(item)
    if window is None:
        return found
    before, after = window.inner_edges()
    return found[~(before & (found.start <= 0) | after & (found.end >= 1))]


def _label_free(
    item: Features | ScoredVideo, config: LabelFreeConfig | None = None
) -> tuple[BoundaryScores, Proposals]:
    if not isinstance(item, Features):
        raise ShapeError(
            "label-free proposals need features, not boundary scores; leave them out: "
            "--set fusion.label_free=0"
        )
    return propose_label_free(item.values, config)
