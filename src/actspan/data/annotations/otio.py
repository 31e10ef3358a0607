"""OpenTimelineIO's .otio: JSON with a timeline of clips, which adapters turn into other forms.

Reading: a clip is an instance, wherever it is nested: its `source_range`, or else all of its media,
relative to the start of the media's own timecode. The media names the video, or else the clip does.
The clip's name is the label; if that only repeats the name of the media, the first marker is.
Transitions, effects and further markers are counted and ignored.

Writing: a timeline per video, with the instances one after the other, by start, in whole frames.
Metadata have the scores, and the facts about the video.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import unquote

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.data.annotations.annotation_set import document_of
from actspan.data.annotations.fields import read_facts, written_facts
from actspan.data.annotations.video_builder import UNUSABLE, VideoBuilder
from actspan.data.annotations.writing import (
    ScoredInstance,
    WriteOptions,
    frame_rates,
    in_units,
    labelled_instances,
    named_files,
)

_OURS = "actspan"  # key of our metadata
_ROOTS = ("Timeline", "SerializableCollection", "Stack", "Track", "Clip")


def read_otio(file: Path, builder: VideoBuilder) -> None:
    """Add the clips of an .otio file; raise AnnotationError if it is damaged."""
    document, repeated = document_of(file)
    builder.ignored.update(("keys that occur twice", key) for key in repeated)
    if _schema(document) not in _ROOTS:
        raise AnnotationError(f"{file}: not OpenTimelineIO: a timeline is needed")
    name, metadata = "", _dict(document, "metadata").get(_OURS)
    if isinstance(metadata, dict):
        try:
            name = str(metadata.get("video") or file.stem)
            facts = read_facts(metadata)
        except (TypeError, ValueError) as error:
            raise AnnotationError(f"{file}: metadata {_OURS!r}: {error}") from error
        builder.add_file(name, file, facts)
    for number, clip in enumerate(_clips(document, builder), start=1):
        place, video = f"{file}: clip {number}", name or file.stem
        try:
            media = _media_of(clip)
            video = name or _video_of(clip, media) or file.stem
            label = str(clip.get("name") or "").strip() if name else _label(clip, media, video)
            builder.add(video, (*_span(clip, media), label))
        except UNUSABLE as error:
            builder.reject(video, place, error)


def _schema(node: Any) -> str:
    """Return the name of an object's schema without its version, or ""."""
    return str(node.get("OTIO_SCHEMA", "")).partition(".")[0] if isinstance(node, dict) else ""


def _clips(document: Mapping[str, Any], builder: VideoBuilder) -> Iterator[dict[str, Any]]:
    """Yield all clips in their order; count what is not used."""
    waiting: list[Any] = [document]
    while waiting:
        node = waiting.pop()
        kind = _schema(node)
        if kind == "Clip":
            yield node
        elif kind == "Timeline":
            waiting.append(node.get("tracks"))
        elif kind in _ROOTS:
            children = node.get("children")
            waiting += reversed(children) if isinstance(children, list) else []
        elif kind != "Gap":
            builder.ignored["objects that are not clips", kind or type(node).__name__] += 1
        if kind in _ROOTS:
            for effect in _list(node, "effects"):
                builder.ignored["effects", _schema(effect)] += 1
            if further := len(_list(node, "markers")[kind == "Clip" :]):
                builder.ignored["markers", str(node.get("name"))] += further


def _list(node: Mapping[str, Any], key: str) -> list[Any]:
    value = node.get(key)
    return value if isinstance(value, list) else []


