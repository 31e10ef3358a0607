"""Annotated instances compared with the length of their video: faults, and clipping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actspan.core.problems import Problem, Skipped
from actspan.core.types import Float64, Video
from actspan.core.wording import counted, listed, rounded
from actspan.data.videos import Videos

Bools = NDArray[np.bool_]

_SLACK_SECONDS, _SLACK_SHARE = 1.0, 0.01  # how far a usable instance may pass the end
_CLIP = "cut it off with actspan annotate convert --clip, or fix the annotation"
_FIX = "fix the annotation, or remove it"
_MANY = 5  # with this many instances past the end, and more than half, durations are wrong
_DURATIONS = "most instances pass the end of their video: correct the durations"
_SHORT_FEATURES = "fix the annotation, or give the video its duration"


def lengths_of(videos: Videos, spans: Float64 | None) -> Float64:
    """Return the duration of each video, (V,), or the span of its features if it is unknown."""
    if spans is None:
        return videos.durations
    return np.where(np.isnan(videos.durations), spans, videos.durations)


def ends_of(videos: Videos, latest: Float64) -> Float64:
    """Return the end of each segment's video, (M,); infinity if it is unknown."""
    ends = np.repeat(latest, videos.counts)
    ends[np.isnan(ends)] = inf
    return ends


def slack(latest: Float64) -> Float64:
    """Return how many seconds a usable segment may pass the end of its video."""
    allowed: Float64 = np.maximum(_SLACK_SECONDS, _SLACK_SHARE * latest)
    return allowed


def times_apart(videos: Videos, spans: Float64, steps: Float64) -> Bools:
    """Return which videos have another duration than their features, (V,) bool.

    `spans` (V,) are the seconds that features cover, and `steps` (V,) the larger of stride and
    length; NaN if unknown, which does not count.
    """
    durations = videos.durations
    apart: Bools = np.abs(spans - durations) > np.maximum(0.1 * durations, 2 * steps)
    return apart


def good_segments(videos: Videos, spans: Float64 | None = None) -> Bools:
    """Return which segments have a positive length and are in their video, (M,) bool.

    `spans` (V,) are the seconds that features cover: the end of videos of unknown duration.
    """
    start, end = videos.segments.T
    latest = ends_of(videos, lengths_of(videos, spans))
    good: Bools = (start >= 0) & (start < end) & (end < inf)
    good &= (start < latest) & (end <= latest + slack(latest))
    return good


def without_extent(videos: Videos) -> Bools:
    """Return which instances have no length, or are outside their video, (M,) bool."""
    start, end = videos.segments.T
    found: Bools = ~(start < end) | (start >= ends_of(videos, videos.durations)) | (end <= 0)
    return found


def _overshoot(videos: Videos) -> Float64:
    """Return the seconds that each segment ends after its video; -inf for unknown durations."""
    found: Float64 = videos.segments[:, 1] - ends_of(videos, videos.durations)
    return found


def videos_of(videos: Videos, chosen: Bools) -> list[str]:
    """Return the ids of the videos of some instances, each once."""
    places = _places_of(videos, np.flatnonzero(chosen))
    return [videos.ids[place] for place in dict.fromkeys(places)]


def _places_of(videos: Videos, numbers: NDArray[np.int64]) -> list[int]:
    """Return the place of the video of each instance, given by its number."""
    places: list[int] = (np.searchsorted(videos.offsets, numbers, side="right") - 1).tolist()
    return places


