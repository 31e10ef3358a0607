"""Decoding: a video file to frames in presentation order, with the seconds at which they appear."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from actspan.core.errors import VideoError, require
from actspan.core.limits import PIXELS
from actspan.core.wording import counted
from actspan.streams.addresses import DECODING, Address, Location, raise_if_interrupted

if TYPE_CHECKING:
    import av

_MICROSECONDS = 1_000_000  # units per second of a container's time
_SLACK_SECONDS, _SLACK_SHARE = 1.0, 0.02  # a video may be this much shorter than announced
_USUAL_RATE = 25.0  # frames per second if the file gives no rate


class Readable(Protocol):
    """Source of bytes."""

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; return none at the end."""
        ...


class Frame(NamedTuple):
    """A decoded frame."""

    time: float  # seconds from the start of the video; each is later than the one before
    image: Any  # av.VideoFrame as decoded: neither rotated nor scaled


class FollowedVideo(Protocol):
    """A video that is decoded from front to back; `VideoFile` describes the members."""

    fps: float
    end: float

    @property
    def path(self) -> Location:
        """File or address, for messages."""
        ...

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel over its height."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Decode all frames."""
        ...

    def shortfall(self) -> str:
        """Report what is missing."""
        ...

    def close(self) -> None:
        """Close the video."""
        ...


