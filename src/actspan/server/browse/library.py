"""Runs, ground truth and videos by id. Names from requests are looked up, never used as paths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from actspan.core.errors import AnnotationError, ConfigError, ResultError
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.formats import read_annotations
from actspan.report.contents import name_runs
from actspan.server.browse.judging import Judge
from actspan.server.browse.runs import BrowsedRun
from actspan.streams.sources import find_videos


class Library:
    """Everything that the viewer can show.

    Opening reads a few small files. Results are read at the first access, or by `warm`.

    Parameters
    ----------
    runs : sequence of Path
        Run folders or result files, at most 7; the viewer sorts by the first.
    ground_truth : Path, optional
        Annotations; those that the runs were made from unless given.
    videos : Path, optional
        A folder of videos, or a dataset folder.

    Raises
    ------
    ConfigError
        A run is given twice, or there are too many.
    ResultError, AnnotationError, VideoError
        A file is missing or damaged.
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
        self.judge = Judge(self.runs, self.truth)

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
        self.judge.start()

    def unplayable(self) -> str:
        """Return a line if videos are given but none is of a run, or else "". Reads results.

        Raises
        ------
        ResultError
            A result is damaged.
        """
        if not (self.runs and self.media) or not self._known.isdisjoint(self.media):
            return ""
        return (
            f"none of the {counted(len(self.media), 'video')} is of a run, so none is played: "
            f"they are named {listed(self.media)}, and those of the runs {listed(self.ids)}"
        )

    def close(self) -> None:
        """Stop the evaluation, and close the runs."""
        self.judge.stop()
        for run in self.runs:
            run.close()

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids of the videos that a run has results of; without runs, of all known videos."""
        named: Iterable[str] = (video for run in self.runs for video in run.result)
        if not self.runs:
            named = [*self.truth, *self.media]
        return tuple(dict.fromkeys(named))

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.ids)

    def video(self, name: str) -> Video:
        """Return the known facts of a video; its duration may be NaN.

        Raises
        ------
        ResultError
            There is no video with this id.
        """
        if name not in self._known:
            raise ResultError(f"no video {name!r} in what is served")
        return self.truth.get(name) or Video(name, math.nan)

    def seconds(self, name: str) -> float:
        """Return a video's duration, or the end of its curves or proposals; NaN if unknown."""
        known = [self.video(name).duration, *(run.span(name) or math.nan for run in self.runs)]
        lasts = [x for x in known if not math.isnan(x)]
        if lasts:
            return max(lasts)
        ends = [run.found(name).proposals.end for run in self.runs]
        return max((float(end.max()) for end in ends if len(end)), default=math.nan)

    def run(self, number: int) -> BrowsedRun:
        """Return a run by its index.

        Raises
        ------
        ConfigError
            There is no run with this index.
        """
        if not 0 <= number < len(self.runs):
            raise ConfigError(
                f"no run {number}: {counted(len(self.runs), 'run')} served, counted from 0"
            )
        return self.runs[number]