def _dict(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = node.get(key)
    return value if isinstance(value, dict) else {}


def _media_of(clip: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the reference to the clip's media, or an empty object."""
    if "media_references" not in clip:  # before version 2 of its schema
        return _dict(clip, "media_reference")
    key = str(clip.get("active_media_reference_key", "DEFAULT_MEDIA"))
    return _dict(_dict(clip, "media_references"), key)


def _video_of(clip: Mapping[str, Any], media: Mapping[str, Any]) -> str:
    link = unquote(str(media.get("target_url") or ""))
    return PureWindowsPath(link).name or str(media.get("name") or clip.get("name") or "")


def _label(clip: Mapping[str, Any], media: Mapping[str, Any], video: str) -> str:
    """Return the clip's name, or that of its first marker if the clip is named after its media."""
    name = str(clip.get("name") or "").strip()
    known = {video, str(media.get("name")), PureWindowsPath(video).stem}
    if name and name not in known:
        return name
    markers = (marker for marker in _list(clip, "markers") if isinstance(marker, dict))
    return next((str(marker.get("name") or "").strip() for marker in markers), "")


def _span(clip: Mapping[str, Any], media: Mapping[str, Any]) -> tuple[float, float]:
    """Return start and end in seconds of the media; raise TypeError or ValueError."""
    available = media.get("available_range")
    chosen = clip.get("source_range") or available
    if not isinstance(chosen, dict):
        raise TypeError("the clip has no source_range, and its media no available_range")
    origin = 0.0
    if isinstance(available, dict):
        value, rate = _time(available, "start_time")
        origin = value / rate
    start, start_rate = _time(chosen, "start_time")
    length, rate = _time(chosen, "duration")
    if rate == start_rate:
        return start / rate - origin, (start + length) / rate - origin
    return start / start_rate - origin, start / start_rate + length / rate - origin


def _time(span: Mapping[str, Any], key: str) -> tuple[float, float]:
    """Return value and rate of a time."""
    time = span.get(key)
    values = [time.get(k) for k in ("value", "rate")] if isinstance(time, dict) else []
    numbers = [float(x) for x in values if isinstance(x, (int, float)) and not isinstance(x, bool)]
    if len(numbers) != 2 or not all(map(math.isfinite, numbers)) or numbers[1] <= 0:
        raise ValueError(f"{key} is not a time with a value and a rate")
    return numbers[0], numbers[1]


def encode_otio(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of an .otio file per video; raise ConfigError for unknown rates."""
    rates = frame_rates(videos, options, "OpenTimelineIO")
    for (name, video), fps in zip(named_files(videos, ".otio"), rates, strict=True):
        media = _written_media(video, fps, options)
        instances = sorted(labelled_instances(video), key=lambda instance: instance[:2])
        clips = [_clip(instance, fps, media) for instance in instances]
        track = _composition("Track.1", "actions", clips) | {"kind": "Video"}
        timeline = {
            "OTIO_SCHEMA": "Timeline.1",
            "name": video.id,
            "global_start_time": None,
            "metadata": {_OURS: written_facts(replace(video, fps=fps))},
            "tracks": _composition("Stack.1", "tracks", [track]),
        }
        yield name, (json.dumps(timeline, indent=1, ensure_ascii=False) + "\n").encode()


def _composition(schema: str, name: str, children: list[dict[str, Any]]) -> dict[str, Any]:
    return _item(schema, name) | {"source_range": None, "children": children}


def _item(schema: str, name: str) -> dict[str, Any]:
    empty: dict[str, Any] = {"effects": [], "markers": [], "metadata": {}}
    return {"OTIO_SCHEMA": schema, "name": name, **empty}


def _clip(instance: ScoredInstance, fps: float, media: dict[str, Any]) -> dict[str, Any]:
    start, end, label, score = instance
    first, last = in_units(start, end, fps)
    # Version 1 is read by all versions of the library.
    clip = _item("Clip.1", label) | {"source_range": _range(first, last - first, fps)}
    if score is not None:
        clip["metadata"] = {_OURS: {"score": score}}
    return clip | {"media_reference": media}


def _written_media(video: Video, fps: float, options: WriteOptions) -> dict[str, Any]:
    known = not math.isnan(video.duration)
    media = {
        "OTIO_SCHEMA": "MissingReference.1",
        "name": video.id,
        "available_range": _range(0, round(video.duration * fps), fps) if known else None,
        "metadata": {},
    }
    if options.media is not None:
        media |= {"OTIO_SCHEMA": "ExternalReference.1", "target_url": options.media(video)}
    return media


def _range(start: int, length: int, fps: float) -> dict[str, Any]:
    times = {"start_time": start, "duration": length}
    rational = {"OTIO_SCHEMA": "RationalTime.1", "rate": fps}
    ranges = {key: rational | {"value": float(value)} for key, value in times.items()}
    return {"OTIO_SCHEMA": "TimeRange.1", **ranges}
