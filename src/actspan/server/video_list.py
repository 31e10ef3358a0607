"""The list of videos: filters, orders and pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from actspan.core.types import Proposals
from actspan.evaluation.matching import count_unshared
from actspan.server.library import Library, RunMetrics

_DIGITS = re.compile(r"(\d+)")
_SHARED_TIOU, _SHARED_TOP = 0.5, 20  # of the order "changes"; as `/shared` by default

Order = Literal[
    "source", "id", "seconds", "instances", "proposals", "score", "auc", "difference", "changes"
]


class ListQuery(BaseModel):
    """Filter, order and page of the list."""

    find: str = Field("", max_length=200, description="Text that the id or a label contains.")
    missed: bool = Field(False, description="Only videos of which a run misses an instance.")
    missed_by: int | None = Field(
        None, ge=0, le=99, description="Only videos of which this run misses an instance."
    )
    subset: str | None = Field(None, max_length=100, description="Only videos of this subset.")
    label: str | None = Field(None, max_length=200, description="Only videos with this label.")
    corrected: bool = Field(False, description="Only videos that were corrected.")
    segments: int = Field(
        0, ge=0, le=20, description="Number of instances, and of proposals per run, to return."
    )
    a: int = Field(0, ge=0, le=99, description="With b: the runs of the order 'changes'.")
    b: int = Field(1, ge=0, le=99)
    order: Order = Field("source", description="Sort key; videos without a value come last.")
    descending: bool = False
    offset: int = Field(0, ge=0, le=2**31)
    limit: int = Field(100, ge=1, le=500)


class ListedRun(BaseModel):
    """Result of one run on a video."""

    proposals: int = Field(description="Number of proposals.")
    score: float | None = Field(description="Best score.")
    metrics: RunMetrics | None = Field(
        description="Null without instances, and before the evaluation."
    )
    best: list[tuple[float, float]] = Field(description="The best proposals, seconds.")


class ListedVideo(BaseModel):
    """Row of the list."""

    id: str
    seconds: float | None
    instances: int
    labels: list[str]
    subset: str
    segments: list[tuple[float, float]] = Field(description="The first instances, seconds.")
    has_media: bool
    corrected: bool
    runs: list[ListedRun]


class VideoPage(BaseModel):
    """Page of the list."""

    total: int = Field(description="Number of matching videos, on all pages.")
    evaluating: bool = Field(description="Whether the evaluation is still in progress.")
    videos: list[ListedVideo]


class VideoList:
    """List of the videos of a library."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def page(self, query: ListQuery, corrected: frozenset[str]) -> VideoPage:
        """Return a page of the videos that match; `corrected` are the ids of corrected ones."""
        evaluating = self._library.is_evaluating  # read first, so that no metrics are missed
        ids = self._matching(query, corrected)
        shown = ids[query.offset : query.offset + query.limit]
        rows = [self._row(name, name in corrected, query.segments) for name in shown]
        return VideoPage(total=len(ids), evaluating=evaluating, videos=rows)

    def _matching(self, query: ListQuery, corrected: frozenset[str]) -> list[str]:
        """Return the ids of the videos that match, in order."""
        find = query.find.strip().casefold()
        chosen = [
            name
            for name in self._library.ids
            if self._contains(name, find)
            and (not query.corrected or name in corrected)
            and (not query.missed or any(metrics.missed for metrics in self._metrics(name)))
            and self._fits(name, query)
        ]
        if query.order == "source":
            return chosen[::-1] if query.descending else chosen
        if query.order == "changes":
            keys: dict[str, Any] = self._changes(chosen, query.a, query.b)
        else:
            keys = {name: self._key(name, query.order) for name in chosen}
        with_key = [name for name in chosen if keys[name] is not None]
        without_key = [name for name in chosen if keys[name] is None]
        return sorted(with_key, key=keys.__getitem__, reverse=query.descending) + without_key

    def _fits(self, name: str, query: ListQuery) -> bool:
        """Return whether a video has the subset, the label and the misses of a query."""
        video = self._library.reference(name)
        if query.missed_by is not None:
            self._library.run(query.missed_by)
            metrics = self._library.metrics[query.missed_by].get(name)
            if metrics is None or not metrics.missed:
                return False
        if query.label is not None and (video is None or query.label not in video.labels):
            return False
        return query.subset is None or (video is not None and video.subset == query.subset)

    def _changes(self, names: Sequence[str], a: int, b: int) -> dict[str, int]:
        """Count the best proposals of each video that only one of two runs has."""
        first, second = self._library.run(a).best_first, self._library.run(b).best_first
        counts = count_unshared(first, second, names, _SHARED_TIOU, _SHARED_TOP)
        return dict(zip(names, counts.tolist(), strict=True))

    def _contains(self, name: str, find: str) -> bool:
        if find in name.casefold():
            return True
        video = self._library.reference(name)
        return video is not None and any(find in label.casefold() for label in video.labels)

    def _metrics(self, name: str) -> list[RunMetrics]:
        return [run[name] for run in self._library.metrics if name in run]

    def _key(self, name: str, order: Order) -> Any:
        """Return a video's sort key, or None if it has none."""
        if order == "id":  # video9 comes before video10; every second part is a number
            parts = enumerate(_DIGITS.split(name.casefold()))
            return [int(part) if i % 2 else part for i, part in parts]
        if order == "seconds":
            return self._library.known_seconds(self._library.video(name))
        if order == "instances":
            video = self._library.reference(name)
            return 0 if video is None else len(video.segments)
        if order in ("proposals", "score"):
            return getattr(self._run_row(0, name), order) if self._library.runs else None
        auc = [metrics.auc for metrics in self._metrics(name)]
        if order == "difference":  # between the best and the worst run
            return max(auc) - min(auc) if len(auc) > 1 else None
        return sum(auc) / len(auc) if auc else None

    def _row(self, name: str, is_corrected: bool, segments: int) -> ListedVideo:
        video = self._library.reference(name) or self._library.video(name)
        return ListedVideo(
            id=name,
            seconds=self._library.known_seconds(video),
            instances=len(video.labels),
            labels=list(dict.fromkeys(video.labels)),
            subset=video.subset,
            segments=[(start, end) for start, end in video.segments[:segments].tolist()],
            has_media=self._library.file(name) is not None,
            corrected=is_corrected,
            runs=[
                self._run_row(number, name, segments) for number in range(len(self._library.runs))
            ],
        )

    def _run_row(self, number: int, name: str, segments: int = 0) -> ListedRun:
        proposals = self._library.runs[number].result.get(name, Proposals.empty())
        scores = proposals.score
        shown = proposals[np.argsort(-scores, kind="stable")[:segments]] if segments else None
        edges = [] if shown is None else zip(shown.start.tolist(), shown.end.tolist(), strict=True)
        best = float(scores.max()) if len(scores) else None
        metrics = self._library.metrics[number].get(name)
        return ListedRun(proposals=len(scores), score=best, metrics=metrics, best=list(edges))
