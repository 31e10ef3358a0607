"""Annotated instances: selection by label, faults of their times, and clipping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import numpy as np

from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.limits import SECONDS
from actspan.core.problems import Problem, Skipped
from actspan.core.types import Float64, Video
from actspan.core.wording import counted, listed, rounded, suggestion
from actspan.data.videos import (
    SLACK_SECONDS,
    SLACK_SHARE,
    Bools,
    Videos,
    ends_of,
    good_segments,
    lengths_of,
)

_CLIP = "cut it off with actspan annotate convert --clip, or fix the annotation"
_FIX = "fix the annotation, or remove it"
_MANY = 5  # with this many instances past the end, and more than half, durations are wrong
_DURATIONS = "most instances pass the end of their video: correct the durations"
_SHORT_FEATURES = "fix the annotation, or give the video its duration"
_LISTED = 30  # labels that a message names


def split_patterns(values: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of an option, which may be repeated or have several separated by commas.

    Raises ConfigError if a value has no pattern, for example because a shell variable is not set.

    Examples
    --------
    >>> split_patterns(["*_TO_*", "Diving, HighJump"])
    ('*_TO_*', 'Diving', 'HighJump')
    """
    patterns: list[str] = []
    for value in values:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if not parts:
            raise ConfigError(f"--labels {value!r} is empty: name labels, or leave it out for all")
        patterns += parts
    return tuple(patterns)


def with_labels(videos: Iterable[Video], patterns: Iterable[str]) -> Videos:
    """Return the videos with only the instances whose label matches one of the patterns.

    All videos stay, also those without such an instance: the rest of them is background. `ignored`
    segments stay ignored. Patterns are as for file names, and case-sensitive: `*` any text, `?` any
    character, `[ab]` one of these. No patterns keep everything. Raises AnnotationError, which lists
    the labels, if a pattern matches none.

    Examples
    --------
    >>> video = Video("a", 60.0, segments=[[0, 9], [10, 12]], labels=("SIT", "SIT_TO_STAND"))
    >>> with_labels([video], ["*_TO_*"])[0].labels
    ('SIT_TO_STAND',)
    """
    videos, patterns = Videos.of(videos), tuple(patterns)
    if not patterns:
        return videos
    labels = sorted(set(videos.labels))
    wanted: set[str] = set()
    for pattern in patterns:
        matching = {label for label in labels if fnmatchcase(label, pattern)}
        if not matching:
            names = ", ".join(labels[:_LISTED]) or "none at all"
            rest = f", ... ({len(labels)} in all)" if len(labels) > _LISTED else ""
            raise AnnotationError(
                f"no label matches {pattern!r}{suggestion(pattern.strip('*'), labels)}; available: "
                f"{names}{rest}"
            )
        wanted |= matching
    return videos.with_instances(np.array([label in wanted for label in videos.labels], dtype=bool))


def without_extent(videos: Videos) -> Bools:
    """Return which instances have no length, or are outside their video, (M,) bool."""
    start, end = videos.segments.T
    is_empty: Bools = ~(start < end) | (start >= ends_of(videos, videos.durations)) | (end <= 0)
    return is_empty


def videos_of(videos: Videos, chosen: Bools) -> list[str]:
    """Return the ids of the videos of some instances, each once."""
    return [videos.ids[place] for place in dict.fromkeys(_places_of(videos, chosen))]


def _places_of(videos: Videos, chosen: Bools) -> list[int]:
    """Return the place of the video of each chosen instance."""
    places: list[int] = np.repeat(np.arange(len(videos)), videos.counts)[chosen].tolist()
    return places


def _overshoot(videos: Videos) -> Float64:
    """Return the seconds that each segment ends after its video; -inf for unknown durations."""
    excess: Float64 = videos.segments[:, 1] - ends_of(videos, videos.durations)
    return excess


def segment_problems(videos: Videos, path: Path, spans: Float64 | None = None) -> Iterator[Problem]:
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
    pairs = zip(_places_of(videos, bad), videos.segments[bad].tolist(), strict=True)
    for place, (start, end) in pairs:
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
    if end > SECONDS:
        return "later than any video ends", _FIX
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


def without_impossible(videos: Videos, path: Path) -> tuple[Videos, list[Problem]]:
    """Return the videos without instances that no recording can have, and their problems.

    Their times are not finite, or later than any video ends.
    """
    impossible: Bools = ~np.all(np.abs(videos.segments) <= SECONDS, axis=1)
    if not impossible.any():
        return videos, []
    wrong = segment_problems(videos.with_instances(impossible), path)
    return videos.with_instances(~impossible), list(wrong)


def late_ends(videos: Videos) -> str:
    """Return a note about the instances that end shortly after their video, or ""."""
    over = _overshoot(videos)
    over = over[(over > 0) & good_segments(videos)]
    if not len(over):
        return ""
    return (
        f"{counted(len(over), 'instance')} {'end' if len(over) > 1 else 'ends'} up to "
        f"{over.max():.2g} s after the video, which is within "
        f"{SLACK_SECONDS:g} s or {SLACK_SHARE:.0%} of its length"
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
        notes.append(
            f"{count} cut off at the end of the video, which they exceed by up to {over:.3g} s"
        )
    if early.any():
        count, before = counted(int(early.sum()), "instance"), -start[early].min()
        notes.append(f"{count} cut off at the start of the video, up to {before:.3g} s")
    if outside.any():
        count, names = counted(int(outside.sum()), "instance"), listed(videos_of(videos, outside))
        notes.append(f"{count} left out: after the end of the video, or before its start ({names})")
    if not notes:
        return videos, ()
    segments, cut = videos.segments.copy(), past | early
    segments[cut] = np.clip(segments[cut], 0.0, latest[cut, np.newaxis])
    bounds = zip(videos, pairwise(videos.offsets.tolist()), strict=True)
    videos = Videos(replace(video, segments=segments[i:j]) for video, (i, j) in bounds)
    return videos.with_instances(~outside), tuple(notes)
