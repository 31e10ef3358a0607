"""Reader of Label Studio's exports: a list of tasks, in full (`JSON`) or flat (`JSON-MIN`).

Kinds of regions that have times are in `regions.py`; others are counted and ignored. A task with
regions of other kinds only gives no information about segments: its video is left out, because it
must not count as background. Predictions, drafts and cancelled annotations are not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from actspan.core.errors import AnnotationError
from actspan.core.problems import Skipped
from actspan.core.wording import counted
from actspan.data.annotations.base import Annotations, Hints, canonical_id, number
from actspan.data.annotations.labelstudio.regions import Taken, is_timeline, media_facts
from actspan.data.annotations.rows import Facts, Rows
from actspan.data.annotations.source import Source
from actspan.data.annotations.writing import read_facts
from actspan.data.names import Ignored

# Notes about tasks, which are written behind their number.
_SEVERAL = "have several annotations: the ground truth, or the latest, is taken"
_UNTOUCHED = "have no annotations, and are left out"
_EMPTY = "have an annotation without regions: their videos are background throughout"
_TIMELESS = "have no regions with times"

_MEDIA = ("video", "video_url", "audio", "audio_url", "csv", "csv_url", "ts", "timeseries", "url")
_FLAT = {"annotator", "annotation_id", "lead_time"}  # keys of tasks in JSON-MIN
_RATES = ("fps", "frame_rate", "framerate", "frameRate")
VIDEO_ID = "actspan_id"  # id in tasks that we wrote, where the file may have another name
_UPLOAD = re.compile(r"[0-9a-f]{8}-")  # Label Studio puts this before the names of uploads


def fits(source: Source) -> bool:
    """Return whether the source is a JSON list of tasks, or one task with data and annotations."""
    return source.may_be_json and _tasks(source.json.document) is not None


def _tasks(document: Any) -> list[dict[str, Any]] | None:
    if isinstance(document, dict) and {"data", "annotations"} <= document.keys():
        return [document]
    if not isinstance(document, list) or not all(isinstance(task, dict) for task in document):
        return None
    return document if any(_is_task(task) for task in document) else None


def _is_task(entry: Mapping[str, Any]) -> bool:
    """Return whether an object is a task; other tools write lists of objects, too."""
    regions = (v for v in entry.values() if isinstance(v, list) and v and isinstance(v[0], dict))
    return "data" in entry or not _FLAT.isdisjoint(entry) or next(regions, None) is not None


def read(source: Source, hints: Hints) -> Annotations:
    """Read an export; tasks and regions that cannot be used become problems.

    Raises
    ------
    AnnotationError
        It is none, or no task has annotations with times.
    """
    tasks = _tasks(source.json.document)
    if tasks is None:
        raise AnnotationError(f"{source.path}: not a list of Label Studio tasks")
    rows, counts = Rows(will_clip=hints.will_clip), Counter[str]()
    chosen = list(_chosen_annotations(tasks, source.path, hints, rows, counts))
    if counts[_UNTOUCHED] == len(tasks):
        raise AnnotationError(
            f"{source.path}: nobody has annotated any of its tasks; predictions are not "
            "annotations: submit them in Label Studio, and export again"
        )
    if not any(task.regions for task in chosen) and not any("data" in task for task in tasks):
        # JSON-MIN stores choices as texts of the task, which look like its data.
        raise AnnotationError(f"{source.path}: none of its {len(tasks)} tasks has regions")
    timelines = any(is_timeline(region) for task in chosen for region in task.regions)
    taken = Taken(takes_boxes=not timelines)
    for task in chosen:
        _add(task, rows, taken, counts)
    ignored = Ignored()
    for key in source.json.repeated:
        ignored.add("keys that are there twice", key)
    notes = (
        *rows.notes(source.path),
        *ignored.notes(source.path),
        *_notes(source.path, len(tasks), counts, taken),
    )
    if len(chosen) == counts[_TIMELESS] and not rows.problems:
        raise AnnotationError(f"{notes[-1]}, and nothing else is there: label ranges of time")
    return Annotations(
        source.path,
        "labelstudio",
        rows.videos(),
        tuple(rows.problems),
        notes=notes,
        unit="frames" if timelines or taken.boxes else "seconds",
    )


class _Task(NamedTuple):
    """The annotation of a task that is used."""

    name: str
    where: str
    regions: list[dict[str, Any]]
    facts: Facts


def _chosen_annotations(
    tasks: list[dict[str, Any]], path: Path, hints: Hints, rows: Rows, counts: Counter[str]
) -> Iterator[_Task]:
    seen: set[str] = set()
    for i, task in enumerate(tasks):
        name, where = _media_name(task), f"{path}: task {task.get('id', i)}"
        try:
            if not canonical_id(name):
                raise ValueError("nothing names its video, audio or table")
            if canonical_id(name) in seen:
                raise ValueError(f"video {name!r} is in an earlier task too")
            annotations = _finished(task)
            counts[_SEVERAL] += len(annotations) > 1
            counts[_UNTOUCHED] += not annotations
            if annotations:
                regions = _regions(_chosen(annotations))
                facts = media_facts(regions, _task_facts(task, hints))
                seen.add(canonical_id(name))
                yield _Task(name, where, regions, facts)
        except (TypeError, ValueError) as error:
            rows.refuse(name, where, error, Skipped.VIDEO)


def _add(task: _Task, rows: Rows, taken: Taken, counts: Counter[str]) -> None:
    found, bad = [], []
    for region in task.regions:
        place = f"{task.where}, region {region.get('id', '?')}"
        try:
            found += [(place, instance) for instance in taken.instances(region, task.facts)]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            bad.append((place, f"no {error}" if isinstance(error, KeyError) else error))
    if task.regions and not found and not bad:
        counts[_TIMELESS] += 1
        return
    counts[_EMPTY] += not task.regions
    rows.add(task.name, facts=task.facts)
    for place, instance in found:
        try:
            rows.add(task.name, instance)
        except ValueError as error:
            bad.append((place, error))
    for place, what in bad:
        rows.refuse(task.name, place, what)


def _notes(path: Path, tasks: int, counts: Counter[str], taken: Taken) -> Iterator[str]:
    for what in (_SEVERAL, _UNTOUCHED, _EMPTY):
        if counts[what]:
            yield f"{path}: of {tasks} tasks {counts[what]} {what}"
    if taken.boxes:
        yield (
            f"{path}: {counted(taken.boxes, 'videorectangle')} read as instances, from enabled to "
            "disabled keyframes"
        )
    ignored = ", ".join(f"{kind} {count:,}" for kind, count in taken.ignored.items())
    if counts[_TIMELESS]:
        yield (
            f"{path}: of {tasks} tasks {counts[_TIMELESS]} {_TIMELESS} ({ignored} ignored); their "
            "videos are left out"
        )
    elif ignored:
        yield f"{path}: ignored regions: {ignored}"


def _media_name(task: Mapping[str, Any]) -> str:
    """Return the video id: the one that our writer added, or the stem of the media file's name."""
    data = task.get("data", task)
    if not isinstance(data, dict):
        return ""
    noted = data.get(VIDEO_ID)
    if isinstance(noted, str):
        return noted.strip()
    texts = [data[key] for key in _MEDIA if isinstance(data.get(key), str)]
    texts += [v for v in data.values() if isinstance(v, str) and PureWindowsPath(v).suffix]
    if not texts:
        return ""
    try:
        address = urlsplit(texts[0])
        inner = parse_qs(address.query).get("d")  # /data/local-files/?d=folder/clip.mp4
    except ValueError:
        return ""
    path = inner[0] if inner else unquote(address.path)
    name = PureWindowsPath(path).stem
    is_upload = path.startswith("/data/upload/") and _UPLOAD.match(name)
    return (name[9:] if is_upload else name).strip()


