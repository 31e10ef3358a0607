"""Segments of a video, cut out to their own files.

A clip that starts at a key frame is copied. Any other clip is encoded again, since frames between
two key frames cannot be shown without the first. Sound is always copied.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Any, Literal, NamedTuple

from actspan.core.errors import ActSpanError, ConfigError, VideoError, require
from actspan.core.files import atomic_file
from actspan.core.segments import Proposals
from actspan.data.names import composed
from actspan.jobs.sinks import Sink
from actspan.jobs.source import Source
from actspan.pipeline.outcomes import Outcome
from actspan.streams.addresses import Address, Location
from actspan.streams.video_decoding import Frame, VideoFile

Method = Literal["copied", "encoded"]

NEAR = 0.1  # seconds; a key frame this close to a segment's start is good enough
_BACK = (0.0, 2.0, 10.0, 60.0)  # seconds; a seek is imprecise in containers without an index
_LEAD = 1.0  # seconds; Matroska knows the decoding order of only a few packets at once
_SLACK = 4  # frames that a clip may be off: a copied clip ends with frames that others refer to
_TICKS = 90_000  # ticks per second of encoded pictures
_QUALITY = "18"  # crf; visually close to lossless
_LABEL = 60  # bytes of a label in a name; file systems allow 255 for the whole name
_LATE = 2.0  # seconds that sound may lie behind the pictures in a file
_IN_MP4 = {"h264", "hevc", "mpeg4", "av1", "vp9", "aac", "mp3", "ac3", "opus"}  # else Matroska


@dataclass(frozen=True, slots=True)
class Clip:
    """Clip from `start` to `end` (seconds of the video); `seconds` is measured by decoding it.

    `label` is that of its segment, "" if there is none.
    """

    path: Path
    start: float
    end: float
    way: Method
    seconds: float
    label: str = ""


class _Stretch(NamedTuple):
    """Part of a video to cut out; times are in seconds."""

    start: float
    end: float
    seek: float | None  # from where to look for the first key frame; None is the start of the file
    key: float  # time of that key frame
    rotation: float  # degrees by which pictures are rotated for display, anticlockwise


def cut_clips(
    video: str,
    path: Location,
    segments: Proposals,
    folder: Path,
    *,
    end: float = inf,
    labels: Sequence[str] | None = None,
) -> Iterator[Clip]:
    """Cut out a video's segments (seconds): `<video>_<rank>_<start>-<end>.mp4`, or `.mkv`.

    `end` is the second at which the video ends. With `labels`, one per segment, names end with the
    label: `<video>_<rank>_<start>-<end>_<label>.mp4`.

    Raises
    ------
    VideoError
        The video cannot be read any more, or a clip is not as long as its segment.
    ActSpanError
        A clip cannot be written.
    """
    ends, labels = segments.end.clip(max=end).tolist(), labels or [""] * len(segments)
    rows = zip(segments.start.tolist(), ends, labels, strict=True)
    for rank, (first, last, label) in enumerate(rows, start=1):
        named = file_label(label)
        name = f"{video}_{rank:02d}_{first:.2f}-{last:.2f}" + f"_{named}" * bool(named)
        yield replace(cut(path, first, last, folder / name), label=label)


def file_label(label: str) -> str:
    """Return a label as a part of a file name: letters, digits and hyphens, at most 60 bytes.

    Examples
    --------
    >>> file_label("Long jump/run-up"), file_label("..")
    ('Long-jump-run-up', '')
    """
    safe = re.sub(r"[\W_]+", "-", composed(label)).strip("-")
    return safe.encode()[:_LABEL].decode(errors="ignore").rstrip("-")


def cut(path: Location, start: float, end: float, target: Path) -> Clip:
    """Cut the seconds from `start` to `end` out of a video; `target` lacks its suffix."""
    stretch = _find_stretch(path, start, end)
    if abs(stretch.key - start) <= NEAR:
        with suppress(VideoError):  # packets that no container accepts can still be decoded
            return _write(path, stretch, target, "copied")
    return _write(path, stretch, target, "encoded")


def _find_stretch(path: Location, start: float, end: float) -> _Stretch:
    """Find the last key frame before `start` that a seek reaches, or else the first frame."""
    for back in _BACK:
        seek = max(start - back, 0.0)
        with VideoFile(path) as video:
            first = _first_frame(video) if _seek(video, seek) else None
        if first is not None and first.time <= start + NEAR:
            return _Stretch(start, end, seek, first.time, first.image.rotation)
    with VideoFile(path) as video:
        first = next(video.frames())
        return _Stretch(start, end, None, first.time, first.image.rotation)


def _first_frame(video: VideoFile) -> Frame | None:
    try:
        return next(video.frames())
    except VideoError:  # nothing after this position can be decoded
        return None


def _seek(video: VideoFile, seek: float | None) -> bool:
    """Move the container to a key frame before `seek`; return whether this succeeded."""
    if seek is None:
        return True
    stamp = round((seek + video.origin) / float(video.stream.time_base or 1))
    try:
        video.container.seek(stamp, stream=video.stream)
    except _av().FFmpegError:
        return False
    return True


def _write(path: Location, stretch: _Stretch, target: Path, method: Method) -> Clip:
    """Write a clip, copied or encoded, and check its duration by decoding it."""
    with VideoFile(path) as video:
        lead = _LEAD if method == "copied" else 0.0
        _seek(video, None if stretch.seek is None else max(stretch.seek - lead, 0.0))
        sounds = video.container.streams.audio
        sound = next((s for s in sounds if s.codec_context.sample_rate), None)  # else undescribed
        codecs = {_codec(video.stream) if method == "copied" else "h264"}
        codecs |= set() if sound is None else {_codec(sound)}
        suffix, kind = (".mp4", "mp4") if codecs <= _IN_MP4 else (".mkv", "matroska")
        file = target.with_name(target.name + suffix)
        try:
            with atomic_file(file) as stream, _av().open(stream, "w", format=kind) as out:
                _Cutter(video, out, stretch, copies=method == "copied", sound=sound).write()
        except (_av().FFmpegError, ValueError) as error:
            what = f"{stretch.start:.2f} to {stretch.end:.2f} s"
            raise VideoError(f"{path}: {what} cannot be cut out to {file}: {error}") from error
        slack = _SLACK / video.fps + NEAR
    with VideoFile(file) as clip:
        deque(clip.frames(), maxlen=0)
        seconds = clip.end
    if abs(seconds - (stretch.end - stretch.start)) > slack:
        file.unlink()
        raise VideoError(
            f"{path}: {stretch.start:.2f} to {stretch.end:.2f} s came out {seconds:.2f} s long: is "
            "the video damaged there?"
        )
    return Clip(file, stretch.start, stretch.end, method, seconds)


def _codec(stream: Any) -> str:
    name: str = stream.codec_context.codec.canonical_name
    return name


def _av() -> Any:
    return require("av", extra="video", purpose="cutting clips")


class _Cutter:
    """Writer of one stretch of a video, which is positioned at its `seek`, to a container of PyAV.

    Packets are copied from the key frame on, or frames are encoded from `start` on. Sound, if there
    is any, is copied.
    """

    def __init__(
        self, video: VideoFile, out: Any, stretch: _Stretch, *, copies: bool, sound: Any
    ) -> None:
        self._video, self._out, self._end = video, out, stretch.end
        self._begin = stretch.key if copies else stretch.start
        self._take = self._copy if copies else self._encode
        self._inputs = [video.stream] if sound is None else [video.stream, sound]
        copied = out.add_stream_from_template
        self._picture = copied(video.stream) if copies else self._encoder(stretch.rotation)
        self._sound = None if sound is None else copied(sound)
        self._over = False  # whether all pictures are written
        self._early = 0.5 / video.fps  # a frame that starts this close before the cut belongs to it

    def _encoder(self, rotation: float) -> Any:
        source = self._video.stream
        rate = Fraction(self._video.fps).limit_denominator(1001)
        encoder = self._out.add_stream("libx264", rate=rate, options={"crf": _QUALITY})
        encoder.width = source.width & ~1  # yuv420p needs even sizes
        encoder.height = source.height & ~1
        encoder.pix_fmt = "yuv420p"
        encoder.codec_context.time_base = Fraction(1, _TICKS)
        if source.sample_aspect_ratio:
            encoder.codec_context.sample_aspect_ratio = source.sample_aspect_ratio
        if rotation:
            encoder.set_display_rotation(rotation)
        return encoder

    def write(self) -> None:
        """Write the whole stretch; raise VideoError if frames have no timestamps."""
        for packet in self._video.container.demux(*self._inputs):
            stamp = packet.pts if packet.dts is None else packet.dts
            time = None if stamp is None else self._seconds(packet, stamp)
            if packet.stream is self._video.stream:
                self._take(packet)
            elif time is not None and self._begin <= time < self._end:
                self._mux(packet, self._sound)
            late = time is not None and time >= self._end + _LATE
            if self._over and (late or self._sound is None):
                break
        if self._take == self._encode:
            self._out.mux(self._picture.encode(None))

    def _seconds(self, packet: Any, stamp: int) -> float:
        return float(stamp * packet.time_base) - self._video.origin

    def _copy(self, packet: Any) -> None:
        if packet.dts is None or packet.pts is None:
            return  # before the key frame, or the empty packet at the end of the file
        self._over = self._seconds(packet, packet.dts) >= self._end
        if not self._over and self._seconds(packet, packet.pts) >= self._begin - self._early:
            self._mux(packet, self._picture)

    def _encode(self, packet: Any) -> None:
        for frame in packet.decode():
            if frame.pts is None:
                raise VideoError(f"{self._video.path}: no timestamps, so nothing can be cut out")
            time = frame.time - self._video.origin
            self._over = time >= self._end - self._early
            if not self._over and time >= self._begin - self._early:
                picture = frame.reformat(self._picture.width, self._picture.height, "yuv420p")
                picture.pts = round((time - self._begin) * _TICKS)
                picture.time_base = Fraction(1, _TICKS)
                picture.pict_type = 0  # the encoder's choice
                self._out.mux(self._picture.encode(picture))

    def _mux(self, packet: Any, stream: Any) -> None:
        shift = round((self._begin + self._video.origin) / packet.time_base)
        packet.dts -= shift
        packet.pts = packet.dts if packet.pts is None else packet.pts - shift
        packet.stream = stream
        self._out.mux(packet)


class ClipSink(Sink):
    """Cutter of the `top` best segments per video to files; `report` is called with each clip."""

    def __init__(self, folder: Path, report: Callable[[Clip], None], top: int | None = None):
        self._folder, self._report, self._top = folder, report, top
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ActSpanError(f"{folder}: cannot be created: {error.strerror}") from error

    def start(self, source: Source) -> None:
        """Remember the videos; raise ConfigError if they cannot be read a second time."""
        if not source.paths:
            raise ConfigError("clips are cut from video files, and there are none here")
        for path in source.paths.values():
            if isinstance(path, Address) and path.is_live:
                raise ConfigError(
                    f"{path}: clips are cut from videos that can be read again; record it first: "
                    "ffmpeg -i ADDRESS -c copy video.mkv"
                )
        self._source = source

    def add(self, outcome: Outcome) -> None:
        """Cut the segments of a video, best first."""
        if outcome.proposals is not None:
            path, end = self._source.paths[outcome.id], self._source.ends[outcome.id]
            segments, found = outcome.proposals[: self._top], outcome.detections
            labels = None if found is None else found.best_labels(segments)
            for clip in cut_clips(outcome.id, path, segments, self._folder, end=end, labels=labels):
                self._report(clip)
