"""The columns of a table: found by their names, named by the user, or settled by their content."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from actspan.data.annotations.base import seconds
from actspan.errors import AnnotationError
from actspan.wording import named, suggestion

Line = tuple[str, list[str]]  # place (file and line) and cells

# Names in small letters without signs between words; of each role the first that is there counts.
# What is named here is a key of JSON documents too.
KNOWN: dict[str, tuple[str, ...]] = {
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
# numbers of classes are labels where there are no names
LABEL_NUMBERS = (
    "labelid", "labelidx", "labelindex", "classid", "classidx", "classindex", "categoryid",
    "actionid", "typeidx", "typeid",
)  # fmt: skip
_WEAK_LABELS = KNOWN["label"][KNOWN["label"].index("phase") :]  # may describe a video as well
_POSITIONS = ("video", "start", "end", "label", "subset", "duration", "fps")
_TIMES = {"start", "end"}
_BLANKS = {"na", "n/a", "nan", "none", "null", "-"}
_SAMPLE = 10_000  # rows that are looked at for what a column means
_NAMES = 200  # columns that an error lists


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column plays which role.

    Attributes
    ----------
    places : mapping of role to int
        Index of the column.
    head : tuple of str
        Names of all columns; empty without a header.
    labels : tuple of int
        All columns that could be the label, most likely first.
    told : frozenset of str
        Roles whose columns were named by the user; their content is not questioned.
    verdict : int, optional
        A column of 1 and -1, where -1 marks a clip that is not of the class (HACS Clips).
    kind, session : int, optional
        Of BORIS: a column that says POINT of events without a length, and that of observations.
    notes : tuple of str
        Lines about what was assumed.
    noted : frozenset of int
        Columns that the notes name.
    """

    places: Mapping[str, int]
    head: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()
    told: frozenset[str] = frozenset()
    verdict: int | None = None
    kind: int | None = None
    session: int | None = None
    notes: tuple[str, ...] = ()
    noted: frozenset[int] = frozenset()

    @property
    def has_times(self) -> bool:
        """Whether rows are segments."""
        return self.places.keys() >= _TIMES

    def name(self, place: int) -> str:
        """Return the name of a column for messages."""
        return repr(self.head[place]) if self.head else str(place + 1)

    def with_note(self, note: str, *noted: int) -> Columns:
        """Return the same columns with one more line, which names some of them."""
        return replace(self, notes=(*self.notes, note), noted=self.noted.union(noted))

    def ignored(self) -> list[str]:
        """Return the names of the columns that neither play a role nor are in a note."""
        used = {*self.places.values(), *self.noted, self.verdict, self.kind}
        return [name for i, name in enumerate(self.head) if name and i not in used]


@lru_cache(1000)
def plain(name: str) -> str:
    """Return a name in small letters, without signs between words."""
    return "".join(filter(str.isalnum, name.lower()))


def is_blank(text: str) -> bool:
    """Return whether a cell of a number holds no value, as spreadsheets and R write it."""
    return not text or text.lower() in _BLANKS


def point(text: str) -> str:
    """Return a number with a decimal point where it had a decimal comma."""
    return text.replace(",", ".") if text.count(",") == 1 and "." not in text else text


def find_columns(path: Path, head: Sequence[str], told: Mapping[str, str]) -> Columns:
    """Return the columns of a header, or of a first row of values.

    Raises
    ------
    AnnotationError
        A column that was named is not there, or one that is needed was not found; names all that
        there are.
    """
    found = by_name(path, head, told)
    if _is_enough(found):
        return found
    if not told and len(head) >= 3 and _time(head[1]) >= 0 and _time(head[2]) >= 0:
        places = {role: i for i, role in enumerate(_POSITIONS[: len(head)])}
        return Columns(places).with_note(f"{path}: no header; columns taken as {','.join(places)}")
    missing = [role for role in ("video", "start", "end") if role not in found.places]
    options = ", ".join(f"--{role}-column NAME" for role in missing)
    raise AnnotationError(
        f"{path}: columns for 'video', 'start' and 'end' are needed; not found: "
        f"{', '.join(map(repr, missing))}; there are: {_names(head)}. Rename columns, or pass "
        f"{options}; times are seconds or clocks"
    )


