"""Known names of table columns and of keys in JSON documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from actspan.config.stages import Unit

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
        found = {role: place for role, place in places.items() if place is not None}
        if len(found) == len(TIMES):
            return unit, found
    return None


def _unit_of(name: str) -> Unit:
    """Return the unit that a column's name ends with, or "seconds"."""
    key, last = normalized(name), (re.findall("[a-z]+", name.lower()) or [""])[-1]
    for unit, known in _IN_UNITS.items():
        if any(key in known[role] for role in TIMES):
            return unit
    return next((unit for unit, ends in _UNITS.items() if last in ends), "seconds")
