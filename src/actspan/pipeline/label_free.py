"""Label-free proposals of a batch: instead of a model's candidates, or beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actspan.config.stages import FusionConfig, LabelFreeConfig
from actspan.core.errors import ShapeError
from actspan.core.types import BoundaryScores, Features, Float32, Proposals, RaggedProposals
from actspan.pipeline.outcomes import ScoredVideo
from actspan.proposals.agreement import combine
from actspan.proposals.label_free import propose_label_free

Loaded = Sequence[Features | ScoredVideo]


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
    loaded: Loaded, candidates: RaggedProposals, confidence: Float32, config: FusionConfig
) -> tuple[RaggedProposals, Float32]:
    """Combine the candidates and confidence of B videos with label-free proposals.

    Raises ShapeError for a video that is not features.
    """
    parts = [
        combine(found, confidence[rows], _label_free(item)[1], config)
        for item, found, rows in zip(loaded, candidates, candidates.rows(), strict=True)
    ]
    together = RaggedProposals.of([found for found, _ in parts])
    return together, np.concatenate([scores for _, scores in parts])


def _label_free(
    item: Features | ScoredVideo, config: LabelFreeConfig | None = None
) -> tuple[BoundaryScores, Proposals]:
    if not isinstance(item, Features):
        raise ShapeError(
            "label-free proposals need features, not boundary scores; leave them out: "
            "--set fusion.label_free=0"
        )
    return propose_label_free(item.values, config)
