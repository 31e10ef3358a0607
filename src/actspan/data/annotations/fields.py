"""Facts that files give: known names of columns and keys, numbers, times, facts about videos."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from actspan.config.stages import Unit
from actspan.core.limits import NUMBER
from actspan.core.types import Video
from actspan.data.videos import canonical_subset

# Names are in lower case and without separators. Per role, the first name that exists is used. JSON
# documents use the same names as keys.
NAMES: dict[str, tuple[str, ...]] = {
    "video": (
        "video", "videoid", "videoname", "vid", "youtubeid", "ytid", "recording", "media",
        "mediafile", "mediafilename", "mediafilepath", "file", "filename", "videofile", "clip",
        "clipid", "clipname", "name", "id",
    ),
    "start": (
        "start", "tstart", "tinit", "starttime", "starttimestamp", "timestart", "startsec",
        "startsecond", "startseconds", "starts", "starttimes", "segmentstart", "begin", "begintime",
        "begintimessmsec", "begintimehhmmssms", "tbegin", "onset", "xmin", "from",
    ),
    "end": (
        "end", "tend", "endtime", "endtimestamp", "timeend", "endsec", "endsecond", "endseconds",
        "ends", "endtimes", "endtimessmsec", "endtimehhmmssms", "segmentend", "stop", "tstop",
        "stoptime", "stoptimestamp", "timestop", "stopsec", "stops", "stoptimes", "offset", "xmax",
        "to",
    ),
    "label": (
        "label", "labelname", "labels", "class", "classname", "classlabel", "category",
        "categoryname", "action", "actionname", "actionlabel", "actionclass", "activity",
        "activityname", "event", "eventname", "annotation", "behavior", "behaviour", "verb",
        "gesture", "phase", "tag", "type", "eventtype", "narration", "caption", "sentence", "text",
        "name",
    ),
    "subset": ("subset", "split", "set", "partition"),
    "duration": (
        "videoduration", "videolength", "mediaduration", "mediadurations", "totallength",
        "duration", "durations", "durationsec", "durationsecond", "durationseconds", "seconds",
        "length",
    ),
    "fps": ("fps", "framerate", "fpsframes", "fpsframe"),
    "frames": ("frames", "numframes", "numframe", "framecount", "videoframes", "durationframe"),
}  # fmt: skip
# Class numbers serve as labels if there are no class names.
LABEL_NUMBERS = (
    "labelid", "labelidx", "labelindex", "classid", "classidx", "classindex", "categoryid",
    "actionid", "typeidx", "typeid",
)  # fmt: skip
TIMES = ("start", "end")
_UNITS: dict[Unit, tuple[str, ...]] = {
    "milliseconds": ("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"),
    "frames": ("frame", "frames", "frameno", "framenr", "framenumber", "frameidx", "frameindex"),
}
# Names by unit and role: "startms", "endframe", "frameend", ...
_IN_UNITS: dict[Unit, Mapping[str, Sequence[str]]] = {"seconds": NAMES}
_IN_UNITS |= {
    unit: {role: [t for n in NAMES[role] for e in ends for t in (n + e, e + n)] for role in TIMES}
    for unit, ends in _UNITS.items()
}


@lru_cache(1000)
def normalized(name: str) -> str:
    """Return a name in lower case, without separators."""
    return "".join(filter(str.isalnum, name.lower()))


def place_of(names: Sequence[str], known: Iterable[str]) -> int | None:
    """Return the index of the first known name that is among the names, or None."""
    return next((names.index(name) for name in known if name in names), None)


def find_times(head: Sequence[str], given: Mapping[str, int]) -> tuple[Unit, dict[str, int]] | None:
    """Return unit and columns of start and end, in the first unit that has both, by their names.

    `head` are the names of all columns, `given` the columns that the user named, by role.
    """
    names = [normalized(name) for name in head]
    units = {role: _unit_of(head[place]) for role, place in given.items()}
    for unit, known in _IN_UNITS.items():
        places = {role: place_of(names, known[role]) for role in TIMES if role not in given} | {
            role: given[role] for role in TIMES if units.get(role) == unit
        }
        columns = {role: place for role, place in places.items() if place is not None}
        if len(columns) == len(TIMES):
            return unit, columns
    return None


def _unit_of(name: str) -> Unit:
    """Return the unit that a column's name ends with, or "seconds"."""
    key, last = normalized(name), (re.findall("[a-z]+", name.lower()) or [""])[-1]
    for unit, known in _IN_UNITS.items():
        if any(key in known[role] for role in TIMES):
            return unit
    return next((unit for unit, ends in _UNITS.items() if last in ends), "seconds")


