"""BORIS project files: observations of behaviors, as events in time.

{"project_format_version": "7.0",
 "behaviors_conf": {"0": {"code": "dig", "type": "State event"}, ...},
 "observations": {"obs 1": {"type": "MEDIA", "file": {"1": ["a.mp4"]}, "time offset": 0.0,
   "media_info": {"length": {"a.mp4": 60.0}, "fps": {"a.mp4": 25.0}},
   "events": [[1.5, subject, "dig", modifiers, comment], ...]}}}

The events of a state are alternating starts and stops, per subject and set of modifiers: a pair is
an instance, and the behavior's code its label. The file of player 1 names the video; an observation
without media uses its own name. Point events have no length: they are counted and ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import PureWindowsPath
from typing import Any

from actspan.core.problems import Skipped
from actspan.data.annotations.annotation_set import Annotations, ReadOptions
from actspan.data.annotations.fields import Facts, number
from actspan.data.annotations.source import Source
from actspan.data.annotations.video_builder import UNUSABLE, VideoBuilder
from actspan.data.names import Ignored

_PARTS = ("observations", "behaviors_conf")
_FIELDS = {1: "subject", 3: "modifiers", 4: "comment"}  # of an event, beside time and behavior
_Event = tuple[float, tuple[str, str, str]]  # time, (behavior, subject, modifiers)


def fits(source: Source) -> bool:
    """Return whether the source is a JSON object with observations and configured behaviors."""
    document = source.document[0]
    return isinstance(document, dict) and all(isinstance(document.get(k), dict) for k in _PARTS)


def read(source: Source, options: ReadOptions) -> Annotations:
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
            video, facts = _media(name, observation, builder.ignored)
            if video in builder:
                raise ValueError(f"video {video!r} is in an earlier observation too")
            events = sorted(_events(observation, builder.ignored), key=itemgetter(0))
            builder.add(video, facts=facts)
        except UNUSABLE as error:
            builder.reject(video, place, error, Skipped.VIDEO)
            continue
        _add_states(builder, video, place, events, types)
    return builder.built("boris")


def _media(name: str, observation: Mapping[str, Any], ignored: Ignored) -> tuple[str, Facts]:
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
    others = sum(len(player) for key, player in players.items() if key != "1" and player)
    if others:
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
