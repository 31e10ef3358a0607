"""Segments of a video, cut out to their own files.

A clip that starts at a key frame is copied. Any other clip is encoded again, since frames between
two key frames cannot be shown without the first. Sound is always copied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from actspan.core.errors import ActSpanError, VideoError, require
from actspan.core.files import atomic_file
from actspan.jobs.video_inference.answers import VideoMoments
from actspan.jobs.video_inference.cutting import Cutter, Stretch
from actspan.streams.video_decoding import Frame, VideoFile

Way = Literal["copied", "encoded"]

NEAR = 0.1  # seconds; a key frame this close to a segment's start is good enough
_BACK = (0.0, 2.0, 10.0, 60.0)  # seconds; a seek is imprecise in containers without an index
_LEAD = 1.0  # seconds; Matroska knows the decoding order of only a few packets at once
_SLACK = 4  # frames that a clip may be off: a copied clip ends with frames that others refer to
_IN_MP4 = {"h264", "hevc", "mpeg4", "av1", "vp9", "aac", "mp3", "ac3", "opus"}  # else Matroska


@dataclass(frozen=True, slots=True)
class Clip:
    """Clip of one segment.

    Attributes
    ----------
    path : Path
    start, end : float
        Seconds of the video.
    way : "copied" or "encoded"
    seconds : float
        Duration of the clip, measured by decoding it.
    """

    path: Path
    start: float
    end: float
    way: Way
    seconds: float


def make_clip_folder(folder: Path) -> None:
    """Create the folder for clips, before work starts.

    Raises
    ------
    ActSpanError
        The folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ActSpanError(f"{folder}: cannot be made: {error.strerror}") from error


def cut_clips(video: VideoMoments, folder: Path) -> Iterator[Clip]:
    """Cut out a video's segments, best first: `<video>_<rank>_<start>-<end>.mp4`, or `.mkv`.

    Raises
    ------
    VideoError
        The video cannot be read any more, or a clip is not as long as its segment.
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
        As for `cut_clips`.
    """
    stretch = _find(path, start, end)
    if abs(stretch.key - start) <= NEAR:
        with suppress(VideoError):  # packets that no container accepts can still be decoded
            return _write(path, stretch, target, "copied")
    return _write(path, stretch, target, "encoded")


def _find(path: Path, start: float, end: float) -> Stretch:
    """Find the last key frame before `start` that a seek reaches, or else the first frame."""
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
    except VideoError:  # nothing after this position can be decoded
        return None


def _moved(video: VideoFile, seek: float | None) -> bool:
    """Move the container to a key frame before `seek`; return whether this succeeded."""
    if seek is None:
        return True
    stamp = round((seek + video.origin) / float(video.stream.time_base or 1))
    try:
        video.container.seek(stamp, stream=video.stream)
    except _ffmpeg_error():
        return False
    return True


def _write(path: Path, stretch: Stretch, target: Path, way: Way) -> Clip:
    """Write a clip, copied or encoded, and check its duration by decoding it.

    Raises
    ------
    VideoError
        The container rejects the streams, or the clip is too long or too short.
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
    """Return whether the file describes its sound well enough to copy it."""
    return bool(sound.codec_context.sample_rate)


def _length(file: Path) -> float:
    """Return the seconds of a clip, measured by decoding every frame."""
    with VideoFile(file) as video:
        deque(video.frames(), maxlen=0)
        return video.end


def _create(stream: IO[bytes], kind: str) -> Any:
    return require("av", extra="video", purpose="cutting clips").open(stream, "w", format=kind)


def _ffmpeg_error() -> type[Exception]:
    error: type[Exception] = require("av", extra="video", purpose="cutting clips").FFmpegError
    return error
