"""List of videos: filtered, sorted and split into pages on the server."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, Field

from actspan.core.types import Proposals
from actspan.server.library import Library, VideoMetrics

Order = Literal["source", "id", "seconds", "instances", "proposals", "score", "auc", "difference"]
_DIGITS = re.compile(r"(\d+)")


class ListQuery(BaseModel):
    """Filter, order and page of the list."""

    find: str = Field("", max_length=200, description="Text that the id or a label contains.")
    missed: bool = Field(False, description="Only videos of which a run misses an instance.")
    corrected: bool = Field(False, description="Only videos that were corrected.")
    order: Order = Field("source", description="Sort key; videos without a value come last.")
    descending: bool = False
    offset: int = Field(0, ge=0, le=2**31)
    limit: int = Field(100, ge=1, le=500)


class RunMetrics(BaseModel):
    """Evaluation of a run on one video."""

    auc: float = Field(description="Percent.")
    missed: int = Field(description="Instances that no proposal reaches at the lowest tIoU.")


class ListedRun(BaseModel):
    """Result of one run on a video."""

    proposals: int = Field(description="Number of proposals.")
    score: float | None = Field(description="Best score.")
    judged: RunMetrics | None = Field(
        description="Null without instances, and before the evaluation."
    )


class ListedVideo(BaseModel):
    """Row of the list."""

    id: str
    seconds: float | None
    instances: int
    labels: list[str]
    has_media: bool
    corrected: bool
    runs: list[ListedRun]


class VideoPage(BaseModel):
    """Page of the list."""

    total: int = Field(description="Number of matching videos, on all pages.")
    judging: bool = Field(description="Whether the evaluation is still in progress.")
    videos: list[ListedVideo]


def list_videos(library: Library, query: ListQuery, corrected: frozenset[str]) -> VideoPage:
    """Return a page of the videos that match; `corrected` are the ids of corrected ones."""
    judging = library.evaluation.is_running  # read before the metrics, so that none is missed
    ids = matching_ids(library, query, corrected)
    page = ids[query.offset : query.offset + query.limit]
    rows = [_row(library, name, name in corrected) for name in page]
    return VideoPage(total=len(ids), judging=judging, videos=rows)


def matching_ids(library: Library, query: ListQuery, corrected: frozenset[str]) -> list[str]:
    """Return the ids of the videos that match, in order."""
    find = query.find.strip().casefold()
    chosen = [
        name
        for name in library.ids
        if _contains(library, name, find)
        and (not query.corrected or name in corrected)
        and (not query.missed or any(metrics.missed for metrics in _metrics(library, name)))
    ]
    if query.order == "source":
        return chosen[::-1] if query.descending else chosen
    key = _KEYS[query.order]
    keys = {name: key(library, name) for name in chosen}
    with_key = [name for name in chosen if keys[name] is not None]
    without_key = [name for name in chosen if keys[name] is None]
    return sorted(with_key, key=keys.__getitem__, reverse=query.descending) + without_key


def _row(library: Library, name: str, is_corrected: bool) -> ListedVideo:
    video = library.video(name)
    return ListedVideo(
        id=name,
        seconds=_seconds(library, name),
        instances=len(video.labels),
        labels=list(dict.fromkeys(video.labels)),
        has_media=name in library.media,
        corrected=is_corrected,
        runs=[_run(library, number, name) for number in range(len(library.runs))],
    )


def _run(library: Library, number: int, name: str) -> ListedRun:
    proposals = library.runs[number].result.get(name, Proposals.empty())
    best = float(proposals.score.max()) if len(proposals) else None
    metrics = library.evaluation.metrics(number, name)
    judged = None if metrics is None else RunMetrics(auc=metrics.auc, missed=metrics.missed)
    return ListedRun(proposals=len(proposals), score=best, judged=judged)


def _contains(library: Library, name: str, find: str) -> bool:
    if find in name.casefold():
        return True
    video = library.truth.get(name)
    return video is not None and any(find in label.casefold() for label in video.labels)


def _metrics(library: Library, name: str) -> list[VideoMetrics]:
    found = (library.evaluation.metrics(run, name) for run in range(len(library.runs)))
    return [metrics for metrics in found if metrics is not None]


def _natural(_: Library, name: str) -> list[Any]:
    """Return a sort key that puts `video9` before `video10`; every second part is a number."""
    return [int(p) if i % 2 else p for i, p in enumerate(_DIGITS.split(name.casefold()))]


def _seconds(library: Library, name: str) -> float | None:
    seconds = library.video(name).duration
    return None if math.isnan(seconds) else seconds


def _proposals(library: Library, name: str) -> int | None:
    return _run(library, 0, name).proposals if library.runs else None


def _score(library: Library, name: str) -> float | None:
    return _run(library, 0, name).score if library.runs else None


def _auc(library: Library, name: str) -> float | None:
    """Return the mean AUC over the runs."""
    found = _metrics(library, name)
    return sum(metrics.auc for metrics in found) / len(found) if found else None


def _difference(library: Library, name: str) -> float | None:
    """Return the difference between the highest and the lowest AUC of the runs."""
    found = [metrics.auc for metrics in _metrics(library, name)]
    return max(found) - min(found) if len(found) > 1 else None


_KEYS: dict[str, Callable[[Library, str], Any]] = {
    "id": _natural,
    "seconds": _seconds,
    "instances": lambda library, name: len(library.video(name).segments),
    "proposals": _proposals,
    "score": _score,
    "auc": _auc,
    "difference": _difference,
}
