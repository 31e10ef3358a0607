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

from actspan.data.annotations.annotation_set import Instance, number
from actspan.data.annotations.video_builder import Facts

_LABELS = ("timelinelabels", "timeserieslabels", "labels", "audiolabels")
_BOX = "videorectangle"

Region = Mapping[str, Any]


class RegionReader:
    """Converter of regions to instances, which counts the regions that give none."""

    def __init__(self, *, takes_boxes: bool) -> None:
        self._takes_boxes = takes_boxes
        self.boxes = 0  # boxes that were read as instances
        self.ignored: Counter[str] = Counter()  # regions that give no instances, by kind

    def instances(self, region: Region, facts: Facts) -> list[Instance]:
        """Return one instance per label and range of a region; none for regions without times.

        Raises KeyError, TypeError, ValueError or OverflowError if times are missing or bad.
        """
        value, kind = _value(region), _kind(region)
        is_box, has_ranges = "sequence" in value, "ranges" in value
        # Start and end of a text are positions in it.
        has_times = is_box or has_ranges or ("start" in value and "text" not in value)
        if not has_times or (is_box and not self._takes_boxes):
            self.ignored[kind] += 1
            return []
        labels = next((value[key] for key in _LABELS if isinstance(value.get(key), list)), None)
        if not labels:  # choices and texts of a region repeat its times
            self.ignored[f"{kind} without label" if kind in (*_LABELS, _BOX) else kind] += 1
            return []
        if is_box:
            times = list(_box_times(value["sequence"], facts))
        elif has_ranges:
            times = [
                ((_float(span["start"]) - 1) / _rate(facts), _float(span["end"]) / _rate(facts))
                for span in value["ranges"]
            ]
        else:
            times = [(_float(value["start"]), _float(value["end"]))]
        if is_box and times:
            self.boxes += 1
        elif is_box:
            self.ignored[f"{kind} on a single frame"] += 1
        return [(start, end, str(label)) for start, end in times for label in labels]


def is_timeline(region: Region) -> bool:
    """Return whether a region has ranges of frames."""
    return "ranges" in _value(region)


def with_media_facts(regions: list[dict[str, Any]], facts: Facts) -> Facts:
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


def _value(region: Region) -> Region:
    """Return the value of a region; {} for relations between regions, which have none."""
    value = region.get("value")
    return value if isinstance(value, dict) else {}


def _kind(region: Region) -> str:
    """Return the type of a region; flat exports do not state it, but their values show it."""
    if region.get("type"):
        return str(region["type"])
    value = _value(region)
    return _BOX if "sequence" in value else next((k for k in _LABELS if k in value), "other")


def _box_times(keyframes: Any, facts: Facts) -> Iterator[tuple[float, float]]:
    """Yield the spans in which a box is visible; a box on a single frame has none."""
    start: float | None = None
    for keyframe in sorted(keyframes, key=lambda keyframe: _float(keyframe["frame"])):
        if keyframe.get("time") is not None:
            time = _float(keyframe["time"])
        else:
            time = (_float(keyframe["frame"]) - 1) / _rate(facts)
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


def _rate(facts: Facts) -> float:
    if facts.fps is None:
        raise ValueError("times are frame numbers, and nothing gives a frame rate: --fps")
    return facts.fps


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number; dates and clocks cannot be read")
    return float(value)
