"""Runs, ground truth, corrections and videos by id, and their evaluation in the background.

Names from requests are looked up, never used as paths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from threading import Event, Lock, Thread

from actspan.core.errors import ActSpanError, AnnotationError
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.formats import read_annotations
from actspan.evaluation.paired import evaluate_each
from actspan.report.contents import name_runs
from actspan.server.browsed_run import BrowsedRun
from actspan.server.changed_runs import ChangedRun, RunMetrics, Setting
from actspan.server.error_responses import ProblemError
from actspan.server.zoom_levels import check_index
from actspan.streams.video_lists import find_videos

_PAUSE = 0.001  # seconds after each part of the evaluation, so that requests go first
_LATER = 1.0  # seconds after the evaluation, so that the first page goes first
_TOGETHER = 200  # videos that are evaluated together
_CHANGED = 8  # runs with other settings of Soft-NMS that stay in memory


class Library:
    """Everything that the viewer can show.

    Opening reads a few small files. Results are read at the first access, or by `warm`. There are
    at most 7 runs; the viewer sorts by the first. Ground truth is the annotations that the runs
    were made from, unless given; `videos` is a folder of videos, or a dataset folder. `probe`
    returns the seconds of a video file, or raises DataError. Raises ActSpanError if a run is given
    twice, there are too many, or a file is missing or damaged.
    """

    def __init__(
        self,
        runs: Sequence[Path] = (),
        ground_truth: Path | None = None,
        videos: Path | None = None,
        probe: Callable[[Path], float] | None = None,
    ) -> None:
        names = name_runs(runs) if runs else []
        self.runs: tuple[BrowsedRun, ...] = tuple(map(BrowsedRun, names, runs))
        self._first = len(self.runs)  # runs that say which videos are shown
        self.media = find_videos([str(videos)]).files if videos is not None else {}
        self.uploads: dict[str, Path] = {}  # files of videos that were uploaded and kept
        self.truth: dict[str, Video] = {}
        self._corrected: dict[str, Video] = {}
        self._probe = probe
        self._durations: dict[str, float] = {}  # of video files, seconds; NaN if damaged
        self.source = ""  # origin of the ground truth, for display
        self._read_truth(ground_truth)
        # Evaluation of every run by video, without videos that have no instances.
        self.metrics: list[dict[str, RunMetrics]] = [{} for _ in self.runs]
        self._evaluation = Thread(target=self._evaluate, name="evaluation", daemon=True)
        self._stop, self._wake = Event(), Event()
        self._is_busy = False
        self._changed: dict[Setting, ChangedRun] = {}  # most recently used last
        self._changing = Lock()

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
        self._wake.set()
        if self._evaluation.ident is None:
            self._evaluation.start()

    @property
    def is_evaluating(self) -> bool:
        """Return True if metrics of runs are missing; `changed_runs` say it of themselves."""
        return self._wake.is_set() or self._is_busy

    def add_run(self, name: str, path: Path) -> None:
        """Show one more run, after the others. Raises like the constructor."""
        run = BrowsedRun(name, path)
        self.metrics = [*self.metrics, {}]  # before the runs, each of which has metrics
        self.runs = (*self.runs, run)
        self.__dict__.pop("ids", None)
        self.__dict__.pop("known", None)
        if self._evaluation.ident is not None:
            self.warm()

    def correct(self, corrected: Mapping[str, Video | None]) -> None:
        """Evaluate with corrected videos instead of the ground truth; None restores it."""
        for name, video in corrected.items():
            self._corrected.pop(name, None)
            if video is not None:
                self._corrected[name] = video
            for metrics in self.metrics:
                metrics.pop(name, None)
        if self._evaluation.ident is not None:
            self.warm()

    def changed_runs(self, settings: Iterable[Setting]) -> dict[int, ChangedRun]:
        """Return the runs with other settings of Soft-NMS, by index; new ones are evaluated.

        Raises ProblemError if a run is not served (404), or kept no candidates (409).
        """
        found = {}
        with self._changing:
            for setting in settings:
                changed = self._changed.pop(setting, None)
                if changed is None:
                    changed = ChangedRun(self.run(setting.run), setting, self.reference)
                    self.warm()
                found[setting.run] = self._changed[setting] = changed
            while len(self._changed) > _CHANGED:
                del self._changed[next(iter(self._changed))]
        return found

    def reference(self, name: str) -> Video | None:
        """Return a video as corrected, or else as in the ground truth, or None."""
        return self._corrected.get(name) or self.truth.get(name)

    def _evaluate(self) -> None:
        while True:
            self._wake.wait()
            self._is_busy = True  # set before the event is cleared: `is_evaluating` has no gap
            self._wake.clear()
            if self._stop.is_set():
                return
            with suppress(ActSpanError):  # a request for damaged data reports the error
                self._evaluate_missing()
            self._is_busy = False
            self._evaluate_changed()
            if not self._wake.wait(_LATER):
                self._read_for_videos()

    def _evaluate_changed(self) -> None:
        """Evaluate the runs with other settings, most recently used first, until interrupted."""
        with self._changing:
            changed = list(self._changed.values())
        for run in reversed(changed):
            run.evaluate(lambda: self._pauses_to_stop() or self._wake.is_set())

    def _evaluate_missing(self) -> None:
        """Read and evaluate what the list of videos shows."""
        results = [run.result for run in self.runs]
        for result, metrics in zip(results, self.metrics, strict=False):  # one may be added now
            known = (self.reference(name) for name in result if name not in metrics)
            videos = [video for video in known if video is not None and len(video.segments)]
            for first in range(0, len(videos), _TOGETHER):
                if self._pauses_to_stop():
                    return
                part = {video.id: video for video in videos[first : first + _TOGETHER]}
                for name, (auc, missed) in evaluate_each([*part.values()], result).items():
                    if self.reference(name) is part[name]:  # not corrected meanwhile
                        metrics[name] = RunMetrics(auc=auc, missed=missed)
        for name in self.ids:
            if math.isnan(self.video(name).duration) and name not in self._durations:
                if self._pauses_to_stop():
                    return
                self._file_seconds(name)

    def _read_for_videos(self) -> None:
        """Read what the first request for a video of each run needs."""
        for run in self.runs:
            with suppress(ActSpanError):  # as above
                run.warm()

    def _pauses_to_stop(self) -> bool:
        """Pause, so that requests go first; return whether the evaluation must stop."""
        return self._stop.wait(_PAUSE)

    def close(self) -> None:
        """Stop the evaluation, and close the runs."""
        self._stop.set()
        self._wake.set()
        if self._evaluation.ident is not None:
            self._evaluation.join()
        for run in self.runs:
            run.close()

    def unplayable(self) -> str:
        """Return a line if videos are given but no run has one of them, or else "".

        Reads the results; a damaged one raises ResultError.
        """
        if not (self.runs and self.media) or not self.known.isdisjoint(self.media):
            return ""
        return (
            f"no run has results of any of the {counted(len(self.media), 'video')}, so none can be "
            f"played: they are named {listed(self.media)}, and those of the runs {listed(self.ids)}"
        )

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids of the videos that a run has results of.

        If the library was opened without runs, they are those of all known videos.
        """
        names = [video for run in self.runs for video in run.result]
        if not self._first:
            names = [*self.truth, *self.media, *names]
        return tuple(dict.fromkeys(names))

    @cached_property
    def known(self) -> frozenset[str]:
        """Return the same ids, as a set."""
        return frozenset(self.ids)

    def video(self, name: str) -> Video:
        """Return a video, its duration NaN if unknown, or raise ProblemError (404)."""
        if name not in self.known:
            raise ProblemError(404, f"no video {name!r} is served")
        return self.truth.get(name) or Video(name, math.nan)

    def file(self, name: str) -> Path | None:
        """Return the file of a video, or None if there is none."""
        return self.media.get(name) or self.uploads.get(name)

    def seconds(self, name: str) -> float:
        """Return a video's duration, or the end of its curves or proposals; NaN if unknown."""
        length = self.length(name)
        if not math.isnan(length):
            return length
        ends = [run.proposals(name).proposals.end for run in self.runs]
        return max((float(end.max()) for end in ends if len(end)), default=math.nan)

    def length(self, name: str) -> float:
        """Return the longest of what a video's ground truth, file and curves last; NaN if none."""
        known = [self.video(name).duration, self._file_seconds(name)]
        known += [run.span(name) or math.nan for run in self.runs]
        return max((x for x in known if not math.isnan(x)), default=math.nan)

    def _file_seconds(self, name: str) -> float:
        """Return the duration of a video's file; NaN if none can be read."""
        path = self.file(name)
        if path is None or self._probe is None:
            return math.nan
        if name not in self._durations:
            try:
                self._durations[name] = self._probe(path)
            except ActSpanError:  # the page reports it where it shows the pictures
                self._durations[name] = math.nan
            except ProblemError:  # too many requests wait
                return math.nan
        return self._durations[name]

    def run(self, number: int) -> BrowsedRun:
        """Return a run by its index, or raise ProblemError (404)."""
        check_index("run", number, len(self.runs))
        return self.runs[number]

    def known_seconds(self, video: Video) -> float | None:
        """Return a duration that is known without opening a file."""
        seconds = video.duration
        if math.isnan(seconds):
            seconds = self._durations.get(video.id, math.nan)
        return None if math.isnan(seconds) else seconds
