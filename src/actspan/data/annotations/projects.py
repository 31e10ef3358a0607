"""Project files of BORIS and of VGG Image Annotator 3, which are JSON objects.

BORIS: observations of behaviors, as events in time.

{"project_format_version": "7.0",
 "behaviors_conf": {"0": {"code": "dig", "type": "State event"}, ...},
 "observations": {"obs 1": {"type": "MEDIA", "file": {"1": ["a.mp4"]}, "time offset": 0.0,
   "media_info": {"length": {"a.mp4": 60.0}, "fps": {"a.mp4": 25.0}},
   "events": [[1.5, subject, "dig", modifiers, comment], ...]}}}

The events of a state are alternating starts and stops, per subject and set of modifiers: a pair is
an instance, and the behavior's code its label. The file of player 1 names the video; an observation
without media uses its own name. Point events have no length: they are counted and ignored.

VGG Image Annotator 3: temporal segments of videos and audio.

{"attribute": {"1": {"aname": "action", "anchor_id": "FILE1_Z2_XY0", "type": 4,
                     "options": {"0": "jump"}}},
 "file": {"1": {"fid": "1", "fname": "a.mp4", "src": ""}}, "view": {"1": {"fid_list": ["1"]}},
 "metadata": {"1_x8f": {"vid": "1", "z": [1.5, 3.0], "xy": [], "av": {"1": "0"}}}}

An entry with two times `z` and no shape `xy` is an instance. Its label is the value of the first
attribute of temporal segments; for a checkbox, each chosen option is a label. Regions of single
frames, attributes of files and further attributes are counted and ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import PureWindowsPath
from typing import Any
from urllib.parse import unquote, urlsplit

from actspan.core.problems import Skipped
from actspan.data.annotations.annotation_set import Annotations, Instance, ReadOptions, Source
from actspan.data.annotations.fields import Facts, number
from actspan.data.annotations.video_builder import UNUSABLE, VideoBuilder
from actspan.data.names import Ignored

BORIS = ("observations", "behaviors_conf")  # objects that a project has
VIA = ("attribute", "file", "view", "metadata")

_FIELDS = {1: "subject", 3: "modifiers", 4: "comment"}  # of BORIS's events
_Event = tuple[float, tuple[str, str, str]]  # time, (behavior, subject, modifiers)
_OF_SEGMENTS = "FILE1_Z2_XY0"
_CHECKBOX = 2  # the only type of attribute with several values, joined by commas


def fits(parts: tuple[str, ...], source: Source) -> bool:
    """Return whether the source is a JSON object with an object under each of the keys."""
    document = source.document[0]
    return isinstance(document, dict) and all(isinstance(document.get(k), dict) for k in parts)


def read_boris(source: Source, options: ReadOptions) -> Annotations:
    """Read a project; observations and events that cannot be used become problems."""
    document, repeated = source.document
    types = {
        str(entry.get("code")): str(entry.get("type")).lower()
        for entry in document["behaviors_conf"].values()
        if isinstance(entry, dict)
    }
    builder = VideoBuilder(source.path, options, repeated)
    for name, observation in document["observations"].items():
        place, video = f"{source.path}: observation {name!r}", name
        try:
            if not isinstance(observation, dict):
                raise TypeError("not an object")
            video, facts = _observed_video(name, observation, builder.ignored)
            if video in builder:
                raise ValueError(f"video {video!r} is in an earlier observation too")
            events = sorted(_events(observation, builder.ignored), key=itemgetter(0))
            builder.add(video, facts=facts)
        except UNUSABLE as error:
            builder.reject(video, place, error, Skipped.VIDEO)
            continue
        _add_states(builder, video, place, events, types)
    return builder.built("boris")


def _observed_video(
    name: str, observation: Mapping[str, Any], ignored: Ignored
) -> tuple[str, Facts]:
    """Return the id of an observation's video, and the facts that the project gives about it."""
    players = observation.get("file") or {}
    if isinstance(players, list):  # before version 1
        players = {str(i): [file] for i, file in enumerate(players, start=1)}
    if observation.get("type") == "IMAGES":
        raise ValueError("an observation of pictures has no times")
    if observation.get("media_creation_date_as_offset"):
        raise ValueError("times count from the creation date of the media, not from their start")
    files = [str(file) for file in players.get("1") or ()]
    if len(files) > 1:
        raise ValueError(
            f"{len(files)} files one after the other; make an observation of each in BORIS"
        )
    if others := sum(len(player) for key, player in players.items() if key != "1" and player):
        ignored["media", "files of players other than 1"] += others
    if not files:
        return name, Facts()
    info = observation.get("media_info") or {}
    known = {key: (info.get(key) or {}).get(files[0]) for key in ("length", "fps")}
    length, fps = (number(value, key) if value else None for key, value in known.items())
    return PureWindowsPath(files[0]).stem, Facts(duration=length, fps=fps)


