"""From snippet numbers to seconds: bsn.md section 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from actspan.config import FeatureSpec
from actspan.errors import FeatureError
from actspan.types import Video

_AUTHORS_STRIDE = 16  # frames; the published features
_COMMON_STRIDES = (1, 2, 4, 5, 8, 10, 16, 32, 64)  # frames; tried when nothing says the stride


class SnippetGrid(NamedTuple):
    """How a video's snippets lie in time.

    Attributes
    ----------
    stride, length : float
        Seconds.
    output_span : float, optional
        Seconds that position 1.0 stands for in results, where labels use another span: in the
        authors' layout, whose floor is part of the published number.
    covered : float, optional
        Seconds that all snippets cover, where that is not snippets * stride to the last bit: in
        the authors' layout, whose rescaling depends on it (bsn.md section 2).
    """

    stride: float
    length: float
    output_span: float | None = None
    covered: float | None = None


def snippet_grid(video: Video, spec: FeatureSpec, snippets: int) -> SnippetGrid:
    """Find how a video's features lie in time.

    Raises
    ------
    FeatureError
        Neither the spec nor the annotations say how the snippets lie in time.
    """
    if video.feature_frames is not None and video.frames is not None:
        rate = video.frames / video.duration
        stride = video.feature_frames / snippets / rate
        return SnippetGrid(stride, stride, annotated_seconds(video), _covered(video))
    return SnippetGrid(*_stride_and_length(video, spec, snippets))


def packed_grid(packed: SnippetGrid, video: Video, snippets: int) -> SnippetGrid:
    """Complete the grid of rows that were packed as they came: a store has no column of `covered`.

    Nothing is added where the annotations say something else than when they were packed.
    """
    covered = _covered(video)
    if covered is None or not math.isclose(covered, snippets * packed.stride, rel_tol=1e-9):
        return packed
    return packed._replace(covered=covered)


def _covered(video: Video) -> float | None:
    """Return `corrected_second` of the published code, in its order of operations."""
    if video.feature_frames is None or video.frames is None:
        return None
    return video.feature_frames / video.frames * video.duration


def annotated_seconds(video: Video) -> float:
    """Seconds that position 1.0 stands for in results, as far as annotations tell: the duration.

    In the authors' layout it is the whole snippets' share of it; the floor is part of the
    published number.
    """
    if video.feature_frames is None or video.frames is None:
        return video.duration
    whole = video.frames // _AUTHORS_STRIDE * _AUTHORS_STRIDE
    return whole / video.frames * video.duration


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
        f"{video.id}: nothing says how its snippets lie in time; write dataset.toml with "
        "[features] stride_seconds"
    )


def frame_rate(video: Video, spec: FeatureSpec) -> float:
    """Frames a second: the video's own, else from its frames and duration, else the dataset's.

    Raises
    ------
    FeatureError
        None of these is known.
    """
    if video.fps is not None:
        return video.fps
    if video.frames is not None and np.isfinite(video.duration):
        return video.frames / video.duration
    if spec.fps is not None:
        return spec.fps
    raise FeatureError(
        f"{video.id}: the stride is in frames but nothing gives a frame rate; "
        "write 'fps' to its annotation or to dataset.toml"
    )


def infer_grid(
    videos: Sequence[Video], snippets: Sequence[int], spec: FeatureSpec
) -> tuple[FeatureSpec, str]:
    """Settle the snippet grid where no spec gives it; also says in words what was assumed."""
    if all(video.feature_frames is not None for video in videos):
        return spec, "authors' layout: features cover feature_frame frames of each video"
    if all(video.snippet_stride is not None for video in videos):
        return spec, "snippet stride and length taken from the annotations"
    stride = _common_stride(videos, np.asarray(snippets))
    if stride is not None:
        settled = msgspec.structs.replace(spec, stride_frames=stride, length_frames=stride)
        return settled, f"snippets of {stride} frames, from the number of rows and frames"
    return spec, "features taken as spread evenly over each video's duration"


def _common_stride(videos: Sequence[Video], snippets: np.ndarray) -> int | None:
    """Frames a snippet that explain the number of rows of nearly all videos, if any do."""
    if len(np.unique(snippets)) < 2 or any(video.frames is None for video in videos):
        return None
    frames = np.array([video.frames for video in videos])
    for stride in _COMMON_STRIDES:
        if np.mean(np.abs(frames / stride - snippets) <= 1.0) >= 0.95:
            return stride
    return None
