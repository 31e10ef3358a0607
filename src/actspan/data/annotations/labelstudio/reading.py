"""Reading Label Studio's exports: a list of tasks, in full (`JSON`) or flat (`JSON-MIN`).

Three kinds of region have times. `timelinelabels` of a video give ranges of frames, counted from 1
with the last one inside, so frames 1 to 25 at 25 frames a second are second 0 to 1. `labels` of
audio and `timeserieslabels` give start and end in seconds. All others are passed over, as are
predictions, drafts and cancelled annotations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PureWindowsPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from actspan.data.annotations.base import (
    Annotations,
    Facts,
    Hints,
    Instance,
    Rows,
    Source,
    number,
)
from actspan.data.annotations.writing import read_facts
from actspan.data.problems import Loss
from actspan.errors import AnnotationError

_LABELS = ("timelinelabels", "timeserieslabels", "labels", "audiolabels")
_MEDIA = ("video", "video_url", "audio", "audio_url", "csv", "csv_url", "ts", "timeseries", "url")
_RATES = ("fps", "frame_rate", "framerate", "frameRate")
VIDEO_ID = "actspan_id"  # in a task of our own making; the file may be called otherwise
_UPLOAD = re.compile(r"[0-9a-f]{8}-")  # Label Studio puts this before the names of uploads


def fits(source: Source) -> bool:
    """Whether it is a JSON list of objects, or one task with data and annotations."""
    return source.may_be_json and _tasks(source.json.document) is not None


def _tasks(document: Any) -> list[dict[str, Any]] | None:
    if isinstance(document, dict) and {"data", "annotations"} <= document.keys():
        return [document]
    is_list = isinstance(document, list) and bool(document)
    return document if is_list and all(isinstance(task, dict) for task in document) else None


def read(source: Source, hints: Hints) -> Annotations:
    """Read an export; tasks and regions that cannot be used are problems."""
    tasks = _tasks(source.json.document)
    if tasks is None:
        raise AnnotationError(f"{source.path}: not a list of Label Studio tasks")
    rows, several, untouched = Rows(), 0, 0
    for i, task in enumerate(tasks):
        where = f"{source.path}: task {task.get('id', i)}"
        name = _media_name(task)
        try:
            if not name:
                raise ValueError("nothing names its video, audio or table")
            if name in rows:
                raise ValueError(f"video {name!r} is in an earlier task too")
            annotations = _finished(task)
            several += len(annotations) > 1
            untouched += not annotations
            if annotations:
                _read_task(_chosen(annotations), _task_facts(task, hints), (name, where), rows)
        except (TypeError, ValueError) as error:
            rows.refuse(name, where, error, Loss.VIDEO)
    if untouched == len(tasks):
        raise AnnotationError(
            f"{source.path}: nobody has annotated any of its tasks; predictions are not "
            "annotations: submit them in Label Studio, and export again"
        )
    notes = (
        (several, "have several annotations: the ground truth, or the latest, is taken"),
        (untouched, "have no annotations, and are passed over"),
    )
    said = tuple(f"of {len(tasks)} tasks {count} {what}" for count, what in notes if count)
    return Annotations(
        source.path, "labelstudio", rows.videos(), tuple(rows.problems), assumptions=said
    )


def _media_name(task: Mapping[str, Any]) -> str:
    """Video id: what our own writer noted, else the stem of the medium's file name."""
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
    """The annotations of a task that were not cancelled, each a list of regions."""
    if "data" not in task:  # JSON-MIN: the regions lie in the task itself, under their tag's name
        flat = [v for v in task.values() if isinstance(v, list)]
        return [{"result": [{"value": region} for regions in flat for region in regions]}]
    annotations = task.get("annotations") or []
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise TypeError("'annotations' is not a list of objects")
    return [a for a in annotations if not a.get("was_cancelled")]


def _chosen(annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """The one marked as ground truth, else the one that was changed last."""

    def rank(annotation: dict[str, Any]) -> tuple[bool, str]:
        changed = annotation.get("updated_at") or annotation.get("created_at") or ""
        return bool(annotation.get("ground_truth")), str(changed)

    return max(annotations, key=rank)


def _task_facts(task: Mapping[str, Any], hints: Hints) -> Facts:
    data = task.get("data", task)
    said = next((data[key] for key in _RATES if data.get(key) is not None), hints.fps)
    known = read_facts(data) if VIDEO_ID in data else Facts()
    return known._replace(fps=None if said is None else number(said, "fps"))


def _read_task(
    annotation: Mapping[str, Any], facts: Facts, place: tuple[str, str], rows: Rows
) -> None:
    name, where = place
    regions = annotation.get("result") or []
    if not isinstance(regions, list):
        raise TypeError("'result' is not a list")
    regions = [r for r in regions if isinstance(r, dict) and isinstance(r.get("value"), dict)]
    facts = _media_facts(regions, facts)
    rows.add(name, facts=facts)
    for region in regions:
        try:
            for instance in _instances(region["value"], facts.fps):
                rows.add(name, instance)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else error
            rows.refuse(name, f"{where}, region {region.get('id', '?')}", what)


def _media_facts(regions: list[dict[str, Any]], facts: Facts) -> Facts:
    """Duration and rate as far as regions tell them: audio its length, boxes their video's."""
    for region in regions:
        value = region["value"]
        if region.get("original_length"):
            facts = facts._replace(duration=number(region["original_length"], "original_length"))
        if value.get("framesCount") and value.get("duration"):
            duration, frames = (number(value[key], key) for key in ("duration", "framesCount"))
            fps = facts.fps or frames / duration
            facts = facts._replace(duration=duration, frames=int(frames), fps=fps)
    return facts


def _instances(value: Mapping[str, Any], fps: float | None) -> Iterator[Instance]:
    """One instance a label of a region, and a range; none of regions without times and labels."""
    labels = next((value[key] for key in _LABELS if isinstance(value.get(key), list)), None)
    is_span = "ranges" in value or (
        "start" in value and "text" not in value
    )  # of time, not of text
    if not labels or not is_span:
        return
    for start, end in _times(value, fps):
        for label in labels:
            yield start, end, str(label)


def _times(value: Mapping[str, Any], fps: float | None) -> Iterator[tuple[float, float]]:
    if "ranges" not in value:
        yield _plain(value["start"]), _plain(value["end"])
        return
    if fps is None:
        raise ValueError("times are frame numbers, and nothing gives a frame rate: --fps")
    for span in value["ranges"]:
        yield (_plain(span["start"]) - 1) / fps, _plain(span["end"]) / fps


def _plain(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number; dates and clocks cannot be read")
    return float(value)
