"""Writer of one segment of a video to a container, with packets copied or frames encoded."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from actspan.core.errors import VideoError
from actspan.streams.video_decoding import VideoFile

_TICKS = 90_000  # ticks per second of encoded pictures
_QUALITY = "18"  # crf; visually close to lossless
_LATE = 2.0  # seconds that sound may lie behind the pictures in a file


class Stretch(NamedTuple):
    """Part of a video to cut out.

    Attributes
    ----------
    start, end : float
        Seconds.
    seek : float or None
        Position from which to look for the first key frame; None is the start of the file.
    key : float
        Time of that key frame, seconds.
    turned : float
        Degrees by which pictures are rotated for display, anticlockwise.
    """

    start: float
    end: float
    seek: float | None
    key: float
    turned: float


class Cutter:
    """Writer of one stretch.

    Parameters
    ----------
    video : VideoFile
        Open, and positioned at the stretch's `seek`.
    out : av.container.OutputContainer
    stretch : Stretch
    copies : bool
        Copy packets from the key frame on; otherwise encode frames from `start` on.
    sound : av.AudioStream, optional
        Sound to copy.
    """

    def __init__(
        self, video: VideoFile, out: Any, stretch: Stretch, *, copies: bool, sound: Any
    ) -> None:
        self._video, self._out, self._end = video, out, stretch.end
        self._begin = stretch.key if copies else stretch.start
        self._take = self._copy if copies else self._encode
        self._inputs = [video.stream] if sound is None else [video.stream, sound]
        self._picture = self._copied(video.stream) if copies else self._encoder(stretch.turned)
        self._sound = None if sound is None else self._copied(sound)
        self._over = False  # whether all pictures are written
        self._early = 0.5 / video.fps  # a frame that starts this close before the cut belongs to it

    def _copied(self, stream: Any) -> Any:
        return self._out.add_stream_from_template(stream)

    def _encoder(self, turned: float) -> Any:
        given = self._video.stream
        rate = Fraction(self._video.fps).limit_denominator(1001)
        made = self._out.add_stream("libx264", rate=rate, options={"crf": _QUALITY})
        made.width, made.height = given.width & ~1, given.height & ~1  # yuv420p needs even sizes
        made.pix_fmt = "yuv420p"
        made.codec_context.time_base = Fraction(1, _TICKS)
        if given.sample_aspect_ratio:
            made.codec_context.sample_aspect_ratio = given.sample_aspect_ratio
        if turned:
            made.set_display_rotation(turned)
        return made

    def write(self) -> None:
        """Write the whole stretch; FFmpeg's errors pass through.

        Raises
        ------
        VideoError
            Frames have no timestamps.
        """
        for packet in self._video.container.demux(*self._inputs):
            time = self._time(packet)
            if packet.stream is self._video.stream:
                self._take(packet)
            elif time is not None and self._begin <= time < self._end:
                self._mux(packet, self._sound)
            late = time is not None and time >= self._end + _LATE
            if self._over and (late or self._sound is None):
                break
        if self._take == self._encode:
            self._out.mux(self._picture.encode(None))

    def _time(self, packet: Any) -> float | None:
        """Return the decoding time of a packet if it has one, or else its presentation time."""
        stamp = packet.pts if packet.dts is None else packet.dts
        return None if stamp is None else self._seconds(packet, stamp)

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
                made = frame.reformat(self._picture.width, self._picture.height, "yuv420p")
                made.pts, made.time_base = round((time - self._begin) * _TICKS), Fraction(1, _TICKS)
                made.pict_type = 0  # the encoder's choice
                self._out.mux(self._picture.encode(made))

    def _mux(self, packet: Any, stream: Any) -> None:
        shift = round((self._begin + self._video.origin) / packet.time_base)
        packet.dts -= shift
        packet.pts = packet.dts if packet.pts is None else packet.pts - shift
        packet.stream = stream
        self._out.mux(packet)
