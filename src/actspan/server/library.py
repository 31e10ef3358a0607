"""Runs, ground truth and videos by id, and the list of videos in pages.

Names from requests are looked up, never used as paths.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from actspan.core.errors import ActSpanError, AnnotationError
from actspan.core.types import Proposals, Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.formats import read_annotations
from actspan.evaluation.recall import evaluate_video
from actspan.report.contents import name_runs
from actspan.server.browsed_run import BrowsedRun, check_index
from actspan.server.changed_runs import PAUSE, ChangedRun, ListedRun, RunMetrics, Setting
from actspan.server.error_responses import ProblemError
from actspan.streams.video_lists import find_videos

_CHANGED = 8  # number of runs with changed settings whose figures stay in memory
_DIGITS = re.compile(r"(\d+)")

Order = Literal["source", "id", "seconds", "instances", "proposals", "score", "auc", "difference"]


def _check_setting(text: str) -> str:
    Setting.parse(text)
    return text


class ListQuery(BaseModel):
    """Filter, order and page of the list."""

    find: str = Field("", max_length=200, description="Text that the id or a label contains.")
    missed: bool = Field(False, description="Only videos of which a run misses an instance.")
    corrected: bool = Field(False, description="Only videos that were corrected.")
    order: Order = Field("source", description="Sort key; videos without a value come last.")
    descending: bool = False
    suppression: list[Annotated[str, AfterValidator(_check_setting)]] = Field(
        [],
        max_length=7,
        description="Other settings of Soft-NMS for a run: RUN:SHORT,LONG,DECAY,KEEP; repeatable.",
    )
    offset: int = Field(0, ge=0, le=2**31)
    limit: int = Field(100, ge=1, le=500)


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
    evaluating: bool = Field(description="Whether the evaluation is still in progress.")
    videos: list[ListedVideo]


class Library:
    """Everything that the viewer can show.

    Opening reads a few small files. Results are read at the first access, or by `warm`. There are
    at most 7 runs; the viewer sorts by the first. Ground truth is the annotations that the runs
    were made from, unless given; `videos` is a folder of videos, or a dataset folder. Raises
    ActSpanError if a run is given twice, there are too many, or a file is missing or damaged.
    """

    def __init__(
        self,
        runs: Sequence[Path] = (),
        ground_truth: Path | None = None,
        videos: Path | None = None,
    ) -> None:
        names = name_runs(runs) if runs else []
        self.runs = tuple(map(BrowsedRun, names, runs))
        self.media = find_videos([str(videos)]).paths if videos is not None else {}
        self.truth: dict[str, Video] = {}
        self.source = ""  # origin of the ground truth, for display
        self._read_truth(ground_truth)
        # Evaluation of every run by video, without videos that have no instances.
        self.metrics: list[dict[str, RunMetrics]] = [{} for _ in self.runs]
        self._evaluation = Thread(target=self._evaluate, name="evaluation", daemon=True)
        self._changed: dict[Setting, ChangedRun] = {}  # most recently used last
        self._changing = Lock()
        self._stop = Event()

    def _read_truth(self, path_given: Path | None) -> None:
        recorded = (browsed.run.recorded_annotations() for browsed in self.runs if browsed.run)
        path = path_given or next(filter(None, recorded), None)
        if path is None:
            return
        try:
            annotations = read_annotations(path)
        except AnnotationError:
            if path_given is not None:
                raise
            return  # not an error: the user gave no ground truth
        self.truth = {video.id: video for video in annotations}
        self.source = "/".join(annotations.path.resolve().parts[-2:])

    def warm(self) -> None:
        """Start to read and evaluate in the background what the list of videos needs."""
        if self._evaluation.ident is None:
            self._evaluation.start()

    def _evaluate(self) -> None:
        with suppress(ActSpanError):  # a request for damaged data reports the error
            for run in self.runs:
                run.warm()
            for run, metrics in zip(self.runs, self.metrics, strict=True):
                for name, proposals in run.result.items():
                    if self._stop.wait(PAUSE):
                        return
                    video = self.truth.get(name)
                    if video is not None and len(video.segments):
                        auc, missed = evaluate_video(video, proposals)
                        metrics[name] = RunMetrics(auc=auc, missed=missed)

    def close(self) -> None:
        """Stop the evaluation, and close the runs."""
        self._stop.set()
        if self._evaluation.ident is not None:
            self._evaluation.join()
        for changed in self._changed.values():
            changed.close()
        for run in self.runs:
            run.close()

    def unplayable(self) -> str:
        """Return a line if videos are given but no run has one of them, or else "".

        Reads the results; a damaged one raises ResultError.
        """
        if not (self.runs and self.media) or not self._known.isdisjoint(self.media):
            return ""
        return (
            f"no run has results of any of the {counted(len(self.media), 'video')}, so none can be "
            f"played: they are named {listed(self.media)}, and those of the runs {listed(self.ids)}"
        )

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids of the videos that a run has results of; without runs, of all known videos."""
        names: Iterable[str] = (video for run in self.runs for video in run.result)
        if not self.runs:
            names = [*self.truth, *self.media]
        return tuple(dict.fromkeys(names))

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.ids)

    def video(self, name: str) -> Video:
        """Return a video, its duration NaN if unknown, or raise ProblemError (404)."""
        if name not in self._known:
            raise ProblemError(404, f"no video {name!r} is served")
        return self.truth.get(name) or Video(name, math.nan)

    def seconds(self, name: str) -> float:
        """Return a video's duration, or the end of its curves or proposals; NaN if unknown."""
        known = [self.video(name).duration, *(run.span(name) or math.nan for run in self.runs)]
        durations = [x for x in known if not math.isnan(x)]
        if durations:
            return max(durations)
        ends = [run.proposals(name).proposals.end for run in self.runs]
        return max((float(end.max()) for end in ends if len(end)), default=math.nan)

    def run(self, number: int) -> BrowsedRun:
        """Return a run by its index, or raise ProblemError (404)."""
        check_index("run", number, len(self.runs))
        return self.runs[number]

    def page(self, query: ListQuery, corrected: frozenset[str]) -> VideoPage:
        """Return a page of the videos that match; `corrected` are the ids of corrected ones."""
        changed = self._changed_runs(map(Setting.parse, query.suppression))
        # read first, so that no metrics are missed
        evaluating = self._evaluation.is_alive() or not all(
            run.is_complete for run in changed.values()
        )
        ids = self._matching(query, corrected, changed)
        shown = ids[query.offset : query.offset + query.limit]
        rows = [self._row(name, name in corrected, changed) for name in shown]
        return VideoPage(total=len(ids), evaluating=evaluating, videos=rows)

    def _changed_runs(self, settings: Iterable[Setting]) -> dict[int, ChangedRun]:
        """Return the runs with other settings of Soft-NMS, by index."""
        found = {}
        with self._changing:
            for setting in settings:
                run = self._changed.pop(setting, None)
                run = run or ChangedRun(self.run(setting.run), setting, self.truth)
                found[setting.run] = self._changed[setting] = run
            while len(self._changed) > _CHANGED:
                self._changed.pop(next(iter(self._changed))).close()
        return found

    def _matching(
        self, query: ListQuery, corrected: frozenset[str], changed: Mapping[int, ChangedRun]
    ) -> list[str]:
        """Return the ids of the videos that match, in order."""
        find = query.find.strip().casefold()
        chosen = [
            name
            for name in self.ids
            if self._contains(name, find)
            and (not query.corrected or name in corrected)
            and (
                not query.missed or any(metrics.missed for metrics in self._metrics(name, changed))
            )
        ]
        if query.order == "source":
            return chosen[::-1] if query.descending else chosen
        keys = {name: self._key(name, query.order, changed) for name in chosen}
        with_key = [name for name in chosen if keys[name] is not None]
        without_key = [name for name in chosen if keys[name] is None]
        return sorted(with_key, key=keys.__getitem__, reverse=query.descending) + without_key

    def _contains(self, name: str, find: str) -> bool:
        if find in name.casefold():
            return True
        video = self.truth.get(name)
        return video is not None and any(find in label.casefold() for label in video.labels)

    def _metrics(self, name: str, changed: Mapping[int, ChangedRun]) -> list[RunMetrics]:
        """Return the metrics of a video that are known, one per run."""
        rows = (self._known_row(number, name, changed) for number in range(len(self.runs)))
        return [row.metrics for row in rows if row is not None and row.metrics is not None]

    def _key(self, name: str, order: Order, changed: Mapping[int, ChangedRun]) -> Any:
        """Return a video's sort key, or None if it has none."""
        if order == "id":  # video9 comes before video10; every second part is a number
            parts = enumerate(_DIGITS.split(name.casefold()))
            return [int(part) if i % 2 else part for i, part in parts]
        if order == "seconds":
            return _known_seconds(self.video(name))
        if order == "instances":
            return len(self.video(name).segments)
        if order in ("proposals", "score"):
            row = self._known_row(0, name, changed) if self.runs else None
            return None if row is None else getattr(row, order)
        auc = [metrics.auc for metrics in self._metrics(name, changed)]
        if order == "difference":  # between the best and the worst run
            return max(auc) - min(auc) if len(auc) > 1 else None
        return sum(auc) / len(auc) if auc else None

    def _row(self, name: str, is_corrected: bool, changed: Mapping[int, ChangedRun]) -> ListedVideo:
        video = self.video(name)
        return ListedVideo(
            id=name,
            seconds=_known_seconds(video),
            instances=len(video.labels),
            labels=list(dict.fromkeys(video.labels)),
            has_media=name in self.media,
            corrected=is_corrected,
            runs=[
                changed[number].row(name) if number in changed else self._run_row(number, name)
                for number in range(len(self.runs))
            ],
        )

    def _known_row(
        self, number: int, name: str, changed: Mapping[int, ChangedRun]
    ) -> ListedRun | None:
        """Return the figures of a run, or None if they are not known yet."""
        run = changed.get(number)
        return self._run_row(number, name) if run is None else run.known_row(name)

    def _run_row(self, number: int, name: str) -> ListedRun:
        scores = self.runs[number].result.get(name, Proposals.empty()).score
        best = float(scores.max()) if len(scores) else None
        metrics = self.metrics[number].get(name)
        return ListedRun(proposals=len(scores), score=best, metrics=metrics)


def _known_seconds(video: Video) -> float | None:
    return None if math.isnan(video.duration) else video.duration
