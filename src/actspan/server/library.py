"""Runs, ground truth, corrections and videos by id, and their evaluation in the background.

Names from requests are looked up, never used as paths.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from threading import Event, Lock, Thread

from actspan.core.errors import ActSpanError, AnnotationError
from actspan.core.files import machine_error
from actspan.core.segments import Proposals
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.formats import read_annotations
from actspan.evaluation.paired import evaluate_each
from actspan.report.contents import name_runs
from actspan.server.browsed_run import BrowsedRun
from actspan.server.changed_runs import ChangedRun, RunMetrics, Setting, edges_of
from actspan.server.error_responses import ProblemError
from actspan.server.media import FileLength
from actspan.server.zoom_levels import check_index
from actspan.streams.video_lists import find_videos

log = logging.getLogger("actspan.server")
_PAUSE = 0.001  # seconds after each part of the evaluation, so that requests go first
_LATER = 1.0  # seconds after the evaluation, so that the first page goes first
_TOGETHER = 200  # videos that are evaluated together
_NONE = Proposals.empty("seconds")
_UNKNOWN = FileLength(math.nan, math.nan)
_CHANGED = 8  # runs with other settings of Soft-NMS that stay in memory


class Library:
    """Everything that the viewer can show.

    Opening reads a few small files. Results are read at the first access, or by `warm`. There are
    at most 7 runs; the viewer sorts by the first. Ground truth is the annotations that the runs
    were made from, unless given; `videos` is a folder of videos, or a dataset folder. `probe`
    returns the length of a video file, or raises DataError. Raises ActSpanError if a run is given
    twice, there are too many, or a file is missing or damaged.
    """

    def __init__(
        self,
        runs: Sequence[Path] = (),
        ground_truth: Path | None = None,
        videos: Path | None = None,
        probe: Callable[[Path], FileLength] | None = None,
    ) -> None:
        names = name_runs(runs) if runs else []
        self.runs: tuple[BrowsedRun, ...] = tuple(map(BrowsedRun, names, runs))
        self._first = len(self.runs)  # runs that say which videos are shown
        self.media: dict[str, Path] = {}
        self._folder = videos.resolve() if videos is not None else Path()
        self._outside: list[str] = []  # videos that are links to files elsewhere
        if videos is not None:
            found = find_videos([str(videos)]).files
            self.media = {name: path for name, path in found.items() if self._is_inside(path)}
            self._outside = [name for name in found if name not in self.media]
        self.uploads: dict[str, Path] = {}  # files of videos that were uploaded and kept
        self.truth: dict[str, Video] = {}
        self._corrected: dict[str, Video] = {}
        self._probe = probe
        self._lengths: dict[str, FileLength] = {}  # of video files
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
                    own = partial(self.own, setting.run)
                    changed = ChangedRun(self.run(setting.run), setting, self.reference, own)
                    self.warm()
                found[setting.run] = self._changed[setting] = changed
            while len(self._changed) > _CHANGED:
                del self._changed[next(iter(self._changed))]
        return found

    def reference(self, name: str) -> Video | None:
        """Return a video as corrected, or else as in the ground truth, or None."""
        return self._corrected.get(name) or self.truth.get(name)

    def own(self, number: int, video: Video, proposals: Proposals) -> int:
        """Count the corrected instances of a video that are proposals of a run as they are.

        Those that an earlier run has as well count for that one: they were accepted there.
        """
        if video.id not in self._corrected:
            return 0
        own = edges_of(proposals.start, proposals.end)
        for run in self.runs[:number]:
            earlier = run.result.get(video.id, _NONE)
            own -= edges_of(earlier.start, earlier.end)
        return len(edges_of(*video.segments.T) & own)

    def _evaluate(self) -> None:
        while True:
            self._wake.wait()
            self._is_busy = True  # set before the event is cleared: `is_evaluating` has no gap
            self._wake.clear()
            if self._stop.is_set():
                return
            self._attempt(self._evaluate_missing)
            self._is_busy = False
            self._attempt(self._evaluate_changed)
            if not self._wake.wait(_LATER):
                for run in self.runs:  # what the first request for a video needs
                    self._attempt(run.warm)

    @staticmethod
    def _attempt(part: Callable[[], object]) -> None:
        """Run a part of the evaluation; a request for the same data reports its error."""
        try:
            part()
        except (ActSpanError, ProblemError):
            return
        except Exception:  # the next part, or the same one for other data, may succeed
            log.exception("the evaluation failed")

    def _evaluate_changed(self) -> None:
        """Evaluate the runs with other settings, most recently used first, until interrupted."""
        with self._changing:
            changed = list(self._changed.values())
        for run in reversed(changed):
            run.evaluate(lambda: self._pauses_to_stop() or self._wake.is_set())

    def _evaluate_missing(self) -> None:
        """Read and evaluate what the list of videos shows."""
        results = [run.result for run in self.runs]
        pairs = zip(results, self.metrics, strict=False)  # one may be added now
        for number, (result, metrics) in enumerate(pairs):
            known = (self.reference(name) for name in result if name not in metrics)
            videos = [video for video in known if video is not None and len(video.segments)]
            for first in range(0, len(videos), _TOGETHER):
                if self._pauses_to_stop():
                    return
                part = {video.id: video for video in videos[first : first + _TOGETHER]}
                for name, (auc, missed) in evaluate_each([*part.values()], result).items():
                    if self.reference(name) is part[name]:  # not corrected meanwhile
                        own = self.own(number, part[name], result.get(name, _NONE))
                        metrics[name] = RunMetrics(auc=auc, missed=missed, own=own)
        for name in self.ids:
            if self.file(name) is not None and name not in self._lengths:
                if self._pauses_to_stop():
                    return
                self.length(name)

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

    def _is_inside(self, path: Path) -> bool:
        """Return whether a file is in the folder of the videos, and no link to another place."""
        return path.resolve().is_relative_to(self._folder)

    def linked(self) -> str:
        """Return a line if videos are links to other places, and so not served, or else ""."""
        if not self._outside:
            return ""
        links = counted(len(self._outside), "link")
        return (
            f"{links} to files outside this folder not served: {listed(self._outside)}; "
            "copy the files here, or serve the folder that contains them"
        )

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

    def readable(self, name: str) -> Path | None:
        """Return the file of a video to read now, or None if there is none.

        A file that someone replaced by a link to another place is not read.
        """
        path = self.file(name)
        if path is None or not path.is_file():
            return None
        return path if name in self.uploads or self._is_inside(path) else None

    def seconds(self, name: str) -> float:
        """Return the duration of a video's file; without one, that of the annotations.

        It is otherwise the end of the curves or proposals; NaN if nothing is known.
        """
        for known in (self.length(name).seconds, self.video(name).duration):
            if not math.isnan(known):
                return known
        if spans := [span for run in self.runs if (span := run.span(name))]:
            return max(spans)
        ends = [run.proposals(name).proposals.end for run in self.runs]
        return max((float(end.max()) for end in ends if len(end)), default=math.nan)

    def last_end(self, name: str) -> float:
        """Return the longest of what a video's file, annotations and curves last; NaN if none."""
        known = [self.length(name).seconds, self.video(name).duration]
        known += [run.span(name) or math.nan for run in self.runs]
        return max((x for x in known if not math.isnan(x)), default=math.nan)

    def length(self, name: str) -> FileLength:
        """Return the length of a video's file; NaN if there is none, or it is damaged."""
        path = self.file(name)
        if path is None or self._probe is None:
            return _UNKNOWN
        if name not in self._lengths:
            try:
                self._lengths[name] = self._probe(path)
            except ActSpanError as error:
                if machine_error(error) is not None:  # the next request tries again
                    return _UNKNOWN
                self._lengths[name] = _UNKNOWN._replace(fault=str(error))
            except OSError as error:  # whose text would show the folder
                fault = f"{path.name}: {error.strerror}"
                self._lengths[name] = _UNKNOWN._replace(fault=fault)
            except ProblemError:  # too many requests wait
                return _UNKNOWN
        return self._lengths[name]

    def unproposed(self) -> list[str]:
        """Return the listed videos that no run has, though their files can be read."""
        if not self.runs:
            return []
        proposed = {video for run in self.runs for video in run.result}
        missing = (name for name in self.ids if name in self.media and name not in proposed)
        return [name for name in missing if not self.length(name).fault]

    def run(self, number: int) -> BrowsedRun:
        """Return a run by its index, or raise ProblemError (404)."""
        check_index("run", number, len(self.runs))
        return self.runs[number]

    def known_length(self, video: Video) -> FileLength:
        """Return the length that is known without opening a file; else that of annotations."""
        known = self._lengths.get(video.id, _UNKNOWN)
        return known._replace(seconds=video.duration) if math.isnan(known.seconds) else known
