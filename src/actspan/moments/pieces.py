"""From a video's snippets, as they come, to what the networks see at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np

from actspan.config import PipelineConfig
from actspan.data.problems import Problem
from actspan.data.windows import Window
from actspan.errors import VideoError
from actspan.moments.windows import WindowCutter
from actspan.pipeline import Piece
from actspan.pipeline.steps import cells
from actspan.types import Features, Float32
from actspan.video import Ending, Part
from actspan.video.jobs import Progress, shortfall, video_problem


class VideoPieces:
    """Makes pieces of videos that pass one after another: windows, or each video as a whole.

    Parameters
    ----------
    names : mapping of Path to str
        The videos and their ids.
    config : PipelineConfig
    progress : Progress

    Attributes
    ----------
    endings : mapping of video id to Ending
        Of the videos that are through.
    problems : list of Problem
        Videos that broke off, and notes.
    """

    def __init__(
        self, names: Mapping[Path, str], config: PipelineConfig, progress: Progress
    ) -> None:
        self._names, self._progress = names, progress
        self._cut = _windows if config.mode == "window" else _whole
        self._cells = cells(config)
        self.endings: dict[str, Ending] = {}
        self.problems: list[Problem] = []

    def of(self, parts: Iterable[Part]) -> Iterator[Piece]:
        """The pieces of all videos, as they become complete."""
        for path, own in groupby(map(self._seen, parts), key=lambda part: part.path):
            name = self._names[path]
            for features, window in self._cut(own, self._cells):
                yield Piece(name, _loaded(features), window)

    def _seen(self, part: Part) -> Part:
        """Take note of a part that passes."""
        self._progress.show(part)
        name, path = self._names[part.path], part.path
        if isinstance(part.ending, VideoError):
            self.problems.append(video_problem(name, path, part.ending))
        elif part.ending is not None:
            self.endings[name] = part.ending
            if part.ending.note:
                self.problems.append(shortfall(name, str(path), part.ending.note))
        return part


def _loaded(features: Features) -> Callable[[], Features]:
    return lambda: features


def _whole(parts: Iterable[Part], length: int) -> Iterator[tuple[Features, None]]:
    """All of a video; nothing of one that broke off."""
    parts = list(parts)
    if not isinstance(parts[-1].ending, VideoError):
        rows = np.concatenate([part.rows for part in parts])
        yield _features(rows, parts[-1].stride), None


def _windows(parts: Iterable[Part], length: int) -> Iterator[tuple[Features, Window]]:
    """The windows of a video, each as soon as it is known; nothing of one that broke off."""
    cutter, stride = WindowCutter(length), 0.0
    for part in parts:
        stride = part.stride
        for window, rows in cutter.feed(part.rows):
            yield _features(rows, stride), window
        if isinstance(part.ending, VideoError):
            return  # of which not one frame could be decoded, so that no window has passed
    window, rows = cutter.finish()
    yield _features(rows, stride), window


def _features(rows: Float32, stride: float) -> Features:
    return Features(rows, stride, length=stride)  # how long snippets are is not looked at again
