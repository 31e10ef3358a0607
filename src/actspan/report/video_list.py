"""Videos of a report: each evaluated alone, and those that the page lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actspan.core.errors import ConfigError
from actspan.core.types import Float64, Video
from actspan.data.videos import canonical_id
from actspan.evaluation.counting import Int64
from actspan.evaluation.paired import evaluate_each
from actspan.report.contents import Contents


@dataclass(frozen=True, slots=True, eq=False)
class VideoList:
    """Videos that a report shows one by one: V videos of R runs, worst first if evaluated."""

    videos: tuple[Video, ...]
    auc: Float64  # (R, V), of each video alone, in percent; NaN without instances
    missed: Float64  # (R, V), instances not reached at the lowest threshold; NaN without any
    unlisted: int  # videos that were left out

    def extremes(self, most: int) -> tuple[list[int], list[int]]:
        """Return indices of the worst and the best videos, at most `most` each, without overlap."""
        rated = np.flatnonzero(np.isfinite(self.auc).any(axis=0)).tolist()
        count = min(most, len(rated) // 2)
        return rated[:count], rated[len(rated) - count :][::-1]


def list_videos(contents: Contents, wanted: Sequence[str] = ()) -> VideoList:
    """Evaluate every video, and choose those to show.

    `wanted` are ids, or a single number N for the N / 2 worst and the N / 2 best; all by default.
    Raises ConfigError if an id is not among the videos.
    """
    auc, missed = np.full((2, len(contents.runs), len(contents.videos)), np.nan)
    with_instances = [video for video in contents.videos if len(video.segments)]
    for r, run in enumerate(contents.runs):
        if run.recall is None:
            continue
        budget, tiou = run.recall.max_proposals, run.recall.tiou
        found = evaluate_each(with_instances, run.proposals, max_proposals=budget, tiou=tiou)
        for v, video in enumerate(contents.videos):
            if video.id in found:
                auc[r, v], missed[r, v] = found[video.id]
    order = np.argsort(auc.mean(axis=0), kind="stable")  # NaN sorts last
    kept = order[_positions_to_list(contents.videos, order, wanted, int(np.isfinite(auc[0]).sum()))]
    return VideoList(
        videos=tuple(contents.videos[i] for i in kept.tolist()),
        auc=auc[:, kept],
        missed=missed[:, kept],
        unlisted=len(order) - len(kept),
    )


def _positions_to_list(
    videos: Sequence[Video], order: Int64, wanted: Sequence[str], evaluated: int
) -> Int64:
    """Return the positions in `order` to list.

    The first `evaluated` videos of `order` are sorted from worst to best.
    """
    if not wanted:
        return np.arange(len(order))
    if len(wanted) == 1 and wanted[0].isdecimal():
        total = evaluated or len(order)
        number = min(int(wanted[0]), total)
        half = number // 2
        return np.concatenate([np.arange(number - half), np.arange(total - half, total)])
    positions = {videos[i].id: position for position, i in enumerate(order.tolist())}
    ids = [canonical_id(name) for name in wanted]
    unknown = [name for name in ids if name not in positions]
    if unknown:
        raise ConfigError(f"not among the videos evaluated: {', '.join(unknown[:5])}")
    return np.array(sorted({positions[name] for name in ids}))