def faulty_segments(videos: Videos, path: Path, spans: Float64 | None = None) -> Iterator[Problem]:
    """Yield a problem per segment that `good_segments` rejects."""
    bad = ~good_segments(videos, spans)
    if not bad.any():
        return
    lengths, overshoot = lengths_of(videos, spans), _overshoot(videos)
    late = bad & (overshoot > 0)
    over, clip = overshoot[late & ~without_extent(videos)], _CLIP
    if len(over) > 1:
        clip += f"; {len(over):,} instances pass the end, by up to {rounded(over.max())} s"
    is_common = int(late.sum()) >= _MANY and 2 * late.sum() > len(late)
    numbers = np.flatnonzero(bad)
    places = _places_of(videos, numbers)
    for place, (start, end) in zip(places, videos.segments[numbers].tolist(), strict=True):
        of = "features" if np.isnan(videos.durations[place]) else "video"
        what, remedy = _fault(start, end, lengths.item(place), of)
        if is_common and of == "video" and start < end:
            remedy = _DURATIONS
        elif remedy is _CLIP:
            remedy = clip
        what = f"segment [{start:g}, {end:g}]: {what}"
        yield Problem(videos.ids[place], str(path), what, remedy, Skipped.SEGMENT)


def _fault(start: float, end: float, latest: float, of: str) -> tuple[str, str]:
    """Return what is wrong with a segment, and what to do about it."""
    if not np.isfinite(end - start):
        return "not finite", _FIX
    if end <= start:
        return ("zero length" if start == end else "ends before it starts"), _FIX
    if start < 0:
        return f"starts {rounded(-start)} s before the video", _CLIP
    if start >= latest:
        return f"starts {rounded(start - latest)} s after the end of the {of}, {latest:g} s", _FIX
    late = rounded(end - latest)
    if of == "features":
        return f"ends {late} s after the features, which cover {latest:g} s", _SHORT_FEATURES
    return f"ends {late} s after the video, which lasts {latest:g} s", _CLIP


def late_ends(videos: Videos) -> str:
    """Return a note about the instances that end shortly after their video, or ""."""
    over = _overshoot(videos)
    over = over[(over > 0) & good_segments(videos)]
    if not len(over):
        return ""
    return (
        f"{counted(len(over), 'instance')} {'end' if len(over) > 1 else 'ends'} up to "
        f"{over.max():.2g} s after the video, which is within "
        f"{_SLACK_SECONDS:g} s or {_SLACK_SHARE:.0%} of its length"
    )


def after_features(videos: Videos, spans: Float64) -> str:
    """Return a note about the instances that are in their video, but after its features, or "".

    `spans` (V,) are the seconds that features cover; NaN if unknown.
    """
    after = good_segments(videos, spans) & (videos.segments[:, 0] >= ends_of(videos, spans))
    if not after.any():
        return ""
    count, names = counted(int(after.sum()), "instance"), listed(videos_of(videos, after))
    return f"nothing is learned from {count} after the end of the features ({names})"


def clipped(videos: Videos) -> tuple[Videos, tuple[str, ...]]:
    """Clip instances to their video, and leave out those outside it.

    Notes say how many were clipped, by how much, and how many were left out.
    """
    start, end = videos.segments.T
    latest = ends_of(videos, videos.durations)
    is_sound = (start < end) & np.isfinite(end - start)  # other faults stay and are reported
    outside = is_sound & ((start >= latest) | (end <= 0))
    past = is_sound & ~outside & (end > latest)
    early = is_sound & ~outside & (start < 0)
    notes = []
    if past.any():
        count, over = counted(int(past.sum()), "instance"), (end - latest)[past].max()
        notes.append(f"{count} cut off at the end of the video, passed by up to {over:.3g} s")
    if early.any():
        count, before = counted(int(early.sum()), "instance"), -start[early].min()
        notes.append(f"{count} cut off at the start of the video, preceded by up to {before:.3g} s")
    if outside.any():
        count, names = counted(int(outside.sum()), "instance"), listed(videos_of(videos, outside))
        notes.append(f"{count} left out: after the end of the video, or before its start ({names})")
        videos = videos.with_instances(~outside)
    return (Videos(map(_clip, videos)) if notes else videos), tuple(notes)


def _clip(video: Video) -> Video:
    start, end = video.segments.T
    latest = inf if np.isnan(video.duration) else video.duration
    cut = (start < end) & ((start < 0) | (end > latest)) & np.isfinite(end - start)
    if not cut.any():
        return video
    segments = video.segments.copy()
    segments[cut] = np.clip(segments[cut], 0.0, latest)
    return replace(video, segments=segments)
