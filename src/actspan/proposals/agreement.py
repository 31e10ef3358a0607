"""Agreement of a model's candidates with label-free ones.

A model that saw few recordings ranks poorly what it has not seen, while label-free proposals know
the recording but not the labels. A candidate that both support is worth more than one that only
the model supports. docs/project/log.md has the measurements behind the constants.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import FusionConfig
from actspan.core.kernels import kernel
from actspan.core.segments import Proposals
from actspan.core.tiou import tiou_matrix
from actspan.core.types import Float32, Float64
from actspan.proposals.candidates import fuse

_SHARPNESS = 4  # power of the tIoU at which a candidate supports another one
_ADDED = 0.3  # factor of the score of candidates that only label-free proposals have
_SUPPORTERS = 400  # best label-free proposals that are compared


def combine(
    candidates: Proposals, confidence: Float32, label_free: Proposals, config: FusionConfig
) -> tuple[Proposals, Float32]:
    """Weight a model's candidates by label-free support, and add the label-free ones.

    The confidence of a candidate is multiplied by its support to the power `config.label_free`:
    the largest score x tIoU^4 over the label-free proposals. A label-free proposal takes the
    boundary scores and the confidence of the candidate that supports it best, lowered alike.

    Parameters
    ----------
    candidates : Proposals
        N of a model, with boundary scores.
    confidence : (N,) float32
        PEM's scores.
    label_free : Proposals
        Best first, with a best score of 1; in the coordinates of the candidates. The best 400 are
        used.

    Returns
    -------
    candidates : Proposals
        Those of the model in their order, then M label-free ones; M = 0 if either has none.
    confidence : (N + M,) float32

    Raises
    ------
    ShapeError
        Candidates have no boundary scores.
    """
    fused = fuse(candidates, confidence, config)
    others = label_free[:_SUPPORTERS]
    if len(candidates) == 0 or len(others) == 0:
        return candidates, confidence
    support, _ = best_support(candidates, others, others.score)
    of_model, best = best_support(others, candidates, fused)
    closeness = np.divide(of_model, fused[best], out=np.zeros(len(best)), where=fused[best] > 0)
    added = _ADDED * closeness * confidence[best] * others.score**config.label_free
    weighted = confidence * support**config.label_free
    copied = candidates[best]
    together = Proposals.concat(
        [
            candidates,
            Proposals(
                others.start,
                others.end,
                copied.score,
                copied.start_score,
                copied.end_score,
                unit=candidates.unit,
            ),
        ]
    )
    return together, np.concatenate([weighted, added]).astype(np.float32)


def best_support(
    segments: Proposals, others: Proposals, scores: Float64
) -> tuple[Float64, NDArray[np.int64]]:
    """Return the largest score x tIoU^4 over M `others` for each of N segments, and which it is.

    `scores`, (M,), are those of the others, not negative; both results are (N,). The first of
    equals counts.
    """
    return _best_support(
        segments.start, segments.end, others.start, others.end, scores.astype(np.float64)
    )


def best_support_plain(
    segments: Proposals, others: Proposals, scores: Float64
) -> tuple[Float64, NDArray[np.int64]]:
    """Compute `best_support` in plain NumPy."""
    ends = (segments.start, segments.end, others.start, others.end)
    support = scores * tiou_matrix(*ends) ** _SHARPNESS
    best = support.argmax(axis=1)
    return support[np.arange(len(best)), best], best


@kernel
def _best_support(
    start: Float64, end: Float64, other_start: Float64, other_end: Float64, scores: Float64
) -> tuple[Float64, NDArray[np.int64]]:
    support, best = np.zeros(len(start)), np.zeros(len(start), dtype=np.int64)
    for i in range(len(start)):
        length = end[i] - start[i]
        for j in range(len(other_start)):
            shared = min(end[i], other_end[j]) - max(start[i], other_start[j])
            if shared <= 0.0:
                continue
            tiou = shared / (length + other_end[j] - other_start[j] - shared)
            square = tiou * tiou
            value = scores[j] * (square * square)
            if value > support[i]:
                support[i], best[i] = value, j
    return support, best
