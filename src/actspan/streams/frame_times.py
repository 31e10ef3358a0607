"""The times at which a video's frames appear, read without decoding."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actspan.core.errors import VideoError
from actspan.core.types import Float64
from actspan.streams.video_decoding import VideoFile

_SLACK = 1.5  # ticks of the file's clock by which the times of a constant rate may be rounded


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Times of all frames of a video.

    Attributes
    ----------
    times : (n,) float64
        Seconds from the start of the video, ascending.
    rate : float
        Frames per second, on average.
    is_variable : bool
        Whether a time differs from that of a constant rate by more than the rounding of the file.
    """

    times: Float64
    rate: float
    is_variable: bool


def read_frame_times(path: Path) -> FrameTimes:
    """Return the times of a video's frames from its packets.

    Raises VideoError if the file is damaged or contains no moving pictures with times.
    """
    with VideoFile(path) as video:
        tick = float(video.stream.time_base or 0)
        stamps: list[int] = []
        with suppress(video.errors):  # the frames before the damage can still be shown
            stamps.extend(
                packet.pts
                for packet in video.container.demux(video.stream)
                if packet.size and not packet.is_discard and packet.pts is not None
            )
        if not (stamps and tick):
            raise VideoError(f"{path}: its frames have no times: damaged, or a raw stream")
        ticks = np.unique(np.array(stamps, np.int64))
        times = np.array(ticks * tick - video.origin, np.float64).round(9)
        times = times[np.searchsorted(times, -tick / 2) :]  # edit lists hide what is before 0
        fps = video.fps
    if len(times) < 2:
        return FrameTimes(times, fps, is_variable=False)
    step = (times[-1] - times[0]) / (len(times) - 1)
    steady = times[0] + np.arange(len(times)) * step
    is_variable = bool(np.abs(times - steady).max() > _SLACK * tick)
    return FrameTimes(times, 1.0 / float(step), is_variable)
