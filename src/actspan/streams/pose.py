"""Poses to samples: joints relative to the body, and their speeds.

Points of a likelihood below the limit are missing. Short gaps of a joint are interpolated, longer
ones stay missing. The unit of length is the size of the body in the recording, so that neither its
place in the picture nor its distance from the camera matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from actspan.config.streams import PoseConfig
from actspan.core.errors import VideoError
from actspan.core.types import Float64
from actspan.core.wording import listed, suggestion
from actspan.streams.pose_files import read_pose

_GAP = 0.25  # seconds without a point that are interpolated


class PoseRecording(AbstractContextManager["PoseRecording"]):
    """A pose file, which is read as a whole; members are those of `SensorTable`.

    Raises
    ------
    VideoError, MissingExtraError
        The file is missing or damaged, lacks a joint, or has no point.
    """

    def __init__(self, path: Path, config: PoseConfig) -> None:
        self._path, self._pose = path, read_pose(path)
        self.fps = config.rate
        self._likelihood = config.likelihood
        joints = self._pose.joints
        if missing := [name for name in config.joints if name not in joints]:
            near = suggestion(missing[0], joints)
            raise VideoError(
                f"{path}: has no joint {listed(map(repr, missing))}{near}",
                "name its joints alike, or leave the file out",
            )
        if not len(self._pose.points):
            raise VideoError(f"{path}: contains no frames")
        self._places = [joints.index(name) for name in config.joints]
        self._others = [name for name in joints if name not in config.joints]
        self._doubtful = 0.0
        self.end = len(self._pose.points) / config.rate
        self.announced: float | None = self.end

    def samples(self) -> Iterator[tuple[Float64, Float64]]:
        """Yield times of frames, (n,) seconds, and their channels, (n, C).

        Raises VideoError if no joint was found in any frame.
        """
        points = self._pose.points[:, self._places]
        likelihood = self._pose.likelihood
        if likelihood is not None:
            doubtful = ~(likelihood[:, self._places] >= self._likelihood)
            points = np.where(doubtful[:, :, None], np.nan, points)
        known = np.asarray(np.isfinite(points).all(axis=2))
        self._doubtful = 1 - float(known.mean())
        if not known.any():
            raise VideoError(
                f"{self._path}: no point is likely enough", "lower --likelihood, or leave it out"
            )
        points = np.where(known[:, :, None], points, np.nan)
        times = np.arange(len(points)) / self.fps
        yield times, pose_channels(points, self.fps)

    def shortfall(self) -> str:
        """Report what is missing or left out; "" if nothing is."""
        parts = [self._pose.note]
        if self._others:
            parts.append(f"joints left out: {listed(self._others, 12)}")
        if self._doubtful >= 0.0005:
            parts.append(f"{self._doubtful:.1%} of points missing or unlikely")
        return "; ".join(filter(None, parts))

    def close(self) -> None:
        """Free nothing: the file is closed already."""

    def __exit__(self, *details: object) -> None:
        self.close()


def pose_names(joints: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the channels of `pose_channels`."""
    places = [f"{joint} {axis}" for joint in joints for axis in "xy"]
    return (*places, *(f"{joint} speed" for joint in joints), "speed of the body")


def pose_channels(points: Float64, rate: float) -> Float64:
    """Compute the channels of a pose, (n, J, 2) pixels to (n, 3 J + 1).

    They are the joints' places relative to the middle of the body, the speeds of the joints
    relative to it, and its own speed; in sizes of the body and seconds. The middle is the median of
    the joints that are known. NaN is missing.
    """
    frames, joints = points.shape[:2]
    points = _without_gaps(points.reshape(frames, -1), round(_GAP * rate)).reshape(points.shape)
    seen = np.isfinite(points).any(axis=(1, 2))
    middle = np.full((frames, 2), np.nan)
    if seen.any():
        middle[seen] = np.nanmedian(points[seen], axis=1)
    relative = points - middle[:, None]
    squares = (relative**2).sum(axis=2)
    size = np.sqrt(np.nanmean(squares[seen], axis=1)) if seen.any() else np.ones(1)
    scale = float(np.median(size)) or 1.0
    relative, middle = relative / scale, middle / scale
    channels = [
        relative.reshape(frames, 2 * joints),
        _speed(relative, rate),
        _speed(middle[:, None], rate),
    ]
    return np.concatenate(channels, axis=1)


def _speed(points: Float64, rate: float) -> Float64:
    """Return the speed of points since the frame before, (n, J, 2) to (n, J)."""
    steps = np.diff(points, axis=0, prepend=points[:1])
    speed = np.sqrt((steps**2).sum(axis=2)) * rate
    speed[:1] = speed[1:2] if len(speed) > 1 else 0.0
    return np.asarray(speed)


def _without_gaps(values: Float64, longest: int) -> Float64:
    """Interpolate up to `longest` missing values in a row, between known ones, (n, C)."""
    filled = values.copy()
    numbers = np.arange(len(values))
    for column in filled.T:
        known = np.flatnonzero(np.isfinite(column))
        if len(known) < 2:
            continue
        after = np.searchsorted(known, numbers).clip(1, len(known) - 1)
        width = known[after] - known[after - 1] - 1
        inside = (numbers > known[0]) & (numbers < known[-1]) & np.isnan(column)
        short = inside & (width <= longest)
        column[short] = np.interp(numbers[short], known, column[known])
    return filled
