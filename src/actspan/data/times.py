"""Times of annotations in another unit than seconds: detection, refusal, conversion."""

from __future__ import annotations

import shlex
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from actspan.config.stages import Unit
from actspan.core.errors import AnnotationError
from actspan.core.types import Float64, Video
from actspan.core.wording import counted, rounded
from actspan.data.annotations.formats import DATASET_JSON, find_annotations
from actspan.data.videos import Videos, allowed_ends, ends_of

_SMALLEST_FACTOR = 4.0  # if times are closer to seconds, durations are wrong
_LARGEST_FRAME_RATE = 130.0  # frames per second; larger factors are milliseconds
# the share of its video that at least one of this many instances reaches if the frame rate is right
_SHORT_REACH, _ENOUGH = 0.6, 5
_RATE = "RATE"  # stands for an unknown rate


class WrongUnit(NamedTuple):
    """Times that cannot be seconds: the evidence, and the options to convert them."""

    what: str
    options: str  # of `actspan annotate convert`


def wrong_unit(
    videos: Videos, latest: Float64, of: str = "video", fps: float | None = None
) -> WrongUnit | None:
    """Return the unit that times seem to have, or None if they can be seconds.

    `latest` (V,) is the end of each video in seconds, NaN if unknown; `of` names what ends there,
    for messages; `fps` is the frame rate of videos that do not give their own.
    """
    end = videos.segments[:, 1]
    late = far_beyond(end, np.repeat(latest, videos.counts))
    if late is None:
        return None
    beyond, factor = late
    name = "frames" if factor < _LARGEST_FRAME_RATE else "milliseconds"
    what = (
        f"times look like {name}: {beyond:,} of {counted(len(end), 'instance')} end after their "
        f"{of}, at up to {rounded(factor)} times their length"
    )
    options = f"--times {name}"
    if name == "frames" and not all(video.fps or video.frames for video in videos):
        options += frame_rate_option(videos, fps)
    return WrongUnit(what, options)


def far_beyond(end: Float64, latest: Float64) -> tuple[int, float] | None:
    """Return how many instances end after their video, and at how many times its length at most.

    Return None if most do not, or only slightly. Both are (M,) float64, the end of each instance
    and of its video; unknown if not finite, or 0 s.
    """
    known = np.isfinite(latest) & np.isfinite(end) & (latest > 0)
    end, latest = end[known], latest[known]
    beyond = int((end > allowed_ends(latest)).sum())
    if not 2 * beyond > len(end):
        return None
    factor = float((end / latest).max())
    return None if factor < _SMALLEST_FACTOR else (beyond, factor)


def require_seconds(
    videos: Videos,
    path: Path,
    latest: Float64 | None = None,
    *,
    of: str = "video",
    fps: float | None = None,
    otherwise: str = "",
) -> None:
    """Raise AnnotationError, which has the command to convert, if most times are not seconds.

    `path` is their file, or the dataset folder that contains it; `latest` are the durations by
    default; `otherwise` is another possible cause, for cases that are not clear. See `wrong_unit`.
    """
    unit = wrong_unit(videos, videos.durations if latest is None else latest, of, fps)
    if unit is not None:
        either = f"; or {otherwise}, if times are seconds" if otherwise else ""
        raise AnnotationError(
            f"{annotation_file(path)}: {unit.what}: {conversion(path, unit.options)}{either}"
        )


def annotation_file(path: Path) -> Path:
    """Return the annotation file of a dataset folder, or the path itself if it is a file."""
    return (find_annotations(path) if path.is_dir() else path) or path


def frame_rate_option(videos: Videos, fps: float | None) -> str:
    """Return the option that gives `actspan annotate convert` a frame rate, or ""."""
    if np.isfinite(videos.numbers["fps"]).all():
        return ""
    return f" --fps {_RATE if fps is None else f'{fps:g}'}"


