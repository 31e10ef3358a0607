"""Figures of runs: over all videos and groups of them, per video, and per proposal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from actspan.core.errors import ResultError
from actspan.core.segments import Proposals
from actspan.core.types import Video
from actspan.evaluation.matching import match_instances, partners
from actspan.evaluation.paired import (
    FEWEST_VIDEOS,
    Estimate,
    VideoRecall,
    compare_recall,
    recall_by_video,
)
from actspan.server.changed_runs import Setting, SettingText
from actspan.server.corrections import Corrections, VideoId
from actspan.server.error_responses import failures
from actspan.server.library import Library

RunNumber = Annotated[int, Query(ge=0, le=99, description="Index of the run, from 0.")]
Subset = Annotated[
    str | None, Query(max_length=100, description="Only videos of this subset of the ground truth.")
]
Tiou = Annotated[float, Query(gt=0, le=1, description="Overlap from which two segments match.")]
Top = Annotated[int, Query(ge=1, le=1000, description="Only the best proposals of a run.")]

Suppressions = Annotated[
    Sequence[SettingText],
    Query(max_length=7, description="Other settings of Soft-NMS: RUN:SHORT,LONG,DECAY,KEEP."),
]


class RunFigures(BaseModel):
    """Evaluation of a run, percent."""

    videos: int
    instances: int
    missed: int = Field(description="Instances that no proposal reaches at a tIoU of 0.5.")
    own: int = Field(
        description="Corrected instances that are proposals of this very run, as they are: the "
        "figures are higher because of them."
    )
    figures: dict[str, float] = Field(description="AR@1, AR@5, ... and AUC.")


class Interval(BaseModel):
    """Difference of AUC, B - A, in points of percent, and its interval of 95 %.

    Fewer than ten videos have no interval: `low` and `high` are null.
    """

    auc: float
    low: float | None
    high: float | None


class Group(BaseModel):
    """Two runs on a group of videos that both have results of."""

    name: str = Field(description="all, corrected, or held-out: no trained model learned from it.")
    a: RunFigures
    b: RunFigures
    difference: Interval


class PerVideo(BaseModel):
    """Evaluation of each video with instances, as parallel lists; null where a run has none."""

    ids: list[str]
    auc: list[list[float | None]] = Field(description="By run, then by video; percent.")
    missed: list[list[int | None]]


class MatchedInstance(BaseModel):
    """Instance, and the proposals that find it, by their rank from 0."""

    start: float
    end: float
    label: str
    found: bool
    rank: int | None = Field(description="First proposal that reaches the tIoU.")
    best: int | None = Field(description="Proposal of the largest tIoU.")
    tiou: float = Field(description="Largest tIoU.")


class MatchesAnswer(BaseModel):
    """Instances of a video, and for each proposal the instance that it finds, by its index."""

    instances: list[MatchedInstance]
    proposals: list[int | None]


class SharedAnswer(BaseModel):
    """For each proposal of A and of B, the rank of the nearest one of the other run.

    It is null for a proposal that only this run has.
    """

    a: list[int | None]
    b: list[int | None]


class Figures:
    """Evaluation of the runs of a library, against corrections and ground truth.

    `learned_from` returns the videos that the model of a run was trained on here, by the name of
    the run; none if it was trained elsewhere.
    """

    def __init__(
        self,
        library: Library,
        corrections: Corrections,
        learned_from: Callable[[str], Collection[str] | None],
    ) -> None:
        self._library, self._corrections = library, corrections
        self._learned_from = learned_from

    def _videos(self, *runs: int, subset: str | None) -> list[Video]:
        """Return the videos with instances that all of these runs have results of."""
        library = self._library
        results = [library.run(run).result for run in runs]
        found = (library.reference(name) for name in library.ids)
        return [
            video
            for video in found
            if video is not None
            and len(video.segments)
            and (subset is None or video.subset == subset)
            and all(video.id in result for result in results)
        ]

    def _recall(self, run: int, videos: list[Video]) -> VideoRecall | None:
        """Return the recall of a run, or None if there is nothing to evaluate."""
        try:
            return recall_by_video(videos, self._library.run(run).result) if videos else None
        except ResultError:  # no proposals for any of them
            return None

    def figures(self, subset: str | None) -> list[RunFigures | None]:
        """Return the figures of all runs, each on the videos that it has results of."""
        found = []
        for run in range(len(self._library.runs)):
            videos = self._videos(run, subset=subset)
            recall = self._recall(run, videos)
            found.append(None if recall is None else self._figures(run, videos, recall))
        return found

    def groups(self, a: int, b: int, subset: str | None) -> list[Group]:
        """Return two runs on all videos, on the corrected ones, and on those held out."""
        videos = self._videos(a, b, subset=subset)
        known = self._corrections.ids()
        corrected = [video for video in videos if video.id in known]
        named = {"all": videos} if len(corrected) < len(videos) else {}  # not the same twice
        named["corrected"] = corrected
        names = (self._library.run(run).name for run in (a, b))
        learned = [ids for name in names if (ids := self._learned_from(name)) is not None]
        if learned:
            seen = {video for ids in learned for video in ids}
            named["held-out"] = [video for video in videos if video.id not in seen]
        groups = (self._group(name, a, b, chosen) for name, chosen in named.items())
        return [group for group in groups if group is not None]

    def _group(self, name: str, a: int, b: int, videos: list[Video]) -> Group | None:
        first, second = self._recall(a, videos), self._recall(b, videos)
        if first is None or second is None:
            return None
        return Group(
            name=name,
            a=self._figures(a, videos, first),
            b=self._figures(b, videos, second),
            difference=_interval(compare_recall(first, second), len(videos)),
        )

    def _figures(self, run: int, videos: list[Video], recall: VideoRecall) -> RunFigures:
        result = self._library.run(run).result
        return RunFigures(
            videos=len(videos),
            instances=int(np.sum(recall.instances)),
            missed=int(np.sum(recall.missed)),
            own=sum(self._library.own(run, video, result[video.id]) for video in videos),
            figures=recall.figures(),
        )

    def per_video(self, subset: str | None) -> PerVideo:
        """Return the AUC of each video alone; it may still be computed in the background."""
        library = self._library
        videos = self._videos(subset=subset)
        found = [[run.get(video.id) for video in videos] for run in list(library.metrics)]
        return PerVideo.model_construct(
            ids=[video.id for video in videos],
            auc=[[one and one.auc for one in run] for run in found],
            missed=[[one and one.missed for one in run] for run in found],
        )

    def matches(self, name: str, run: int, tiou: float, top: int) -> MatchesAnswer:
        """Return which instances of a video a run finds, and by which proposals."""
        video = self._library.reference(name) or self._library.video(name)
        found = match_instances(video.segments, self._best(name, run, top), tiou)
        columns = (found.rank, found.best, found.tiou)
        rows = zip(video.instances(), *(column.tolist() for column in columns), strict=True)
        return MatchesAnswer(
            instances=[
                MatchedInstance(
                    start=start,
                    end=end,
                    label=label,
                    found=rank >= 0,
                    rank=_known(rank),
                    best=_known(best),
                    tiou=overlap,
                )
                for (start, end, label), rank, best, overlap in rows
            ],
            proposals=list(map(_known, found.instance.tolist())),
        )

    def shared(
        self, name: str, a: int, b: int, tiou: float, top: int, settings: list[Setting]
    ) -> SharedAnswer:
        """Return which proposals of a video two runs share, with other settings of Soft-NMS."""
        changed = {setting.run: setting for setting in settings}
        first, second = (self._best(name, run, top, changed.get(run)) for run in (a, b))
        return SharedAnswer(
            a=list(map(_known, partners(first, second, tiou).tolist())),
            b=list(map(_known, partners(second, first, tiou).tolist())),
        )

    def _best(self, name: str, run: int, top: int, setting: Setting | None = None) -> Proposals:
        self._library.video(name)
        browsed = self._library.run(run)
        if setting is None:
            return browsed.proposals(name).proposals[:top]
        return browsed.suppressed(name, setting.config(browsed)).proposals[:top]


def _known(index: int) -> int | None:
    return index if index >= 0 else None


def _interval(difference: Estimate, videos: int) -> Interval:
    if videos < FEWEST_VIDEOS:
        return Interval(auc=difference.auc, low=None, high=None)
    return Interval(auc=difference.auc, low=difference.low, high=difference.high)


def add_figures_routes(routes: APIRouter, figures: Figures) -> None:
    """Add the routes of figures."""

    @routes.get("/figures", responses=failures(422))
    def of_runs(subset: Subset = None) -> list[RunFigures | None]:
        """Return AR@AN and AUC of every run; null if there is nothing to evaluate it on."""
        return figures.figures(subset)

    @routes.get("/comparison", responses=failures(404, 422))
    def comparison(a: RunNumber = 0, b: RunNumber = 1, subset: Subset = None) -> list[Group]:
        """Compare two runs on groups of videos; groups without instances are left out."""
        return figures.groups(a, b, subset)

    @routes.get("/per-video", responses=failures(422))
    def per_video(subset: Subset = None) -> PerVideo:
        """Return the AUC of every run on every video with instances."""
        return figures.per_video(subset)

    @routes.get("/matches", responses=failures(404, 422))
    def matches(
        name: VideoId, run: RunNumber = 0, tiou: Tiou = 0.5, top: Top = 100
    ) -> MatchesAnswer:
        """Return which instances of a video are found, as corrected or as in the ground truth."""
        return figures.matches(name, run, tiou, top)

    @routes.get("/shared", responses=failures(404, 409, 422))
    def shared(
        name: VideoId,
        a: RunNumber = 0,
        b: RunNumber = 1,
        tiou: Tiou = 0.5,
        top: Top = 20,
        suppression: Suppressions = (),
    ) -> SharedAnswer:
        """Return which proposals of a video two runs share, and which only one has."""
        return figures.shared(name, a, b, tiou, top, list(map(Setting.parse, suppression)))
