"""Regions of Label Studio's annotations that have times.

`timelinelabels` of a video give ranges of frames, counted from 1 with the last one included, so
frames 1 to 25 at 25 frames per second are second 0 to 1. `labels` of audio and `timeserieslabels`
give start and end in seconds. A `videorectangle` is a box with keyframes: it is visible from an
enabled keyframe until a disabled one. Boxes are read as instances only if an export has no
timelines; otherwise they are objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from actspan.data.annotations.base import Instance, number
from actspan.data.annotations.rows import Facts

_LABELS = ("timelinelabels", "timeserieslabels", "labels", "audiolabels")

_BOX = "videorectangle"

Region = Mapping[str, Any]


class Taken:
    """Converter of regions to instances, which counts the regions that give none.

    Attributes
    ----------
    takes_boxes : bool
        Whether boxes are instances.
    boxes : int
        Number of boxes that were read as instances.
    ignored : Counter
        Number of regions that give no instances, by kind.
    """

    def __init__(self, *, takes_boxes: bool) -> None:
        self.takes_boxes = takes_boxes
        self.boxes = 0
        self.ignored: Counter[str] = Counter()

    def instances(self, region: Region, facts: Facts) -> list[Instance]:
        """Return one instance per label and range of a region; none for regions without times.

        Raises
        ------
        KeyError, TypeError, ValueError, OverflowError
            Its times are missing or bad.
        """
        value, kind = _value(region), _kind(region)
        is_box = "sequence" in value
        if not _has_times(value) or (is_box and not self.takes_boxes):
            self.ignored[kind] += 1
            return []
        labels = next((value[key] for key in _LABELS if isinstance(value.get(key), list)), None)
        if not labels:  # choices and texts of a region repeat its times
            self.ignored[f"{kind} without label" if kind in (*_LABELS, _BOX) else kind] += 1
            return []
        found = [
            (start, end, str(label)) for start, end in _times(value, facts) for label in labels
        ]
        if is_box:
            self.boxes += bool(found)
            if not found:
                self.ignored[f"{kind} on a single frame"] += 1
        return found


def is_timeline(region: Region) -> bool:
    """Return whether a region has ranges of frames."""
    return "ranges" in _value(region)


def _value(region: Region) -> Region:
    """Return the value of a region; {} for relations between regions, which have none."""
    value = region.get("value")
    return value if isinstance(value, dict) else {}


def media_facts(regions: list[dict[str, Any]], facts: Facts) -> Facts:
    """Return the facts with those from regions: length of audio, duration and rate of boxes."""
    for region in regions:
        value = _value(region)
        if region.get("original_length"):
            facts = facts._replace(duration=number(region["original_length"], "original_length"))
        if value.get("framesCount") and value.get("duration"):
            duration, frames = (number(value[key], key) for key in ("duration", "framesCount"))
            fps = facts.fps or frames / duration
            facts = facts._replace(duration=duration, frames=int(frames), fps=fps)
    return facts


def _kind(region: Region) -> str:
    """Return the type of a region; flat exports do not state it, but their values show it."""
    if region.get("type"):
        return str(region["type"])
    value = _value(region)
    return _BOX if "sequence" in value else next((k for k in _LABELS if k in value), "other")


def _has_times(value: Region) -> bool:
    # Start and end of a text are positions in it.
    return "ranges" in value or "sequence" in value or ("start" in value and "text" not in value)


def _times(value: Region, facts: Facts) -> Iterator[tuple[float, float]]:
    if "sequence" in value:
        yield from _box_times(value["sequence"], facts)
    elif "ranges" in value:
        fps = _rate(facts)
        for span in value["ranges"]:
            yield (_plain(span["start"]) - 1) / fps, _plain(span["end"]) / fps
    else:
        yield _plain(value["start"]), _plain(value["end"])


def _box_times(keyframes: Any, facts: Facts) -> Iterator[tuple[float, float]]:
    """Yield the spans in which a box is visible; a box on a single frame has none."""
    start: float | None = None
    for keyframe in sorted(keyframes, key=lambda keyframe: _plain(keyframe["frame"])):
        time = _keyframe_time(keyframe, facts)
        if keyframe.get("enabled", True):
            start = time if start is None else start
        elif start is not None:
            yield start, time
            start = None
    if start is not None:
        if facts.duration is None:
            raise ValueError("a box is enabled to the end, and nothing gives the video's duration")
        if facts.duration > start:
            yield start, facts.duration


def _keyframe_time(keyframe: Region, facts: Facts) -> float:
    if keyframe.get("time") is not None:
        return _plain(keyframe["time"])
    return (_plain(keyframe["frame"]) - 1) / _rate(facts)


def _rate(facts: Facts) -> float:
    if facts.fps is None:
        raise ValueError("times are frame numbers, and nothing gives a frame rate: --fps")
    return facts.fps


def _plain(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number; dates and clocks cannot be read")
    return float(value)