def is_header(path: Path, head: Sequence[str], told: Mapping[str, str]) -> bool:
    """Return whether a line names the columns of segments or events."""
    known = {plain(name) for name in head}
    if not all(name in head for name in told.values()):
        return False
    found = by_name(path, head, told)
    return "video" in found.places and (found.has_times or "time" in known)


def by_name(path: Path, head: Sequence[str], told: Mapping[str, str]) -> Columns:
    """Return the columns that are known by name; raises as `find_columns`."""
    names = [plain(cell) for cell in head]
    places = {role: _told_place(path, head, name) for role, name in told.items()}
    for role, known in KNOWN.items():
        if role not in places:
            there = (names.index(name) for name in known if name in names)
            place = next((i for i in there if i not in places.values()), None)
            if place is not None:
                places[role] = place
    candidates = [names.index(n) for n in (*KNOWN["label"], *LABEL_NUMBERS) if n in names]
    others = {place for role, place in places.items() if role != "label"}
    labels = tuple(i for i in dict.fromkeys(candidates) if i not in others)
    if labels and "label" not in places:
        places["label"] = labels[0]
    kind, session = (
        names.index(name) if name in names else None for name in ("behaviortype", "observationid")
    )
    return Columns(places, tuple(head), labels, frozenset(told), kind=kind, session=session)


def _told_place(path: Path, head: Sequence[str], name: str) -> int:
    names = [plain(cell) for cell in head]
    if name in head:
        return head.index(name)
    if plain(name) in names:
        return names.index(plain(name))
    raise AnnotationError(
        f"{path}: no column {name!r}{suggestion(name, head)}; there are: {_names(head)}"
    )


def _names(head: Sequence[str]) -> str:
    return named(map(repr, head), _NAMES)


def _is_enough(columns: Columns) -> bool:
    """Return whether rows can be read as segments, or as facts about videos."""
    places = columns.places
    if "video" not in places:
        return False
    if places.keys() & _TIMES:
        return columns.has_times
    label = columns.head[places["label"]] if "label" in places else ""
    if label and plain(label) not in _WEAK_LABELS:
        return False  # what is labelled has times, under names that are not known
    return bool(places.keys() & {"duration", "subset"}) or _counts_frames(columns.head)


def _counts_frames(head: Sequence[str]) -> bool:
    names = {plain(name) for name in head}
    return not names.isdisjoint(KNOWN["fps"]) and not names.isdisjoint((*KNOWN["frames"], "count"))


def settle(path: Path, columns: Columns, lines: Iterable[Line]) -> Columns:
    """Return the columns with what only their content tells: which is the label, whose duration.

    Parameters
    ----------
    lines : iterable of Line
        The table below its header; not drawn where names leave no question.
    """
    if not columns.has_times:
        return _of_facts(columns)
    asks_label = "label" not in columns.told and len(columns.labels) > 0
    asks_duration = "duration" in columns.places and "duration" not in columns.told
    if not (asks_label or asks_duration):
        return (
            columns if columns.labels or "label" in columns.places else _unlabelled(path, columns)
        )
    labels = _Labels(columns.labels if asks_label else ())
    durations = _Durations(columns.places if asks_duration else {})
    for _, cells in islice(lines, _SAMPLE):
        labels.see(cells)
        durations.see(cells)
    if asks_duration and durations.are_lengths():
        place = columns.places["duration"]
        places = {role: i for role, i in columns.places.items() if role != "duration"}
        columns = replace(columns, places=places).with_note(
            f"{path}: column {columns.name(place)} is the length of segments, and not taken as the "
            "video's",
            place,
        )
    if asks_label:
        return labels.choose(path, columns)
    return columns if "label" in columns.places else _unlabelled(path, columns)


