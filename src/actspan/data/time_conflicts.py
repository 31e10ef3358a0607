"""Comparison of durations, instances and features, to find which of them is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from actspan.config.stages import FeatureSpec
from actspan.core.errors import DataError
from actspan.core.problems import Problem, Skipped
from actspan.core.types import Float64
from actspan.core.wording import counted, rounded
from actspan.data.timebase import SPEC_FILE, times_apart
from actspan.data.times import annotation_file, conversion, frame_rate_option, require_seconds
from actspan.data.videos import Bools, Videos, allowed_ends, ends_of

_MAJORITY = 0.9  # fraction of videos, or of instances, that have to agree
_REACHED, _FILLED = 0.5, 0.95  # fractions of a length, at the last instance of some video
_MILLISECONDS, _TOLERANCE = 1000.0, 0.03
_FRAME_RATES = (24.0, 25.0, 30.0, 50.0, 60.0, 100.0, 120.0)  # of times given in frames
_HARMFUL = 2.0  # factor from which training stops even if instances fit

Wrong = Literal["durations", "features", "annotations", ""]


class TimeConflict(NamedTuple):
    """Durations and features of most videos that differ by one factor.

    `wrong` is "features" if their stride is wrong, "annotations" if durations and instances are
    wrong alike, and "" if it is not clear.
    """

    wrong: Wrong
    what: str
    remedy: str
    is_harmful: bool  # training on these times would be wrong


class _Fit(NamedTuple):
    """Fit of instances into videos of given lengths."""

    within: bool  # nearly all end before their video does
    reach: float  # the largest fraction of its video at which one ends


def compare_times(
    videos: Videos, spans: Float64, steps: Float64, spec: FeatureSpec, path: Path
) -> tuple[TimeConflict | None, list[Problem]]:
    """Return the conflict of most videos, if there is one, and notes.

    The notes are the conflict, or a note per video whose features do not cover its duration.

    Parameters
    ----------
    spans, steps : (V,) float64
        Seconds that features cover, and the larger of stride and length; NaN if unknown.
    path : Path
        The dataset folder.
    """
    durations, apart = videos.durations, times_apart(videos, spans, steps)
    if not apart.any():
        return None, []
    conflict = _find_conflict(videos, spans, steps, apart, spec, path)
    if conflict is not None:
        what, remedy = conflict.what, conflict.remedy
        return conflict, [Problem("", str(path), what, remedy, Skipped.NOTHING)]
    remedy = f"check the stride in {SPEC_FILE}, and the duration"
    notes = []
    for index in np.flatnonzero(apart).tolist():
        what = f"features cover {spans[index]:,.1f} s of {durations[index]:,.1f} s"
        notes.append(Problem(videos.ids[index], str(path), what, remedy, Skipped.NOTHING))
    return None, notes


def _find_conflict(
    videos: Videos,
    spans: Float64,
    steps: Float64,
    apart: Bools,
    spec: FeatureSpec,
    path: Path,
) -> TimeConflict | None:
    ratio, count = videos.durations[apart] / spans[apart], int(apart.sum())
    if count < 2 or 2 * count <= len(videos):
        return None
    factor = float(np.median(ratio))
    rounding = 2 * steps[apart] / spans[apart]
    alike = np.abs(ratio / factor - 1) <= 0.1 * np.sqrt(1 + rounding)
    if not factor > 0 or alike.mean() < _MAJORITY:
        return None
    affected = f"in {count:,} of {counted(len(videos), 'video')}"
    by_durations, by_spans = _fit(videos, videos.durations), _fit(videos, spans)
    wrong = _which_is_wrong(factor, by_durations, by_spans)
    is_far = not 1 / _HARMFUL < factor < _HARMFUL
    if wrong == "durations":
        return _duration_conflict(factor, affected, path, is_far or not by_durations.within)
    what = f"features cover {rounded(1 / factor)} times the length of the video, {affected}"
    if not wrong:
        return TimeConflict("", what, _unclear_remedy(spec, factor), is_harmful=False)
    if unit := _unit_of_times(videos, spec, factor):
        name, options = unit
        what = f"times and durations look like {name}: {what}"
        return TimeConflict("annotations", what, conversion(path, options), is_harmful=True)
    remedy = _stride_remedy(spec, factor)
    if any(abs(factor / rate - 1) < _TOLERANCE for rate in _FRAME_RATES):
        convert = conversion(path, "--times frames --fps RATE")
        remedy += f"; or, if times and durations are frames: {convert}"
    return TimeConflict("features", what, remedy, is_far or not by_spans.within)


def require_right_times(
    videos: Videos, spans: Float64, spec: FeatureSpec, path: Path, conflict: TimeConflict | None
) -> None:
    """Raise if durations, instances or the stride cannot be right.

    `spans` (V,) are the seconds that features cover, NaN if unknown; `path` is the dataset folder,
    and `conflict` the result of `compare_times`. Raises DataError if one of the three disagrees
    with the others by so much that work on it would be wrong.
    """
    if conflict is not None:
        if conflict.is_harmful:
            raise DataError(f"{path}: {conflict.what}: {conflict.remedy}")
        return
    lacks_durations = np.isnan(videos.durations).any()
    stride_remedy = f"correct the stride in {SPEC_FILE}" if lacks_durations else ""
    require_seconds(videos, path, spans, of="features", fps=spec.fps, otherwise=stride_remedy)
    require_seconds(videos, path, fps=spec.fps, otherwise="correct the durations")


def _fit(videos: Videos, lengths: Float64) -> _Fit:
    end, latest = videos.segments[:, 1], ends_of(videos, lengths)
    known = np.isfinite(latest) & np.isfinite(end) & (latest > 0)
    end, latest = end[known], latest[known]
    if not len(end):
        return _Fit(within=True, reach=0.0)
    return _Fit(
        bool(np.mean(end <= allowed_ends(latest)) >= _MAJORITY), float((end / latest).max())
    )


def _which_is_wrong(
    factor: float, durations: _Fit, features: _Fit
) -> Literal["durations", "features", ""]:
    """Return whether durations or features disagree with the instances; "" if it is unclear.

    Instances within both show that the shorter one is right if they fill it, or if they reach far
    into it but not into the other one.
    """
    if features.within != durations.within:
        return "durations" if features.within else "features"
    short_one, long_one = (features, durations) if factor > 1 else (durations, features)
    is_filled = short_one.reach > _FILLED or long_one.reach < _REACHED < short_one.reach
    if not (features.within and is_filled):
        return ""
    return "durations" if factor > 1 else "features"


def _duration_conflict(factor: float, affected: str, path: Path, is_harmful: bool) -> TimeConflict:
    name, remedy = "wrong", "correct the durations in"
    if abs(factor / _MILLISECONDS - 1) < _TOLERANCE:
        name, remedy = "like milliseconds", "divide them by 1,000 in"
    what = (
        f"durations look {name} ({rounded(factor)} times what the features cover, {affected}; the "
        "instances fit the features)"
    )
    return TimeConflict("durations", what, f"{remedy} {annotation_file(path)}", is_harmful)


def _unit_of_times(videos: Videos, spec: FeatureSpec, factor: float) -> tuple[str, str] | None:
    """Return the unit of times and durations and the options to convert them, or None."""
    if abs(factor / _MILLISECONDS - 1) < _TOLERANCE:
        return "milliseconds", "--times milliseconds"
    rates = videos.numbers["fps"]
    rate = float(np.nanmedian(rates)) if "fps" in videos.given else spec.fps
    if rate is not None and abs(factor / rate - 1) < _TOLERANCE:
        return "frames", f"--times frames{frame_rate_option(videos, spec.fps)}"
    return None


def _stride_remedy(spec: FeatureSpec, factor: float) -> str:
    for name in ("stride_seconds", "stride_frames"):
        if (stride := getattr(spec, name)) is not None:
            return f"{name} = {rounded(stride * factor).replace(',', '')} in {SPEC_FILE} would fit"
    return "check the durations, and the stride of the features"


def _unclear_remedy(spec: FeatureSpec, factor: float) -> str:
    """Return what to check if no instances can decide."""
    if abs(factor / _MILLISECONDS - 1) < _TOLERANCE:
        return "durations may be milliseconds: check them"
    stride = _stride_remedy(spec, factor)
    return f"{stride}, if the durations are right" if stride.endswith("would fit") else stride
