"""The list of videos: filters, orders and pages."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, Field

from actspan.core.segments import Proposals
from actspan.evaluation.matching import count_unshared
from actspan.server.changed_runs import SHOWN, RunMetrics, Setting, SettingText, VideoResult
from actspan.server.library import Library
from actspan.server.zoom_levels import check_index

_DIGITS = re.compile(r"(\d+)")
_SHARED_TIOU = 0.5  # of the order "changes"; as `/shared` by default

Order = Literal[
    "source", "id", "seconds", "instances", "proposals", "score", "auc", "difference", "changes"
]


_AUC_RANGE = re.compile(r"(\d{1,2}):(\d{1,3}(?:\.\d+)?),(\d{1,3}(?:\.\d+)?)")


class AucRange(NamedTuple):
    """Range of the AUC of a run on a video, percent, both ends included."""

    run: int
    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> AucRange:
        """Return the range of a text RUN:LOW,HIGH; raise ValueError for others.

        Examples
        --------
        >>> AucRange.parse("0:40,50").high
        50.0
        """
        found = _AUC_RANGE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r}: RUN:LOW,HIGH is needed, as 0:40,50")
        run, low, high = found.groups()
        return cls(int(run), float(low), float(high))


def _check_range(text: str) -> str:
    AucRange.parse(text)
    return text


class ListQuery(BaseModel):
    """Filter, order and page of the list."""

    find: str = Field("", max_length=200, description="Text that the id or a label contains.")
    missed: bool = Field(False, description="Only videos of which a run misses an instance.")
    missed_by: int | None = Field(
        None, ge=0, le=99, description="Only videos of which this run misses an instance."
    )
    subset: str | None = Field(None, max_length=100, description="Only videos of this subset.")
    label: str | None = Field(None, max_length=200, description="Only videos with this label.")
    auc: list[Annotated[str, AfterValidator(_check_range)]] = Field(
        [],
        max_length=7,
        description="Only videos whose AUC of a run is in a range, percent: RUN:LOW,HIGH.",
    )
    corrected: bool = Field(False, description="Only videos that were corrected.")
    segments: int = Field(
        0, ge=0, le=SHOWN, description="Number of instances, and of proposals per run, to return."
    )
    a: int = Field(0, ge=0, le=99, description="With b: the runs of the order 'changes'.")
    b: int = Field(1, ge=0, le=99)
    order: Order = Field("source", description="Sort key; videos without a value come last.")
    descending: bool = False
    suppression: list[SettingText] = Field(
        [],
        max_length=7,
        description="Other settings of Soft-NMS for a run: RUN:SHORT,LONG,DECAY,KEEP; repeatable.",
    )
    offset: int = Field(0, ge=0, le=2**31)
    limit: int = Field(100, ge=1, le=500)


class ListedRun(BaseModel):
    """Result of one run on a video."""

    proposals: int | None = Field(
        description="Number of proposals; null if the run does not have the video."
    )
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
    fault: str = Field(description="Why the video file cannot be read; empty if it can.")
    corrected: bool
    runs: list[ListedRun]


class VideoPage(BaseModel):
    """Page of the list."""

    total: int = Field(description="Number of matching videos, on all pages.")
    evaluating: bool = Field(description="Whether the evaluation is still in progress.")
    videos: list[ListedVideo]


class VideoList:
    """List of the videos of a library that match a query.

    Raises ProblemError if a run of the query is not served (404), or if other settings of Soft-NMS
    are asked for and the run kept no candidates (409).
    """

    def __init__(self, library: Library, query: ListQuery) -> None:
        self._library, self._query = library, query
        self._changed = library.changed_runs(map(Setting.parse, query.suppression))
        self._runs = library.runs  # of the moment: a job may add one during a request
        self._run_metrics = [  # known metrics of a video by its id, per run
            self._changed[number].metrics if number in self._changed else metrics.get
            for number, metrics in enumerate(library.metrics)
        ]
        self._auc_ranges = list(map(AucRange.parse, query.auc))
        for number in {found.run for found in self._auc_ranges}:
            check_index("run", number, len(self._runs))

    def page(self, corrected: frozenset[str]) -> VideoPage:
        """Return the page of the query; `corrected` are the ids of corrected videos."""
        evaluating = self._is_evaluating()  # read first, so that no metrics are missed
        ids = self._matching(corrected)
        shown = ids[self._query.offset : self._query.offset + self._query.limit]
        rows = [self._row(name, name in corrected) for name in shown]
        return VideoPage(total=len(ids), evaluating=evaluating, videos=rows)

    def _is_evaluating(self) -> bool:
        changed = self._changed.values()
        return self._library.is_evaluating or not all(run.is_complete for run in changed)

    def _matching(self, corrected: frozenset[str]) -> list[str]:
        """Return the ids of the videos that match, in order."""
        query, find = self._query, self._query.find.strip().casefold()
        chosen = [
            name
            for name in self._library.ids
            if self._contains(name, find)
            and (not query.corrected or name in corrected)
            and (not query.missed or any(metrics.missed for metrics in self._metrics(name)))
            and self._fits(name)
            and all(self._is_within(name, found) for found in self._auc_ranges)
        ]
        if query.order == "source":
            return chosen[::-1] if query.descending else chosen
        if query.order == "changes":
            keys: dict[str, Any] = self._changes(chosen)
        else:
            keys = {name: self._key(name, query.order) for name in chosen}
        with_key = [name for name in chosen if keys.get(name) is not None]
        without_key = [name for name in chosen if keys.get(name) is None]
        return sorted(with_key, key=keys.__getitem__, reverse=query.descending) + without_key

    def _fits(self, name: str) -> bool:
        """Return whether a video has the subset, the label and the misses of the query."""
        query, video = self._query, self._library.reference(name)
        if query.missed_by is not None:
            check_index("run", query.missed_by, len(self._runs))
            metrics = self._run_metrics[query.missed_by](name)
            if metrics is None or not metrics.missed:
                return False
        if query.label is not None and (video is None or query.label not in video.labels):
            return False
        return query.subset is None or (video is not None and video.subset == query.subset)

    def _is_within(self, name: str, wanted: AucRange) -> bool:
        """Return whether the AUC of a video is known and in a range."""
        metrics = self._run_metrics[wanted.run](name)
        return metrics is not None and wanted.low <= metrics.auc <= wanted.high

    def _changes(self, names: Sequence[str]) -> dict[str, int]:
        """Count the best proposals of each video that only one of two runs has, if known."""
        first, second = (self._best(run, names) for run in (self._query.a, self._query.b))
        known = [name for name in names if name in first and name in second]
        counts = count_unshared(first, second, known, _SHARED_TIOU, SHOWN)
        return dict(zip(known, counts.tolist(), strict=True))

    def _best(self, number: int, names: Sequence[str]) -> dict[str, Proposals]:
        check_index("run", number, len(self._runs))
        results = ((name, self._known(number, name)) for name in names)
        return {name: result.best for name, result in results if result is not None}

    def _contains(self, name: str, find: str) -> bool:
        if find in name.casefold():
            return True
        video = self._library.reference(name)
        return video is not None and any(find in label.casefold() for label in video.labels)

    def _metrics(self, name: str) -> list[RunMetrics]:
        """Return the metrics of a video that are known, one per run."""
        found = (metrics_of(name) for metrics_of in self._run_metrics)
        return [metrics for metrics in found if metrics is not None]

    def _key(self, name: str, order: Order) -> Any:
        """Return a video's sort key, or None if it has none."""
        if order == "id":  # video9 comes before video10; every second part is a number
            parts = enumerate(_DIGITS.split(name.casefold()))
            return [int(part) if i % 2 else part for i, part in parts]
        if order == "seconds":
            return _number(self._library.known_length(self._library.video(name)).seconds)
        if order == "instances":
            video = self._library.reference(name)
            return 0 if video is None else len(video.segments)
        if order in ("proposals", "score"):
            result = self._known(0, name) if self._runs else None
            return None if result is None else getattr(result, order)
        auc = [metrics.auc for metrics in self._metrics(name)]
        if order == "difference":  # between the best and the worst run
            return max(auc) - min(auc) if len(auc) > 1 else None
        return sum(auc) / len(auc) if auc else None

    def _known(self, number: int, name: str) -> VideoResult | None:
        """Return the result of a run, or None if it is not computed yet."""
        changed = self._changed.get(number)
        if changed is not None and name in self._runs[number].result:
            return changed.known(name)
        proposals = self._runs[number].result.get(name, Proposals.empty("seconds"))
        return VideoResult(len(proposals), proposals, self._run_metrics[number](name))

    def _row(self, name: str, is_corrected: bool) -> ListedVideo:
        video = self._library.reference(name) or self._library.video(name)
        known = self._library.known_length(video)
        edges = video.segments[: self._query.segments].tolist()
        return ListedVideo(
            id=name,
            seconds=_number(known.seconds),
            fault=known.fault,
            instances=len(video.labels),
            labels=list(dict.fromkeys(video.labels)),
            subset=video.subset,
            segments=[(start, end) for start, end in edges],
            has_media=self._library.file(name) is not None,
            corrected=is_corrected,
            runs=[self._listed(number, name) for number in range(len(self._runs))],
        )

    def _listed(self, number: int, name: str) -> ListedRun:
        result = self._known(number, name) or self._changed[number].result(name)
        best = result.best[: self._query.segments]
        return ListedRun(
            proposals=result.proposals if name in self._runs[number].result else None,
            score=result.score,
            metrics=result.metrics,
            best=list(zip(best.start.tolist(), best.end.tolist(), strict=True)),
        )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
