"""Runs with other settings of Soft-NMS, for the list of videos."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final, NamedTuple

import numpy as np
from pydantic import AfterValidator, BaseModel, Field

from actspan.config.stages import SoftNmsConfig
from actspan.core.errors import ActSpanError
from actspan.core.segments import Proposals
from actspan.core.types import Float64, Video
from actspan.evaluation.recall import evaluate_video
from actspan.server.browsed_run import BrowsedRun
from actspan.server.error_responses import ProblemError

SHOWN: Final = 20  # best proposals of a video that the list shows and compares, at most
_SAME = 6  # digits of seconds up to which two times are the same
_SETTING = re.compile(r"(\d{1,2}):([\d.e+-]+),([\d.e+-]+),([\d.e+-]+),(\d{1,4})")


class RunMetrics(BaseModel):
    """Evaluation of a run on one video."""

    auc: float = Field(description="Percent.")
    missed: int = Field(description="Instances that no proposal reaches at the lowest tIoU.")
    own: int = Field(0, description="Corrected instances that are proposals of this very run.")


def edges_of(start: Float64, end: Float64) -> set[tuple[float, ...]]:
    """Return start and end of segments, (N,) each, rounded so that the same ones are equal."""
    return set(map(tuple, np.column_stack([start, end]).round(_SAME).tolist()))


class VideoResult(NamedTuple):
    """Result of a run on one video, as the list of videos needs it.

    `best` are the `SHOWN` best proposals or more, seconds, best first. `metrics` are None for a
    video without instances, and before the evaluation.
    """

    proposals: int
    best: Proposals
    metrics: RunMetrics | None

    @property
    def score(self) -> float | None:
        """Return the best score, or None without proposals."""
        return float(self.best.score[0]) if len(self.best) else None


class Setting(NamedTuple):
    """Settings of Soft-NMS for one run, by its index."""

    run: int
    threshold_short: float
    threshold_long: float
    decay: float
    keep: int

    @classmethod
    def parse(cls, text: str) -> Setting:
        """Return the settings of a text RUN:SHORT,LONG,DECAY,KEEP; raise ValueError for others.

        Examples
        --------
        >>> Setting.parse("0:0.65,0.9,0.75,100").decay
        0.75
        """
        found = _SETTING.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r}: RUN:SHORT,LONG,DECAY,KEEP is needed, as 0:0.65,0.9,0.75,9")
        run, short, long, decay, keep = found.groups()
        setting = cls(int(run), float(short), float(long), float(decay), int(keep))
        thresholds = (setting.threshold_short, setting.threshold_long)
        if not all(0 <= x <= 1 for x in thresholds):
            raise ValueError(f"{text!r}: the tIoU thresholds must be from 0 to 1")
        if not (0 < setting.decay <= 100 and 1 <= setting.keep <= 2000):
            raise ValueError(f"{text!r}: decay must be up to 100, and keep from 1 to 2000")
        return setting

    def config(self, run: BrowsedRun) -> SoftNmsConfig:
        """Return the settings for the pipeline, with as many more picks as the run has."""
        of_run = run.config.soft_nms
        return SoftNmsConfig(
            threshold_short=self.threshold_short,
            threshold_long=self.threshold_long,
            decay=self.decay,
            keep=self.keep,
            picks=self.keep + max(of_run.picks - of_run.keep, 0),
        )


def _check_setting(text: str) -> str:
    Setting.parse(text)
    return text


SettingText = Annotated[str, AfterValidator(_check_setting)]  # of a query


class ChangedRun:
    """Run with other settings of Soft-NMS: its result and metrics of every video.

    `reference` returns a video with the instances to compare with, or None; once it returns another
    one, the metrics are computed again. `own` counts the
    corrected instances of a video that are among proposals. Raises ProblemError (409) if the run
    kept no candidates.
    """

    def __init__(
        self,
        run: BrowsedRun,
        setting: Setting,
        reference: Callable[[str], Video | None],
        own: Callable[[Video, Proposals], int] = lambda video, proposals: 0,
    ) -> None:
        if not run.can_suppress:
            raise ProblemError(409, f"{run.name}: no candidates are stored")
        self._run, self._config = run, setting.config(run)
        self._reference, self._own = reference, own
        self._results: dict[str, tuple[Video | None, VideoResult]] = {}  # with their references
        self._failed = False

    @property
    def is_complete(self) -> bool:
        """Return True if the results of all videos are known, or cannot be computed."""
        return self._failed or all(self.known(name) is not None for name in self._run.result)

    def evaluate(self, interrupted: Callable[[], bool]) -> None:
        """Compute the results that are missing, until interrupted."""
        try:
            for name in self._run.result:
                if self.known(name) is None:
                    if interrupted():
                        return
                    self.result(name)
        except ActSpanError:  # a request for damaged data reports the error
            self._failed = True

    def known(self, name: str) -> VideoResult | None:
        """Return the result of a video, or None if it is not computed yet."""
        reference, result = self._results.get(name, (None, None))
        return result if reference is self._reference(name) else None

    def metrics(self, name: str) -> RunMetrics | None:
        """Return the metrics of a video, or None without instances, or if not computed yet."""
        result = self.known(name)
        return None if result is None else result.metrics

    def result(self, name: str) -> VideoResult:
        """Return the result of a video; it is computed if it is not known yet."""
        result = self.known(name)
        if result is None:
            reference = self._reference(name)
            result = self._compute(name, reference)
            self._results[name] = (reference, result)
        return result

    def _compute(self, name: str, reference: Video | None) -> VideoResult:
        try:
            proposals = self._run.suppressed(name, self._config).proposals
        except ProblemError:  # this video has no candidates: its proposals stay as they are
            proposals = self._run.proposals(name).proposals
        metrics = None
        if name in self._run.result and reference is not None and len(reference.segments):
            auc, missed = evaluate_video(reference, proposals)
            own = self._own(reference, proposals)
            metrics = RunMetrics(auc=auc, missed=missed, own=own)
        best = proposals[np.arange(min(len(proposals), SHOWN))]  # a copy: the others are freed
        return VideoResult(len(proposals), best, metrics)
