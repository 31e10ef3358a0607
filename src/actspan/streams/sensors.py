"""Tables of sensors, CSV and Parquet, read in bounded memory: times and values of samples.

Time 0 is the first sample. Columns of text, and columns with the usual names of labels, are left
out and named, unless they are requested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from actspan.config.streams import SensorConfig, TimeUnit
from actspan.core.errors import VideoError
from actspan.core.types import Float64
from actspan.core.wording import counted, listed, suggestion
from actspan.streams.sensor_files import Column, SensorFile, open_table

_SECONDS: dict[TimeUnit, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_UNITS: dict[str, TimeUnit] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "µs", "micros", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nanos", "nanoseconds"), "ns"),
}
_TIME = re.compile(
    r"(?:(?:unix|epoch|elapsed|relative|sensor|device)[ _]?)?"
    r"(?:time ?_?stamps?|times?|date ?_?time|date|epoch|ts|t|seconds ?_?elapsed)"
    rf"(?:[ _]*[\[(]?({'|'.join(_UNITS)})[\])]?)?|({'|'.join(_UNITS)})"
)
_LABELS = ("activity", "annotation", "class", "event", "label", "labels", "target")
# Numbers above these are times since 1970: seconds of now have ten digits.
_EPOCHS: tuple[tuple[float, TimeUnit], ...] = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"))


class SensorTable(AbstractContextManager["SensorTable"]):
    """An open table of sensors, which is read once.

    Attributes
    ----------
    announced : float or None
        Seconds that it lasts, if that is known before it is read.
    end : float
        Seconds to the end of the last sample read.

    Raises
    ------
    VideoError
        The file is missing or damaged, or lacks one of the columns.
    """

    fps = 0.0  # a table has no frames

    def __init__(self, path: Path, config: SensorConfig) -> None:
        self._config = config
        wanted = [*config.columns, *([config.time] if config.time else [])]
        self._file: SensorFile = open_table(path)
        self.end = 0.0
        self._undated = self._samples = 0
        try:
            names = [column.name for column in self._file.columns]
            if missing := [name for name in wanted if name not in names]:
                near = suggestion(missing[0], names)
                raise VideoError(
                    f"{path}: has no column {listed(map(repr, missing))}{near}",
                    "name its columns alike, or leave the file out",
                )
            types = {column.name: column.type for column in self._file.columns}
            if unusable := [n for n in config.columns if types[n] != "number"]:
                what = "contains no numbers" if len(unusable) == 1 else "contain no numbers"
                raise VideoError(
                    f"{path}: column {listed(map(repr, unusable))} {what}", "name other columns"
                )
            if config.time is not None and types[config.time] == "text":
                raise VideoError(
                    f"{path}: times in column {config.time!r} are neither numbers nor ISO 8601",
                    "write them as 2026-01-31T12:00:00.000 or seconds, or give --rate",
                )
            self._others = _left_out(self._file.columns, config)
        except VideoError:
            self.close()
            raise
        rows = self._file.rows
        self.announced = rows / config.rate if config.rate and rows is not None else None

    def samples(self) -> Iterator[tuple[Float64, Float64]]:
        """Yield times, (n,) seconds from the first sample, and values, (n, C).

        Raises VideoError if the file is damaged, or contains no sample.
        """
        config, origin = self._config, None
        first = last = 0.0
        for batch in self._file.batches(config.columns, config.time):
            values = batch.values
            if batch.times is None:
                assert config.rate is not None
                times = (self._samples + np.arange(len(values))) / config.rate
            else:
                dated = np.isfinite(batch.times)
                self._undated += int((~dated).sum())
                times, values = batch.times[dated], values[dated]
                if not len(times):
                    continue
                origin = times[0] if origin is None else origin
                unit = 1e-9 if batch.is_clock else _SECONDS[config.unit]
                times = (times - origin) * unit
            if not len(values):
                continue
            self._samples += len(values)
            last = float(times[-1])
            yield times, np.where(np.isfinite(values), values, np.nan)
            # The last sample lasts as long as the others on average.
            step = (last - first) / max(self._samples - 1, 1)
            self.end = last + (1 / config.rate if config.rate else step)
        if not self._samples:
            raise VideoError(f"{self._file.path}: contains no samples")

    def shortfall(self) -> str:
        """Report what was skipped or left out, after the last sample; "" if nothing was."""
        parts = []
        if self._file.skipped:
            parts.append(f"{counted(self._file.skipped, 'row')} with too many or few cells skipped")
        if self._undated:
            parts.append(f"{counted(self._undated, 'row')} without a time skipped")
        if self._others:
            parts.append(f"columns left out: {listed(self._others, 12)}")
        return "; ".join(parts)

    def close(self) -> None:
        """Close the file. Closing twice is allowed."""
        self._file.close()

    def __exit__(self, *details: object) -> None:
        self.close()


class TableRequest(NamedTuple):
    """Settings of tables; what is not given is found in the first table."""

    columns: tuple[str, ...] = ()
    time: str | None = None
    unit: TimeUnit | None = None
    rate: float | None = None


def find_columns(path: Path, request: TableRequest) -> SensorConfig:
    """Return the columns of a table that features are made of, and its column of times.

    Raises VideoError if there are none, or it cannot be read.
    """
    with open_table(path) as table:
        names = [column.name for column in table.columns]
        time = unit = None
        if request.rate is None:
            time, unit = _time_column(table, request)
        columns = request.columns or tuple(
            column.name for column in table.columns if _is_channel(column, time)
        )
        if not columns:
            raise VideoError(
                f"{path}: no columns of numbers among {listed(map(repr, names), 12)}",
                "name them: --column NAME",
            )
        return SensorConfig(columns=columns, time=time, unit=unit or "s", rate=request.rate)


def _time_column(table: SensorFile, request: TableRequest) -> tuple[str, TimeUnit]:
    """Return the name of the column of times, and the unit of its numbers."""
    columns = {column.name: column for column in table.columns}
    name = request.time
    if name is None:
        dated = [n for n, c in columns.items() if c.type != "text" and _TIME.fullmatch(n.lower())]
        clocks = [n for n, c in columns.items() if c.type == "clock"]
        found = [*dated, *clocks]
        if not found:
            raise VideoError(
                f"{table.path}: no column of times among {listed(map(repr, columns), 12)}",
                "name it (--time COLUMN), or give the samples per second (--rate HZ)",
            )
        name = found[0]
    elif name not in columns:
        raise VideoError(f"{table.path}: has no column {name!r}{suggestion(name, columns)}")
    unit = request.unit
    if unit is None:
        match = _TIME.fullmatch(name.lower())
        stated = match and (match[1] or match[2])
        unit = _UNITS[stated] if stated else _usual_unit(table, name)
    return name, unit


def _usual_unit(table: SensorFile, name: str) -> TimeUnit:
    """Return the unit of times whose column does not say it, by their size; seconds if small."""
    first = next((b.times for b in table.batches((), name) if b.times is not None), np.zeros(0))
    largest = float(np.nanmax(first)) if np.isfinite(first).any() else 0.0
    return next((unit for least, unit in _EPOCHS if largest >= least), "s")


def _is_channel(column: Column, time: str | None) -> bool:
    name = column.name.strip().lower()
    if column.type != "number" or column.name == time:
        return False
    is_index = name in ("", "index") or name.startswith(("unnamed:", "__index_level_"))
    return not (is_index or name in _LABELS or _TIME.fullmatch(name))


def _left_out(columns: Sequence[Column], config: SensorConfig) -> list[str]:
    """Return the columns that are not used, each with the reason unless it is its name."""
    used = {*config.columns, config.time}
    others = [column for column in columns if column.name not in used]
    return [f"{c.name or 'unnamed'}{' (text)' * (c.type == 'text')}" for c in others]


def as_seconds(times: Any) -> Float64:
    """Return times, numbers in seconds or NumPy's dates, as seconds from the first, (n,)."""
    array = np.asarray(times)
    if array.dtype.kind == "O":  # dates with a time zone
        array = np.asarray(times, dtype="datetime64[ns]")
    if array.dtype.kind == "M":
        array = array.astype("datetime64[ns]").astype(np.int64)
        return np.asarray((array - array[:1]) * 1e-9, dtype=np.float64)
    if array.dtype.kind == "m":
        array = array.astype("timedelta64[ns]").astype(np.int64) * 1e-9
    seconds = np.asarray(array, dtype=np.float64)
    return np.asarray(seconds - seconds[:1], dtype=np.float64)
