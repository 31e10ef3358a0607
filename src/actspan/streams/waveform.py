"""The waveform of a sound track: lowest and highest sample of short intervals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from actspan.core.errors import VideoError, require
from actspan.core.types import Float32
from actspan.streams.video_decoding import decode_packets

INTERVALS = 100  # per second
_GROWTH = 600 * INTERVALS  # intervals by which the arrays grow
_LONGEST = 48 * 3600 * INTERVALS  # intervals; later times are damage
_GAP = 0.05  # seconds by which sound may be early or late before it is moved
_MICROSECONDS = 1_000_000  # units per second of a container's time


def read_waveform(path: Path) -> Float32 | None:
    """Return the lowest and the highest sample of every 10 ms, (2, n), in about [-1, 1].

    Channels are mixed to one; an interval without sound is 0. Memory grows by 800 bytes per
    second of sound. Returns None if the file contains no sound. Raises VideoError if it is damaged.
    """
    av = require("av", extra="video", purpose="reading sound")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{path}: not a video or sound, or damaged: {reason}") from error
    with container:
        if not container.streams.audio:
            return None
        peaks, length = np.zeros((2, 0), np.float32), 0
        for start, samples in _pieces(av, container):
            first = int(start * INTERVALS)
            last = first + len(samples)
            if last > _LONGEST:
                break
            if last > peaks.shape[1]:
                peaks = np.pad(peaks, ((0, 0), (0, last + _GROWTH - peaks.shape[1])))
            low, high = peaks[:, first:last]
            np.minimum(low, samples.min(axis=1), out=low)
            np.maximum(high, samples.max(axis=1), out=high)
            length = max(length, last)
    if not length:
        raise VideoError(f"{path}: no sound can be decoded: damaged or truncated")
    return peaks[:, :length].copy()


def _pieces(av: Any, container: Any) -> Iterator[tuple[float, Float32]]:
    """Yield the time of each decoded piece of sound, seconds, and its samples by interval, (k, m).

    The last interval of a piece is filled up with its last sample. A piece ends at a gap.
    """
    stream, origin = container.streams.audio[0], (container.start_time or 0) / _MICROSECONDS
    size = max(round((stream.rate or 48_000) / INTERVALS), 1)  # samples per interval
    resampler = av.AudioResampler(format="flt", layout="mono", rate=size * INTERVALS)
    waiting, start = np.zeros(0, np.float32), 0.0
    for frame in decode_packets(av, container, stream):
        if frame is None:  # a damaged packet
            continue
        expected = start + len(waiting) / (size * INTERVALS)
        time = expected if frame.time is None else max(float(frame.time) - origin, 0.0)
        if abs(time - expected) > _GAP:
            if len(waiting):
                yield start, _by_interval(waiting, size)
            waiting, start = waiting[:0], time
        arrived = [piece.to_ndarray().reshape(-1) for piece in resampler.resample(frame)]
        waiting = np.concatenate([waiting, *arrived])
        whole = len(waiting) // size
        if whole >= INTERVALS:  # a second, so that few small arrays are handled
            yield start, waiting[: whole * size].reshape(whole, size)
            waiting = waiting[whole * size :]
            start += whole / INTERVALS
    rest = [piece.to_ndarray().reshape(-1) for piece in resampler.resample(None)]
    waiting = np.concatenate([waiting, *rest])
    if len(waiting):
        yield start, _by_interval(waiting, size)


def _by_interval(samples: Float32, size: int) -> Float32:
    return np.pad(samples, (0, -len(samples) % size), mode="edge").reshape(-1, size)
