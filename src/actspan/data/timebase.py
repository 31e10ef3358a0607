"""Conversion of snippet numbers to seconds (bsn.md section 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import FeatureSpec
from actspan.core.errors import FeatureError
from actspan.core.types import Float64, Video
from actspan.core.wording import counted, listed, rounded
from actspan.data.videos import Bools, Videos

SPEC_FILE = "dataset.toml"
_AUTHORS_STRIDE = 16  # frames; stride of the published features
_LEAST_COVERED = 0.4  # fraction of a video; the least among the authors' 19,228 is 0.43
_SAME_STRIDE = 1.2  # ratio to the model's stride up to which features get no note
_COMMON_STRIDES = (1, 2, 4, 5, 8, 10, 16, 32, 64)  # frames; tried if the stride is unknown


class SnippetGrid(NamedTuple):
    """Position of a video's snippets in time, in seconds."""

    stride: float
    length: float
    # Seconds that position 1.0 corresponds to in results, where labels use another span: for the
    # authors' own features, whose floor is part of the published number.
    output_span: float | None = None
    # What all snippets cover, where that is not snippets * stride to the last bit: in the authors'
    # layout, whose rescaling depends on it (bsn.md section 2).
    covered: float | None = None


class SpanRule(StrEnum):
    """Rule by which `feature_frames` give the seconds at position 1.0 in results."""

    FLOOR = "floor"  # duration_frame // 16 * 16 / duration_frame, as in the authors' code
    COVERED = "covered"  # feature_frame / duration_frame, as for labels and features


def span_rule(videos: Videos, spec: FeatureSpec) -> tuple[SpanRule, tuple[str, ...]]:
    """Return one rule for a whole dataset, and notes if any video has `feature_frames`.

    The floor fits only features of 16 frames. All published features are like this, so 16 divides
    each `feature_frame` of the authors; for other features it cuts off up to the whole video.
    """
    both = _with_both(videos) if "feature_frames" in videos.given else np.zeros(0, bool)
    if not both.any():
        return SpanRule.COVERED, ()
    covered, frames = videos.numbers["feature_frames"], videos.numbers["frames"]
    rule = SpanRule.COVERED
    what = "results are scaled by feature_frame / duration_frame of each duration"
    if spec.stride_frames is not None or spec.stride_seconds is not None:
        why = "dataset.toml gives the stride"
    elif (covered[both] % _AUTHORS_STRIDE != 0).any():
        why = f"{_AUTHORS_STRIDE} does not divide every feature_frame"
    else:
        rule, why = SpanRule.FLOOR, f"{_AUTHORS_STRIDE} divides every feature_frame"
        what = "authors' layout: results are scaled by whole snippets of 16 frames"
    notes = [f"{what} ({why})"]
    short = np.flatnonzero(both)[covered[both] < _LEAST_COVERED * frames[both]]
    if len(short):
        what = f"{counted(len(short), 'video')} ({_list_videos(videos, short)})"
        notes.append(
            f"feature_frame is less than {_LEAST_COVERED:.0%} of duration_frame in {what}: "
            "it counts frames, not rows of features; proposals end where it says"
        )
    return rule, tuple(notes)


def _with_both(videos: Videos) -> NDArray[np.bool_]:
    covered, frames = videos.numbers["feature_frames"], videos.numbers["frames"]
    both: NDArray[np.bool_] = (covered > 0) & (frames > 0)
    return both


def _list_videos(videos: Videos, places: NDArray[np.intp]) -> str:
    return listed(videos.ids[place] for place in places.tolist())


def annotated_seconds(video: Video, rule: SpanRule) -> float:
    """Return the seconds at position 1.0 in results, as far as annotations give them."""
    if not (video.feature_frames and video.frames):
        return video.duration
    covered = video.feature_frames
    if rule is SpanRule.FLOOR:
        covered = video.frames // _AUTHORS_STRIDE * _AUTHORS_STRIDE
    return covered / video.frames * video.duration


def snippet_grid(
    video: Video, spec: FeatureSpec, snippets: int, rule: SpanRule = SpanRule.COVERED
) -> SnippetGrid:
    """Return the snippet grid of a video's features.

    Raises FeatureError if neither the spec nor the annotations give it.
    """
    if video.feature_frames and video.frames:
        rate = video.frames / video.duration
        stride = video.feature_frames / snippets / rate
        covered = annotated_seconds(video, SpanRule.COVERED)  # `corrected_second` of the authors
        return SnippetGrid(stride, stride, annotated_seconds(video, rule), covered)
    if spec.stride_seconds is not None:
        return SnippetGrid(spec.stride_seconds, spec.length_seconds or spec.stride_seconds)
    if spec.stride_frames is not None:
        fps = _frame_rate(video, spec)
        length = spec.length_frames or spec.stride_frames
        return SnippetGrid(spec.stride_frames / fps, length / fps)
    if video.snippet_stride is not None:
        return SnippetGrid(video.snippet_stride, video.snippet_length or video.snippet_stride)
    if math.isfinite(video.duration):
        return SnippetGrid(video.duration / snippets, video.duration / snippets)
    raise FeatureError(
        f"{video.id}: the times of its snippets are unknown; write stride_seconds = ... "
        "under [features] in dataset.toml"
    )


