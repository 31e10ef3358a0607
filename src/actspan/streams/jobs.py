"""Open videos for a job, report what is wrong with them, and count seconds of video."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from actspan.core.errors import VideoError
from actspan.core.problems import Problem, Skipped
from actspan.streams.decode import VideoFile
from actspan.streams.extractor import Part

Report = Callable[[str, int, int], None]  # (unit, seconds of video done, total seconds)


def probe_videos(
    paths: Mapping[str, Path], report: Report | None
) -> tuple[dict[str, float], list[Problem]]:
    """Open every video; return the announced lengths, seconds, and the problems of the others.

    Raises
    ------
    MissingExtraError
        PyAV is not installed.
    """
    lengths, problems = {}, []
    for done, (name, path) in enumerate(paths.items(), start=1):
        try:
            with VideoFile(path) as video:
                lengths[name] = video.announced or 0.0
        except VideoError as error:
            problems.append(video_problem(name, path, error))
        if report:
            report("opening", done, len(paths))
    return lengths, problems


def video_problem(name: str, path: Path, error: VideoError) -> Problem:
    """Return the problem of a video that cannot be used."""
    what = str(error).removeprefix(f"{path}: ")
    return Problem(name, str(path), what, error.remedy)


class Progress:
    """Progress of a job, in seconds of video."""

    def __init__(self, report: Report | None, whole: float) -> None:
        self._report, self._whole = report, whole
        self._before = 0.0

    def show(self, part: Part) -> None:
        """Report the progress of a part."""
        if self._report:
            done = self._before + part.seconds
            self._report("seconds of video", round(done), round(max(self._whole, done)))
        if part.ending is not None:
            self._before += part.seconds

    def finish(self, seconds: float) -> None:
        """Report a whole video that was processed elsewhere."""
        self._before += seconds
        if self._report:
            self._report("seconds of video", round(self._before), round(self._whole))


def shortfall(name: str, path: str, note: str) -> Problem:
    """Return the problem of a video that is partly missing or damaged."""
    return Problem(name, path, note, "none needed, if what is left will do", Skipped.NOTHING)
