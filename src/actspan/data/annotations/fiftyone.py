"""FiftyOne: temporal detections of videos as files, which need no FiftyOne and no database.

labels.json:  {"classes": null, "labels": {"clip": [
                 {"label": "jump", "timestamps": [1.5, 4.0], "confidence": 0.9}]}}
data.json:    {"clip.mp4": "../videos/clip.mp4"}

This is FiftyOne's `FiftyOneTemporalDetectionDataset`, which it imports and exports. A detection is
an instance. Its times are seconds, or frames as `support`, which count from 1 and include the last
one. A label that is a number is an index of `classes`. Videos are named after their files, without
suffix; `data.json`, or a folder `data/`, leads to the files.

We write seconds: FiftyOne converts them with the frame rate that it finds in the file. `classes`
stays empty, because FiftyOne does not export detections whose labels are not in it. The facts about
the videos are under `actspan`, which FiftyOne ignores.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from actspan.core.errors import AnnotationError
from actspan.core.problems import Skipped
from actspan.core.types import Video
from actspan.data.annotations.annotation_set import (
    Annotations,
    ReadOptions,
    Source,
    document_of,
    is_object,
)
from actspan.data.annotations.fields import Facts, read_facts, seconds, written_facts
from actspan.data.annotations.video_builder import UNUSABLE, RejectedError, VideoBuilder
from actspan.data.annotations.writing import (
    ScoredInstance,
    WriteOptions,
    labelled_instances,
    named_files,
)

LABELS = "labels.json"
_MEDIA = "data.json"
_OURS = "actspan"  # key of the facts about the videos
_KEYS = {"label", "timestamps", "support", "confidence"}  # of a detection
_START = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*"(classes|labels)"\s*:')
_EXPORT = "export it from FiftyOne as FiftyOneTemporalDetectionDataset"


def fits(source: Source) -> bool:
    """Return whether the source has classes and an object of labels, or is a folder with it."""
    if source.path.is_dir():
        return _START.match(_head_of_labels(source)) is not None
    parts = {} if source.object is None else source.object[0]
    return "classes" in parts and not is_object(parts["classes"]) and is_object(parts.get("labels"))


def _head_of_labels(source: Source) -> bytes:
    file = source.path / LABELS
    if not file.is_file():
        return b""
    with file.open("rb") as stream:
        return stream.read(64)


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read a labels.json; videos and detections that cannot be used become problems.

    Raises AnnotationError if it has no object of labels.
    """
    path = source.path / LABELS if source.path.is_dir() else source.path
    document, repeated = document_of(path) if path != source.path else source.document
    labels = document.get("labels")
    if not isinstance(labels, dict):
        raise AnnotationError(f"{path}: 'labels' is not an object of videos")
    reader = _Reader(VideoBuilder(path, options, repeated), options.fps, document.get("classes"))
    known = document.get(_OURS)
    for name, detections in labels.items():
        metadata = known.get(name) if isinstance(known, dict) else None
        reader.add(name, detections, metadata)
    return reader.builder.built("fiftyone", unit="frames" if reader.has_frames else "seconds")


class _Reader:
    """Reader of videos and their detections."""

    def __init__(self, builder: VideoBuilder, fps: float | None, classes: Any) -> None:
        self.builder, self._fps = builder, fps
        self._classes = classes if isinstance(classes, list) else []
        self.has_frames = False  # whether any time is a frame number

    def add(self, name: str, detections: Any, metadata: Any) -> None:
        """Add a video with its detections; `metadata` are the facts that we wrote, if any."""
        place = f"{self.builder.path}: video {name!r}"
        if detections is None:
            self.builder.ignored["videos that are not labelled, which are left out", name] += 1
            return
        video, facts = PureWindowsPath(name).name, Facts()
        try:
            if isinstance(metadata, dict):
                video, facts = str(metadata.get("video") or video), read_facts(metadata)
            if not isinstance(detections, list):
                raise RejectedError(f"{detections!r} is not a list of detections", _EXPORT)
            if video in self.builder:
                raise ValueError(f"video {video!r} is in an earlier entry too")
            self.builder.add(video, facts=facts)
        except UNUSABLE as error:
            self.builder.reject(video, place, error, Skipped.VIDEO)
            return
        for number, detection in enumerate(detections, start=1):
            try:
                if not isinstance(detection, dict):
                    raise TypeError(f"{detection!r} is not an object")
                times = self._times(detection, facts.fps or self._fps)
                self.builder.add(video, (*times, self._label(detection)))
                others = sorted(detection.keys() - _KEYS)
                self.builder.ignored.update(("keys of detections", key) for key in others)
            except UNUSABLE as error:
                self.builder.reject(video, f"{place}, detection {number}", error)

    def _times(self, detection: Mapping[str, Any], fps: float | None) -> tuple[float, float]:
        """Return start and end in seconds; FiftyOne prefers frames, if both are given."""
        key = next((key for key in ("support", "timestamps") if key in detection), None)
        if key is None:
            raise RejectedError("it has neither timestamps nor support", _EXPORT)
        times = detection[key]
        if not isinstance(times, list) or len(times) != 2:
            raise TypeError(f"{key} {times!r} is not a start and an end")
        start, end = map(_number, times)
        if key == "timestamps":
            return start, end
        self.has_frames = True
        if fps is None:
            what = "times are frame numbers, and nothing gives a frame rate"
            raise RejectedError(what, "pass --fps RATE, or export with use_timestamps=True")
        return (start - 1) / fps, end / fps

    def _label(self, detection: Mapping[str, Any]) -> str:
        """Return the label, which may be an index of the classes."""
        label = detection.get("label")
        if type(label) is int and self._classes:
            if not 0 <= label < len(self._classes):
                raise ValueError(f"label {label} is not one of {len(self._classes)} classes")
            label = self._classes[label]
        if isinstance(label, (list, dict, bool)):
            raise TypeError(f"label {label!r} is not text or a number")
        return "" if label is None else str(label).strip()


def _number(value: Any) -> float:
    if isinstance(value, str):
        return seconds(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"time {value!r} is not a number")
    return float(value)


def encode_fiftyone(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of labels.json, and of data.json if links to the videos are given.

    Detections are sorted by start; times are exact.
    """
    labels, facts, files = {}, {}, {}
    for name, video in named_files(videos, ""):
        rows = sorted(labelled_instances(video), key=lambda row: row[:2])
        labels[name], facts[name] = [_detection(row) for row in rows], written_facts(video)
        if options.media is not None:
            link = options.media(video)
            files[name + PurePosixPath(link).suffix] = link  # FiftyOne drops the suffix
    yield LABELS, _encoded({"classes": None, _OURS: facts, "labels": labels})
    if files:
        yield _MEDIA, _encoded(files)


def _detection(row: ScoredInstance) -> dict[str, Any]:
    start, end, label, score = row
    detection = {"label": label, "timestamps": [start, end]}
    return detection if score is None else detection | {"confidence": score}


def _encoded(document: Mapping[str, Any]) -> bytes:
    # FiftyOne reads files in the encoding of the system, which is not UTF-8 everywhere.
    return (json.dumps(document, indent=1, ensure_ascii=True) + "\n").encode()