def _frame_rate(video: Video, spec: FeatureSpec) -> float:
    """Return frames per second: the video's own, or frames / duration, or the dataset's."""
    if video.fps is not None:
        return video.fps
    if video.frames is not None and math.isfinite(video.duration):
        return video.frames / video.duration
    if spec.fps is not None:
        return spec.fps
    raise FeatureError(
        f"{video.id}: the stride is in frames and nothing gives a frame rate; "
        "write fps = ... under [features] in dataset.toml"
    )


def packed_grid(
    packed: SnippetGrid, video: Video, snippets: int, rule: SpanRule, *, rescaled: bool
) -> SnippetGrid:
    """Return the grid of a store's features, corrected by annotations with `feature_frames`.

    Stores do not have `covered`; it is added to rows packed without rescaling, unless the
    annotations have changed since. Older stores have the floor in their shards for every dataset.
    """
    if not (video.feature_frames and video.frames):
        return packed
    covered = annotated_seconds(video, SpanRule.COVERED)
    if rule is not SpanRule.FLOOR and packed.output_span == annotated_seconds(
        video, SpanRule.FLOOR
    ):
        packed = packed._replace(output_span=covered)
    if rescaled or not math.isclose(covered, snippets * packed.stride, rel_tol=1e-9):
        return packed
    return packed._replace(covered=covered)


def other_stride(trained_on: FeatureSpec, spec: FeatureSpec, videos: Videos) -> str:
    """Return a note if the model was trained on features of another stride; "" if unknown."""
    expected, stride = _typical_stride(trained_on, Videos()), _typical_stride(spec, videos)
    if expected is None or stride is None or 1 / _SAME_STRIDE <= stride / expected <= _SAME_STRIDE:
        return ""
    return (
        f"the model was trained on a snippet every {rounded(expected)} s; these features have one "
        f"every {rounded(stride)} s"
    )


def _typical_stride(spec: FeatureSpec, videos: Videos) -> float | None:
    """Return the seconds from one snippet to the next (the median if it differs), or None."""
    if spec.stride_seconds is not None:
        return spec.stride_seconds
    if spec.stride_frames is not None:
        rates = videos.numbers["fps"]
        rates = np.where(np.isnan(rates), videos.numbers["frames"] / videos.durations, rates)
        known = rates[np.isfinite(rates)]
        rate = float(np.median(known)) if len(known) else spec.fps
        return None if rate is None else spec.stride_frames / rate
    if "snippet_stride" not in videos.given:
        return None
    return float(np.nanmedian(videos.numbers["snippet_stride"]))


def infer_grid(
    videos: Videos, snippets: Sequence[int], spec: FeatureSpec
) -> tuple[FeatureSpec, list[str]]:
    """Return the spec with a snippet grid, if none is given, and notes about assumptions."""
    if spec.stride_frames is not None or spec.stride_seconds is not None:
        return spec, _stride_notes(videos, snippets, spec)
    known = int(np.count_nonzero(_with_both(videos)))
    if known == len(videos):
        return spec, ["features cover feature_frame frames of each video"]
    if known:  # packing would take a stride set here for one of dataset.toml
        others = counted(len(videos) - known, "other video")
        return spec, [f"features cover feature_frame frames, and the whole duration of {others}"]
    if not np.isnan(videos.numbers["snippet_stride"]).any():
        return spec, ["snippet stride and length taken from the annotations"]
    stride = _common_stride(videos.numbers["frames"], np.asarray(snippets))
    if stride is None:
        return spec, ["features assumed to be spread evenly over each video's duration"]
    settled = msgspec.structs.replace(spec, stride_frames=stride, length_frames=stride)
    return settled, [f"snippets of {stride} frames, from the number of rows and frames"]


def _common_stride(frames: NDArray[np.float64], snippets: NDArray[np.int64]) -> int | None:
    """Return the frames per snippet that explain the rows of nearly all videos, or None."""
    if len(np.unique(snippets)) < 2 or np.isnan(frames).any():
        return None
    for stride in _COMMON_STRIDES:
        if np.mean(np.abs(frames / stride - snippets) <= 1.0) >= 0.95:
            return stride
    return None


def _stride_notes(videos: Videos, snippets: Sequence[int], spec: FeatureSpec) -> list[str]:
    """Return a note about videos whose stride and `feature_frames` disagree, if any."""
    covered, frames = videos.numbers["feature_frames"], videos.numbers["frames"]
    stride = np.full(len(videos), spec.stride_frames or np.nan)
    if spec.stride_seconds is not None:
        stride = spec.stride_seconds * frames / videos.durations
    off = np.abs(stride * np.asarray(snippets) - covered) > np.maximum(0.1 * covered, 2 * stride)
    if not off.any():
        return []
    return [
        "feature_frame is used, and not the stride of dataset.toml, where rows * stride is "
        f"another time: {counted(int(off.sum()), 'video')} "
        f"({_list_videos(videos, np.flatnonzero(off))})"
    ]


def times_apart(videos: Videos, spans: Float64, steps: Float64) -> Bools:
    """Return which videos have another duration than their features, (V,) bool.

    `spans` (V,) are the seconds that features cover, and `steps` (V,) the larger of stride and
    length; NaN if unknown, which does not count.
    """
    durations = videos.durations
    apart: Bools = np.abs(spans - durations) > np.maximum(0.1 * durations, 2 * steps)
    return apart
