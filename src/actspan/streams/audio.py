"""Sound to log-mel bands, decoded with PyAV in bounded memory.

A frame of sound is 2.5 hops long, and a hop 10 ms or the stride of the snippets, if that is
shorter. Values are decibels, about 0 for a sine of full scale and at least -100.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from actspan.config.streams import AudioConfig
from actspan.core.errors import VideoError, require
from actspan.core.files import check_size
from actspan.core.types import Float32, Float64
from actspan.core.wording import counted
from actspan.streams.addresses import Address, Location, raise_if_interrupted
from actspan.streams.video_decoding import decode_packets

_HOP, _FRAME = 0.01, 2.5  # seconds, hops
_FLOOR = 1e-10  # power of silence: -100 dB
_BLOCK = 512  # frames that are transformed together
_MICROSECONDS = 1_000_000  # units per second of a container's time
_SLACK_SECONDS, _SLACK_SHARE = 1.0, 0.02  # sound may be this much shorter than announced


class Sound(AbstractContextManager["Sound"]):
    """An open recording of sound, or the sound of a video, which is read once.

    Members are those of `SensorTable`; channels are mixed to one.

    Parameters
    ----------
    path : Path or Address
    config : AudioConfig
    stride : float
        Seconds from snippet to snippet.

    Raises
    ------
    VideoError, MissingExtraError
        The file is missing or contains no sound that can be decoded, or there is no PyAV; or an
        address cannot be opened, or is interrupted.
    """

    fps = 0.0  # sound has no frames

    def __init__(self, path: Location, config: AudioConfig, stride: float) -> None:
        self._av = require("av", extra="video", purpose="reading sound")
        self._path, self._rate = path, config.rate
        self._bands = LogMel(config, min(_HOP, stride))
        self._container = self._open()
        streams = self._container.streams.audio
        if not streams:
            self.close()
            raise VideoError(f"{path}: contains no sound", "leave it out")
        self._stream, self._others = streams[0], len(streams) - 1
        self._origin = (self._container.start_time or 0) / _MICROSECONDS
        duration = self._container.duration
        self.announced = float(duration) / _MICROSECONDS if duration else None
        self.end = 0.0
        self._damaged = 0

    def _open(self) -> Any:
        if isinstance(self._path, Address):
            return self._path.open(self._av)
        try:
            check_size(self._path)
            if not self._path.stat().st_size:
                raise VideoError(f"{self._path}: the file is empty")
            return self._av.open(str(self._path))
        except FileNotFoundError as error:
            raise VideoError(f"{self._path}: no such file") from error
        except (OSError, ValueError) as error:  # FFmpegError is one of these
            reason = getattr(error, "strerror", None) or str(error)
            raise VideoError(f"{self._path}: not sound, or damaged: {reason}") from error

    def samples(self) -> Iterator[tuple[Float64, Float64]]:
        """Yield times of frames, (n,) seconds, and their bands, (n, bands), decibels.

        Raises VideoError if nothing can be decoded.
        """
        begin, length = None, 0
        for start, sound in self._resampled():
            begin = start if begin is None else begin
            length += len(sound)
            self.end = begin + length / self._rate
            yield from self._dated(begin, self._bands.feed(sound))
        if begin is None:
            raise VideoError(f"{self._path}: no sound can be decoded: damaged or truncated")
        yield from self._dated(begin, self._bands.finish())

    def _check_interrupted(self, error: Exception) -> None:
        raise_if_interrupted(self._path, error, self.end)

    def _dated(self, begin: float, found: tuple[int, Float64]) -> Iterator[tuple[Float64, Float64]]:
        first, bands = found
        if len(bands):
            numbers = np.arange(first, first + len(bands), dtype=np.float64)
            yield begin + (numbers + 0.5) * self._bands.hop, bands

    def _resampled(self) -> Iterator[tuple[float, Float32]]:
        """Yield the sound in pieces, with the time at which each piece's first frame begins."""
        resampler = self._av.AudioResampler(format="flt", layout="mono", rate=self._rate)
        start = 0.0
        container, stream = self._container, self._stream
        for frame in decode_packets(self._av, container, stream, self._check_interrupted):
            if frame is None:
                self._damaged += 1
                continue
            start = 0.0 if frame.time is None else max(float(frame.time) - self._origin, 0.0)
            for piece in resampler.resample(frame):
                yield start, piece.to_ndarray().reshape(-1)
        for piece in resampler.resample(None):
            yield start, piece.to_ndarray().reshape(-1)

    def shortfall(self) -> str:
        """Report what is missing, damaged or ignored; "" if nothing is."""
        parts = []
        if self._others:
            parts.append(f"{counted(self._others, 'further stream')} of sound ignored")
        announced = self.announced or 0.0
        if self.end < announced - max(_SLACK_SECONDS, _SLACK_SHARE * announced):
            parts.append(f"ends after {self.end:.1f} s of {announced:.1f} s: truncated")
        if self._damaged:
            parts.append(f"{counted(self._damaged, 'damaged packet')} skipped")
        return "; ".join(parts)

    def close(self) -> None:
        """Close the file. Closing twice is allowed."""
        self._container.close()

    def __exit__(self, *details: object) -> None:
        self.close()


