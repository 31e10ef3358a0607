"""Label Studio's JSON: reading annotated tasks, and writing tasks with predictions to correct.

Exports are lists of tasks, in full (`JSON`) or flat (`JSON-MIN`). `labelstudio_regions` reads the
regions that have times. Other regions are counted and ignored. A task that has only these gives no
information about segments: its video is left out, because it must not count as background.
Predictions, drafts and cancelled annotations are not read.

Written instances with scores become predictions, which a person accepts or corrects; others become
annotations. The task's data contain the frame rate, and the labelling interface, which is written
beside the tasks, tells Label Studio to use it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PureWindowsPath
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.problems import Skipped
from actspan.core.types import Video
from actspan.core.wording import counted
from actspan.data.annotations.annotation_set import (
    Annotations,
    Instance,
    ReadOptions,
    ScoredInstance,
    WriteOptions,
    labelled_instances,
)
from actspan.data.annotations.fields import Facts, number, read_facts, written_facts
from actspan.data.annotations.labelstudio_regions import RegionReader, value_of
from actspan.data.annotations.source import Source
from actspan.data.annotations.video_builder import UNUSABLE, VideoBuilder
from actspan.data.data_requests import UNLABELLED
from actspan.data.videos import canonical_id

# Notes about tasks, which are written behind their number.
_SEVERAL = "have several annotations: the ground truth, or the latest, is taken"
_UNTOUCHED = "have no annotations, and are left out"
_EMPTY = "have an annotation without regions: their videos are background throughout"
_TIMELESS = "have no regions with times"

_MEDIA = ("video", "video_url", "audio", "audio_url", "csv", "csv_url", "ts", "timeseries", "url")
_FLAT = {"annotator", "annotation_id", "lead_time"}  # keys of tasks in JSON-MIN
_RATES = ("fps", "frame_rate", "framerate", "frameRate")
_ID = "actspan_id"  # id in tasks that we wrote, where the file may have another name
_UPLOAD = re.compile(r"/data/upload/.*?([0-9a-f]{8}-)[^/]*")  # put before the names of uploads
_CONTROL, _MEDIUM = "actions", "video"  # names of the interface's tags, to which regions refer


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
    counts, regions = reader.counts, reader.regions
    if counts[_UNTOUCHED] == len(tasks):
        raise AnnotationError(
            f"{path}: nobody has annotated any of its tasks; predictions are not annotations: "
            "submit them in Label Studio, and export again"
        )
    if not any(task.regions for task in used) and not any("data" in task for task in tasks):
        # JSON-MIN stores choices as texts of the task, which look like its data.
        raise AnnotationError(f"{path}: none of its {len(tasks)} tasks has regions")
    regions.has_timelines = any("ranges" in value_of(r) for task in used for r in task.regions)
    for task in used:
        reader.add(task)
    notes = [
        f"{path}: of {len(tasks)} tasks {counts[what]} {what}"
        for what in (_SEVERAL, _UNTOUCHED, _EMPTY)
        if counts[what]
    ]
    if regions.boxes:
        boxes = f"{counted(regions.boxes, 'videorectangle')} read as instances"
        notes.append(f"{path}: {boxes}, from enabled to disabled keyframes")
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in regions.ignored.items())
    if counts[_TIMELESS]:
        count = f"of {len(tasks)} tasks {counts[_TIMELESS]} {_TIMELESS}"
        notes.append(f"{path}: {count} ({kinds} ignored); their videos are left out")
    elif kinds:
        notes.append(f"{path}: ignored regions: {kinds}")
    if len(used) == counts[_TIMELESS] and not reader.builder.problems:
        raise AnnotationError(f"{notes[-1]}, and nothing else is there: label ranges of time")
    in_frames = regions.has_timelines or regions.boxes > 0
    return reader.builder.built("labelstudio", notes, unit="frames" if in_frames else "seconds")


class _Reader:
    """Reader of tasks, which counts what it ignores."""

    def __init__(self, builder: VideoBuilder, fps: float | None) -> None:
        self.builder, self._fps = builder, fps
        self.regions = RegionReader()
        self.counts: Counter[str] = Counter()  # of tasks

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
                    regions = max(annotations, key=_rank).get("result") or []
                    _require_objects(regions, "result")
                    facts = self._facts_of(task.get("data", task), regions)
                    seen.add(video)
                    yield _Task(name, place, regions, facts)
            except (TypeError, ValueError) as error:
                self.builder.reject(name, place, error, Skipped.VIDEO)

    def _facts_of(self, data: Mapping[str, Any], regions: list[dict[str, Any]]) -> Facts:
        """Return the facts in a task's data and regions."""
        fps = next((data[key] for key in _RATES if data.get(key) is not None), self._fps)
        facts = read_facts(data) if _ID in data else Facts()
        facts = facts._replace(fps=None if fps is None else number(fps, "fps"))
        for region in regions:
            value, length = value_of(region), region.get("original_length")
            if length:  # of audio
                facts = facts._replace(duration=number(length, "original_length"))
            if value.get("framesCount") and value.get("duration"):  # of boxes
                duration, frames = (number(value[key], key) for key in ("duration", "framesCount"))
                fps = facts.fps or frames / duration
                facts = facts._replace(duration=duration, frames=int(frames), fps=fps)
        return facts

    def add(self, task: _Task) -> None:
        """Add the video of a task, unless its regions have no times."""
        found: list[tuple[str, Instance]] = []
        bad = 0
        for region in task.regions:
            place = f"{task.place}, region {region.get('id', '?')}"
            try:
                instances = self.regions.instances(region, task.facts)
                found += [(place, instance) for instance in instances]
            except UNUSABLE as error:
                bad += 1
                self.builder.reject(task.name, place, error)
        if task.regions and not found and not bad:
            self.counts[_TIMELESS] += 1
            return
        self.counts[_EMPTY] += not task.regions
        self.builder.add(task.name, facts=task.facts)
        for place, instance in found:
            self.builder.add_or_reject(task.name, instance, place)


