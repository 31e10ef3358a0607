"""Arrays of samples to snippet features, for users of pandas, pyarrow and NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from actspan.config.stages import FeatureSpec
from actspan.config.streams import USUAL_STATISTICS, Statistic
from actspan.core.errors import ConfigError, ShapeError, VideoError
from actspan.core.types import Features
from actspan.streams.extract_request import Grid
from actspan.streams.sample_windows import SampleWindows
from actspan.streams.sensors import as_seconds
from actspan.streams.stream_features import check_density


def extract_samples(
    times: Any,
    values: Any,
    *,
    stride: float = 0.25,
    length: float | None = None,
    statistics: Sequence[Statistic] = USUAL_STATISTICS["sensors"],
    like: FeatureSpec | None = None,
) -> Features:
    """Compute snippet features of samples, as `actspan extract` does for a table of sensors.

    Parameters
    ----------
    times : (n,) array, Series or ChunkedArray
        Seconds, or dates (datetime64), in order. Time 0 is the first.
    values : (n, C) array, DataFrame or Table
        Numbers, one column per channel; NaN is missing.
    stride : float
        Seconds from snippet to snippet.
    length : float, optional
        Seconds that a snippet lasts: twice the stride unless given.
    statistics : sequence of Statistic
        Of the samples in each snippet: "mean", "std", "min", "max", "rms", "change".
    like : FeatureSpec, optional
        Use the settings of these features instead, such as `bundle.features`; the columns must be
        in the same order.

    Returns
    -------
    Features
        (T, S * C) float32.

    Raises
    ------
    ShapeError, ConfigError, VideoError
        Shapes do not fit, settings are not of sensors, or times run backwards.

    Examples
    --------
    >>> times = np.arange(100) / 50
    >>> features = extract_samples(times, np.stack([times, times**2], axis=1), stride=0.5)
    >>> features.values.shape, features.stride, features.length
    ((4, 10), 0.5, 1.0)
    """
    if like is not None:
        stride, length, statistics = _settings(like)
    length = 2 * stride if length is None else length
    if not (stride > 0 and length > 0):
        raise ConfigError(f"stride {stride} and length {length} must be positive")
    seconds, table = as_seconds(times), np.asarray(values, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if seconds.ndim != 1 or table.ndim != 2 or len(seconds) != len(table) or 0 in table.shape:
        raise ShapeError(f"times {seconds.shape} and values {table.shape}; (n,), (n, C) are needed")
    if not np.isfinite(seconds).all():
        raise ShapeError("times contain NaN or infinity: leave these samples out")
    if like is not None and table.shape[1] * len(statistics) != like.channels:
        wanted = (like.channels or 0) // len(statistics)
        raise ShapeError(f"values have {table.shape[1]} columns, and {wanted} are needed")
    check_density(seconds, length)
    windows = SampleWindows(stride, length, statistics, table.shape[1])
    rows = windows.feed(seconds, np.where(np.isfinite(table), table, np.nan))
    end = float(seconds[-1]) * len(seconds) / max(len(seconds) - 1, 1)
    rows = np.concatenate([rows, windows.finish(end)])
    if len(windows.unknown) == windows.width:
        raise VideoError("the samples contain no valid value", "give other columns")
    return Features(rows, stride=stride, length=length)


def _settings(like: FeatureSpec) -> tuple[float, float, tuple[Statistic, ...]]:
    """Return stride, length and statistics of features of sensors."""
    made = like.extraction
    if made is None or made.sensors is None or made.statistics is None:
        raise ConfigError("these are not features of sensors that actspan extract made")
    if made.projection is not None:
        raise ConfigError("these features are projected: write a table, and give it to propose")
    grid = Grid.of(like)
    return grid.stride.value, grid.length.value, made.statistics
