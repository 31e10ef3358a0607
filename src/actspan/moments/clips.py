"""Moments cut out of a video to files of their own.

A clip that begins at a key frame is copied as it is; any other is encoded again, since what lies
between two key frames cannot be shown without the first. Sound is copied either way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from actspan.errors import ActSpanError, VideoError, require
from actspan.files import atomic_file
from actspan.moments.answers import VideoMoments
from actspan.moments.cutting import Cutter, Stretch
from actspan.video import VideoFile
from actspan.video.decode import Frame

Way = Literal["copied", "encoded"]

NEAR = 0.1  # seconds between a moment's start and a key frame that will do
_BACK = (0.0, 2.0, 10.0, 60.0)  # seconds; containers without an index are searched roughly
_LEAD = 1.0  # seconds: Matroska knows of few packets at once in which order they are decoded
_SLACK = 4  # frames by which a clip may be off: a copied one ends with the frames that others need
_IN_MP4 = {"h264", "hevc", "mpeg4", "av1", "vp9", "aac", "mp3", "ac3", "opus"}  # else Matroska


@dataclass(frozen=True, slots=True)
class Clip:
    """A moment that was cut out.

    Attributes
    ----------
    path : Path
    start, end : float
        Seconds of the video.
    way : "copied" or "encoded"
    seconds : float
        How long it is, found by decoding it.
    """

    path: Path
    start: float
    end: float
    way: Way
    seconds: float


def make_clip_folder(folder: Path) -> None:
    """Make the folder for clips, before any work is done.

    Raises
    ------
    ActSpanError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ActSpanError(f"{folder}: cannot be made: {error.strerror}") from error


def cut_clips(video: VideoMoments, folder: Path) -> Iterator[Clip]:
    """Cut out a video's moments, best first: `<video>_<rank>_<start>-<end>.mp4`, or `.mkv`.

    Raises
    ------
    VideoError
        The video cannot be read any more, or a clip does not come out as long as its moment.
    ActSpanError
        A clip cannot be written.
    """
    moments = zip(video.proposals.start.tolist(), video.proposals.end.tolist(), strict=True)
    for rank, (start, end) in enumerate(moments, start=1):
        end = min(end, video.seconds)
        target = folder / f"{video.id}_{rank:02d}_{start:.2f}-{end:.2f}"
        yield cut(video.path, start, end, target)


def cut(path: Path, start: float, end: float, target: Path) -> Clip:
    """Cut the seconds from `start` to `end` out of a video; `target` lacks its suffix.

    Raises
    ------
    VideoError, ActSpanError
        As `cut_clips`.
    """
    stretch = _find(path, start, end)
    if abs(stretch.key - start) <= NEAR:
        with suppress(VideoError):  # packets that no container takes can still be decoded
            return _write(path, stretch, target, "copied")
    return _write(path, stretch, target, "encoded")


def _find(path: Path, start: float, end: float) -> Stretch:
    """The last key frame before `start` that the container finds; else the first of all."""
    for back in _BACK:
        seek = max(start - back, 0.0)
        with VideoFile(path) as video:
            first = _first_frame(video) if _moved(video, seek) else None
        if first is not None and first.time <= start + NEAR:
            return Stretch(start, end, seek, first.time, first.image.rotation)
    with VideoFile(path) as video:
        first = next(video.frames())
        return Stretch(start, end, None, first.time, first.image.rotation)


def _first_frame(video: VideoFile) -> Frame | None:
    try:
        return next(video.frames())
    except VideoError:  # nothing can be decoded behind this place
        return None


def _moved(video: VideoFile, seek: float | None) -> bool:
    """Whether the container could be moved to a key frame before `seek`."""
    if seek is None:
        return True
    stamp = round((seek + video.origin) / float(video.stream.time_base or 1))
    try:
        video.container.seek(stamp, stream=video.stream)
    except _ffmpeg_error():
        return False
    return True


def _write(path: Path, stretch: Stretch, target: Path, way: Way) -> Clip:
    """Write a clip in one way, and read it back.

    Raises
    ------
    VideoError
        The container refuses, or the clip is too long or too short.
    """
    with VideoFile(path) as video:
        before = _LEAD if way == "copied" else 0.0
        _moved(video, None if stretch.seek is None else max(stretch.seek - before, 0.0))
        sound = next(filter(_is_known, video.container.streams.audio), None)
        codecs = {_codec(video.stream) if way == "copied" else "h264"}
        codecs |= set() if sound is None else {_codec(sound)}
        suffix, kind = (".mp4", "mp4") if codecs <= _IN_MP4 else (".mkv", "matroska")
        file = target.with_name(target.name + suffix)
        try:
            with atomic_file(file) as stream, _create(stream, kind) as out:
                Cutter(video, out, stretch, copies=way == "copied", sound=sound).write()
        except (_ffmpeg_error(), ValueError) as error:
            what = f"{stretch.start:.2f} to {stretch.end:.2f} s"
            raise VideoError(f"{path}: {what} cannot be cut out to {file}: {error}") from error
        slack = _SLACK / video.fps + NEAR
    seconds = _length(file)
    if abs(seconds - (stretch.end - stretch.start)) > slack:
        file.unlink()
        raise VideoError(
            f"{path}: {stretch.start:.2f} to {stretch.end:.2f} s came out {seconds:.2f} s long: is "
            "the video damaged there?"
        )
    return Clip(file, stretch.start, stretch.end, way, seconds)


def _codec(stream: Any) -> str:
    name: str = stream.codec_context.codec.canonical_name
    return name


def _is_known(sound: Any) -> bool:
    """Whether the file says enough of its sound to copy it."""
    return bool(sound.codec_context.sample_rate)


def _length(file: Path) -> float:
    """Seconds of a clip, every frame of it decoded."""
    with VideoFile(file) as video:
        deque(video.frames(), maxlen=0)
        return video.end


def _create(stream: IO[bytes], kind: str) -> Any:
    return require("av", extra="video", purpose="cutting clips").open(stream, "w", format=kind)


def _ffmpeg_error() -> type[Exception]:
    error: type[Exception] = require("av", extra="video", purpose="cutting clips").FFmpegError
    return error
