"""Runs, ground truth and videos by id. Names from requests are looked up, never used as paths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from actspan.core.errors import ActSpanError, AnnotationError
from actspan.core.types import Proposals, Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.formats import read_annotations
from actspan.evaluation.recall import evaluate_video
from actspan.report.contents import name_runs
from actspan.server.browsed_run import BrowsedRun
from actspan.server.error_responses import NotServedError
from actspan.streams.video_lists import find_videos

_PAUSE = 0.001  # seconds after each evaluation, so that requests go first


class VideoMetrics(NamedTuple):
    """Evaluation of a run on one video: AUC in percent, and the number of missed instances.

    An instance is missed if no proposal reaches it at the lowest tIoU threshold.
    """

    auc: float
    missed: int


class BackgroundEvaluation:
    """Thread that reads all runs, then evaluates all their videos once."""

    def __init__(self, runs: Sequence[BrowsedRun], truth: Mapping[str, Video]) -> None:
        self._runs, self._truth = runs, truth
        self._metrics: list[dict[str, VideoMetrics]] = [{} for _ in runs]
        self._stop = Event()
        self._thread = Thread(target=self._work, name="evaluation", daemon=True)

    def start(self) -> None:
        """Start the thread; a second call does nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Stop before all videos are evaluated."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def is_running(self) -> bool:
        """Whether some videos are still to be evaluated."""
        return self._thread.is_alive()

    def metrics(self, run: int, video: str) -> VideoMetrics | None:
        """Return the metrics of one video, or None without instances or before its evaluation."""
        return self._metrics[run].get(video)

    def _work(self) -> None:
        with suppress(ActSpanError):  # a request for damaged data reports the error
            for run in self._runs:
                run.warm()
            for run, metrics in zip(self._runs, self._metrics, strict=True):
                self._evaluate(run.result, metrics)

    def _evaluate(self, result: Mapping[str, Proposals], metrics: dict[str, VideoMetrics]) -> None:
        for name, proposals in result.items():
            if self._stop.wait(_PAUSE):
                return
            video = self._truth.get(name)
            if video is not None and len(video.segments):
                metrics[name] = VideoMetrics(*evaluate_video(video, proposals))


class Library:
    """Everything that the viewer can show.

    Opening reads a few small files. Results are read at the first access, or by `warm`. There are
    at most 7 runs; the viewer sorts by the first. Ground truth is the annotations that the runs
    were made from, unless given; `videos` is a folder of videos, or a dataset folder.

    Raises
    ------
    ConfigError, ResultError, AnnotationError, VideoError
        A run is given twice, there are too many, or a file is missing or damaged.
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
        self.source = ""  # origin of the ground truth, for display
        self.truth: dict[str, Video] = {}
        self._read_truth(ground_truth)
        self.evaluation = BackgroundEvaluation(self.runs, self.truth)

    def _read_truth(self, given: Path | None) -> None:
        recorded = (browsed.run.recorded_annotations() for browsed in self.runs if browsed.run)
        path = given or next(filter(None, recorded), None)
        if path is None:
            return
        try:
            annotations = read_annotations(path)
        except AnnotationError:
            if given is not None:
                raise
            return  # not an error: the user gave no ground truth
        self.truth = {video.id: video for video in annotations}
        self.source = "/".join(annotations.path.resolve().parts[-2:])

    def warm(self) -> None:
        """Start to read and evaluate in the background what the list of videos needs."""
        self.evaluation.start()

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

    def close(self) -> None:
        """Stop the evaluation, and close the runs."""
        self.evaluation.stop()
        for run in self.runs:
            run.close()

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
        """Return the known facts of a video, or raise NotServedError; its duration may be NaN."""
        if name not in self._known:
            raise NotServedError(f"no video {name!r} in what is served")
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
        """Return a run by its index, or raise NotServedError."""
        if not 0 <= number < len(self.runs):
            raise NotServedError(
                f"no run {number}: {counted(len(self.runs), 'run')} served, counted from 0"
            )
        return self.runs[number]