class LogMel:
    """Log-mel bands of sound that is added in pieces; frame i has its middle at (i + 0.5) hops.

    Attributes
    ----------
    hop : float
        Seconds from frame to frame: a whole number of samples.
    """

    def __init__(self, config: AudioConfig, hop: float) -> None:
        self._step = max(round(hop * config.rate), 1)  # samples
        self.hop = self._step / config.rate
        size = max(round(_FRAME * self._step), 2)
        size += (size - self._step) % 2  # so that a hop lies in the middle of its frame
        self._window = np.hanning(size + 2)[1:-1]
        edges = _mel_edges(config)
        # Each band has a frequency of its own.
        fine = config.rate / (edges[1] - edges[0])
        self._size = 2 ** math.ceil(math.log2(max(size, fine)))
        self._filters = _triangles(edges, np.arange(self._size // 2 + 1) * config.rate / self._size)
        self._filters /= (self._window.sum() / 2) ** 2  # a sine of full scale has power 1
        self._sound = np.zeros((size - self._step) // 2, dtype=np.float32)
        self._first = 0  # number of the next frame

    def feed(self, sound: Float32) -> tuple[int, Float64]:
        """Add sound, (n,); return the number of the next frame, and the frames (k, bands)."""
        self._sound = np.concatenate([self._sound, sound])
        count = max((len(self._sound) - len(self._window)) // self._step + 1, 0)
        return self._transform(count)

    def finish(self) -> tuple[int, Float64]:
        """Return the frames whose middle lies before the end, but not the whole frame."""
        rest = len(self._sound) - (len(self._window) - self._step) // 2
        count = max(math.ceil(rest / self._step - 0.5), 0)
        missing = (count - 1) * self._step + len(self._window) - len(self._sound)
        self._sound = np.concatenate([self._sound, np.zeros(max(missing, 0), dtype=np.float32)])
        return self._transform(count)

    def _transform(self, count: int) -> tuple[int, Float64]:
        first, bands = self._first, np.empty((count, len(self._filters)))
        for i in range(0, count, _BLOCK):
            stop = min(i + _BLOCK, count)
            place = np.arange(i, stop)[:, None] * self._step + np.arange(len(self._window))
            spectrum = np.fft.rfft(self._sound[place] * self._window, self._size)
            power = (spectrum.real**2 + spectrum.imag**2) @ self._filters.T
            bands[i:stop] = 10 * np.log10(np.maximum(power, _FLOOR))
        self._sound = self._sound[count * self._step :]
        self._first += count
        return first, bands


def _mel_edges(config: AudioConfig) -> Float64:
    """Return the corners of the bands in Hz, (bands + 2,), evenly spaced on the mel scale."""
    top = 2595 * math.log10(1 + config.rate / 2 / 700)
    mels = np.linspace(0, top, config.bands + 2, dtype=np.float64)
    return np.asarray(700 * (10 ** (mels / 2595) - 1), dtype=np.float64)


def _triangles(edges: Float64, frequencies: Float64) -> Float64:
    """Return the weights of frequencies in overlapping triangular bands, (bands, F)."""
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequencies - low) / (middle - low)
    falling = (high - frequencies) / (high - middle)
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))
