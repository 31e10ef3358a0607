"""Evaluation of every video, computed in the background while the viewer is in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread

from actspan.core.errors import ActSpanError
from actspan.core.types import Video
from actspan.evaluation.recall import evaluate_video
from actspan.server.browse.runs import BrowsedRun

_PAUSE = 0.001  # seconds after each video, so that requests go first


@dataclass(frozen=True, slots=True)
class Figures:
    """Evaluation of a run on one video.

    Attributes
    ----------
    auc : float
        Percent, from `evaluate_video`.
    missed : int
        Number of instances that no proposal reaches at the lowest threshold.
    """

    auc: float
    missed: int


class Judge:
    """Thread that reads all runs, then evaluates all their videos once."""

    def __init__(self, runs: Sequence[BrowsedRun], truth: Mapping[str, Video]) -> None:
        self._runs, self._truth = runs, truth
        self._figures: list[dict[str, Figures]] = [{} for _ in runs]
        self._stop = Event()
        self._thread = Thread(target=self._work, name="judge", daemon=True)

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
    def busy(self) -> bool:
        """Whether some figures are still to be computed."""
        return self._thread.is_alive()

    def figures(self, run: int, video: str) -> Figures | None:
        """Return the figures of one video, or None without instances or before its evaluation."""
        return self._figures[run].get(video)

    def _work(self) -> None:
        with suppress(ActSpanError):  # a request for damaged data reports the error
            self._judge_all()

    def _judge_all(self) -> None:
        for run in self._runs:
            run.warm()
        for run, figures in zip(self._runs, self._figures, strict=True):
            result = run.result
            for name in result:
                if self._stop.wait(_PAUSE):
                    return
                video = self._truth.get(name)
                if video is not None and len(video.segments):
                    figures[name] = Figures(*evaluate_video(video, result[name]))
