"""Regions of Label Studio's annotations that have times.

- `timelinelabels` of a video are ranges of frames, counted from 1 with the last one included, so
  frames 1 to 25 at 25 frames per second are second 0 to 1.
- `labels` of audio and `timeserieslabels` have start and end in seconds.
- A `videorectangle` is a box with keyframes, visible from an enabled one until a disabled one.
  Boxes are instances only if an export has no timelines; otherwise they are objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from actspan.data.annotations.annotation_set import Instance
from actspan.data.annotations.fields import Facts

_LABELS = ("timelinelabels", "timeserieslabels", "labels", "audiolabels")
_BOX = "videorectangle"


class RegionReader:
    """Converter of regions to instances, which counts the regions that give none."""

    def __init__(self) -> None:
        self.has_timelines = False  # then boxes are not instances
        self.boxes = 0  # boxes that were read as instances
        self.ignored: Counter[str] = Counter()  # regions that give no instances, by kind

    def instances(self, region: Mapping[str, Any], facts: Facts) -> list[Instance]:
        """Return one instance per label and range of a region; none for regions without times."""
        value = value_of(region)
        is_box, has_ranges = "sequence" in value, "ranges" in value
        # Flat exports do not state the kind, but values show it.
        shown = _BOX if is_box else next((k for k in _LABELS if k in value), "other")
        kind = str(region.get("type") or shown)
        # Start and end of a text are positions in it.
        has_times = is_box or has_ranges or ("start" in value and "text" not in value)
        if not has_times or (is_box and self.has_timelines):
            self.ignored[kind] += 1
            return []
        labels = next((value[key] for key in _LABELS if isinstance(value.get(key), list)), None)
        if not labels:  # choices and texts of a region repeat its times
            self.ignored[f"{kind} without label" if kind in (*_LABELS, _BOX) else kind] += 1
            return []
        if is_box:
            times = list(_box_times(value["sequence"], facts))
            self.boxes += bool(times)
            if not times:
                self.ignored[f"{kind} on a single frame"] += 1
        elif has_ranges:
            times = [
                (_second(x["start"], facts, -1), _second(x["end"], facts)) for x in value["ranges"]
            ]
        else:
            times = [(_float(value["start"]), _float(value["end"]))]
        return [(start, end, str(label)) for start, end in times for label in labels]


def value_of(region: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the value of a region; {} for relations between regions, which have none."""
    value = region.get("value")
    return value if isinstance(value, dict) else {}


def _box_times(keyframes: Any, facts: Facts) -> Iterator[tuple[float, float]]:
    """Yield the spans in which a box is visible; a box on a single frame has none."""
    start: float | None = None
    for keyframe in sorted(keyframes, key=lambda keyframe: _float(keyframe["frame"])):
        is_timed = keyframe.get("time") is not None
        time = _float(keyframe["time"]) if is_timed else _second(keyframe["frame"], facts, -1)
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


def _second(frame: Any, facts: Facts, shift: int = 0) -> float:
    shifted = _float(frame) + shift
    if facts.fps is None:
        raise ValueError("times are frame numbers, and nothing gives a frame rate: --fps")
    return shifted / facts.fps


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number; dates and clocks cannot be read")
    return float(value)
