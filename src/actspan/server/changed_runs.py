"""Runs with other settings of Soft-NMS, as the list of videos shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from threading import Event, Thread
from typing import Final, NamedTuple

from pydantic import BaseModel, Field

from actspan.config.stages import SoftNmsConfig
from actspan.core.errors import ActSpanError
from actspan.core.types import Proposals, Video
from actspan.evaluation.recall import evaluate_video
from actspan.server.browsed_run import BrowsedRun
from actspan.server.error_responses import ProblemError

PAUSE: Final = 0.001  # seconds after each evaluation, so that requests go first
_SETTING = re.compile(r"(\d{1,2}):([\d.e+-]+),([\d.e+-]+),([\d.e+-]+),(\d{1,4})")


class RunMetrics(BaseModel):
    """Evaluation of a run on one video."""

    auc: float = Field(description="Percent.")
    missed: int = Field(description="Instances that no proposal reaches at the lowest tIoU.")


class ListedRun(BaseModel):
    """Result of one run on a video."""

    proposals: int = Field(description="Number of proposals.")
    score: float | None = Field(description="Best score.")
    metrics: RunMetrics | None = Field(
        description="Null without instances, and before the evaluation."
    )


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


def listed_run(proposals: Proposals, video: Video | None) -> ListedRun:
    """Return the figures of a run's proposals for a video, evaluated if it has instances."""
    metrics = None
    if video is not None and len(video.segments):
        auc, missed = evaluate_video(video, proposals)
        metrics = RunMetrics(auc=auc, missed=missed)
    best = float(proposals.score.max()) if len(proposals) else None
    return ListedRun(proposals=len(proposals), score=best, metrics=metrics)


class ChangedRun:
    """Run with other settings of Soft-NMS: figures per video, computed in the background.

    Raises ProblemError (409) if the run kept no candidates.
    """

    def __init__(self, run: BrowsedRun, setting: Setting, truth: Mapping[str, Video]) -> None:
        if not run.can_suppress:
            raise ProblemError(409, f"{run.name}: no candidates are stored")
        self._run, self._config, self._truth = run, setting.config(run), truth
        self._rows: dict[str, ListedRun] = {}
        self._stop = Event()
        self._filling = Thread(target=self._fill, name="changed run", daemon=True)
        self._filling.start()

    @property
    def is_complete(self) -> bool:
        """Whether the figures of all videos are known."""
        return not self._filling.is_alive()

    def close(self) -> None:
        """Stop the computation."""
        self._stop.set()

    def row(self, name: str) -> ListedRun:
        """Return the figures of a video; they are computed if they are not known yet."""
        if name not in self._rows:
            try:
                proposals = self._run.suppressed(name, self._config).proposals
            except ProblemError:  # this video has no candidates: its proposals stay as they are
                proposals = self._run.proposals(name).proposals
            self._rows[name] = listed_run(proposals, self._truth.get(name))
        return self._rows[name]

    def known_row(self, name: str) -> ListedRun | None:
        """Return the figures of a video, or None if they are not known yet."""
        return self._rows.get(name)

    def _fill(self) -> None:
        with suppress(ActSpanError):  # a request for damaged data reports the error
            for name in self._run.result:
                if self._stop.wait(PAUSE):
                    return
                self.row(name)
