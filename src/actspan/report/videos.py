"""Single videos of a report: their evaluation, and which of them are listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actspan.core.errors import ConfigError
from actspan.core.types import Float64, Video
from actspan.data.annotations.annotation_set import canonical_id
from actspan.evaluation.counting import Int64
from actspan.evaluation.recall import evaluate_video
from actspan.report.contents import Contents


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """Videos that a report shows one by one.

    Attributes
    ----------
    videos : tuple of Video
        V videos, worst first; in the order of the results if there is no ground truth.
    auc : (R, V) float64
        AUC of each video alone, by run, in percent; NaN without instances.
    missed : (R, V) float64
        Number of instances that no proposal reaches at the lowest threshold; NaN without instances.
    unlisted : int
        Number of videos that were left out.
    """

    videos: tuple[Video, ...]
    auc: Float64
    missed: Float64
    unlisted: int

    def extremes(self, most: int) -> tuple[list[int], list[int]]:
        """Return indices of the worst and the best videos, at most `most` each, without overlap."""
        judged = np.flatnonzero(np.isfinite(self.auc).any(axis=0)).tolist()
        count = min(most, len(judged) // 2)
        return judged[:count], judged[len(judged) - count :][::-1]


def list_videos(contents: Contents, wanted: Sequence[str] = ()) -> Listing:
    """Evaluate every video, and choose those to show.

    Parameters
    ----------
    wanted : sequence of str
        Ids, or a single number N for the N / 2 worst and the N / 2 best. All unless given.

    Raises
    ------
    ConfigError
        An id is not among the videos.
    """
    auc, missed = _evaluate_videos(contents)
    order = _worst_first(auc)
    kept = order[_choose(contents.videos, order, wanted, int(np.isfinite(auc[0]).sum()))]
    return Listing(
        videos=tuple(contents.videos[i] for i in kept.tolist()),
        auc=auc[:, kept],
        missed=missed[:, kept],
        unlisted=len(order) - len(kept),
    )


def _worst_first(auc: Float64) -> Int64:
    """Return indices of the videos by mean AUC over the runs; those without AUC come last."""
    order: Int64 = np.argsort(auc.mean(axis=0), kind="stable")  # NaN sorts last
    return order


def _choose(videos: Sequence[Video], order: Int64, wanted: Sequence[str], judged: int) -> Int64:
    """Return the places in `order` to list; its first `judged` videos are sorted worst to best."""
    if not wanted:
        return np.arange(len(order))
    if len(wanted) == 1 and wanted[0].isdecimal():
        among = judged or len(order)
        number = min(int(wanted[0]), among)
        half = number // 2
        return np.concatenate([np.arange(number - half), np.arange(among - half, among)])
    places = {videos[i].id: place for place, i in enumerate(order.tolist())}
    ids = [canonical_id(name) for name in wanted]
    unknown = [name for name in ids if name not in places]
    if unknown:
        raise ConfigError(f"not among the videos evaluated: {', '.join(unknown[:5])}")
    return np.array(sorted({places[name] for name in ids}))


def _evaluate_videos(contents: Contents) -> tuple[Float64, Float64]:
    shape = (len(contents.sides), len(contents.videos))
    auc, missed = np.full(shape, np.nan), np.full(shape, np.nan)
    for r, side in enumerate(contents.sides):
        for v, video in enumerate(contents.videos):
            if side.recall is not None and len(video.segments):
                auc[r, v], missed[r, v] = evaluate_video(
                    video,
                    side.proposals.get(video.id),
                    max_proposals=side.recall.max_proposals,
                    tiou=side.recall.tiou,
                )
    return auc, missed
