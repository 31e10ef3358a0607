"""Reading of annotated tasks from Label Studio's JSON.

Exports are lists of tasks, in full (`JSON`) or flat (`JSON-MIN`). Regions with times are read:

- `timelinelabels` of a video are ranges of frames, counted from 1 with the last one included, so
  frames 1 to 25 at 25 frames per second are second 0 to 1.
- `labels` of audio and `timeserieslabels` have start and end in seconds.
- A `videorectangle` is a box with keyframes, visible from an enabled one until a disabled one.
  Boxes are instances only if an export has no timelines; otherwise they are objects.

Other regions are counted and ignored. A task that has only these gives no information about
segments: its video is left out, because it must not count as background. Predictions, drafts and
cancelled annotations are not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from actspan.core.errors import AnnotationError
from actspan.core.problems import Skipped
from actspan.core.wording import counted
from actspan.data.annotations.annotation_set import (
    Annotations,
    Instance,
    ReadOptions,
    Source,
)
from actspan.data.annotations.fields import Facts, number, read_facts
from actspan.data.annotations.video_builder import UNUSABLE, VideoBuilder
from actspan.data.videos import canonical_id

# Notes about tasks, which are written behind their number.
_SEVERAL = "have several annotations: the ground truth, or the latest, is used"
_UNTOUCHED = "have no annotations, and are left out"
_EMPTY = "have an annotation without regions: their videos are background throughout"
_TIMELESS = "have no regions with times"

_MEDIA = ("video", "video_url", "audio", "audio_url", "csv", "csv_url", "ts", "timeseries", "url")
_FLAT = {"annotator", "annotation_id", "lead_time"}  # keys of tasks in JSON-MIN
_RATES = ("fps", "frame_rate", "framerate", "frameRate")
ID = "actspan_id"  # id in tasks that we wrote, where the file may have another name
_UPLOAD = re.compile(r"/data/upload/.*?([0-9a-f]{8}-)[^/]*")  # put before the names of uploads
_LABELS = ("timelinelabels", "timeserieslabels", "labels", "audiolabels")
_BOX = "videorectangle"


def fits(source: Source) -> bool:
    """Return whether the source is a JSON list of tasks, or one task with data and annotations."""
    return _tasks(source.document[0]) is not None


def _tasks(document: Any) -> list[dict[str, Any]] | None:
    if isinstance(document, dict) and {"data", "annotations"} <= document.keys():
        return [document]
    if not isinstance(document, list) or not all(isinstance(task, dict) for task in document):
        return None
    return document if any(map(_is_task, document)) else None


def _is_task(entry: Mapping[str, Any]) -> bool:
    """Return whether an object is a task; other tools write lists of objects, too."""
    regions = (v for v in entry.values() if isinstance(v, list) and v and isinstance(v[0], dict))
    return "data" in entry or not _FLAT.isdisjoint(entry) or next(regions, None) is not None


class _Task(NamedTuple):
    """The annotation of a task that is used."""

    name: str
    place: str
    regions: list[dict[str, Any]]
    facts: Facts


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read an export; tasks and regions that cannot be used become problems.

    Raises AnnotationError if no task has annotations with times.
    """
    document, repeated = source.document
    path, tasks = source.path, _tasks(document)
    assert tasks is not None
    reader = _Reader(VideoBuilder(path, options, repeated), options.fps)
    used = list(reader.used_tasks(tasks))
    if reader.counts[_UNTOUCHED] == len(tasks):
        raise AnnotationError(
            f"{path}: nobody has annotated any of its tasks; predictions are not annotations: "
            "submit them in Label Studio, and export again"
        )
    if not any(task.regions for task in used) and not any("data" in task for task in tasks):
        # JSON-MIN stores choices as texts of the task, which look like its data.
        raise AnnotationError(f"{path}: none of its {len(tasks)} tasks has regions")
    reader.has_timelines = any("ranges" in _value_of(r) for task in used for r in task.regions)
    for task in used:
        reader.add(task)
    notes = list(reader.notes(path, len(tasks)))
    if len(used) == reader.counts[_TIMELESS] and not reader.builder.problems:
        raise AnnotationError(f"{notes[-1]}, and nothing else: label ranges of time")
    in_frames = reader.has_timelines or reader.boxes > 0
    return reader.builder.built("labelstudio", notes, unit="frames" if in_frames else "seconds")


