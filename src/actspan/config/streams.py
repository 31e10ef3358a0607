"""Settings of streams other than video: tables of sensors, sound, and pose."""

from __future__ import annotations

from typing import Annotated, Literal

from actspan.config.base import Bounds, Config, require_setting

StreamKind = Literal["video", "sensors", "audio", "pose"]
Statistic = Literal["mean", "std", "min", "max", "rms", "change"]
TimeUnit = Literal["s", "ms", "us", "ns"]
_Rate = Annotated[float, Bounds(0, excluded=0)]

TIMEOUT = 10.0  # seconds without data after which a connection counts as interrupted

# Statistics of the samples in a snippet, by kind, unless others are requested.
USUAL_STATISTICS: dict[str, tuple[Statistic, ...]] = {
    "sensors": ("mean", "std", "min", "max", "change"),
    "audio": ("mean", "std"),
    "pose": ("mean", "std"),
}


class SensorConfig(Config, frozen=True, kw_only=True):
    """Columns of a table of sensors: `[features.extraction.sensors]`."""

    columns: tuple[str, ...]  # in the order of the channels
    time: str | None = None  # column of times; without it, samples come at `rate`
    unit: TimeUnit = "s"  # of numbers in that column
    rate: Annotated[float | None, Bounds(0, excluded=0)] = None  # samples per second

    def __post_init__(self) -> None:
        super().__post_init__()
        once = len(set(self.columns)) == len(self.columns) > 0
        require_setting(once, "sensors: columns must name columns, each once")
        has_one = (self.time is None) != (self.rate is None)
        require_setting(has_one, "sensors: a column of times or a rate is needed, not both")


class AudioConfig(Config, frozen=True, kw_only=True):
    """Log-mel bands of sound: `[features.extraction.audio]`."""

    rate: Annotated[int, Bounds(1000, 768_000)] = 16_000  # of the resampled sound, Hz
    bands: Annotated[int, Bounds(1, 1024)] = 64  # between 0 Hz and half the rate


class PoseConfig(Config, frozen=True, kw_only=True):
    """Joints of a tracked pose: `[features.extraction.pose]`."""

    joints: tuple[str, ...]  # in the order of the channels
    rate: _Rate  # frames per second
    likelihood: Annotated[float, Bounds(0, 1)] = 0.6  # points below it count as missing

    def __post_init__(self) -> None:
        super().__post_init__()
        once = len(set(self.joints)) == len(self.joints) > 0
        require_setting(once, "pose: joints must name joints, each once")
