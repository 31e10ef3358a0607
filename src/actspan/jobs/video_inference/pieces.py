"""Conversion of a video's snippets, as they arrive, to the inputs of the networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np

from actspan.config.stages import PipelineConfig
from actspan.core.errors import VideoError
from actspan.core.problems import Problem
from actspan.core.types import Features, Float32
from actspan.data.recording import Window
from actspan.jobs.video_inference.windows import WindowCutter
from actspan.pipeline.outcomes import Piece
from actspan.pipeline.steps import cells
from actspan.streams.extraction import VideoProgress
from actspan.streams.snippet_features import Ending, Part
from actspan.streams.video_lists import shortfall_note, video_problem


class VideoPieces:
    """Maker of network inputs from videos in sequence: windows, or each video as a whole.

    Parameters
    ----------
    names : mapping of Path to str
        The videos and their ids.
    config : PipelineConfig
    progress : VideoProgress

    Attributes
    ----------
    endings : mapping of video id to Ending
        Endings of the completed videos.
    problems : list of Problem
        Videos that broke off, and notes.
    """

    def __init__(
        self, names: Mapping[Path, str], config: PipelineConfig, progress: VideoProgress
    ) -> None:
        self._names, self._progress = names, progress
        self._cut = _windows if config.mode == "window" else _whole
        self._cells = cells(config)
        self.endings: dict[str, Ending] = {}
        self.problems: list[Problem] = []

    def of(self, parts: Iterable[Part]) -> Iterator[Piece]:
        """Yield the pieces of all videos, as they become complete."""
        for path, own in groupby(map(self._seen, parts), key=lambda part: part.path):
            name = self._names[path]
            for features, window in self._cut(own, self._cells):
                yield Piece(name, _loaded(features), window)

    def _seen(self, part: Part) -> Part:
        """Record the progress, ending and problems of a part, and return it."""
        self._progress.show(part)
        name, path = self._names[part.path], part.path
        if isinstance(part.ending, VideoError):
            self.problems.append(video_problem(name, path, part.ending))
        elif part.ending is not None:
            self.endings[name] = part.ending
            if part.ending.note:
                self.problems.append(shortfall_note(name, str(path), part.ending.note))
        return part


def _loaded(features: Features) -> Callable[[], Features]:
    return lambda: features


def _whole(parts: Iterable[Part], length: int) -> Iterator[tuple[Features, None]]:
    """Yield the whole video, or nothing if it broke off."""
    parts = list(parts)
    if not isinstance(parts[-1].ending, VideoError):
        rows = np.concatenate([part.rows for part in parts])
        yield _features(rows, parts[-1].stride), None


def _windows(parts: Iterable[Part], length: int) -> Iterator[tuple[Features, Window]]:
    """Yield the windows of a video as soon as they are known, or nothing if it broke off."""
    cutter, stride = WindowCutter(length), 0.0
    for part in parts:
        stride = part.stride
        for window, rows in cutter.feed(part.rows):
            yield _features(rows, stride), window
        if isinstance(part.ending, VideoError):
            return  # no frame of this video could be decoded, so no window was yielded
    window, rows = cutter.finish()
    yield _features(rows, stride), window


def _features(rows: Float32, stride: float) -> Features:
    return Features(rows, stride, length=stride)  # the length of snippets is not used later