class _Reader:
    """Reader of tasks, which counts what it ignores."""

    def __init__(self, builder: VideoBuilder, fps: float | None) -> None:
        self.builder, self._fps = builder, fps
        self.has_timelines = False  # then boxes are not instances
        self.boxes = 0  # boxes that were read as instances
        self.counts: Counter[str] = Counter()  # of tasks
        self._ignored: Counter[str] = Counter()  # regions that give no instances, by kind

    def used_tasks(self, tasks: Iterable[dict[str, Any]]) -> Iterator[_Task]:
        """Yield the annotated tasks; bad ones, and further ones of a video, become problems."""
        seen: set[str] = set()
        for i, task in enumerate(tasks):
            name, place = _media_name(task), f"{self.builder.path}: task {task.get('id', i)}"
            video = canonical_id(name)
            try:
                if not video:
                    raise ValueError("nothing names its video, audio or table")
                if video in seen:
                    raise ValueError(f"video {name!r} is in an earlier task too")
                annotations = _finished_annotations(task)
                self.counts[_SEVERAL] += len(annotations) > 1
                self.counts[_UNTOUCHED] += not annotations
                if annotations:
                    # The ground truth, or the annotation that was changed last.
                    regions = _objects(max(annotations, key=_rank).get("result"), "result")
                    facts = self._facts_of(task.get("data", task), regions)
                    seen.add(video)
                    yield _Task(name, place, regions, facts)
            except (TypeError, ValueError) as error:
                self.builder.reject(name, place, error, Skipped.VIDEO)

    def _facts_of(self, data: Mapping[str, Any], regions: list[dict[str, Any]]) -> Facts:
        """Return the facts in a task's data and regions."""
        fps = next((data[key] for key in _RATES if data.get(key) is not None), self._fps)
        facts = read_facts(data) if ID in data else Facts()
        facts = facts._replace(fps=None if fps is None else number(fps, "fps"))
        for region in regions:
            value, length = _value_of(region), region.get("original_length")
            if length:  # of audio
                facts = facts._replace(duration=number(length, "original_length"))
            if value.get("framesCount") and value.get("duration"):  # of boxes
                duration, frames = (number(value[key], key) for key in ("duration", "framesCount"))
                fps = facts.fps or frames / duration
                facts = facts._replace(duration=duration, frames=int(frames), fps=fps)
        return facts

    def add(self, task: _Task) -> None:
        """Add the video of a task, unless its regions have no times."""
        instances: list[tuple[str, Instance]] = []
        is_bad = False
        for region in task.regions:
            place = f"{task.place}, region {region.get('id', '?')}"
            try:
                instances += [(place, x) for x in self._instances(region, task.facts)]
            except UNUSABLE as error:
                is_bad = True
                self.builder.reject(task.name, place, error)
        if task.regions and not instances and not is_bad:
            self.counts[_TIMELESS] += 1
            return
        self.counts[_EMPTY] += not task.regions
        self.builder.add(task.name, facts=task.facts)
        for place, instance in instances:
            self.builder.add_or_reject(task.name, instance, place)

    def _instances(self, region: Mapping[str, Any], facts: Facts) -> list[Instance]:
        """Return one instance per label and range of a region; none for regions without times."""
        value = _value_of(region)
        is_box, has_ranges = "sequence" in value, "ranges" in value
        # Flat exports do not state the kind, but values show it.
        shown = _BOX if is_box else next((k for k in _LABELS if k in value), "other")
        kind = str(region.get("type") or shown)
        # Start and end of a text are positions in it.
        has_times = is_box or has_ranges or ("start" in value and "text" not in value)
        if not has_times or (is_box and self.has_timelines):
            self._ignored[kind] += 1
            return []
        labels = next((value[key] for key in _LABELS if isinstance(value.get(key), list)), None)
        if not labels:  # choices and texts of a region repeat its times
            self._ignored[f"{kind} without label" if kind in (*_LABELS, _BOX) else kind] += 1
            return []
        if is_box:
            times = list(_box_times(value["sequence"], facts))
            self.boxes += bool(times)
            if not times:
                self._ignored[f"{kind} on a single frame"] += 1
        elif has_ranges:
            times = [
                (_second(x["start"], facts, -1), _second(x["end"], facts)) for x in value["ranges"]
            ]
        else:
            times = [(_float(value["start"]), _float(value["end"]))]
        return [(start, end, str(label)) for start, end in times for label in labels]

    def notes(self, path: Path, tasks: int) -> Iterator[str]:
        """Yield notes about tasks and regions that are unusual, or ignored."""
        for what in (_SEVERAL, _UNTOUCHED, _EMPTY):
            if self.counts[what]:
                yield f"{path}: of {tasks} tasks {self.counts[what]} {what}"
        if self.boxes:
            boxes = f"{counted(self.boxes, 'videorectangle')} read as instances"
            yield f"{path}: {boxes}, from enabled to disabled keyframes"
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in self._ignored.items())
        if self.counts[_TIMELESS]:
            count = f"of {tasks} tasks {self.counts[_TIMELESS]} {_TIMELESS}"
            yield f"{path}: {count} ({kinds} ignored); their videos are left out"
        elif kinds:
            yield f"{path}: ignored regions: {kinds}"


def _objects(values: Any, name: str) -> list[dict[str, Any]]:
    values = values or []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise TypeError(f"{name!r} is not a list of objects")
    return values


def _media_name(task: Mapping[str, Any]) -> str:
    """Return the video id: the one that our writer added, or the stem of the media file's name."""
    data = task.get("data", task)
    if not isinstance(data, dict):
        return ""
    if isinstance(data.get(ID), str):
        return str(data[ID]).strip()
    texts = [data[key] for key in _MEDIA if isinstance(data.get(key), str)]
    texts += [v for v in data.values() if isinstance(v, str) and PureWindowsPath(v).suffix]
    try:
        address = urlsplit(texts[0] if texts else "")
        inner = parse_qs(address.query).get("d")  # /data/local-files/?d=folder/clip.mp4
    except ValueError:
        return ""
    path = inner[0] if inner else unquote(address.path)
    upload = _UPLOAD.fullmatch(path)
    return PureWindowsPath(path).stem.removeprefix(upload[1] if upload else "").strip()


def _finished_annotations(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the annotations of a task that were not cancelled, each with a list of regions."""
    if "data" not in task:  # JSON-MIN: the regions are in the task itself, under their tag's name
        flat = [region for v in task.values() if isinstance(v, list) for region in v]
        return [{"result": [{"value": region} for region in flat if isinstance(region, dict)]}]
    return [
        a for a in _objects(task.get("annotations"), "annotations") if not a.get("was_cancelled")
    ]


def _rank(annotation: Mapping[str, Any]) -> tuple[bool, str]:
    changed = annotation.get("updated_at") or annotation.get("created_at") or ""
    return bool(annotation.get("ground_truth")), str(changed)


def _value_of(region: Mapping[str, Any]) -> Mapping[str, Any]:
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
