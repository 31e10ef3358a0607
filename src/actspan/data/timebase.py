"""Conversion of snippet numbers to seconds (bsn.md section 1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import FeatureSpec
from actspan.core.errors import FeatureError
from actspan.core.types import Video
from actspan.core.wording import counted, listed, rounded
from actspan.data.videos import Videos

_AUTHORS_STRIDE = 16  # frames; stride of the published features
_LEAST_COVERED = 0.4  # fraction of a video; the least among the authors' 19,228 is 0.43
_SAME_STRIDE = 1.2  # ratio to the model's stride up to which features get no note
_COMMON_STRIDES = (1, 2, 4, 5, 8, 10, 16, 32, 64)  # frames; tried if the stride is unknown


class SnippetGrid(NamedTuple):
    """Position of a video's snippets in time.

    Attributes
    ----------
    stride, length : float
        Seconds.
    output_span : float, optional
        Seconds that position 1.0 stands for in results, where labels use another span: for the
        authors' own features, whose floor is part of the published number.
    covered : float, optional
        Seconds that all snippets cover, where that is not snippets * stride to the last bit: in
        the authors' layout, whose rescaling depends on it (bsn.md section 2).
    """

    stride: float
    length: float
    output_span: float | None = None
    covered: float | None = None


class SpanRule(StrEnum):
    """Rule by which `feature_frames` give the seconds at position 1.0 in results."""

    FLOOR = "floor"  # duration_frame // 16 * 16 / duration_frame, as in the authors' code
    COVERED = "covered"  # feature_frame / duration_frame, as for labels and features


_RULES = {
    SpanRule.FLOOR: "authors' layout: results are scaled by whole snippets of 16 frames",
    SpanRule.COVERED: "results are scaled by feature_frame / duration_frame of each duration",
}


def span_rule(videos: Videos, spec: FeatureSpec) -> tuple[SpanRule, tuple[str, ...]]:
    """Return one rule for a whole dataset, and notes about it.

    The floor fits only features of 16 frames. All published features are like this, so 16 divides
    each `feature_frame` of the authors; for other features it cuts off up to the whole video.

    Returns
    -------
    rule : SpanRule
    notes : tuple of str
        Empty if no video has `feature_frames`.
    """
    covered, frames = videos.numbers("feature_frames"), videos.numbers("frames")
    both = _with_both(videos)
    if not both.any():
        return SpanRule.COVERED, ()
    if spec.stride_frames is not None or spec.stride_seconds is not None:
        rule, why = SpanRule.COVERED, "dataset.toml gives the stride"
    elif (covered[both] % _AUTHORS_STRIDE != 0).any():
        rule, why = SpanRule.COVERED, f"{_AUTHORS_STRIDE} does not divide every feature_frame"
    else:
        rule, why = SpanRule.FLOOR, f"{_AUTHORS_STRIDE} divides every feature_frame"
    short = np.flatnonzero(both)[covered[both] < _LEAST_COVERED * frames[both]]
    return rule, (f"{_RULES[rule]} ({why})", *_short_notes(videos, short))


def _with_both(videos: Videos) -> NDArray[np.bool_]:
    both: NDArray[np.bool_] = (videos.numbers("feature_frames") > 0) & (
        videos.numbers("frames") > 0
    )
    return both


def _short_notes(videos: Videos, places: NDArray[np.intp]) -> Iterator[str]:
    if len(places):
        what = f"{counted(len(places), 'video')} ({listed(videos.ids[i] for i in places.tolist())})"
        yield (
            f"feature_frame is less than {_LEAST_COVERED:.0%} of duration_frame in {what}: "
            "it counts frames, not rows of features; proposals end where it says"
        )


def snippet_grid(
    video: Video, spec: FeatureSpec, snippets: int, rule: SpanRule = SpanRule.COVERED
) -> SnippetGrid:
    """Return the snippet grid of a video's features.

    Raises
    ------
    FeatureError
        Neither the spec nor the annotations give the snippets' position in time.
    """
    if video.feature_frames and video.frames:
        rate = video.frames / video.duration
        stride = video.feature_frames / snippets / rate
        return SnippetGrid(stride, stride, annotated_seconds(video, rule), _covered(video))
    return SnippetGrid(*_stride_and_length(video, spec, snippets))


def annotated_seconds(video: Video, rule: SpanRule) -> float:
    """Return the seconds at position 1.0 in results, as far as annotations give them."""
    if not (video.feature_frames and video.frames):
        return video.duration
    covered = video.feature_frames
    if rule is SpanRule.FLOOR:
        covered = video.frames // _AUTHORS_STRIDE * _AUTHORS_STRIDE
    return covered / video.frames * video.duration


def packed_grid(packed: SnippetGrid, video: Video, snippets: int) -> SnippetGrid:
    """Return the grid of rows packed without rescaling, with `covered`, which stores do not have.

    Nothing is added if the annotations have changed since they were packed.
    """
    covered = _covered(video)
    if covered is None or not math.isclose(covered, snippets * packed.stride, rel_tol=1e-9):
        return packed
    return packed._replace(covered=covered)


def _covered(video: Video) -> float | None:
    """Return `corrected_second` of the published code, in its order of operations."""
    if not (video.feature_frames and video.frames):
        return None
    return video.feature_frames / video.frames * video.duration


def without_floor(grid: SnippetGrid, video: Video) -> SnippetGrid:
    """Return the grid of packed features with the span that `SpanRule.COVERED` gives.

    Stores that were packed before there were two rules have the floor in their shards.
    """
    if grid.output_span is None or grid.output_span != annotated_seconds(video, SpanRule.FLOOR):
        return grid
    return grid._replace(output_span=annotated_seconds(video, SpanRule.COVERED))


def _stride_and_length(video: Video, spec: FeatureSpec, snippets: int) -> tuple[float, float]:
    if spec.stride_seconds is not None:
        return spec.stride_seconds, spec.length_seconds or spec.stride_seconds
    if spec.stride_frames is not None:
        fps = frame_rate(video, spec)
        return spec.stride_frames / fps, (spec.length_frames or spec.stride_frames) / fps
    if video.snippet_stride is not None:
        return video.snippet_stride, video.snippet_length or video.snippet_stride
    if np.isfinite(video.duration):
        return video.duration / snippets, video.duration / snippets
    raise FeatureError(
        f"{video.id}: nothing says how its snippets lie in time; write stride_seconds = ... "
        "under [features] in dataset.toml"
    )


def frame_rate(video: Video, spec: FeatureSpec) -> float:
    """Return frames per second: the video's own, or frames / duration, or the dataset's.

    Raises
    ------
    FeatureError
        None of these is given.
    """
    if video.fps is not None:
        return video.fps
    if video.frames is not None and np.isfinite(video.duration):
        return video.frames / video.duration
    if spec.fps is not None:
        return spec.fps
    raise FeatureError(
        f"{video.id}: the stride is in frames and nothing gives a frame rate; "
        "write fps = ... under [features] in dataset.toml"
    )


def typical_stride(spec: FeatureSpec, videos: Videos) -> float | None:
    """Return the seconds from one snippet to the next, or None if they are unknown.

    If the rate or the stride differs between videos, it is the median.
    """
    if spec.stride_seconds is not None:
        return spec.stride_seconds
    if spec.stride_frames is not None:
        rates = videos.numbers("fps")
        rates = np.where(np.isnan(rates), videos.numbers("frames") / videos.durations, rates)
        known = rates[np.isfinite(rates)]
        rate = float(np.median(known)) if len(known) else spec.fps
        return None if rate is None else spec.stride_frames / rate
    return (
        float(np.nanmedian(videos.numbers("snippet_stride")))
        if videos.has("snippet_stride")
        else None
    )


def other_stride(trained_on: FeatureSpec, spec: FeatureSpec, videos: Videos) -> str:
    """Return a note if the model was trained on features of another stride; "" if unknown."""
    expected, found = typical_stride(trained_on, Videos()), typical_stride(spec, videos)
    if expected is None or found is None or 1 / _SAME_STRIDE <= found / expected <= _SAME_STRIDE:
        return ""
    return (
        f"the model was trained on a snippet every {rounded(expected)} s; these features have one "
        f"every {rounded(found)} s"
    )


def infer_grid(
    videos: Videos, snippets: Sequence[int], spec: FeatureSpec
) -> tuple[FeatureSpec, str]:
    """Return the spec with a snippet grid, if none is given, and a note about the assumption."""
    known = int(np.count_nonzero(_with_both(videos)))
    if known == len(videos):
        return spec, "features cover feature_frame frames of each video"
    if known:  # packing would take a stride set here for one of dataset.toml
        others = counted(len(videos) - known, "other video")
        return spec, f"features cover feature_frame frames, and the whole duration of {others}"
    if all(video.snippet_stride is not None for video in videos):
        return spec, "snippet stride and length taken from the annotations"
    stride = _common_stride(videos, np.asarray(snippets))
    if stride is not None:
        settled = msgspec.structs.replace(spec, stride_frames=stride, length_frames=stride)
        return settled, f"snippets of {stride} frames, from the number of rows and frames"
    return spec, "features taken as spread evenly over each video's duration"


def stride_notes(videos: Videos, snippets: Sequence[int], spec: FeatureSpec) -> list[str]:
    """Return a note about videos whose stride and `feature_frames` disagree, if any."""
    covered, frames = videos.numbers("feature_frames"), videos.numbers("frames")
    stride = np.full(len(videos), spec.stride_frames or np.nan)
    if spec.stride_seconds is not None:
        stride = spec.stride_seconds * frames / videos.durations
    off = np.abs(stride * np.asarray(snippets) - covered) > np.maximum(0.1 * covered, 2 * stride)
    if not off.any():
        return []
    names = listed(videos.ids[place] for place in np.flatnonzero(off).tolist())
    return [
        "feature_frame is used, and not the stride of dataset.toml, where rows * stride is "
        f"another time: {counted(int(off.sum()), 'video')} ({names})"
    ]


def _common_stride(videos: Sequence[Video], snippets: np.ndarray) -> int | None:
    """Return the frames per snippet that explain the rows of nearly all videos, or None."""
    if len(np.unique(snippets)) < 2 or any(video.frames is None for video in videos):
        return None
    frames = np.array([video.frames for video in videos])
    for stride in _COMMON_STRIDES:
        if np.mean(np.abs(frames / stride - snippets) <= 1.0) >= 0.95:
            return stride
    return None
