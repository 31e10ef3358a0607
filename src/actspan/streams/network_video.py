"""A live video at an address, whose connection is made again after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import inf, nextafter
from threading import Event
from time import monotonic

from actspan.core.errors import VideoError
from actspan.core.wording import counted
from actspan.streams.addresses import Address
from actspan.streams.video_decoding import Frame, VideoFile

_FIRST_DELAY = 1.0  # seconds before the first attempt to connect again; doubled for each further


@dataclass(frozen=True, slots=True)
class Retry:
    """Limits of connecting again after one interruption."""

    attempts: int = 10
    delay: float = 30.0  # longest seconds between two attempts

    def seconds(self, attempt: int) -> float:
        """Return the seconds to wait before an attempt, counted from 1.

        Examples
        --------
        >>> [Retry(delay=30.0).seconds(attempt) for attempt in range(1, 8)]
        [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
        """
        return min(_FIRST_DELAY * 2.0 ** min(attempt - 1, 60), self.delay)


class NetworkVideo(AbstractContextManager["NetworkVideo"]):
    """A live video at an address, which is decoded once, until it ends, is stopped, or is lost.

    Time 0 is the start of the first connection. Within a connection, times are those of the stream.
    A later connection begins at the seconds that have passed since the first picture arrived, by
    the clock of this machine, so time goes on during an interruption.

    A stream over HTTP, or one with a known length, ends where the server ends it. Any other end of
    a stream over RTSP is an interruption.

    Parameters
    ----------
    address : Address
    retry : Retry
    report : callable
        Called with a line after each interruption.

    Attributes
    ----------
    lost : str
        Why the video was given up, after the last attempt to connect again; "" before.
    path, fps, pixel_aspect, end
        Those of `VideoFile`, of the first connection.

    Raises
    ------
    VideoError, MissingExtraError
        `open` fails, at once: a wrong address would not become right.
    """

    def __init__(self, address: Address, retry: Retry, report: Callable[[str], None]) -> None:
        self.path, self._retry, self._report = address, retry, report
        self._stopped = Event()
        self._video: VideoFile | None = None
        self._began = 0.0  # moment, by the clock, at which time 0 was
        self._reason = ""  # first cause of an interruption that is not over
        self._attempts = 0  # to connect again, since the last picture
        self._interruptions, self._missing = 0, 0.0  # number of them, seconds without pictures
        self._last = -inf  # time of the last frame
        self._damaged = 0  # packets, in earlier connections
        self.lost = ""
        self.fps, self.end, self.pixel_aspect = 0.0, 0.0, 1.0

    def open(self) -> NetworkVideo:
        """Connect for the first time, and return the video."""
        try:
            self._video = VideoFile(self.path)
        except VideoError as error:
            raise VideoError(f"{error}; {error.remedy}", error.remedy) from error
        self.fps, self.pixel_aspect = self._video.fps, self._video.pixel_aspect
        return self

    def stop(self) -> None:
        """End the stream here; what was decoded so far counts."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connection. Closing twice is allowed."""
        if self._video is not None:
            self._video.close()

    def __exit__(self, *details: object) -> None:
        self.close()

    def frames(self) -> Iterator[Frame]:
        """Decode the frames of all connections; raise VideoError if there is none."""
        while self._video is not None and not self._stopped.is_set():
            try:
                yield from self._frames_of(self._video)
                if self._ends_itself(self._video):
                    return
                reason = "the server ended the stream"
            except VideoError as error:
                reason = _reason(error)
            self._reason = self._reason or reason
            self._damaged += self._video.damaged
            self._video.close()
            self._video = self._connect_again()
        if self.lost and not self.end:
            raise VideoError(self.lost)

    def _frames_of(self, video: VideoFile) -> Iterator[Frame]:
        """Yield the frames of one connection, with times of the whole recording."""
        shift: float | None = None
        for time, image in video.frames():
            if self._stopped.is_set():
                return
            if shift is None:
                shift = self._shift(time)
            before, self.end = self.end, video.end + shift
            if self._reason:
                self._end_interruption(before, time + shift)
            # Two times may become equal by the rounding of the sum.
            self._last = max(time + shift, nextafter(self._last, inf))
            yield Frame(self._last, image)

    def _shift(self, time: float) -> float:
        """Return the seconds to add to the times of a connection, whose first one is given."""
        if not self._began:
            self._began = monotonic() - time
        if not self.end:
            return 0.0
        return max(monotonic() - self._began, self.end) - time

    def _end_interruption(self, last: float, now: float) -> None:
        """Report and count an interruption; positions are in seconds."""
        self._interruptions += 1
        self._missing += now - last
        attempts = counted(self._attempts, "attempt")
        self._report(
            f"{self.path}: no pictures from {last:.1f} to {now:.1f} s ({self._reason}); connected "
            f"again after {attempts}"
        )
        self._reason, self._attempts = "", 0

    def _ends_itself(self, video: VideoFile) -> bool:
        """Return whether an end without an error is the end of the recording."""
        finite = not self.path.is_live or video.announced is not None
        return finite or self._stopped.is_set()

    def _connect_again(self) -> VideoFile | None:
        """Return a new connection; None if the video is stopped, or lost after all attempts."""
        latest = self._reason
        while self._attempts < self._retry.attempts:
            self._attempts += 1
            if self._stopped.wait(self._retry.seconds(self._attempts)):
                return None
            try:
                return VideoFile(self.path)
            except VideoError as error:
                latest = _reason(error)
        attempts = counted(self._attempts, "attempt")
        self.lost = (
            f"{self.path}: lost after {self.end:.1f} s, and not back after {attempts} to connect "
            f"again ({latest}); what was found until then is kept. Follow it again when its "
            "server is back"
        )
        return None

    def shortfall(self) -> str:
        """Report interruptions and damaged packets; "" if there were none."""
        parts = []
        if self._interruptions:
            count = counted(self._interruptions, "interruption")
            parts.append(f"{count}, {self._missing:.1f} s without pictures")
        damaged = self._damaged + (self._video.damaged if self._video is not None else 0)
        if damaged:
            parts.append(f"{counted(damaged, 'damaged packet')} skipped")
        return "; ".join(parts)


def _reason(error: VideoError) -> str:
    """Return the last part of a message, without the address and the seconds of a connection."""
    return str(error).rpartition(": ")[2]