def _require_objects(values: Any, name: str) -> None:
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise TypeError(f"{name!r} is not a list of objects")


def _media_name(task: Mapping[str, Any]) -> str:
    """Return the video id: the one that our writer added, or the stem of the media file's name."""
    data = task.get("data", task)
    if not isinstance(data, dict):
        return ""
    if isinstance(data.get(_ID), str):
        return str(data[_ID]).strip()
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
    annotations = task.get("annotations") or []
    _require_objects(annotations, "annotations")
    return [a for a in annotations if not a.get("was_cancelled")]


def _rank(annotation: Mapping[str, Any]) -> tuple[bool, str]:
    """Return the order of annotations: the ground truth is last, then the one changed last."""
    changed = annotation.get("updated_at") or annotation.get("created_at") or ""
    return bool(annotation.get("ground_truth")), str(changed)


def encode(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of two files: the tasks to import, and the labelling interface.

    Raises ConfigError if the address is unknown from which Label Studio plays the videos.
    """
    instances = [list(labelled_instances(video)) for video in videos]
    tasks = [_task(*pair, options) for pair in zip(videos, instances, strict=True)]
    labels = dict.fromkeys(label for found in instances for _, _, label, _ in found)
    yield "labelstudio.json", (json.dumps(tasks, indent=1, ensure_ascii=False) + "\n").encode()
    view = Element("View")
    SubElement(view, "Video", name=_MEDIUM, value="$video", frameRate="$fps")
    control = SubElement(view, "TimelineLabels", name=_CONTROL, toName=_MEDIUM)
    for label in labels or (UNLABELLED,):
        SubElement(control, "Label", value=label)
    indent(view, "  ")
    yield "labelstudio.xml", tostring(view, encoding="utf-8") + b"\n"


def _task(
    video: Video, instances: Iterable[ScoredInstance], options: WriteOptions
) -> dict[str, Any]:
    if options.media is None:
        raise ConfigError(
            "Label Studio plays videos from an address: say which, with {id} for the video's id, "
            "as in --videos '/data/local-files/?d=videos/{id}.mp4'"
        )
    facts = written_facts(video)
    name = facts.pop("video")
    fps = video.fps or options.fps
    data = {"video": options.media(video), _ID: name, **facts, "fps": fps}
    regions = [_region(i, instance, fps) for i, instance in enumerate(instances, start=1)]
    if video.scores is None:
        return {"data": data, "annotations": [{"result": regions}]}
    best = float(video.scores.max()) if len(video.scores) else 0.0
    prediction = {"model_version": "ActSpan", "score": best, "result": regions}
    return {"data": data, "predictions": [prediction]}


def _region(index: int, instance: ScoredInstance, fps: float) -> dict[str, Any]:
    start, end, label, score = instance
    first = round(start * fps) + 1  # frames count from 1, and the last one is included
    last = max(round(end * fps), first)
    region = {
        "id": f"r{index}",
        "from_name": _CONTROL,
        "to_name": _MEDIUM,
        "type": "timelinelabels",
        "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": [label]},
    }
    return region if score is None else {**region, "score": score}