class VideoFile(AbstractContextManager["VideoFile"]):
    """A video that is open for reading, once, from its first frame to its last.

    Time 0 is the start of presentation according to the file, as in a player: edit lists and
    offsets between streams are taken into account.

    Parameters
    ----------
    path : Path or Address
    stream : object, optional
        Supplies the bytes, from front to back; `path` is then only a name.

    Attributes
    ----------
    fps : float
        Frames per second, on average.
    announced : float or None
        Seconds that the file says it lasts.
    end : float
        Seconds to the end of the last frame that was decoded.
    damaged, others : int
        Numbers of packets that could not be decoded so far, and of further video streams.
    container, stream : av.container.InputContainer, av.VideoStream
        PyAV's objects, for access to packets.
    origin : float
        Seconds that the container's timestamps have at time 0.

    Raises
    ------
    VideoError, MissingExtraError
        The file is missing or contains no moving pictures that can be decoded, or there is no PyAV;
        or an address cannot be opened, or is interrupted.
    """

    def __init__(self, path: Location, stream: Readable | None = None) -> None:
        self.path = path
        self._is_streamed = stream is not None
        self._av = require("av", extra="video", purpose="reading video")
        self.container = self._open(stream)
        try:
            self.stream = self._picture_stream()
        except VideoError:
            self.close()
            raise
        rate = self.stream.average_rate or self.stream.guessed_rate
        self.fps = float(rate) if rate else _USUAL_RATE
        self._tick = float(self.stream.time_base or 0)  # seconds
        self.origin = (self.container.start_time or 0) / _MICROSECONDS
        self.announced = self._announced()
        self.end = 0.0
        self.damaged = 0
        self._last: float | None = None  # time of the last frame

    def _open(self, stream: Readable | None) -> Any:
        if isinstance(self.path, Address):
            return self.path.open(self._av)
        if stream is None and not self.path.is_file():
            raise VideoError(f"{self.path}: no such file")
        if stream is None and not self.path.stat().st_size:
            raise VideoError(f"{self.path}: the file is empty")
        try:
            # A session description in a stream could name any address.
            only = {} if stream is None else {"protocol_whitelist": "pipe"}
            return self._av.open(stream or str(self.path), options=DECODING | only)
        except (self._av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"{self.path}: not a video, damaged, or truncated before its index: "
                f"{_reason(error)}"
            ) from error

    def _picture_stream(self) -> av.VideoStream:
        """Return the first stream of moving pictures; skip the cover picture of a song."""
        covers = self._av.stream.Disposition.attached_pic
        pictures = [s for s in self.container.streams.video if not s.disposition & covers]
        self.others = max(len(pictures) - 1, 0)
        chosen: av.VideoStream | None = pictures[0] if pictures else None
        if chosen is not None and chosen.codec_context is not None and chosen.codec_context.width:
            self._bound_pictures(chosen.codec_context)
            return chosen
        kinds = sorted({stream.type for stream in self.container.streams})
        if not kinds:
            raise VideoError(f"{self.path}: contains nothing: truncated before its index, or empty")
        if "video" in kinds:
            raise VideoError(
                f"{self.path}: its pictures cannot be decoded, are a still cover, or have more "
                f"than {PIXELS:,} pixels"
            )
        raise VideoError(
            f"{self.path}: contains no pictures, only {', '.join(kinds)}",
            "leave it out, or remove it",
        )

    def _bound_pictures(self, decoder: av.VideoCodecContext) -> None:
        """Raise VideoError if pictures are too large; refuse later ones that are."""
        if decoder.width * decoder.height > PIXELS:
            size = f"{decoder.width} x {decoder.height}"
            raise VideoError(
                f"{self.path}: pictures of {size} pixels; at most {PIXELS:,} are decoded",
                "scale it down",
            )
        decoder.options = {**decoder.options, **DECODING}

    def _announced(self) -> float | None:
        end = self._stream_end()
        self._is_of_pictures = end is not None
        if end is not None:
            return max(end - self.origin, 0.0)
        if not self.container.duration:
            return None
        seconds = float(self.container.duration) / _MICROSECONDS
        # Matroska gives the last timestamp of any stream; other formats give a length.
        is_end = "matroska" in self.container.format.name
        return max(seconds - self.origin, 0.0) if is_end else seconds

    def _stream_end(self) -> float | None:
        """Return the last timestamp of the pictures, in seconds, if the file gives it.

        Matroska has no duration per stream; FFmpeg and mkvmerge write it as a tag.
        """
        if self.stream.duration and self._tick:
            return float((self.stream.start_time or 0) + self.stream.duration) * self._tick
        tags = (text for key, text in self.stream.metadata.items() if key.startswith("DURATION"))
        return parse_duration(next(tags, ""))

    @property
    def errors(self) -> type[Exception]:
        """Base of the errors that PyAV raises for damaged packets."""
        kind: type[Exception] = self._av.FFmpegError
        return kind

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel over its height."""
        return float(self.stream.sample_aspect_ratio or 1.0) or 1.0

    def frames(self) -> Iterator[Frame]:
        """Decode all frames; skip and count damaged packets.

        Raises VideoError if there is no frame, or an address is interrupted.
        """
        for image in decode_packets(self._av, self.container, self.stream, self._check_interrupted):
            if image is None:
                self.damaged += 1
                continue
            frame = Frame(self._time(image), image)
            self._last, self.end = frame.time, frame.time + self._duration(image)
            yield frame
        if self._last is None:
            raise VideoError(f"{self.path}: not one frame can be decoded: damaged or truncated")

    def _check_interrupted(self, error: Exception) -> None:
        raise_if_interrupted(self.path, error, self.end)

    def _time(self, image: Any) -> float:
        """Return a frame's time; without a valid one, the end of the frame before."""
        stamp = image.pts if image.pts is not None else image.dts
        if stamp is None or not self._tick:
            return self.end
        time = float(stamp) * self._tick - self.origin
        if self._last is not None and time <= self._last:
            return self.end
        return time

    def _duration(self, image: Any) -> float:
        return float(image.duration) * self._tick or 1 / self.fps

    def shortfall(self) -> str:
        """Report what is missing, damaged or ignored, after the last frame; "" if nothing is."""
        parts = []
        if self.others:
            parts.append(f"{counted(self.others, 'further video stream')} ignored")
        announced = self.announced
        if announced is not None:
            slack = max(_SLACK_SECONDS, _SLACK_SHARE * announced)
            if self.end < announced - slack and not self._others_reach(announced - slack):
                parts.append(f"ends after {self.end:.1f} s of {announced:.1f} s: truncated")
        if self.damaged:
            parts.append(f"{counted(self.damaged, 'damaged packet')} skipped")
        return "; ".join(parts)

    def _others_reach(self, time: float) -> bool:
        """Return whether another stream, such as sound, lasts as long as the file announces."""
        if self._is_of_pictures or len(self.container.streams) == 1:
            return False
        if self._is_streamed:
            return True  # The stream cannot be read again to find out, and most files are whole.
        with self._open(None) as container:
            others = [s for s in container.streams if s.index != self.stream.index and s.time_base]
            try:
                container.seek(int((time + self.origin) * _MICROSECONDS))
                return any(self._is_after(time, packet) for packet in container.demux(others))
            except self._av.FFmpegError:
                return False

    def _is_after(self, time: float, packet: Any) -> bool:
        return packet.pts is not None and packet.pts * packet.time_base - self.origin >= time

    def close(self) -> None:
        """Close the file. Closing twice is allowed."""
        self.container.close()

    def __exit__(self, *details: object) -> None:
        self.close()


def parse_duration(text: str) -> float | None:
    """Parse a time such as 00:00:10.023000000 to seconds; return None if invalid or zero."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text)
    if match is None:
        return None
    hours, minutes, seconds = map(float, match.groups())
    return 3600 * hours + 60 * minutes + seconds or None


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).splitlines()[0] if str(text) else type(error).__name__


def decode_packets(
    av: Any, container: Any, stream: Any, check: Callable[[Exception], None] | None = None
) -> Iterator[Any]:
    """Decode a stream; yield its frames, and None for each packet that is damaged.

    The last None may stand for all of a container that is broken from there on. `check`, which
    files do not need, is called with the error of reading it, and raises if it is not damage.
    """
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, EOFError):
            return
        except av.FFmpegError as error:
            if check is not None:
                check(error)
            yield None
            return
        try:
            yield from packet.decode()
        except av.FFmpegError:
            yield None
