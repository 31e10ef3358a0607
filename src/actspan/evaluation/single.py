"""Evaluation of a single video."""

from __future__ import annotations

from numpy.typing import ArrayLike

from actspan.core.types import Proposals, Video
from actspan.evaluation.recall import evaluate_recall


def judge_video(
    video: Video,
    proposals: Proposals | None,
    *,
    max_proposals: int = 100,
    tiou: ArrayLike | None = None,
) -> tuple[float, int]:
    """Return the AUC of a video alone, and the number of instances that are missed.

    Parameters
    ----------
    video : Video
        A video with instances.
    proposals : Proposals, optional
        Seconds; None if the video has none.
    max_proposals, tiou
        The same as for `evaluate_recall`.

    Returns
    -------
    auc : float
        Percent.
    missed : int
        Instances that no proposal reaches at the lowest threshold.
    """
    instances = len(video.segments)
    if proposals is None or not len(proposals):
        return 0.0, instances
    found = evaluate_recall(
        [video], {video.id: proposals}, subset=None, max_proposals=max_proposals, tiou=tiou
    )
    return found.auc_percent, round(instances * (1.0 - found.recall[0, -1]))
