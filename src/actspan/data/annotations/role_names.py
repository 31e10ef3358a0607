"""Known names of table columns and of keys in JSON documents."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
_IN_UNITS: dict[Unit, dict[str, tuple[str, ...]]] = {
    "seconds": {role: NAMES[role] for role in TIMES},
    **{
        unit: {
            role: tuple(text for n in NAMES[role] for e in ends for text in (n + e, e + n))
            for role in TIMES
        }
        for unit, ends in _UNITS.items()
    },
}
_WORDS = re.compile("[a-z]+")


@lru_cache(1000)
def normalized(name: str) -> str:
    """Return a name in lower case, without separators."""
    return "".join(filter(str.isalnum, name.lower()))


def find_times(head: Sequence[str], given: Mapping[str, int]) -> tuple[Unit, dict[str, int]] | None:
    """Return unit and columns of start and end, in the first unit that has both, by their names.

    `head` are the names of all columns, `given` the columns that the user named, by role.
    """
    names = [normalized(name) for name in head]
    units = {role: _unit_of(head[place]) for role, place in given.items() if role in TIMES}
    for unit, known in _IN_UNITS.items():
        places = {role: given[role] for role in TIMES if units.get(role) == unit}
        for role in TIMES:
            there = (names.index(name) for name in known[role] if name in names)
            if role not in given and (place := next(there, None)) is not None:
                places[role] = place
        if len(places) == len(TIMES):
            return unit, places
    return None


def _unit_of(name: str) -> Unit:
    """Return the unit that a name ends with, or "seconds"."""
    if any(normalized(name) in NAMES[role] for role in TIMES):
        return "seconds"
    last = (_WORDS.findall(name.lower()) or [""])[-1]
    named = (
        unit
        for unit, ends in _UNITS.items()
        if last in ends or any(normalized(name) in _IN_UNITS[unit][role] for role in TIMES)
    )
    return next(named, "seconds")