def _finished(task: Mapping[str, Any]) -> list[Any]:
    """Return the annotations of a task that were not cancelled, each with a list of regions."""
    if "data" not in task:  # JSON-MIN: the regions are in the task itself, under their tag's name
        flat = [region for v in task.values() if isinstance(v, list) for region in v]
        return [{"result": [{"value": region} for region in flat if isinstance(region, dict)]}]
    annotations = task.get("annotations") or []
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise TypeError("'annotations' is not a list of objects")
    return [a for a in annotations if not a.get("was_cancelled")]


def _chosen(annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the annotation marked as ground truth, or the one that was changed last."""

    def rank(annotation: dict[str, Any]) -> tuple[bool, str]:
        changed = annotation.get("updated_at") or annotation.get("created_at") or ""
        return bool(annotation.get("ground_truth")), str(changed)

    return max(annotations, key=rank)


def _task_facts(task: Mapping[str, Any], hints: Hints) -> Facts:
    data = task.get("data", task)
    said = next((data[key] for key in _RATES if data.get(key) is not None), hints.fps)
    known = read_facts(data) if VIDEO_ID in data else Facts()
    return known._replace(fps=None if said is None else number(said, "fps"))


def _regions(annotation: Mapping[str, Any]) -> list[dict[str, Any]]:
    regions = annotation.get("result") or []
    if not isinstance(regions, list) or not all(isinstance(r, dict) for r in regions):
        raise TypeError("'result' is not a list of objects")
    return regions