def _events(observation: Mapping[str, Any], ignored: Ignored) -> Iterator[_Event]:
    """Yield the events, with times in seconds of the media."""
    offset = float(observation.get("time offset") or 0)  # BORIS adds it to the times that it writes
    for event in observation["events"]:
        if not isinstance(event, list) or len(event) < 3:
            raise TypeError(f"event {event!r} is not [time, subject, behavior, ...]")
        for i, field in _FIELDS.items():
            if len(event) > i and event[i] not in ("", "None", None):
                ignored["fields of events", field] += 1
        time = float(event[0]) - offset
        if not math.isfinite(time):
            raise ValueError(f"event {event!r} has no time")
        yield time, (str(event[2]), str(event[1]), str(event[3]) if len(event) > 3 else "")


def _add_states(
    builder: VideoBuilder, video: str, place: str, events: list[_Event], types: Mapping[str, str]
) -> None:
    """Add an instance per start and stop; `types` has the type of each configured behavior."""
    started: dict[tuple[str, str, str], float] = {}
    for time, key in events:
        if "point" in types.get(key[0], ""):
            builder.ignored["point events", key[0]] += 1
        elif key in started:
            builder.add_or_reject(video, (started.pop(key), time, key[0]), place)
        elif key[0] in types:
            started[key] = time
    for code in dict.fromkeys(key[0] for _, key in events if key[0] not in types):
        remedy = "add it to the ethogram in BORIS, or remove its events"
        builder.reject(video, place, f"behavior {code!r} is not in the ethogram", remedy=remedy)
    for (code, *_), time in started.items():
        remedy = "stop it in BORIS, which can find unpaired events"
        what = f"state {code!r} starts at {time:g} s and does not stop"
        builder.reject(video, place, what, remedy=remedy)


def read_via(source: Source, options: ReadOptions) -> Annotations:
    """Read a project; entries that cannot be used become problems."""
    document, repeated = source.document
    builder = VideoBuilder(source.path, options, repeated)
    names: dict[str, str] = {}  # of views; "" for those that are problems
    for view, entry in document["view"].items():
        name = names[view] = ""
        try:
            name = _viewed_file(entry, document["file"])
            if name in builder:
                raise ValueError(f"video {name!r} is in an earlier view too")
            builder.add(name)
            names[view] = name
        except UNUSABLE as error:
            builder.reject(name, f"{source.path}: view {view}", error, Skipped.VIDEO)
    attributes = {
        key: value
        for key, value in document["attribute"].items()
        if isinstance(value, dict) and value.get("anchor_id") == _OF_SEGMENTS
    }
    for key, entry in document["metadata"].items():
        video = ""
        try:
            video = names[str(entry["vid"])]
            for instance in _instances(entry, attributes, builder.ignored):
                if video:  # otherwise the view is already a problem
                    builder.add(video, instance)
        except UNUSABLE as error:
            builder.reject(video, f"{source.path}: metadata {key}", error)
    return builder.built("via")


def _viewed_file(view: Mapping[str, Any], files: Mapping[str, Any]) -> str:
    """Return the name of the file that a view shows, without folder and suffix."""
    if len(view["fid_list"]) != 1:
        raise ValueError(f"it shows {len(view['fid_list'])} files; only one per view can be read")
    file = files[str(view["fid_list"][0])]
    name = str(file.get("fname") or "") or unquote(urlsplit(str(file.get("src") or "")).path)
    return PureWindowsPath(name).stem


def _instances(
    entry: Mapping[str, Any], attributes: Mapping[str, Any], ignored: Ignored
) -> Iterator[Instance]:
    """Yield one instance per label of a temporal segment; none for other entries."""
    times, values = entry.get("z") or [], entry.get("av") or {}
    if len(times) != 2 or entry.get("xy"):
        is_region = bool(times or entry.get("xy"))
        ignored["entries", "regions" if is_region else "attributes of files"] += 1
        return
    if not all(isinstance(time, (int, float)) and not isinstance(time, bool) for time in times):
        raise TypeError(f"times {times!r} are not numbers")
    labels = {key: str(values[key]) for key in attributes if values.get(key) not in (None, "")}
    first = next(iter(attributes), "")
    for key in labels:
        if key != first:
            ignored["attributes", str(attributes[key].get("aname") or key)] += 1
    if first not in labels:
        ignored["entries", "segments without a label"] += 1
        return
    options = attributes[first].get("options") or {}
    several = attributes[first].get("type") == _CHECKBOX
    for value in labels[first].split(",") if several else [labels[first]]:
        if options and value.isdecimal() and value not in options:
            name = attributes[first].get("aname") or first
            raise ValueError(f"attribute {name!r} has no option {value}")
        yield float(times[0]), float(times[1]), str(options.get(value) or value)