def conversion(path: Path, options: str) -> str:
    """Return advice to convert times to seconds: a command that writes a new file.

    `path` is their file, or the dataset folder that contains it.
    """
    source = annotation_file(path)
    target = source.with_name(f"{source.stem}-seconds.json")
    if path.is_dir() and source != path / DATASET_JSON:
        target = path / DATASET_JSON  # takes precedence over other annotation files
    command = f"actspan annotate convert {shlex.join((str(source), str(target)))} {options}"
    rate = " (RATE: frames a second of the videos)" if _RATE in options.split() else ""
    place = f", then use {target.name} instead of {source.name}"
    return f"convert them: {command}{rate}{place}, and keep the original"


def in_seconds(
    videos: Videos, times: Unit, fps: float | None, path: Path, *, with_durations: bool = True
) -> tuple[Videos, tuple[str, ...]]:
    """Return the videos with times converted from another unit to seconds, and notes.

    Durations are assumed to be in the same unit if the instances fill them.

    `fps` is the frame rate of videos that give neither their own nor frames and duration;
    `with_durations` says whether durations may also be in that unit. Raises AnnotationError if a
    frame rate is unknown, or frames are fractions and can be seconds.
    """
    if times == "seconds":
        return videos, ()
    notes = _fractions(videos, path) if times == "frames" else ()
    same = with_durations and _fills(videos)
    done = Videos(_convert_video(video, times, fps, path, same) for video in videos)
    what = "times and durations" if same else "times"
    if times == "frames" and not same and fps is not None:
        notes += _short_reach(done, fps)
    return done, (f"{what} were {times}, and are seconds now", *notes)


def _fractions(videos: Videos, path: Path) -> tuple[str, ...]:
    """Return a note about frames that are mostly fractions; refuse them if they can be seconds.

    Without durations nothing shows that they can.
    """
    fractions = videos.segments % 1 != 0
    if not 2 * int(fractions.sum()) > fractions.size or wrong_unit(videos, videos.durations):
        return ()
    doubt = "times are fractions, and frames are whole numbers: are they seconds already?"
    if np.isfinite(videos.durations).any():
        raise AnnotationError(f"{path}: {doubt} leave out --times frames")
    return (doubt,)


def _short_reach(videos: Videos, fps: float) -> tuple[str, ...]:
    """Return a note about a frame rate by which all instances lie early in their video."""
    latest = np.repeat(videos.durations, videos.counts)
    known = latest > 0  # NaN is not
    if known.sum() < _ENOUGH or any(video.fps not in (None, fps) for video in videos):
        return ()
    reach = float((videos.segments[known, 1] / latest[known]).max())
    if not reach <= _SHORT_REACH:
        return ()
    share = f"{ceil(100 * reach)} %"
    return (f"no instance reaches beyond {share} of its video: is --fps {fps:g} right?",)


def _fills(videos: Videos) -> bool:
    """Return whether the instances are within the durations and reach far into them."""
    ends = ends_of(videos, videos.durations)
    known = np.isfinite(ends)
    shares = videos.segments[known, 1] / ends[known]
    return bool(len(shares)) and bool(np.mean(shares <= 1.01) > 0.9 and shares.max() > 0.5)


def _convert_video(video: Video, times: Unit, fps: float | None, path: Path, same: bool) -> Video:
    """Return a video with its times in seconds; `same` says that its duration has their unit."""
    factor = 1e-3
    if times == "frames":
        rate = video.fps
        if rate is None and video.frames is not None and not same and np.isfinite(video.duration):
            rate = video.frames / video.duration
        rate = rate or fps
        if rate is None:
            raise AnnotationError(
                f"{path}: video {video.id!r} has no frame rate: pass --fps with --times frames"
            )
        factor = 1.0 / rate
    duration = video.duration * factor if same else video.duration
    segments, ignored = video.segments * factor, video.ignored * factor
    return replace(video, segments=segments, ignored=ignored, duration=duration)