def _of_facts(columns: Columns) -> Columns:
    """Return the columns of a table without times: labels have no place, `count` is of frames."""
    places = {role: i for role, i in columns.places.items() if role != "label"}
    names = [plain(name) for name in columns.head]
    if "frames" not in places and "count" in names:
        places["frames"] = names.index("count")
    return replace(columns, places=places, labels=())


def _unlabelled(path: Path, columns: Columns) -> Columns:
    if not columns.head:
        return columns
    return columns.with_note(
        f"{path}: no column of labels is known by name, so instances have none; "
        "--label-column names it"
    )


class _Labels:
    """What the columns hold that could be the label."""

    def __init__(self, candidates: Sequence[int]) -> None:
        self._candidates = candidates
        self._words: set[int] = set()
        self._values: dict[int, set[str]] = {place: set() for place in candidates}

    def see(self, cells: Sequence[str]) -> None:
        """Take a row into account."""
        for place in self._candidates:
            if place in self._words or place >= len(cells) or not cells[place]:
                continue
            if math.isfinite(_time(cells[place])):
                if len(self._values[place]) < 3:
                    self._values[place].add(cells[place])
            else:
                self._words.add(place)

    def choose(self, path: Path, columns: Columns) -> Columns:
        """Return the columns with the first of words as label, else the first."""
        chosen = next((i for i in self._candidates if i in self._words), self._candidates[0])
        columns = replace(columns, places={**columns.places, "label": chosen})
        name, others = columns.name(chosen), [i for i in columns.labels if i != chosen]
        verdict = next((i for i in others if self._is_verdict(i, columns.head[i])), None)
        rivals = [i for i in others if i != verdict and plain(columns.head[i]) not in LABEL_NUMBERS]
        if rivals:
            names = " or ".join(map(columns.name, rivals))
            columns = columns.with_note(
                f"{path}: the label is column {name}; it could be {names} (--label-column)", *rivals
            )
        if chosen not in self._words and self._values[chosen]:
            columns = columns.with_note(f"{path}: labels are numbers (column {name})")
        return replace(columns, verdict=verdict)

    def _is_verdict(self, place: int, name: str) -> bool:
        return (
            plain(name) == "label"
            and place not in self._words
            and bool(self._values[place])
            and self._values[place] <= {"1", "-1"}
        )


class _Durations:
    """Whether durations are those of segments: equal to end - start, or otherwise impossible."""

    def __init__(self, places: Mapping[str, int]) -> None:
        roles = ("video", "start", "end", "duration")
        self._places = [places[role] for role in roles if role in places]
        self._of_video: dict[str, float] = {}
        self._rows = self._short = 0
        self._varies = False
        self._difference = self._latest_start = 0.0

    def see(self, cells: Sequence[str]) -> None:
        """Take a row into account, if it has all three numbers."""
        if len(self._places) < 4 or len(cells) <= max(self._places):
            return
        video = cells[self._places[0]]
        start, end, duration = (_time(cells[place]) for place in self._places[1:])
        if not math.isfinite(start + end + duration):
            return
        self._rows += 1
        self._short += duration < end
        self._varies |= self._of_video.setdefault(video, duration) != duration
        self._difference = max(self._difference, abs(end - start - duration))
        self._latest_start = max(self._latest_start, start)

    def are_lengths(self) -> bool:
        """Return whether no video can have these durations, but segments can."""
        # a video reaches to its last segment's end, so it exceeds end - start by start at least
        equal = any(self._difference <= x and self._latest_start > 2 * x for x in (0.011, 0.51))
        return equal or (self._varies and 2 * self._short > self._rows)


def _time(text: str) -> float:
    """Return a time in seconds, NaN where the text is none."""
    try:
        return seconds(point(text))
    except ValueError:
        return math.nan
