"""Figures of every video, computed in the background while people look already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread

from actspan.errors import ActSpanError
from actspan.evaluation.single import judge_video
from actspan.server.browse.runs import BrowsedRun
from actspan.types import Video

_PAUSE = 0.001  # seconds after each video: requests go first


@dataclass(frozen=True, slots=True)
class Figures:
    """How well a run serves a video.

    Attributes
    ----------
    auc : float
        Percent, as `judge_video`.
    missed : int
        Instances that no proposal reaches at the lowest threshold.
    """

    auc: float
    missed: int


class Judge:
    """Reads all runs, then judges all videos of theirs, once, on a thread of its own."""

    def __init__(self, runs: Sequence[BrowsedRun], truth: Mapping[str, Video]) -> None:
        self._runs, self._truth = runs, truth
        self._figures: list[dict[str, Figures]] = [{} for _ in runs]
        self._stop = Event()
        self._thread = Thread(target=self._work, name="judge", daemon=True)

    def start(self) -> None:
        """Begin; a second call does nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """End early."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def busy(self) -> bool:
        """Whether figures are still missing that will come."""
        return self._thread.is_alive()

    def figures(self, run: int, video: str) -> Figures | None:
        """Of one video; None without instances, or where it was not judged yet."""
        return self._figures[run].get(video)

    def _work(self) -> None:
        with suppress(ActSpanError):  # whoever asks for what is damaged is told
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
                    figures[name] = Figures(*judge_video(video, result[name]))