def number(value: Any, name: str) -> float:
    """Return a value, or text of one (HACS quotes durations), as a positive number.

    Raises TypeError or ValueError, with `name` in the message, if it is not one.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        decimal = float(value) if is_number else _decimal(value)
    except (AttributeError, ValueError, OverflowError, TypeError) as error:
        raise TypeError(f"{name!r} is {value!r}, not a number") from error
    if not math.isfinite(decimal) or decimal <= 0:
        raise ValueError(f"{name!r} is {value}, not a positive number")
    if decimal > NUMBER:
        raise ValueError(f"{name!r} is {decimal:g}, which is too large")
    return decimal


def _decimal(text: str) -> float:
    if "_" in text:  # Python's float reads 1_000
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def seconds(text: str) -> float:
    """Return a time in seconds from a number, or from a clock such as `1:02:03.5` or `2:03`.

    Raises ValueError if it is neither.
    """
    try:
        values = [_decimal(part) for part in text.strip().split(":")]
    except ValueError:
        values = []
    if not values or len(values) > 3 or not all(math.isfinite(v) for v in values):
        raise ValueError(f"{text!r} is not a time in seconds")
    if len(values) == 1:
        return values[0]
    whole = all(value.is_integer() for value in values[:-1])
    if not whole or min(values) < 0 or max(values[1:]) >= 60:
        raise ValueError(f"{text!r} is not a time of the form 1:02:03.5")
    hours = values[0] if len(values) == 3 else 0.0
    return (hours * 60 + values[-2]) * 60 + values[-1]


class Facts(NamedTuple):
    """Facts about a video that a row or a file may give beside its segments."""

    duration: float | None = None
    subset: str | None = None
    fps: float | None = None
    frames: int | None = None


def written_facts(video: Video) -> dict[str, str | float]:
    """Return the id and facts of a video beside its instances, as `read_facts` reads them."""
    known = {
        "video": written_id(video.id),
        "subset": video.subset or None,
        "duration": None if math.isnan(video.duration) else video.duration,
        "fps": video.fps,
        "frames": video.frames,
    }
    return {key: value for key, value in known.items() if value is not None}


def read_facts(facts: Mapping[str, Any]) -> Facts:
    """Return the facts that `written_facts` wrote, except the id; raise TypeError or ValueError."""
    keys = ("duration", "fps", "frames")
    known = {key: number(facts[key], key) for key in keys if facts.get(key) is not None}
    return Facts(
        duration=known.get("duration"),
        subset=canonical_subset(str(facts["subset"])) if facts.get("subset") else None,
        fps=known.get("fps"),
        frames=int(known["frames"]) if "frames" in known else None,
    )


def parse_facts(text: str, name: str) -> tuple[str, Facts]:
    """Return id and facts from the JSON of `written_facts`; `name` is the id if it gives none.

    Raises ValueError or TypeError if it is damaged.
    """
    try:
        known = json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error
    if not isinstance(known, dict):
        raise TypeError(f"{text[:40]!r} is not an object")
    return str(known.get("video") or name), read_facts(known)


def written_id(name: str) -> str:
    """Return an id as reading expects it, so that it gives the same id."""
    return f"v_{name}" if name.startswith("v_") else name
