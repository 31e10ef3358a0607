"""Average recall directly from bsn.md section 9: a slow reference for the fast implementation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from actspan.core.tiou import evaluated_tiou_matrix
from actspan.core.types import Float64, Proposals


def plain_recall(
    truth: Mapping[str, Float64],
    proposals: Mapping[str, Proposals],
    *,
    max_proposals: int,
    tiou: Float64,
) -> tuple[Float64, Float64, Float64]:
    """Compute recall at every tIoU and budget.

    Parameters
    ----------
    truth : mapping of video id to (M, 2) float64
        Instances of the evaluated videos, seconds.
    proposals : mapping of video id to Proposals
        Seconds.
    max_proposals : int
        A, the largest average number of proposals per video.
    tiou : (K,) float64

    Returns
    -------
    recall : (K, A) float64
    average_recall, proposals_per_video : (A,) float64
    """
    videos = len(truth)
    offered = sum(len(proposals[v]) for v in truth if v in proposals)
    ratio = max_proposals * float(videos) / offered

    overlaps = []  # one (instances, kept) matrix per video
    for video, segments in truth.items():
        found = proposals.get(video, Proposals.empty())
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
