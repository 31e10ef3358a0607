"""Writer of tasks for Label Studio, and of the labelling interface that shows them.

Scored instances become predictions, which a person accepts or corrects; others become annotations.
Regions are `timelinelabels` of a video: ranges of frames, counted from 1 with the last one
included. The task's data contain the frame rate, and the interface tells Label Studio to use it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from actspan.core.errors import ConfigError
from actspan.core.types import Video
from actspan.data.annotations.labelstudio.reading import VIDEO_ID
from actspan.data.annotations.writing import (
    UNLABELLED,
    Style,
    require_text,
    scored_instances,
    written_facts,
)

TASKS, INTERFACE = "labelstudio.json", "labelstudio.xml"
_CONTROL, _MEDIUM = "actions", "video"  # names of the interface's tags, to which regions refer


def encode(videos: Sequence[Video], style: Style) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of two files: the tasks to import, and the labelling interface.

    Raises
    ------
    ConfigError
        The address of the videos is unknown, from which Label Studio plays them.
    AnnotationError
        Some text cannot be in XML.
    """
    for video in videos:
        require_text(video)
    tasks = [_task(video, style) for video in videos]
    yield TASKS, (json.dumps(tasks, indent=1, ensure_ascii=False) + "\n").encode()
    yield INTERFACE, _interface(label for video in videos for _, _, label, _ in _regions(video))


def _task(video: Video, style: Style) -> dict[str, Any]:
    if style.media is None:
        raise ConfigError(
            "Label Studio plays videos from an address: say which, with {id} for the video's id, "
            "as in --videos '/data/local-files/?d=videos/{id}.mp4'"
        )
    facts = written_facts(video)
    name = facts.pop("video")
    fps = video.fps or style.fps
    data = {"video": style.media(video), VIDEO_ID: name, **facts, "fps": fps}
    regions = [
        _region(number, region, fps) for number, region in enumerate(_regions(video), start=1)
    ]
    if video.scores is None:
        return {"data": data, "annotations": [{"result": regions}]}
    best = float(video.scores.max()) if len(video.scores) else 0.0
    prediction = {"model_version": "ActSpan", "score": best, "result": regions}
    return {"data": data, "predictions": [prediction]}


def _regions(video: Video) -> Iterator[tuple[float, float, str, float | None]]:
    for start, end, label, score in scored_instances(video):
        yield start, end, label.strip() or UNLABELLED, score


def _region(
    number: int, region: tuple[float, float, str, float | None], fps: float
) -> dict[str, Any]:
    start, end, label, score = region
    first = round(start * fps) + 1
    last = max(round(end * fps), first)
    value = {"ranges": [{"start": first, "end": last}], "timelinelabels": [label]}
    made = {
        "id": f"r{number}",
        "from_name": _CONTROL,
        "to_name": _MEDIUM,
        "type": "timelinelabels",
        "value": value,
    }
    return made if score is None else {**made, "score": score}


def _interface(labels: Iterable[str]) -> bytes:
    view = Element("View")
    SubElement(view, "Video", name=_MEDIUM, value="$video", frameRate="$fps")
    control = SubElement(view, "TimelineLabels", name=_CONTROL, toName=_MEDIUM)
    for label in dict.fromkeys(labels) or (UNLABELLED,):
        SubElement(control, "Label", value=label)
    indent(view, "  ")
    text: bytes = tostring(view, encoding="utf-8")
    return text + b"\n"
