"""Recall by the protocol of bsn.md section 9, line by line, as the reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from actspan.core.segments import Proposals
from actspan.core.tiou import evaluated_tiou_matrix
from actspan.core.types import Float64


def plain_recall(
    truth: Mapping[str, Float64],
    proposals: Mapping[str, Proposals],
    *,
    max_proposals: int,
    tiou: Float64,
) -> tuple[Float64, Float64, Float64]:
    """Compute recall (K, A), average recall (A,) and proposals per video (A,), slowly.

    `truth` has the instances (M, 2) of each evaluated video; both are in seconds.
    """
    videos = len(truth)
    offered = sum(len(proposals[v]) for v in truth if v in proposals)
    ratio = max_proposals * float(videos) / offered

    overlaps = []  # one (instances, kept) matrix per video
    for video, segments in truth.items():
        found = proposals.get(video, Proposals.empty("seconds"))
        kept = min(int(len(found) * ratio), len(found))
        best = found[np.argsort(-found.score, kind="stable")][:kept]
        overlaps.append(evaluated_tiou_matrix(segments[:, 0], segments[:, 1], best.start, best.end))

    total = sum(matrix.shape[1] for matrix in overlaps)
    instances = sum(matrix.shape[0] for matrix in overlaps)
    share = np.arange(1, max_proposals + 1) / float(max_proposals)
    share = share * (max_proposals * float(videos) / total)
    recall = np.empty((len(tiou), max_proposals))
    for t, threshold in enumerate(tiou):
        for k in range(max_proposals):
            matched = 0
            for matrix in overlaps:
                kept = matrix.shape[1]
                contributing = min(int(kept * share[k]), kept)
                matched += int((matrix[:, :contributing] >= threshold).any(axis=1).sum())
            recall[t, k] = matched / instances
    return recall, recall.mean(axis=0), share * (float(total) / videos)
