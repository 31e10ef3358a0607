"""Streams other than video to snippet features, with the same interface as `Extractor`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from actspan.config.stages import ExtractionConfig, FeatureSpec
from actspan.core.errors import ConfigError, VideoError
from actspan.core.types import Float64
from actspan.core.wording import counted, listed
from actspan.streams.addresses import Location
from actspan.streams.audio import Sound
from actspan.streams.extract_request import Grid
from actspan.streams.pose import PoseRecording, pose_names
from actspan.streams.sample_windows import SampleWindows
from actspan.streams.sensors import SensorTable
from actspan.streams.snippet_features import Ending, Part
from actspan.streams.stream_kinds import kind_of

_NO_ROWS = np.empty((0, 0), dtype=np.float32)


class Recording(Protocol):
    """An open recording of samples; `SensorTable` describes the members."""

    fps: float
    announced: float | None
    end: float

    def samples(self) -> Iterator[tuple[Float64, Float64]]:
        """Yield times, (n,) seconds, and values, (n, C), NaN where one is missing."""
        ...

    def shortfall(self) -> str:
        """Report what was skipped or left out, after the last sample."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *details: object) -> None: ...


class StreamExtractor(AbstractContextManager["StreamExtractor"]):
    """Extractor of snippet features from tables of sensors, sound or pose, with fixed settings.

    Parameters
    ----------
    extraction : ExtractionConfig
        Of another kind than video.
    grid : Grid
        In seconds; otherwise ConfigError.

    Examples
    --------
    >>> grid = Grid(Span(0.5, "s"), Span(1.0, "s"))  # doctest: +SKIP
    >>> with StreamExtractor(extraction, grid) as extractor:  # doctest: +SKIP
    ...     for part in extractor.run([Path("walk.csv")]):
    ...         print(part.seconds, part.rows.shape)
    """

    def __init__(self, extraction: ExtractionConfig, grid: Grid) -> None:
        if grid.stride.unit != "s":
            raise ConfigError(
                f"stride {grid.stride}: {extraction.kind} has no frames; give seconds (0.25s)"
            )
        self.grid, self._extraction = grid, extraction
        self._stride, self._length = grid.stride.value, grid.length.value
        self._names = channel_names(extraction)
        assert extraction.statistics is not None
        self._statistics = extraction.statistics

    @property
    def spec(self) -> FeatureSpec:
        """Description of the features, as in `dataset.toml` and bundles."""
        return FeatureSpec(
            channels=len(self._names) * len(self._statistics),
            layout="TC",
            extraction=self._extraction,
            **self.grid.settings(),
        )

    def open(self, path: Location) -> Recording:
        """Open a recording; raise VideoError if it cannot be used, or is of another kind."""
        kind, found = self._extraction.kind, kind_of(path)
        has_sound = kind == "audio" and found == "video"
        if found not in (None, kind) and path.suffix.lower() != ".csv" and not has_sound:
            raise VideoError(f"{path}: {found}, and features of {kind} are wanted", "leave it out")
        return open_recording(path, self._extraction, self._stride)

    def run(self, paths: Iterable[Location]) -> Iterator[Part]:
        """Extract recordings one after another, as `Extractor.run`."""
        for path in paths:
            try:
                with self.open(path) as recording:
                    yield from self._parts(path, recording)
            except VideoError as error:
                text = str(error)
                named = text if text.startswith(str(path)) else f"{path}: {text}"
                yield Part(path, _NO_ROWS, ending=VideoError(named, error.remedy))

    def windows(self) -> SampleWindows:
        """Return windows for the samples of one recording."""
        return SampleWindows(self._stride, self._length, self._statistics, len(self._names))

    def _parts(self, path: Location, recording: Recording) -> Iterator[Part]:
        windows, rows, seconds = self.windows(), 0, 0.0
        for times, values in recording.samples():
            check_density(times, self._length)
            made = windows.feed(times, values)
            rows, seconds = rows + len(made), float(times[-1])
            yield Part(path, made, seconds, self._stride)
        made = windows.finish(recording.end)
        if len(windows.unknown) == windows.width:
            raise VideoError("contains no valid value", "leave it out, or name other columns")
        notes = [recording.shortfall(), *self._gaps(windows, rows + len(made))]
        ending = Ending(recording.end, recording.fps, "; ".join(filter(None, notes)))
        yield Part(path, made, max(seconds, recording.end), self._stride, ending)

    def _gaps(self, windows: SampleWindows, rows: int) -> Iterator[str]:
        """Report missing values that were filled."""
        names = dict.fromkeys(self._names[i % len(self._names)] for i in windows.unknown)
        if names:
            yield f"0 in place of channels without a value: {listed(names)}"
        elif windows.empty:
            yield f"{windows.empty:,} of {counted(rows, 'snippet')} with missing values, repeated"

    def close(self) -> None:
        """Free nothing: files are closed when they end."""

    def __exit__(self, *details: object) -> None:
        self.close()


def check_density(times: Float64, length: float) -> None:
    """Raise VideoError if samples are farther apart than snippets are long."""
    step = float(times[-1] - times[0]) / max(len(times) - 1, 1)
    if step > 1.001 * length:
        raise VideoError(
            f"its samples are {step:g} s apart, and snippets are {length:g} s long",
            "say the unit of its times (--time-unit ms), or give a larger --stride",
        )


def channel_names(extraction: ExtractionConfig) -> tuple[str, ...]:
    """Return the names of the samples' channels."""
    if extraction.sensors is not None:
        return extraction.sensors.columns
    if extraction.audio is not None:
        return tuple(f"band {band}" for band in range(extraction.audio.bands))
    assert extraction.pose is not None
    return pose_names(extraction.pose.joints)


def open_recording(path: Location, extraction: ExtractionConfig, stride: float) -> Recording:
    """Open a recording of the kind of these settings; raise VideoError if it cannot be used."""
    if extraction.audio is not None:
        return Sound(path, extraction.audio, stride)
    assert isinstance(path, Path)  # `find_videos` refuses addresses of other kinds
    if extraction.sensors is not None:
        return SensorTable(path, extraction.sensors)
    assert extraction.pose is not None
    return PoseRecording(path, extraction.pose)
